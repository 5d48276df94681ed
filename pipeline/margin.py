"""How long before a deadline the publisher must wake up."""

from __future__ import annotations

from collections import deque

from pipeline.clock import NS_PER_MS

_LATENESS_WINDOW = 512
"""Wake-ups remembered for the margin: a quarter of a minute at 30 fps."""
_MARGIN_FIRST_NS = 10 * NS_PER_MS
"""Before anything was observed: the greatest lateness of a timed wait beside a busy session and a thread that holds
the interpreter lock for 3 ms at a time was measured at 5 to 10 ms on two cores."""
_MARGIN_FLOOR_NS = 6 * NS_PER_MS
_MARGIN_SPARE_NS = 2 * NS_PER_MS


def most_of(limit_ns: int) -> int:
    """Return how long before its deadline a frame may be answered at the latest: a third of what it has."""
    return limit_ns // 3


class WakeMargin:
    """How long before a deadline the publisher must wake up: above the worst lateness of late, within bounds."""

    def __init__(self, limit_ns: int) -> None:
        self.most_ns = most_of(limit_ns)
        self._observed: deque[int] = deque(maxlen=_LATENESS_WINDOW)
        self._wanted_ns = _MARGIN_FIRST_NS

    @property
    def margin_ns(self) -> int:
        """The margin of a frame with the present limit."""
        return self.within(self.most_ns)

    def within(self, most_ns: int) -> int:
        """Return the margin of a frame for which it may be `most_ns`."""
        return min(self._wanted_ns, most_ns)

    def observe(self, lateness_ns: int) -> None:
        """Learn from one timed wake-up, or from the hand-over after it.

        After a few only, the margin grows but does not shrink yet.
        """
        self._observed.append(lateness_ns)
        wanted_ns = 2 * max(self._observed) + _MARGIN_SPARE_NS
        few = len(self._observed) < _LATENESS_WINDOW // 8
        self._wanted_ns = max(wanted_ns, self._wanted_ns if few else _MARGIN_FLOOR_NS)
