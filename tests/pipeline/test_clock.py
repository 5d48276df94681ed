"""Time, real and turned by hand."""

from __future__ import annotations

import threading

import pytest

from pipeline.clock import NS_PER_MS, Flag, RealClock
from pipeline.testing import ManualClock


def test_the_real_clock_never_goes_back() -> None:
    """It counts nanoseconds."""
    clock = RealClock()
    seen = [clock.now_ns() for _ in range(1000)]
    assert seen == sorted(seen)


def test_a_wait_without_time_does_not_wait() -> None:
    """Zero and less return at once, as not notified."""
    clock = RealClock()
    condition = threading.Condition()
    with condition:
        assert clock.wait(condition, 0) is False
        assert clock.wait(condition, -5) is False


@pytest.mark.parametrize("clock", [RealClock(), ManualClock()])
def test_a_flag_wakes_who_waits(clock: RealClock | ManualClock) -> None:
    """Set once, it stays set."""
    flag = Flag(clock)
    woken = threading.Event()

    def wait() -> None:
        if flag.wait(3600 * 1000 * NS_PER_MS):
            woken.set()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    flag.set()
    flag.set()
    assert woken.wait(10)
    assert flag.is_set
    assert flag.wait(0)
    thread.join(10)


def test_a_flag_that_is_not_set_lets_the_time_run_out() -> None:
    """On the hand-turned clock exactly when it is turned."""
    clock = ManualClock()
    flag = Flag(clock)
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(flag.wait(10 * NS_PER_MS)), daemon=True)
    thread.start()
    clock.wait_for_waiters(1)
    clock.advance(10 * NS_PER_MS)
    thread.join(10)
    assert results == [False]
