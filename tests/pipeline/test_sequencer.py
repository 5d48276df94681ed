"""What several workers finish, back in order."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import LinkClosed
from pipeline.link import Link, Policy
from pipeline.sequencer import Sequencer
from pipeline.testing import ManualClock

GUARD_S = 30.0
"""A thread that is not over by then is a test gone wrong."""


def make_link(clock: ManualClock) -> Link[int]:
    return Link("-> test", capacity=100, policy=Policy.BLOCK, clock=clock)


@given(st.permutations(range(12)))
def test_any_order_comes_out_in_order(order: list[int]) -> None:
    """Each result as soon as all before it are there."""
    clock = ManualClock()
    link = make_link(clock)
    sequencer = Sequencer(link, clock=clock, window=12)
    handed_in: set[int] = set()
    for number in order:
        sequencer.wait_put(number, number)
        handed_in.add(number)
        assert len(link) == next(count for count in range(13) if count not in handed_in)
    assert [link.wait_get()[0] for _ in range(12)] == list(range(12))


@pytest.mark.parametrize("end", ["catch up", "close"])
def test_who_is_too_far_ahead_waits(end: str) -> None:
    """Until the others have caught up, or the run is stopped."""
    clock = ManualClock()
    link = make_link(clock)
    sequencer = Sequencer(link, clock=clock, window=2)
    outcomes: list[str] = []

    def put_ahead() -> None:
        try:
            sequencer.wait_put(2, 2)
            outcomes.append("catch up")
        except LinkClosed:
            outcomes.append("close")

    thread = threading.Thread(target=put_ahead)
    thread.start()
    clock.wait_for_waiters(1)
    assert outcomes == []
    if end == "close":
        sequencer.close()
    else:
        sequencer.wait_put(0, 0)
    thread.join(GUARD_S)
    assert outcomes == [end]
