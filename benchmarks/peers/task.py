"""What a peer is to do, and what it and the camera say of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class Sent(NamedTuple):
    """A picture, as the camera noted it when its last byte had been handed to the socket."""

    timestamp: int
    """Of RTP."""
    number: int
    at_ns: int
    """On the monotonic clock."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a peer said of one picture."""

    number: int
    given_ns: int
    tracks: list[list[float]]
    """Rows of id, x1, y1, x2, y2, score; framepace adds the velocities of the corners, px/s."""
    status: str = "fresh"
    true_at_ns: int | None = None
    """The moment that its boxes are true for, where a peer says it."""
    said_ns: int | None = None
    """When it was given by the peer's own account, where `given_ns` is when it arrived."""


@dataclass(frozen=True)
class Task:
    """What a peer is to do."""

    detector: str
    """Milliseconds of a stand-in, `model`, or `model+64`."""
    seconds: float
    clip: Path
    fps: int = 30
    burn: bool = False
    tracker: bool = False
