"""Finds when the frames of a live stream were captured, from their time stamps and their arrivals.

A frame may arrive late because the network held it back, or seem late because its stamp is wrong. Both look alike in
one packet, and differ in how it goes on. A stall of the network is a gap between arrivals of which the stamps know
nothing, and what it held back then comes faster than its stamps go on. Where arrivals keep their usual distance, it is
the stamps that are wrong.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from statistics import median

from pipeline.clock import NS_PER_MS, NS_PER_S
from stages.capture.stamp_trust import StampTrust, Step

_QUIET_NS = 600 * NS_PER_MS
"""A lag that lasts so long while nothing stalls or bursts is the stamps' own."""
_LASTING_NS = 10 * NS_PER_S
"""And so is one that lasts so long whatever else happens."""
_STALL_NS = 300 * NS_PER_MS
_STALL_PERIODS = 4
"""A gap between arrivals longer than both is a stall."""
_LONGEST_PASSED_NS = NS_PER_S
"""A stall counts as no more than this when it is asked how long a lag lasts."""
_HIDDEN_BURST_NS = 200 * NS_PER_MS
"""Stamps that run so far ahead of their arrivals without a pause come out of a queue: the lag was the network's."""
_FORGOTTEN_PER_S = 0.1
"""How fast an excused lag is forgotten, in seconds a second: until then, a burst can prove it to be the network's."""
_REORDER_NS = 700 * NS_PER_MS
_REORDER_LASTS_NS = 500 * NS_PER_MS
_REORDER_PACKETS = 4
"""B-frames go back by less than the first; and the run of them is no longer than one of the others."""
_FORWARD_NS = NS_PER_S
"""Stamps that run ahead of the arrivals by more in one step begin a new line."""
_RECENT = 7
"""The middle of so many distances between arrivals is the usual one,"""
_INTERVALS = 256
"""and the mean of so many the period,"""
_LATEST = 16
_CHANGED = 0.6
"""until the mean of so many is further from it than by this factor."""
_REGULAR_NS = 100 * NS_PER_MS
_REGULAR_PERIODS = 3
"""A distance up to the longer one is regular."""
_UNKNOWN_NS = 3600 * NS_PER_S


