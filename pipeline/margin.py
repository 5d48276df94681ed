"""How long before a deadline the publisher must wake up, learnt from how late it was woken."""

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


class WakeMargin:
    """How long before a deadline the publisher must wake up: above the worst lateness of late, within bounds."""

    def __init__(self, limit_ns: int) -> None:
        self.most_ns = limit_ns // 3
        self._least_ns = min(_MARGIN_FLOOR_NS, self.most_ns)
        self._observed: deque[int] = deque(maxlen=_LATENESS_WINDOW)
        self.margin_ns = min(_MARGIN_FIRST_NS, self.most_ns)

    def observe(self, lateness_ns: int) -> None:
        """Learn from one timed wake-up, or from the hand-over after it.

        After a few only, the margin grows but does not shrink yet.
        """
        self._observed.append(lateness_ns)
        wanted_ns = 2 * max(self._observed) + _MARGIN_SPARE_NS
        few = len(self._observed) < _LATENESS_WINDOW // 8
        self.margin_ns = min(max(wanted_ns, self.margin_ns if few else self._least_ns), self.most_ns)
