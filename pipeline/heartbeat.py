"""Tells when a heartbeat is due: a reader must never have to guess whether silence means an empty scene."""

from __future__ import annotations

from collections import deque

from pipeline.errors import Outage

_GAPS = 15
"""Gaps between answers remembered, for what is usual."""
_UNUSUAL = 3
"""So many usual gaps without an answer are silence."""


class Pulse:
    """When to say that there is nothing to say. Not locked: the publisher owns it.

    The first heartbeat comes a period after the last answer, or later where answers are far between, unless the source
    is known to be away; the others follow one period apart.

    Args:
        period_ns: between heartbeats.
        now_ns: when the run begins.
    """

    def __init__(self, period_ns: int, now_ns: int) -> None:
        self._period_ns = period_ns
        self._gaps: deque[int] = deque(maxlen=_GAPS)
        self._answered_ns = now_ns
        self._has_answered = False
        self._beat_ns: int | None = None
        self._away: Outage | None = None
        self._is_capturing = False
        self._is_missing = False
        self.beats = 0

    def captured(self) -> None:
        """Note that a frame was captured: the source is there."""
        self._is_capturing = True
        self._away = None

    def answered(self, now_ns: int) -> None:
        """Note that an answer was given."""
        if self._has_answered:
            self._gaps.append(now_ns - self._answered_ns)
        self._answered_ns, self._has_answered = now_ns, True
        self._beat_ns = None
        self._is_capturing = self._is_missing = False

    def missed(self) -> None:
        """Note that a frame was too late to be answered."""
        self._is_missing = True

    def away(self, outage: Outage) -> None:
        """Note that the source is lost."""
        self._away = outage
        self._is_capturing = self._is_missing = False

    def due_ns(self) -> int:
        """Return when the next heartbeat is due, if no frame waits for its answer then."""
        if self._beat_ns is not None:
            return self._beat_ns + self._period_ns
        if self._away is not None or not self._gaps:
            return self._answered_ns + self._period_ns
        usual_ns = sorted(self._gaps)[len(self._gaps) // 2]
        return self._answered_ns + max(self._period_ns, _UNUSUAL * usual_ns)

    def beat(self, now_ns: int) -> tuple[Outage, int]:
        """Note that a heartbeat is given now; return why there is no answer, and for how long there was none."""
        self._beat_ns = now_ns
        self.beats += 1
        reason = self._away or self._present_reason()
        self._is_capturing = self._is_missing = False
        return reason, now_ns - self._answered_ns

    def _present_reason(self) -> Outage:
        if self._is_missing:
            return Outage.MISSED
        return Outage.UNDECODABLE if self._is_capturing else Outage.SILENT
