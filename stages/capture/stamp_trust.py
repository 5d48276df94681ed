"""Decides whether the time stamps of a live stream tell the time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import accumulate
from statistics import pstdev

from pipeline.clock import NS_PER_MS, NS_PER_S

_LOSE_AFTER_NS = NS_PER_S
_REGAIN_AFTER_NS = 2 * NS_PER_S
_PACKETS = 8
"""A judgement wants so much time, and at least so many packets."""
_LOSE_BEYOND = 0.08
_REGAIN_WITHIN = 0.05
"""How far their rate may be from that of time. Within it they are followed, as if the network drifted."""
_SPREADS = 3
"""Further by so many standard deviations of the distances between arrivals: both ends of a window may be delayed."""
_BREAKS = 2
"""Lines that began anew within one judgement."""
_APART_NS = 100 * NS_PER_MS
"""How evenly stamps and arrivals go on is compared over distances of so much time."""
_SPREAD_SHARE = 0.25
_SPREAD_NS = 10 * NS_PER_MS
"""How much more the distances of stamps may vary than those of arrivals: the smaller one of both, the share being that
of the mean distance."""


@dataclass(frozen=True, slots=True)
class Step:
    """From the latest stamp of a line to the next one."""

    passed_ns: int
    """Between their arrivals."""
    stamps_ns: int | None = None
    """Between themselves; None: there is no stamp, or it begins a new line."""
    behind_ns: int = 0
    """How much earlier it is than the latest one, which stays the latest: it is a B-frame."""


class StampTrust:
    """Compares stamps with arrivals over a window; feed it all packets but those of a stall and the burst after it."""

    def __init__(self) -> None:
        self.holds = True
        self._seen: deque[tuple[Step, int, int]] = deque()  # (step, stamp, time since the packet before)
        self._passed_ns = 0
        self._unjudged = 0

    def see(self, step: Step, pts_ns: int, passed_ns: int) -> None:
        """Take a packet into account that came `passed_ns` after the one before."""
        self._seen.append((step, pts_ns, passed_ns))
        self._passed_ns += passed_ns
        self._unjudged += 1
        window_ns = _LOSE_AFTER_NS if self.holds else _REGAIN_AFTER_NS
        while len(self._seen) > _PACKETS and self._passed_ns - self._seen[0][2] >= window_ns:
            self._passed_ns -= self._seen.popleft()[2]
        if len(self._seen) >= _PACKETS and self._passed_ns >= window_ns and self._unjudged >= _PACKETS // 2:
            self._unjudged = 0
            if self.holds != self._are_sound():
                self.holds = not self.holds
                self.interrupt()

    def interrupt(self) -> None:
        """Forget the window: what comes cannot be compared with it."""
        self._seen.clear()
        self._passed_ns = 0

    def _are_sound(self) -> bool:
        """Whether the stamps of the window tell the time; where it does not tell, they are what they were."""
        seen = list(self._seen)
        breaks = [place for place, (step, _, _) in enumerate(seen) if step.stamps_ns is None and not step.behind_ns]
        if len(breaks) >= _BREAKS:
            return False
        leading = [step for step, _, _ in seen if step.stamps_ns is not None]
        led_ns = max(sum(step.passed_ns for step in leading), 1)
        rate = sum(step.stamps_ns or 0 for step in leading) / led_ns
        arrivals_ns = list(accumulate(passed_ns for _, _, passed_ns in seen))
        uncertain = _SPREADS * _spread_ns(arrivals_ns, 1) / led_ns
        if abs(rate - 1) > (_LOSE_BEYOND if self.holds else _REGAIN_WITHIN) + uncertain:
            return False
        if breaks:
            seen = seen[breaks[0] :]
        if len(seen) < _PACKETS:
            return self.holds
        # In the order of presentation, in which B-frames are as even as all others.
        stamps_ns = sorted(pts_ns for _, pts_ns, _ in seen)
        if any(step.behind_ns for step, _, _ in seen):
            # The window cuts through groups of them at both ends.
            stamps_ns = stamps_ns[len(seen) // 8 : -(len(seen) // 8)]
        arrivals_ns = list(accumulate(passed_ns for _, _, passed_ns in seen))
        mean_ns = max((arrivals_ns[-1] - arrivals_ns[0]) // (len(seen) - 1), 1)
        apart = min(-(-_APART_NS // mean_ns), len(seen) // 2)
        return _spread_ns(stamps_ns, apart) <= _spread_ns(arrivals_ns, apart) + min(_SPREAD_SHARE * mean_ns, _SPREAD_NS)


def _spread_ns(times_ns: list[int], apart: int) -> float:
    """Return the standard deviation of the distances between times that are so many places apart."""
    return pstdev(later - earlier for earlier, later in zip(times_ns, times_ns[apart:], strict=False))
