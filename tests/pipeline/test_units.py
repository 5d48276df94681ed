"""Durations as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.units import MAX_DURATION_NS, format_duration, parse_duration_ns


@pytest.mark.parametrize(
    ("text", "ns"),
    [("100ms", 100_000_000), ("1.5 s", 1_500_000_000), (".5s", 500_000_000), ("2m", 120 * 10**9), ("250us", 250_000)],
)
def test_they_are_read(text: str, ns: int) -> None:
    """Number and unit, blanks or not."""
    assert parse_duration_ns(text) == ns


@pytest.mark.parametrize("wrong", ["100", "ms", "", "-1s", "1 hour", "1e3ms", 100, None, 2.5, "1s 2s"])
def test_anything_else_is_refused(wrong: object) -> None:
    """A number without a unit is no duration, and the message says what would be right."""
    with pytest.raises(ValueError, match="write a number and a unit"):
        parse_duration_ns(wrong)


@pytest.mark.parametrize("text", ["1000001h", "9" * 400 + "us", "9" * 30 + "s"])
def test_durations_are_bounded(text: str) -> None:
    """A million hours, which no clock and no timer is too small for."""
    assert parse_duration_ns("1000000h") == MAX_DURATION_NS
    with pytest.raises(ValueError, match="is longer than 1000000h"):
        parse_duration_ns(text)


@given(st.integers(0, 10**15))
def test_what_is_written_can_be_read_back(ns: int) -> None:
    """Up to days, to the nanosecond."""
    assert parse_duration_ns(format_duration(ns)) == ns
