"""What is scored of a run, and when."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ConfigError
from stages.evaluate import play
from stages.evaluate.play import AGES_S, Case, Played, as_data, evaluate, streaming
from stages.evaluate.truth import UNKNOWN_ID, Objects, Truth

PlayedMaker = Callable[..., Played]


def standing(count: int, *, known: bool = True) -> Objects:
    """People beside each other."""
    left = 100.0 * np.arange(count)
    boxes = np.stack([left, np.zeros(count), left + 50, np.full(count, 100.0)], axis=1)
    ids = np.arange(count) if known else np.full(count, UNKNOWN_ID)
    return Objects(boxes, np.zeros(count, np.int64), ids.astype(np.int64), np.ones(count))


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> Callable[..., play.Evaluation]:
    """A function that evaluates a run that was made up, as the lossless one and the live ones."""

    def make(made: Played, truth: Truth, ages_s: Sequence[float] = AGES_S) -> play.Evaluation:
        monkeypatch.setattr(play, "play", lambda *_, **__: made)
        return evaluate(Case(Path("clip.mp4"), {}), truth, ages_s=ages_s)

    return make


def test_without_identities_ages_are_whole_frames(
    played: PlayedMaker, evaluated: Callable[..., play.Evaluation]
) -> None:
    """All five that stand there count at any age: nothing is known between frames, so it is not asked."""
    frames = (standing(5, known=False),) * 30
    found = evaluated(played([standing(5)] * 30), Truth(("person",), frames), (0, 0.033, 0.067, 0.1, 0.11, 0.2))
    assert [at.age_ms for at in found.by_age] == pytest.approx([0, 33.333, 66.667, 100, 200])
    assert [at.held.ap50 for at in found.by_age] == pytest.approx([1] * 5)


def test_with_identities_ages_are_those_that_were_asked_for(
    played: PlayedMaker, evaluated: Callable[..., play.Evaluation]
) -> None:
    """Objects are between their boxes then."""
    found = evaluated(played([standing(5)] * 30), Truth(("person",), (standing(5),) * 30))
    assert [at.age_ms for at in found.by_age] == [1000 * age_s for age_s in AGES_S]
    assert [at.held.hota for at in found.by_age] == pytest.approx([1] * 7)


def test_a_run_that_was_blind_throughout_is_json(
    played: PlayedMaker, evaluated: Callable[..., play.Evaluation]
) -> None:
    """Nothing was ever held, which has no age."""
    truth = Truth(("person",), (standing(5),) * 30)
    assert streaming(played([None] * 30), truth, 30).age_ms == {"p50": None, "p99": None}
    data = as_data(evaluated(played([None] * 30), truth))
    assert '"age_ms": {"p50": null, "p99": null}' in json.dumps(data, allow_nan=False)


@pytest.mark.parametrize("answers", [0, 1])
def test_a_run_with_too_few_answers_is_one_line(
    played: PlayedMaker, evaluated: Callable[..., play.Evaluation], answers: int
) -> None:
    """Nobody knows then when frames were captured."""
    made = played([standing(5)] * 30)
    with pytest.raises(ConfigError, match=r"^CLIP: fewer than two frames were answered"):
        evaluated(Played(made.given[:answers], made.report), Truth(("person",), (standing(5),) * 30))
