"""Counts durations in buckets that grow by 1 %, so that percentiles of any long run fit in flat memory."""

from __future__ import annotations

import math

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
        bucket = 0 if duration_ns <= _FLOOR_NS else math.ceil(math.log(duration_ns / _FLOOR_NS) / _GROWTH)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self.count += 1
        self.total_ns += max(duration_ns, 0)
        self._max_ns = max(self._max_ns, duration_ns)

    def percentile_ns(self, share: float) -> int:
        """Return the duration that `share` (0..1) of all do not exceed; 0 when empty."""
        if share >= 1.0:
            return self._max_ns
        wanted = max(1, math.ceil(share * self.count))
        seen = 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= wanted:
                return min(self._max_ns, round(_FLOOR_NS * math.exp(bucket * _GROWTH)))
        return 0
