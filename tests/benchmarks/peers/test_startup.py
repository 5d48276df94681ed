"""Which line is a first answer."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        ('{"number": 0, "given_ns": 1, "tracks": []}', True),
        ('{"status": "fresh", "tracks": []}', True),
        ('{"status": "blind", "tracks": []}', False),
        ("loading a model", False),
    ],
)
def test_only_fresh_answers_count(script: Callable[[str], ModuleType], line: str, counts: bool) -> None:  # noqa: FBT001
    """Peers have no status; what they say else, and what is said before the model is ready, is no answer."""
    assert script("startup").is_answer(line) is counts
