"""Lets through, or holds back."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from pipeline.errors import LinkClosed
from pipeline.testing import ManualClock
from pipeline.valve import Valve

GUARD_S = 30.0
"""A thread that is not over by then is a test gone wrong."""


def outcome_of(valve: Valve, clock: ManualClock, act: Callable[[], None]) -> str:
    """Let a thread wait at the valve, act, and return how its wait ended."""
    outcomes: list[str] = []

    def work() -> None:
        try:
            valve.wait_pass()
            outcomes.append("passed")
        except LinkClosed:
            outcomes.append("closed")

    thread = threading.Thread(target=work)
    thread.start()
    clock.wait_for_waiters(1)
    assert outcomes == []
    act()
    thread.join(GUARD_S)
    return outcomes[0]


@pytest.mark.parametrize(("act", "outcome"), [(Valve.open, "passed"), (Valve.close, "closed")])
def test_who_waits_is_woken(act: Callable[[Valve], None], outcome: str) -> None:
    """Opened, it lets through; closed, it says so."""
    clock = ManualClock()
    valve = Valve(clock)
    valve.shut()
    assert valve.is_shut
    assert outcome_of(valve, clock, lambda: act(valve)) == outcome


def test_an_open_valve_lets_through_at_once() -> None:
    """Also again after it was shut."""
    valve = Valve(ManualClock())
    valve.wait_pass()
    valve.shut()
    valve.open()
    valve.wait_pass()
    assert not valve.is_shut
