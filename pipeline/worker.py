"""What one thread of a run does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.stage import Part


@dataclass(frozen=True, slots=True)
class Worker:
    """The work of one thread, from the start to the end of a run."""

    name: str
    """Of the thread."""
    work: Callable[[], None]
    parts: tuple[Part, ...] = ()
    """What it uses: must not be closed before the thread has ended."""
