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


DURATIONS = st.lists(st.integers(0, 10**10), max_size=60)


def filled(durations: list[int]) -> Histogram:
    histogram = Histogram()
    for duration in durations:
        histogram.add(duration)
    return histogram


@given(DURATIONS, DURATIONS)
def test_what_came_since_a_copy(before: list[int], after: list[int]) -> None:
    """The difference to an earlier copy counts exactly what was added, and the copy stays as it was."""
    histogram = filled(before)
    earlier = histogram.copy()
    for duration in after:
        histogram.add(duration)
    rest, alone = histogram.since(earlier), filled(after)
    assert (earlier.count, earlier.total_ns) == (len(before), sum(before))
    assert (rest.count, rest.total_ns) == (len(after), sum(after))
    for share in (0.1, 0.5, 0.99, 1.0):
        assert rest.percentile_ns(share) <= 1.0101 * alone.percentile_ns(share) + 1_000
        assert rest.percentile_ns(share) >= alone.percentile_ns(share)


@given(DURATIONS)
def test_counts_up_to_bounds(durations: list[int]) -> None:
    """Cumulative, as exporters want them, and right to 1 % of the bound."""
    bounds = [5_000_000, 10_000_000, 1_000_000_000]
    counts = filled(durations).counts_up_to(bounds)
    for bound, count in zip(bounds, counts, strict=True):
        assert sum(duration <= bound for duration in durations) <= count
        assert count <= sum(duration <= 1.0101 * bound for duration in durations)
    assert filled(durations).counts_up_to([]) == []
