"""Predicts how long each stage will take on the next frame.

A prediction is a rolling percentile of the stage's own recent run times, times one slow-down factor that all stages
share: when the machine gets slower, the first stage to notice warns for all of them. The shared factor follows the idea
of ALERT (Wan et al., USENIX ATC 2020), where it is called the global slow-down factor. The percentile is the median:
whoever predicts more lets frames go that would have been in time (`benchmarks/admission.py`).
"""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections import deque

_WINDOW = 64
"""Run times remembered per stage: two seconds at 30 fps, so that a change of load is learnt in that time."""
_HIGH_SHARE = 0.9
_MEDIAN_SHARE = 0.5
_LEAST_SHARE = 0.05
_LEAST_KNOWN = 8
"""Before so many runs nothing is said of how short one can be."""
_SLOWDOWN_GAIN = 0.2
"""Weight of the newest ratio: half of a step is followed after three observations."""
_SLOWDOWN_LIMIT = 4.0
_SIGNIFICANT_NS = 500_000
"""Shorter run times are mostly thread switching; they say nothing about the machine's speed."""


class Window:
    """The last durations of one kind, also kept sorted. Not locked."""

    __slots__ = ("_by_age", "_by_size")

    def __init__(self) -> None:
        self._by_age: deque[int] = deque()
        self._by_size: list[int] = []

    def add(self, run_ns: int) -> None:
        """Take one more; the oldest is forgotten."""
        if len(self._by_age) == _WINDOW:
            oldest = self._by_age.popleft()
            del self._by_size[bisect_left(self._by_size, oldest)]
        self._by_age.append(run_ns)
        insort(self._by_size, run_ns)

    def __len__(self) -> int:
        return len(self._by_size)

    def percentile(self, share: float) -> int:
        """Return the duration at a share (0 to 1) of them; 0 when there are none."""
        if not self._by_size:
            return 0
        return self._by_size[min(len(self._by_size) - 1, int(share * len(self._by_size)))]


class Estimator:
    """Learns run times per stage; safe to use from several threads.

    Args:
        predicted_share: share of the recent run times (0 to 1) that a prediction covers on a machine that is not slower
            than usual.
    """

    def __init__(self, *, predicted_share: float = _MEDIAN_SHARE) -> None:
        self._predicted_share = predicted_share
        self._lock = threading.Lock()  # guards all fields
        self._windows: dict[str, Window] = {}
        self._slowdown = 1.0

    def observe(self, stage: str, run_ns: int) -> None:
        """Learn from one finished run."""
        with self._lock:
            window = self._windows.setdefault(stage, Window())
            high_ns = window.percentile(_HIGH_SHARE)
            if high_ns >= _SIGNIFICANT_NS:
                ratio = min(max(run_ns / high_ns, 1.0), _SLOWDOWN_LIMIT)
                self._slowdown += _SLOWDOWN_GAIN * (ratio - self._slowdown)
            window.add(run_ns)

    def predict_ns(self, stage: str) -> int:
        """Return what the next run will probably take, nanoseconds; 0 for a stage never seen."""
        with self._lock:
            window = self._windows.get(stage)
            return 0 if window is None else round(window.percentile(self._predicted_share) * self._slowdown)

    def usual_ns(self, stage: str) -> int:
        """Return the median of the recent run times, nanoseconds; 0 for a stage never seen."""
        with self._lock:
            window = self._windows.get(stage)
            return 0 if window is None else window.percentile(_MEDIAN_SHARE)

    def least_ns(self, stage: str) -> int:
        """Return what nearly every run takes at least, nanoseconds; 0 for a stage of which too little was seen."""
        with self._lock:
            window = self._windows.get(stage)
            return 0 if window is None or len(window) < _LEAST_KNOWN else window.percentile(_LEAST_SHARE)

    @property
    def slowdown(self) -> float:
        """The shared factor, 1.0 or more."""
        with self._lock:
            return self._slowdown
