"""Tells whether answers of late were the detector's own, in time."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.clock import NS_PER_S, Clock
from pipeline.frame import Answer, Health, Status


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the run can be relied on just now."""

    ready: bool
    health: Health | None
    reason: str | None
    """Why it is not ready; None when it is."""


class Watch:
    """Notes the answers, and judges. Written by the sink's thread, asked from the server's.

    Args:
        clock: the engine's.
        within_ns: for how long a fresh answer counts.
    """

    def __init__(self, clock: Clock, *, within_ns: int) -> None:
        self._clock = clock
        self._within_ns = within_ns
        self._fresh_ns: int | None = None

    def note(self, answer: Answer) -> None:
        """Take an answer into account."""
        if answer.status is Status.FRESH:
            self._fresh_ns = self._clock.now_ns()

    def judge(self, health: Health | None) -> Readiness:
        """Return whether the last fresh answer is new enough and the run is well; None: not live."""
        return Readiness((reason := self._reason(health)) is None, health, reason)

    def _reason(self, health: Health | None) -> str | None:
        if self._fresh_ns is None:
            return "there was no fresh answer yet"
        ago_ns = self._clock.now_ns() - self._fresh_ns
        if ago_ns > self._within_ns:
            return f"the last fresh answer was given {ago_ns / NS_PER_S:.1f} s ago"
        if health not in (Health.OK, Health.DEGRADED, None):
            return f"the health is {health.value}"
        return None
