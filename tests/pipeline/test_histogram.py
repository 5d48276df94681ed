"""Percentiles in flat memory."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from pipeline.histogram import Histogram


@given(st.lists(st.integers(1_000, 10**11), min_size=1, max_size=200), st.floats(0.01, 1.0))
def test_percentiles_are_right_to_one_percent(durations: list[int], share: float) -> None:
    """Against sorting: never below the true value, and at most 1 % above it."""
    histogram = Histogram()
    for duration in durations:
        histogram.add(duration)
    true = sorted(durations)[max(1, math.ceil(share * len(durations))) - 1]
    assert true * 0.999 <= histogram.percentile_ns(share) <= true * 1.0101 + 1
    assert histogram.percentile_ns(1.0) == max(durations)
    assert histogram.count == len(durations)
    assert histogram.total_ns == sum(durations)


def test_empty_tiny_and_negative() -> None:
    """Nothing gives 0; below a microsecond all is one; a negative duration counts as none."""
    histogram = Histogram()
    assert histogram.percentile_ns(0.5) == 0
    histogram.add(-5)
    histogram.add(300)
    assert histogram.percentile_ns(0.5) <= 1_000
    assert histogram.total_ns == 300
