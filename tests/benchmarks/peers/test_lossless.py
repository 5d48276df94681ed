"""Whether two programs say the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from types import ModuleType

import pytest


def record(*boxes: Sequence[float]) -> str:
    """A line with boxes."""
    return json.dumps({"tracks": [{"box": list(box)} for box in boxes]})


def test_equal_records_and_equal_places_are_told_apart(script: Callable[[str], ModuleType]) -> None:
    """A box that is a little off is in the same place; one that is missing or elsewhere is not."""
    ours = [record((0, 0, 10, 10)), record((0, 0, 10, 10), (50, 50, 60, 60)), record()]
    theirs = [record((0, 0, 10, 10)), record((0, 0, 10, 10.5), (80, 80, 90, 90)), record((1, 1, 2, 2))]
    identical, placed = script("lossless").same_share(ours, theirs)
    assert identical == pytest.approx(1 / 3)
    assert placed == pytest.approx(2 / 3)


def test_a_record_that_never_came_is_not_the_same(script: Callable[[str], ModuleType]) -> None:
    """A program that stopped early does not look equal."""
    identical, placed = script("lossless").same_share([record((0, 0, 10, 10))] * 4, [record((0, 0, 10, 10))])
    assert (identical, placed) == (0.25, 0.25)
