"""Samples are released on a fixed time line."""

from __future__ import annotations

import threading

from pipeline.clock import NS_PER_MS, NS_PER_S
from pipeline.testing import ManualClock
from stages.capture.pacing import Pacer


def test_the_first_sample_sets_the_origin(clock) -> None:  # type: ignore[no-untyped-def]
    """The first sample is released at once, later ones at their distance from it."""
    pacer = Pacer(clock)
    begin_ns = clock.now
    assert pacer.wait_until_due(7 * NS_PER_S) == begin_ns - 7 * NS_PER_S
    assert clock.now == begin_ns
    assert pacer.wait_until_due(7 * NS_PER_S + 450 * NS_PER_MS) == begin_ns - 7 * NS_PER_S
    assert clock.now == begin_ns + 450 * NS_PER_MS
    assert max(clock.waits) <= 200 * NS_PER_MS


def test_a_late_reader_does_not_shift_the_time_line(clock) -> None:  # type: ignore[no-untyped-def]
    """After a stall, samples come at once until the reader has caught up, then on the old time line."""
    pacer = Pacer(clock)
    origin_ns = pacer.wait_until_due(0)
    clock.now += 3 * NS_PER_S
    for offset_s in (1, 2, 3):
        assert pacer.wait_until_due(offset_s * NS_PER_S) == origin_ns
    assert not clock.waits
    assert pacer.wait_until_due(4 * NS_PER_S) == origin_ns
    assert origin_ns is not None
    assert clock.now == origin_ns + 4 * NS_PER_S


def test_a_time_line_can_start_anew(clock) -> None:  # type: ignore[no-untyped-def]
    """A sample later than allowed becomes the start of a new time line."""
    pacer = Pacer(clock)
    pacer.wait_until_due(0, restart_after_ns=NS_PER_S)
    clock.now += 5 * NS_PER_S
    assert pacer.wait_until_due(NS_PER_S, restart_after_ns=NS_PER_S) == clock.now - NS_PER_S


def test_closing_ends_a_wait() -> None:
    """A reader that waits for its sample is let go by close, and gets nothing."""
    clock = ManualClock()
    pacer = Pacer(clock)
    pacer.wait_until_due(0)
    got: list[int | None] = []
    reader = threading.Thread(target=lambda: got.append(pacer.wait_until_due(NS_PER_S)))
    reader.start()
    clock.wait_for_waiters(1)
    pacer.close()
    reader.join(10)
    assert got == [None]
    assert pacer.wait_until_due(2 * NS_PER_S) is None