class StampClock:
    """Tells the capture times of one connection.

    The lag of a frame is how late it is at most: it grows in a stall, by no more than the gap is longer than usual,
    and shrinks in the burst after it. What of it lasts is the stamps' own doing, and is excused. While the stamps do
    not tell the time, the usual distance between arrivals is taken for theirs.
    """

    def __init__(self) -> None:
        self._trust = StampTrust()
        self._line = _Line()
        self._intervals: deque[int] = deque(maxlen=_INTERVALS)
        self._recent: deque[int] = deque(maxlen=_RECENT)
        self._leading: deque[int] = deque(maxlen=_RECENT)
        """The same, without B-frames."""
        self._arrival_ns: int | None = None
        self._latest_captured_ns = 0
        self._lag_ns = 0
        self._excused_ns = 0
        self._least_ns = 0
        """The lag of a frame that came as fast as it can; never above what is excused."""
        self._recovers = False
        """Whether what a stall held back may still be coming."""
        self._counts = False
        """Whether arrivals were even enough before the stall to tell how many frames it held back."""
        self._burst_ns = 0
        self._quiet = _Floor(_QUIET_NS)
        self._lasting = _Floor(_LASTING_NS)

    @property
    def follows_stamps(self) -> bool:
        """Whether the stamps tell the time; else the arrivals do."""
        return self._trust.holds

    def restart(self) -> None:
        """Begin a new line of stamps, which cannot be compared with the earlier ones."""
        self._line = _Line()

    def captured_ns(self, pts_ns: int | None, arrival_ns: int) -> int:
        """Return when a frame was captured, but for the shortest way through the network; never after its arrival.

        Args:
            pts_ns: its presentation time stamp; None: it has none.
            arrival_ns: when its packet came, on our own clock, in the order of arrival.
        """
        step = self._line.step(pts_ns, arrival_ns, self._usual_ns)
        if pts_ns is None:
            self._trust.holds = False
        if self._arrival_ns is not None:
            self._take(pts_ns, step, max(arrival_ns - self._arrival_ns, 0))
        self._arrival_ns = arrival_ns
        if step.behind_ns and self._trust.holds:
            return min(self._latest_captured_ns - step.behind_ns, arrival_ns)
        self._latest_captured_ns = arrival_ns - self._age_ns
        return self._latest_captured_ns

    @property
    def _age_ns(self) -> int:
        return self._lag_ns - self._excused_ns

    def _take(self, pts_ns: int | None, step: Step, passed_ns: int) -> None:
        """Take a packet into account that came `passed_ns` after the one before."""
        usual_ns = self._usual_ns
        stalled = passed_ns > max(_STALL_NS, _STALL_PERIODS * usual_ns)
        if stalled:
            self._counts = self._recovers or max(self._recent, default=0) <= self._longest_regular_ns
            self._recovers = True
            self._quiet.clear()
            self._trust.interrupt()
        if pts_ns is not None and not self._recovers:
            held = self._trust.holds
            self._trust.see(step, pts_ns, passed_ns)
            if held and not self._trust.holds:
                self._excused_ns = self._lag_ns
        if not self._trust.holds or (step.stamps_ns is None and not step.behind_ns):
            self._grow(self._unstamped_growth_ns(passed_ns, stalled=stalled), passed_ns)
        elif step.stamps_ns is not None:
            grown_ns = step.passed_ns - step.stamps_ns
            if stalled or not self._recovers:
                grown_ns = min(grown_ns, max(step.passed_ns - _usual_ns(self._leading), 0))
            self._burst_ns = self._burst_ns - grown_ns if 2 * step.passed_ns < step.stamps_ns else 0
            if self._burst_ns > _HIDDEN_BURST_NS:
                self._excused_ns = self._least_ns
            self._grow(grown_ns, step.passed_ns)
        if not self._recovers:
            self._learn_interval(passed_ns)
        if not self._recovers or passed_ns >= usual_ns:
            self._recent.append(passed_ns)
            if not step.behind_ns:
                self._leading.append(step.passed_ns)

    def _grow(self, grown_ns: int, passed_ns: int) -> None:
        """Let the lag follow what has passed, and excuse what of it lasts."""
        self._lag_ns += grown_ns
        self._quiet.add(passed_ns, self._lag_ns)
        self._lasting.add(min(passed_ns, _LONGEST_PASSED_NS), self._lag_ns)
        lasting = [floor.lowest_ns for floor in (self._quiet, self._lasting) if floor.lowest_ns is not None]
        self._excused_ns = min(max(self._excused_ns, *lasting, self._least_ns), self._lag_ns)
        forgotten_ns = 0 if self._recovers else round(passed_ns * _FORGOTTEN_PER_S)
        self._least_ns = min(self._least_ns + forgotten_ns, self._excused_ns)
        if self._quiet.lowest_ns is not None or self._age_ns <= self._usual_ns:
            self._recovers = False

    def _unstamped_growth_ns(self, passed_ns: int, *, stalled: bool) -> int:
        """Return how the lag goes on where no stamp tells: as if one frame had been sent in each period."""
        if not self._recovers or not self._counts:
            return 0
        return passed_ns - self._period_ns if stalled or passed_ns <= self._longest_regular_ns else 0

    @property
    def _usual_ns(self) -> int:
        """The usual distance between arrivals."""
        return _usual_ns(self._recent)

    @property
    def _period_ns(self) -> int:
        """The mean distance between arrivals."""
        return sum(self._intervals) // len(self._intervals) if self._intervals else _UNKNOWN_NS

    def _learn_interval(self, passed_ns: int) -> None:
        """Learn how far arrivals are apart, anew where the camera has changed its rate."""
        self._intervals.append(passed_ns)
        latest = list(self._intervals)[-_LATEST:]
        if not _CHANGED * self._period_ns <= sum(latest) // len(latest) <= self._period_ns / _CHANGED:
            self._intervals = deque(latest, maxlen=_INTERVALS)

    @property
    def _longest_regular_ns(self) -> int:
        """The longest distance between arrivals that network delays explain."""
        return max(_REGULAR_NS, _REGULAR_PERIODS * self._usual_ns)


