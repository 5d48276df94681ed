"""Which pictures are scored, and how an answer is taken."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

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
