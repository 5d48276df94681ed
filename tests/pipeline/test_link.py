"""The bounded queue between two threads."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.clock import NS_PER_MS, NS_PER_S
from pipeline.errors import LinkClosed, LinkEnded
from pipeline.link import PICTURE_BYTES, Link, Policy
from pipeline.testing import ManualClock

OPERATIONS = st.lists(st.sampled_from(["put", "put", "put", "get", "get", "end", "close", "tick"]), max_size=40)


def in_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


@settings(max_examples=400, deadline=None)
@given(policy=st.sampled_from(Policy), capacity=st.integers(1, 4), operations=OPERATIONS)
def test_it_does_what_a_list_would(policy: Policy, capacity: int, operations: list[str]) -> None:
    """Any sequence of puts, gets, end and close does what a plain list with a limit does."""
    clock = ManualClock()
    told: list[int] = []
    link: Link[int] = Link("test", capacity=capacity, policy=policy, clock=clock, on_drop=told.append)
    model: list[tuple[int, int]] = []
    dropped: list[int] = []
    peak, ended, closed = 0, False, False
    for number, operation in enumerate(operations):
        if operation == "tick":
            clock.advance(NS_PER_MS)
        elif operation == "put":
            if ended or closed:
                with pytest.raises(LinkClosed):
                    link.wait_put(number)
                continue
            if len(model) == capacity:
                if policy is Policy.BLOCK:
                    continue  # it would wait; that has tests of its own
                dropped.append(number if policy is Policy.DROP_NEWEST else model.pop(0)[0])
            if policy is not Policy.DROP_NEWEST or not dropped or dropped[-1] != number:
                model.append((number, clock.now_ns()))
            peak = max(peak, len(model))
            link.wait_put(number)
        elif operation == "get":
            if model:
                item, put_ns = model.pop(0)
                assert link.get_nowait() == (item, clock.now_ns() - put_ns)
            elif closed:
                with pytest.raises(LinkClosed):
                    link.get_nowait()
            elif ended:
                with pytest.raises(LinkEnded):
                    link.get_nowait()
            else:
                assert link.get_nowait() is None
        elif operation == "end":
            link.end()
            ended = True
        else:
            assert link.close() == [item for item, _ in model]
            model.clear()
            closed = True
        assert len(link) == len(model)
    statistics = link.statistics()
    assert (statistics.capacity, statistics.peak, statistics.dropped) == (capacity, peak, len(dropped))
    assert told == dropped


def test_a_full_blocking_link_waits_for_room() -> None:
    """put returns when an item was taken, and nothing is lost."""
    clock = ManualClock()
    link: Link[int] = Link("test", capacity=1, policy=Policy.BLOCK, clock=clock)
    link.wait_put(1)
    putter = in_thread(lambda: link.wait_put(2))
    clock.wait_for_waiters(1)
    assert link.wait_get()[0] == 1
    putter.join(10)
    assert not putter.is_alive()
    assert link.wait_get()[0] == 2
    assert link.statistics().dropped == 0


def test_an_empty_link_waits_for_an_item() -> None:
    """get returns when an item is put, and says how long that item waited."""
    clock = ManualClock()
    link: Link[str] = Link("test", capacity=1, policy=Policy.BLOCK, clock=clock)
    got: list[tuple[str, int]] = []
    getter = in_thread(lambda: got.append(link.wait_get()))
    clock.wait_for_waiters(1)
    clock.advance(5 * NS_PER_S)
    link.wait_put("a")
    getter.join(10)
    assert got == [("a", 0)]
    link.wait_put("b")
    clock.advance(7)
    assert link.wait_get() == ("b", 7)


@pytest.mark.parametrize("policy", list(Policy), ids=str)
def test_what_comes_too_late_is_not_put(policy: Policy) -> None:
    """Up to the moment that was said it is, and it is told when; after it nothing is dropped for it either."""
    clock = ManualClock()
    told: list[int] = []
    link: Link[int] = Link("test", capacity=2, policy=policy, clock=clock, on_drop=told.append)
    clock.advance(10)
    assert link.wait_put(1, by_ns=10) == 10
    assert link.wait_put(2) == 10
    if policy is Policy.BLOCK:
        link.get_nowait()
    clock.advance(1)
    assert link.wait_put(3, by_ns=10) is None
    assert (len(link), told, link.statistics().dropped) == (1 if policy is Policy.BLOCK else 2, [], 0)


@pytest.mark.parametrize("finish", ["end", "close"])
def test_waiters_wake_when_it_is_over(finish: str) -> None:
    """Whoever waits for an item or for room is told, by which side it was ended."""
    clock = ManualClock()
    empty: Link[int] = Link("empty", capacity=1, policy=Policy.BLOCK, clock=clock)
    full: Link[int] = Link("full", capacity=1, policy=Policy.BLOCK, clock=clock)
    full.wait_put(1)
    raised: dict[str, BaseException] = {}

    def keep(name: str, work: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            try:
                work()
            except (LinkClosed, LinkEnded) as error:
                raised[name] = error

        return run

    threads = [in_thread(keep("get", empty.wait_get)), in_thread(keep("put", lambda: full.wait_put(2)))]
    clock.wait_for_waiters(2)
    getattr(empty, finish)()
    getattr(full, finish)()
    for thread in threads:
        thread.join(10)
    assert isinstance(raised["get"], LinkEnded if finish == "end" else LinkClosed)
    assert isinstance(raised["put"], LinkClosed)


def test_what_was_put_before_the_end_is_still_there() -> None:
    """An ended link is emptied first."""
    link: Link[int] = Link("test", capacity=3, policy=Policy.BLOCK, clock=ManualClock())
    link.wait_put(1)
    link.wait_put(2)
    link.end()
    assert [link.wait_get()[0], link.wait_get()[0]] == [1, 2]
    with pytest.raises(LinkEnded):
        link.wait_get()


@pytest.mark.parametrize("policy", list(Policy))
def test_large_items_are_bounded_by_their_bytes(policy: Policy) -> None:
    """Two fit whatever they hold; more only as long as they stay below the bound together."""
    dropped: list[int] = []
    link = Link[int](
        "test", capacity=8, policy=policy, clock=ManualClock(), on_drop=dropped.append, weigh=lambda item: item
    )
    large = PICTURE_BYTES // 2 + 1
    link.wait_put(large)
    assert not link.is_full
    link.wait_put(large + 1)
    assert link.is_full
    if policy is not Policy.BLOCK:
        link.wait_put(large + 2)
        assert dropped == [large + 2 if policy is Policy.DROP_NEWEST else large]
    assert len(link) == 2
    link.wait_get()
    link.wait_get()
    for item in range(8):
        link.wait_put(item)
    assert link.is_full
    assert len(link) == 8


def test_one_large_item_takes_the_place_of_several() -> None:
    """Each of those is dropped, and said."""
    dropped: list[int] = []
    sizes = dict.fromkeys(range(4), PICTURE_BYTES // 4) | {4: PICTURE_BYTES}
    link = Link[int](
        "test",
        capacity=8,
        policy=Policy.DROP_OLDEST,
        clock=ManualClock(),
        on_drop=dropped.append,
        weigh=sizes.__getitem__,
    )
    for number in sizes:
        link.wait_put(number)
    assert dropped == [0, 1, 2]
    assert link.statistics().dropped == 3
    assert link.close() == [3, 4]
