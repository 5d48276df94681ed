"""Which pictures are scored, and how an answer is taken."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from stages.evaluate.truth import Objects, Truth

ROUND = 795


def test_the_last_viewing_is_scored(script: Callable[[str], ModuleType]) -> None:
    """A peer that looks at the stream first begins again at 0; a clip that comes round does not begin a viewing."""
    accuracy, task = script("accuracy"), script("task")
    numbers = [*range(12), *range(ROUND), *range(100)]  # a look, the viewing, its second round
    sent = [task.Sent(0, number, place) for place, number in enumerate(numbers)]
    seen = accuracy.last_viewing(sent)
    assert [row.number for row in seen] == list(range(ROUND))
    assert seen[0].at_ns == 12


def test_velocities_are_taken_where_there_are_some(script: Callable[[str], ModuleType]) -> None:
    """framepace's rows have ten numbers, those of others six: they stand still."""
    accuracy, task = script("accuracy"), script("task")
    row = [7, 1.0, 2.0, 3.0, 4.0, 0.9]
    still = accuracy.given_of(task.Answer(0, 5_000_000_000, [row]), 3)
    moving = accuracy.given_of(
        task.Answer(0, 5_000_000_000, [[*row, 1, 2, 3, 4]], "forecast", true_at_ns=4_900_000_000), 3
    )
    assert np.array_equal(still.velocities, np.zeros((1, 4)))
    assert np.array_equal(moving.velocities, [[1, 2, 3, 4]])
    assert np.array_equal(moving.objects.boxes, still.objects.boxes)


def test_an_empty_answer_has_no_objects(script: Callable[[str], ModuleType]) -> None:
    """It is an answer all the same."""
    accuracy, task = script("accuracy"), script("task")
    given = accuracy.given_of(task.Answer(0, 0, []), 0)
    assert given.objects.boxes.shape == given.velocities.shape == (0, 4)


def test_a_peer_without_answers_is_not_scored(script: Callable[[str], ModuleType]) -> None:
    """Its failure is said instead."""
    accuracy, peers = script("accuracy"), script("peers")
    with pytest.raises(ValueError, match="no answer"):
        accuracy.scored(peers.Outcome([], [], 0, 0, 0.0, 0.0), truth=None, fps=10)


def test_the_offline_score_is_of_the_pictures_that_count_live(
    script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """At the camera's rate, without the first seconds: a program that is wrong there only loses nothing."""
    accuracy, clip = script("accuracy"), script("clip")
    monkeypatch.setattr(accuracy, "PICTURES", 60)
    path = tmp_path / "clip.mp4"
    clip.make(path, 60)
    box = np.array([[100.0, 100, 200, 300]])
    there = Objects(box, np.zeros(1, np.int64), np.ones(1, np.int64), np.ones(1))
    truth = Truth(("person",), (there,) * 60)
    track = {"id": 1, "class": "person", "score": 0.9, "box": box[0].tolist(), "velocity": [0, 0, 0, 0]}
    records = [
        {"frame": number, "pts_s": number / 10, "status": "fresh", "tracks": [track] if number >= 30 else []}
        for number in range(60)
    ]
    print_them = f"print({chr(10).join(map(json.dumps, records))!r})"
    monkeypatch.setattr(accuracy.ours, "lossless_command", lambda *_: [sys.executable, "-c", print_them])
    scores, count = accuracy.offline(truth, 10, path)
    assert count == 30
    assert (scores.ap50, scores.hota) == (1, 1)
    monkeypatch.setattr(accuracy.ours, "lossless_command", lambda *_: [sys.executable, "-c", "raise SystemExit('no')"])
    with pytest.raises(RuntimeError, match="ended with 1: no"):
        accuracy.offline(truth, 10, path)
