"""When things happened in a run, event by event: for traces, for blame, and for playing a live run again.

Events are noted on the threads that do the work. The file is JSON Lines: an object with the settings, then one array
`[at_ns, event, frame_id, text, value]` an event, in the order in which they were noted. Times are those of the run's
clock.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections import deque
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

from pipeline.clock import NS_PER_S, Clock, Flag
from pipeline.errors import SinkOpenError

log = logging.getLogger("framepace.timings")

SCHEMA = "framepace/timings/1"
_WAITING_MOST = 100_000
"""Events kept while the disk is busy: some minutes at 30 fps."""
_WRITE_EVERY_NS = NS_PER_S // 2


class Event(StrEnum):
    """What happened; in brackets what `text` and `value` are."""

    WARMED = "warmed"
    """All stages are ready."""
    CAPTURED = "captured"
    """A frame got its id and its place in the line (capture time, ns)."""
    UNDECODABLE = "undecodable"
    """It has no picture."""
    SHED = "shed"
    """It was left out before it was decoded."""
    OFFERED = "offered"
    """Its picture lies in the mailbox."""
    ASKED = "asked"
    """The first stage's thread looked whether it may have the picture in the mailbox."""
    BEGAN = "began"
    """A stage begins with it; the decoder, with a packet of no frame yet (the stage, wait in front of it in ns)."""
    DECODED = "decoded"
    """The decoder began with a packet; what was offered since then came out of it (run time in ns)."""
    RAN = "ran"
    """A stage began with it (the stage, run time in ns)."""
    MEASURED = "measured"
    """The last stage is through with it."""
    FAILED = "failed"
    """A stage raised on it."""
    SKIPPED = "skipped"
    """A stage had nothing to say of it."""
    WOKEN = "woken"
    """The publisher's thread ran after an alarm (lateness in ns)."""
    ANSWERED = "answered"
    """It was settled (`fresh`, `forecast:late`, ..., `missed`; duration of the hand-over in ns)."""
    BLAMED = "blamed"
    """It missed because of a step (`detect run`; what that took in ns)."""
    WRITTEN = "written"
    """A sink began with its answer (the sink, duration in ns)."""
    PAUSED = "paused"
    """Nothing is admitted any more, on purpose."""
    RESUMED = "resumed"
    """Frames are admitted again."""
    LIMITED = "limited"
    """Frames captured from now on have another deadline (after capture, ns)."""
    ENDED = "ended"
    """No picture will come any more."""


class Timings:
    """Takes note of events, for nobody."""

    def note(self, event: Event, at_ns: int, frame_id: int = -1, text: str = "", value: int = 0) -> None:
        """Take note of an event; never waits, may be called from any thread."""


def fanned(*receivers: Timings | None) -> Timings:
    """Return what passes events on to all receivers that there are."""
    present = [receiver for receiver in receivers if receiver is not None]
    if len(present) == 1:
        return present[0]
    return _Fan(present) if present else Timings()


class _Fan(Timings):
    """Passes each event on to several."""

    def __init__(self, receivers: Sequence[Timings]) -> None:
        self._notes = [receiver.note for receiver in receivers]

    def note(self, event: Event, at_ns: int, frame_id: int = -1, text: str = "", value: int = 0) -> None:
        for note in self._notes:
            note(event, at_ns, frame_id, text, value)


class TimingsFile(Timings):
    """Writes events to a file, on a thread of its own. A disk that is too slow or full costs events, which are counted.

    Args:
        path: of the file; an old one is overwritten.
        settings: what the run was asked for; goes into the first line.
    """

    name = "timings"

    def __init__(self, path: Path, *, settings: dict[str, object], clock: Clock) -> None:
        self._path = path
        self._settings = settings
        self._closing = Flag(clock)
        self._waiting: deque[tuple[int, str, int, str, int]] = deque()
        self._file: IO[str] | None = None
        self.lost = 0

    def open(self) -> None:
        """Create the file.

        Raises:
            SinkOpenError: that is not possible.
        """
        try:
            self._file = self._path.open("w", encoding="utf-8")
        except OSError as error:
            raise SinkOpenError("timings", f"{self._path}: {error.strerror}") from error
        self._put([{"schema": SCHEMA, **self._settings}])

    def note(self, event: Event, at_ns: int, frame_id: int = -1, text: str = "", value: int = 0) -> None:
        if len(self._waiting) < _WAITING_MOST:
            self._waiting.append((at_ns, event.value, frame_id, text, value))
        else:
            self.lost += 1

    def run(self) -> None:
        """Write what was noted until closed."""
        while not self._closing.wait(_WRITE_EVERY_NS):
            self._write_waiting()
        self._write_waiting()
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        if self.lost:
            log.error("%d events are missing in %s", self.lost, self._path)

    def close(self) -> None:
        """Make `run` write the rest and return."""
        self._closing.set()

    def _write_waiting(self) -> None:
        self._put([self._waiting.popleft() for _ in range(len(self._waiting))])

    def _put(self, lines: list[Any]) -> None:
        if self._file is None:
            self.lost += len(lines)
            return
        try:
            self._file.writelines(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
            self._file.flush()
        except OSError as error:
            log.error("%s cannot be written any more: %s", self._path, error)
            self.lost += len(lines)
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None
