"""The books of one stream: one fate and, where due, one reason per frame.

The law: captured = fresh + forecast + blind + missed + undecodable + abandoned, exactly, once the run is over;
while it runs, the difference is the number of open frames.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from pipeline.errors import LedgerError
from pipeline.frame import Fate, Reason

_WITHOUT_REASON = frozenset({Fate.FRESH, Fate.MISSED, Fate.UNDECODABLE, Fate.ABANDONED})


@dataclass(frozen=True, slots=True)
class Books:
    """A frozen copy of the ledger."""

    captured: int
    fates: dict[Fate, int]
    reasons: dict[Reason, int]
    open_frames: int
    """Captured and not settled yet."""
    published_late: int
    """Answers that a sink was given after their deadline; anything but 0 breaks the promise."""

    @property
    def balanced(self) -> bool:
        """Whether every captured frame has exactly one fate and every answer that is not fresh one reason."""
        excused = self.fates[Fate.FORECAST] + self.fates[Fate.BLIND]
        return (
            self.open_frames == 0
            and self.captured == sum(self.fates.values())
            and excused == sum(self.reasons.values())
        )


class Ledger:
    """Counts every frame of one stream in and out; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards all fields
        self._open: set[int] = set()
        self._captured = 0
        self._fates = dict.fromkeys(Fate, 0)
        self._reasons = dict.fromkeys(Reason, 0)
        self._published_late = 0
        self._over = False

    def captured(self, frame_id: int) -> None:
        """Open the account of a frame; one that a source gives when the run is over is not counted.

        Raises:
            LedgerError: the id is not the next one.
        """
        with self._lock:
            if self._over:
                return
            if frame_id != self._captured:
                raise LedgerError(f"frame {frame_id} captured, but the next one is {self._captured}")
            self._captured += 1
            self._open.add(frame_id)

    def settle(self, frame_id: int, fate: Fate, reason: Reason | None = None, *, late: bool = False) -> None:
        """Close the account of a frame.

        Raises:
            LedgerError: the frame is not open, or the reason does not go with the fate.
        """
        if (reason is None) != (fate in _WITHOUT_REASON):
            raise LedgerError(f"frame {frame_id}: fate {fate} with reason {reason}")
        with self._lock:
            if frame_id not in self._open:
                raise LedgerError(f"frame {frame_id} settled as {fate}, but it is not open")
            self._open.remove(frame_id)
            self._fates[fate] += 1
            if reason is not None:
                self._reasons[reason] += 1
            self._published_late += late

    def abandon_open(self) -> int:
        """Settle every open frame as abandoned and close the books; return how many.

        A source whose read was stuck may still give a packet later, when nobody is left to answer it.
        """
        with self._lock:
            self._over = True
            count = len(self._open)
            self._open.clear()
            self._fates[Fate.ABANDONED] += count
            return count

    def books(self) -> Books:
        """Return a frozen copy."""
        with self._lock:
            return Books(
                captured=self._captured,
                fates=dict(self._fates),
                reasons=dict(self._reasons),
                open_frames=len(self._open),
                published_late=self._published_late,
            )
