"""Tells whether the answers of late said something."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.clock import NS_PER_S, Clock
from pipeline.frame import Answer, Health, Status

_FRESH_FOR_NS = 2 * NS_PER_S


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
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen_ns: int | None = None

    def note(self, answer: Answer) -> None:
        """Take an answer into account."""
        if answer.status is not Status.BLIND:
            self._seen_ns = self._clock.now_ns()

    def judge(self, health: Health | None) -> Readiness:
        """Return whether the last answer that was not blind is new enough and the run is well; None: not live."""
        return Readiness((reason := self._reason(health)) is None, health, reason)

    def _reason(self, health: Health | None) -> str | None:
        if self._seen_ns is None:
            return "there was no answer yet that was not blind"
        age_ns = self._clock.now_ns() - self._seen_ns
        if age_ns > _FRESH_FOR_NS:
            return f"the last answer that was not blind was given {age_ns / NS_PER_S:.1f} s ago"
        if health not in (Health.OK, Health.DEGRADED, None):
            return f"the health is {health.value}"
        return None
