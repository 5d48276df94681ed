"""Condenses what is being answered into one word, with hysteresis so that it does not flicker."""

from __future__ import annotations

import logging
from collections import deque
from enum import StrEnum

from pipeline.clock import NS_PER_MS, NS_PER_S
from pipeline.errors import Outage
from pipeline.frame import Health, Reason, Status
from pipeline.logs import about

log = logging.getLogger("framepace.health")

_WINDOW_NS = 2 * NS_PER_S
"""Answers of the last two seconds are looked at."""
_MAJORITY = 0.5
_WORSE_AFTER_NS = 200 * NS_PER_MS
_BETTER_AFTER_NS = NS_PER_S
_SEVERITY = {Health.OK: 0, Health.DEGRADED: 1, Health.BLIND: 2, Health.FAILED: 3}


class HealthMonitor:
    """Tells how a stream is doing. Not locked: the publisher owns it.

    Half of the answers of the last two seconds decide: `failed` when a stage raised on them, `blind` when they
    are blind or could not be given in time, `ok` when they are fresh, else `degraded`. A worse state must last 0.2 s
    to be believed, a better one 1 s. It starts as blind, because nothing is known yet, and the first answer that is
    not blind counts at once. Each change is logged; that all is well in the beginning is no news.
    """

    def __init__(self) -> None:
        self._window: deque[tuple[int, Status, Reason | None]] = deque()
        self._blind = 0
        self._fresh = 0
        self._failed = 0
        self._state = Health.BLIND
        self._was_well = False
        self._started = False
        self._candidate = Health.BLIND
        self._candidate_since_ns = 0

    @property
    def state(self) -> Health:
        """The present state."""
        return self._state

    def observe(self, status: Status, reason: Reason | None, now_ns: int) -> Health:
        """Take one answer into account and return the state."""
        before = self._state
        self._take(status, reason, now_ns)
        self._log_change(before, reason)
        return self._state

    def missed(self, now_ns: int) -> None:
        """Take into account that a frame was too late to be answered: nothing was said of it."""
        before = self._state
        self._take(Status.BLIND, None, now_ns)
        self._log_change(before, Outage.MISSED)

    def silent(self, reason: Outage, now_ns: int) -> Health:
        """Take into account that there is no frame to answer, for too long already to wait any longer."""
        before = self._state
        self._window.clear()
        self._blind = self._fresh = self._failed = 0
        self._state = self._candidate = Health.BLIND
        self._candidate_since_ns = now_ns
        self._log_change(before, reason)
        return self._state

    def _take(self, status: Status, reason: Reason | None, now_ns: int) -> None:
        self._window.append((now_ns, status, reason))
        self._count(status, reason, 1)
        while self._window[0][0] < now_ns - _WINDOW_NS:
            _, old_status, old_reason = self._window.popleft()
            self._count(old_status, old_reason, -1)
        self._move(self._judge(), now_ns)
        if not self._started and status is not Status.BLIND:
            self._started = True
            self._window.clear()
            self._blind = self._fresh = self._failed = 0
            self._state = self._candidate = Health.OK if status is Status.FRESH else Health.DEGRADED

    def _log_change(self, before: Health, reason: StrEnum | None) -> None:
        after = self._state
        if after is not before:
            why = "" if reason is None else f" ({reason})"
            fields = {"from": before.value, "to": after.value, "reason": reason}
            level = logging.WARNING if self._was_well else logging.INFO
            log.log(level, f"health is {after}, was {before}{why}", extra=about("health", **fields))
        self._was_well |= after is Health.OK

    def _count(self, status: Status, reason: Reason | None, step: int) -> None:
        self._blind += step * (status is Status.BLIND)
        self._fresh += step * (status is Status.FRESH)
        self._failed += step * (reason is Reason.FAILED)

    def _judge(self) -> Health:
        half = _MAJORITY * len(self._window)
        if self._failed >= half:
            return Health.FAILED
        if self._blind >= half:
            return Health.BLIND
        return Health.OK if self._fresh >= half else Health.DEGRADED

    def _move(self, judged: Health, now_ns: int) -> None:
        if judged is not self._candidate:
            self._candidate = judged
            self._candidate_since_ns = now_ns
        worse = _SEVERITY[judged] > _SEVERITY[self._state]
        if now_ns - self._candidate_since_ns >= (_WORSE_AFTER_NS if worse else _BETTER_AFTER_NS):
            self._state = judged
