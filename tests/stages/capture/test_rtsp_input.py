"""What the adapter of our RTSP client adds: the order of decoding, which RTP does not tell."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from stages.capture.rtsp.units import AccessUnit
from stages.capture.rtsp_input import DecodeOrder


def unit(timestamp: int, *, epoch: int = 0) -> AccessUnit:
    return AccessUnit(b"x", timestamp, epoch=epoch, key=False, damaged=False, arrival_ns=0, ended_by_marker=True)


def decode_order(depth: int, groups: int) -> list[int]:
    """Return presentation numbers as they are sent: each reference before the pictures that it overtakes."""
    sent = [0]
    for group in range(groups):
        first = group * (depth + 1) + 1
        sent += [first + depth, *range(first, first + depth)]
    return sent


def test_without_reordering_there_is_nothing_to_say() -> None:
    """The presentation time is the decode time."""
    order = DecodeOrder()
    assert [order.decode_time(unit(3000 * number)) for number in range(20)] == [None] * 20


@given(depth=st.integers(1, 4), groups=st.integers(3, 12))
def test_no_later_picture_is_shown_before_the_decode_time(depth: int, groups: int) -> None:
    """Once the stream has reordered as far as it does; and the times do not go back."""
    order = DecodeOrder()
    sent = decode_order(depth, groups)
    times = [order.decode_time(unit(number)) for number in sent]
    learnt = depth + 2
    assert all(time is not None for time in times[learnt:])
    for place, time in enumerate(times[learnt:], learnt):
        assert time is not None
        assert all(later > time for later in sent[place + 1 :])
        assert time <= sent[place]
    assert all(earlier <= later for earlier, later in itertools.pairwise(times[learnt:]))  # type: ignore[operator]


def test_a_new_time_line_begins_without_the_old_times() -> None:
    """Its stamps may be anything."""
    order = DecodeOrder()
    for number in decode_order(1, 4):
        order.decode_time(unit(10_000 + number))
    first = order.decode_time(unit(50, epoch=1))
    assert first is not None
    assert first < 50


def test_a_step_back_of_the_stamps_holds_no_picture_for_long() -> None:
    """It looks like reordering at first; soon after, the presentation time is the decode time again."""
    for step in (1, 3, 6, 7, 20):
        order = DecodeOrder()
        for number in range(40):
            order.decode_time(unit(3000 * number))
        times = [order.decode_time(unit(3000 * (40 - step + number))) for number in range(45)]
        assert times[-1] is None, step