def _usual_ns(recent_ns: Sequence[int]) -> int:
    """Return the middle one; very long as long as there are too few."""
    return round(median(recent_ns)) if len(recent_ns) > 2 else _UNKNOWN_NS


class _Line:
    """The latest presentation time stamp of a line that goes on."""

    def __init__(self) -> None:
        self._latest_ns: int | None = None
        self._arrival_ns = 0
        self._behind = 0

    def step(self, pts_ns: int | None, arrival_ns: int, usual_ns: int) -> Step:
        """Return how the line goes on with a stamp, where arrivals usually are `usual_ns` apart."""
        if pts_ns is None:
            return Step(0)
        passed_ns = arrival_ns - self._arrival_ns
        stamps_ns = None if self._latest_ns is None else pts_ns - self._latest_ns
        if stamps_ns is not None and self._is_reordered(-stamps_ns, passed_ns, usual_ns):
            self._behind += 1
            return Step(passed_ns, behind_ns=-stamps_ns)
        self._latest_ns, self._arrival_ns, self._behind = pts_ns, arrival_ns, 0
        if stamps_ns is not None and not -usual_ns <= 2 * stamps_ns <= 2 * (passed_ns + _FORWARD_NS):
            stamps_ns = None
        return Step(passed_ns, stamps_ns)

    def _is_reordered(self, behind_ns: int, passed_ns: int, usual_ns: int) -> bool:
        """Whether a stamp that is so far behind the latest one can be that of a B-frame."""
        if not usual_ns < 2 * behind_ns <= 2 * _REORDER_NS:
            return False
        return passed_ns <= _REORDER_LASTS_NS or self._behind < _REORDER_PACKETS


class _Floor:
    """The level below which a lag has not been for a while, unless it still falls.

    Args:
        window_ns: how long a while is.
    """

    _SLOTS = 8
    _LEAST_SLOTS = 3
    _FALLING = 0.025
    """A fall by more than this share of the window goes on."""

    def __init__(self, window_ns: int) -> None:
        self._window_ns = window_ns
        self._slots: deque[list[int]] = deque()  # [start, lowest level]
        self._now_ns = 0

    def clear(self) -> None:
        """Begin again."""
        self._slots.clear()

    def add(self, passed_ns: int, level_ns: int) -> None:
        """Note the level, `passed_ns` after the last one."""
        self._now_ns += passed_ns
        if not self._slots or self._now_ns - self._slots[-1][0] >= self._window_ns // self._SLOTS:
            self._slots.append([self._now_ns, level_ns])
        else:
            self._slots[-1][1] = min(self._slots[-1][1], level_ns)
        while len(self._slots) > self._LEAST_SLOTS and self._slots[1][0] <= self._now_ns - self._window_ns:
            self._slots.popleft()

    @property
    def lowest_ns(self) -> int | None:
        """The floor; None while there is none."""
        if len(self._slots) < self._LEAST_SLOTS or self._now_ns - self._slots[0][0] < self._window_ns:
            return None
        levels = [level_ns for _, level_ns in self._slots]
        middle = len(levels) // 2
        earlier_ns, later_ns = min(levels[:middle]), min(levels[middle:])
        return None if later_ns < earlier_ns - self._FALLING * self._window_ns else min(earlier_ns, later_ns)
