"""What a run wrote down about its timings, read back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.timings import SCHEMA, Event


class Settings(BaseModel):
    """The first line of a record."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    deadline_ns: int
    credits: int
    stages: tuple[str, ...]
    detector: str


@dataclass(slots=True)
class Recorded:
    """What happened to one frame; times in ns of the run's clock."""

    frame_id: int
    captured_ns: int
    registered_ns: int
    ready_ns: int | None = None
    """When its picture lay in the mailbox."""
    lost: Event | None = None
    """`undecodable` or `shed`."""
    lost_ns: int = 0
    runs: list[tuple[str, int, int]] = field(default_factory=list)
    """Stage, start and run time."""
    outcome: Event | None = None
    outcome_ns: int = 0
    answer: str | None = None
    """`fresh`, `forecast:late`, ..., `missed`; None: it never had one."""
    hand_over_ns: int = 0


@dataclass(slots=True)
class Recording:
    """All that a run wrote down."""

    settings: Settings
    frames: dict[int, Recorded] = field(default_factory=dict)
    asks: list[tuple[int, int]] = field(default_factory=list)
    """When the first stage's thread looked into the mailbox, and at which frame."""
    wakes: list[tuple[int, int]] = field(default_factory=list)
    """When the publisher's thread ran, and how long after its alarm."""
    changes: list[tuple[int, Event, int]] = field(default_factory=list)
    """When the run was paused or resumed, or its deadline was changed, and to what."""
    warmed_ns: int | None = None
    ended_ns: int | None = None


def is_recording(path: Path) -> bool:
    """Whether a file begins as a record does."""
    with path.open("rb") as file:
        return SCHEMA.encode() in file.read(200)


def read_recording(path: Path) -> Recording:
    """Read a file that `--record-timings` wrote; a last line that was cut off is passed over.

    Raises:
        ValueError: with the line that is not understood.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    try:
        head = json.loads(lines[0]) if lines else None
        if not isinstance(head, dict) or head.get("schema") != SCHEMA:
            raise ValueError
        recording = Recording(Settings.model_validate(head))
    except (ValueError, ValidationError, RecursionError):
        raise ValueError(f"{path}:1: is no record of timings; `framepace run --record-timings` writes one") from None
    for at_ns, event, frame_id, text, value in _events(path, lines):
        _take(recording, at_ns, event, frame_id, text, value)
    if not recording.frames:
        raise ValueError(f"{path}: no frame was recorded")
    if max(recording.frames) != len(recording.frames) - 1:
        raise ValueError(f"{path}: events are missing, the disk was too slow or full")
    return recording


def _events(path: Path, lines: list[str]) -> Iterator[tuple[int, Event, int, str, int]]:
    for place, line in enumerate(lines[1:], 2):
        try:
            at_ns, event, frame_id, text, value = json.loads(line)
            if not all(type(number) is int for number in (at_ns, frame_id, value)) or not isinstance(text, str):
                raise ValueError
            yield at_ns, Event(event), frame_id, text, value
        except (ValueError, TypeError, RecursionError):
            if place < len(lines):
                raise ValueError(f"{path}:{place}: is no event: {line[:60]!r}") from None


def _take(recording: Recording, at_ns: int, event: Event, frame_id: int, text: str, value: int) -> None:
    if event is Event.CAPTURED:
        recording.frames[frame_id] = Recorded(frame_id, value, at_ns)
    elif event is Event.ASKED:
        recording.asks.append((at_ns, frame_id))
    elif event is Event.WOKEN:
        recording.wakes.append((at_ns, value))
    elif event in (Event.PAUSED, Event.RESUMED, Event.LIMITED):
        recording.changes.append((at_ns, event, value))
    elif event is Event.WARMED:
        recording.warmed_ns = at_ns
    elif event is Event.ENDED:
        recording.ended_ns = at_ns
    elif frame_id in recording.frames:  # else its beginning is missing
        _take_of_frame(recording.frames[frame_id], at_ns, event, text, value)


def _take_of_frame(frame: Recorded, at_ns: int, event: Event, text: str, value: int) -> None:
    if event is Event.OFFERED:
        frame.ready_ns = at_ns
    elif event in (Event.UNDECODABLE, Event.SHED):
        frame.lost, frame.lost_ns = event, at_ns
    elif event is Event.RAN:
        frame.runs.append((text, at_ns, value))
    elif event is Event.ANSWERED:
        frame.answer, frame.hand_over_ns = text, value
    elif event in (Event.MEASURED, Event.FAILED, Event.SKIPPED):
        frame.outcome, frame.outcome_ns = event, at_ns
