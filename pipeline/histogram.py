"""Counts durations in buckets that grow by 1 %, so that percentiles of any long run fit in flat memory."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Sequence

_GROWTH = math.log(1.01)
_FLOOR_NS = 1_000
"""Everything up to one microsecond shares the first bucket."""


class Histogram:
    """Durations in nanoseconds; percentiles are exact to 1 %, the maximum is exact. Not locked."""

    __slots__ = ("_counts", "_max_ns", "count", "total_ns")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._max_ns = 0
        self.count = 0
        self.total_ns = 0

    def add(self, duration_ns: int) -> None:
        """Count one duration; a negative one counts as 0."""
        bucket = _bucket(duration_ns)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self.count += 1
        self.total_ns += max(duration_ns, 0)
        self._max_ns = max(self._max_ns, duration_ns)

    def copy(self) -> Histogram:
        """Return the same counts, on their own from now on."""
        twin = Histogram()
        twin._counts = self._counts.copy()
        twin._max_ns = self._max_ns
        twin.count = self.count
        twin.total_ns = self.total_ns
        return twin

    def since(self, earlier: Histogram) -> Histogram:
        """Return what was counted since an earlier copy of this one. Its maximum is exact to 1 % only."""
        rest = Histogram()
        for bucket, count in self._counts.items():
            left = count - earlier._counts.get(bucket, 0)
            if left > 0:
                rest._counts[bucket] = left
        rest.count = self.count - earlier.count
        rest.total_ns = self.total_ns - earlier.total_ns
        if rest._counts:
            rest._max_ns = min(self._max_ns, _upper_ns(max(rest._counts)))
        return rest

    def counts_up_to(self, bounds_ns: Sequence[int]) -> list[int]:
        """Return how many durations do not exceed each of the bounds, to 1 % of the bound.

        Args:
            bounds_ns: in ascending order.
        """
        limits = [_bucket(bound_ns) for bound_ns in bounds_ns]
        within = [0] * (len(limits) + 1)
        for bucket, count in self._counts.items():
            within[bisect_left(limits, bucket)] += count
        return list(itertools.accumulate(within[:-1]))

    def percentile_ns(self, share: float) -> int:
        """Return the duration that `share` (0..1) of all do not exceed; 0 when empty."""
        if share >= 1.0:
            return self._max_ns
        wanted = max(1, math.ceil(share * self.count))
        seen = 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= wanted:
                return min(self._max_ns, _upper_ns(bucket))
        return 0


def _bucket(duration_ns: int) -> int:
    return 0 if duration_ns <= _FLOOR_NS else math.ceil(math.log(duration_ns / _FLOOR_NS) / _GROWTH)


def _upper_ns(bucket: int) -> int:
    return round(_FLOOR_NS * math.exp(bucket * _GROWTH))
