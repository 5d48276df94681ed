"""Scores, on cases whose scores are known."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from pipeline.errors import ConfigError
from stages.evaluate.scores import average_precision, check_installed, score
from stages.evaluate.truth import NOTHING, Objects


def objects(*boxes: tuple[float, float, float, float], ids: list[int] | None = None, classes: int = 0) -> Objects:
    count = len(boxes)
    return Objects(
        np.array(boxes, dtype=np.float64).reshape(-1, 4),
        np.full(count, classes, np.int64),
        np.array(ids if ids is not None else range(count), np.int64),
        np.ones(count),
    )


MOVING = [objects((10 * k, 0, 10 * k + 100, 100), (300, 200 + 10 * k, 400, 300 + 10 * k)) for k in range(20)]


def test_the_truth_scores_one() -> None:
    """In everything."""
    assert set(score(MOVING, MOVING).as_data().values()) == {1.0}


def test_nothing_scores_nothing() -> None:
    """Also where the libraries have nothing to divide by."""
    scores = score([NOTHING] * 20, MOVING)
    assert (scores.ap, scores.ap50, scores.hota, scores.mota, scores.idf1) == (0, 0, 0, 0, 0)


def test_boxes_that_are_one_frame_late() -> None:
    """They overlap by 90/110 = 0.818: right for seven of the ten thresholds from .50 on, but for the first frame."""
    late = [NOTHING, *MOVING[:-1]]
    scores = score(late, MOVING)
    found = 19 / 20
    reached = pytest.approx(found, abs=0.011)  # COCO takes precision at 101 recalls
    assert scores.ap50 == reached
    assert scores.ap75 == reached
    assert scores.ap == pytest.approx(0.7 * found, abs=0.011)
    assert scores.mota == pytest.approx(found)
    # HOTA has thresholds .05 to .95; .818 passes sixteen of nineteen.
    assert scores.det_a == pytest.approx(16 / 19 * found)


def test_a_track_that_changes_its_name_costs_identity_only() -> None:
    """The boxes are right."""
    said = [objects(*map(tuple, of.boxes), ids=[0, 1 if k < 10 else 2]) for k, of in enumerate(MOVING)]
    scores = score(said, MOVING)
    assert scores.ap == scores.det_a == pytest.approx(1)
    assert scores.idf1 == pytest.approx(0.75)
    assert scores.ass_a is not None
    assert scores.ass_a < 1


def test_another_class_is_wrong_where_the_box_is_right() -> None:
    """For boxes and for tracks."""
    said = [objects(*map(tuple, of.boxes), classes=1) for of in MOVING]
    scores = score(said, MOVING)
    assert (scores.ap50, scores.hota) == (0, 0)


def test_without_identities_only_boxes_are_scored() -> None:
    """What nobody knows is not made up."""
    scores = score(MOVING, MOVING, identities=False)
    assert scores.ap == 1
    assert scores.hota is scores.mota is scores.idf1 is None


def test_scores_decide_between_right_and_wrong() -> None:
    """A wrong box below the right one costs no precision; above it, it does."""
    truth = [objects((0, 0, 100, 100))]
    both = objects((0, 0, 100, 100), (500, 500, 600, 600))
    good = Objects(both.boxes, both.class_ids, both.object_ids, np.array([0.9, 0.1]))
    bad = Objects(both.boxes, both.class_ids, both.object_ids, np.array([0.1, 0.9]))
    assert average_precision([good], truth)[0] == 1
    assert average_precision([bad], truth)[0] == pytest.approx(0.5)


def test_missing_libraries_are_said_with_their_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, as for any other wrong use."""
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(ConfigError, match=r"pip install 'framepace\[eval\]'"):
        average_precision(MOVING, MOVING)


@pytest.mark.parametrize("name", ["faster_coco_eval", "trackeval.metrics"])
def test_missing_libraries_are_said_beforehand(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Before anything is played; that for tracks is not missed where there are none to be scored."""
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=r"pip install 'framepace\[eval\]'"):
        check_installed(identities=True)
    if name == "trackeval.metrics":
        check_installed(identities=False)
