"""The bounded queue between two threads, with a policy for when it is full.

Three ends are kept apart: `end()` says that the producer is finished (what is inside is still taken, then
LinkEnded), `close()` is our own stop (everybody raises LinkClosed at once and the rest is handed back to be
accounted for), and a drop is data: it goes to `on_drop`, which writes it in the ledger.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from pipeline.clock import NS_PER_S, Clock
from pipeline.errors import LinkClosed, LinkEnded

T = TypeVar("T")

_SLICE_NS = NS_PER_S
"""Waits are cut into slices so that none is unbounded; close() and end() wake them earlier."""


class Policy(StrEnum):
    """What a full link does with one more item."""

    BLOCK = "block"
    DROP_OLDEST = "drop_oldest"
    DROP_NEWEST = "drop_newest"


@dataclass(frozen=True, slots=True)
class LinkStatistics:
    """How a link has been used so far."""

    capacity: int
    peak: int
    """The most items that were inside at once."""
    dropped: int


class Link(Generic[T]):
    """A bounded queue; any number of producers and consumers.

    Args:
        name: for reports.
        capacity: items, at least 1.
        policy: what to do when full.
        clock: every wait goes through it.
        on_drop: called with each dropped item, outside the lock, on the putting thread.
    """

    def __init__(
        self, name: str, *, capacity: int, policy: Policy, clock: Clock, on_drop: Callable[[T], None] | None = None
    ) -> None:
        if capacity < 1:
            raise ValueError(f"link {name}: capacity must be at least 1, not {capacity}")
        self.name = name
        self._capacity = capacity
        self._policy = policy
        self._clock = clock
        self._on_drop = on_drop
        self._items: deque[tuple[int, T]] = deque()
        lock = threading.Lock()  # guards everything below; the two conditions share it
        self._not_empty = threading.Condition(lock)
        self._not_full = threading.Condition(lock)
        self._closed = False
        self._ended = False
        self._peak = 0
        self._dropped = 0

    def wait_put(self, item: T, *, by_ns: int | None = None) -> int | None:
        """Put an item; a full link waits, or drops by its policy.

        Args:
            by_ns: after this moment it is not put any more, nor is anything dropped for it. The clock is looked
                at behind the putting, whatever that had to wait for, and before anybody can take the item.

        Returns:
            When it was done; None: it was too late, and is not there.

        Raises:
            LinkClosed: the link was closed, or already ended.
        """
        dropped: T | None = None
        with self._not_empty:
            self._refuse_if_over()
            if self._policy is Policy.BLOCK:
                self._wait_for_room()
            has_dropped = len(self._items) >= self._capacity
            self._items.append((self._clock.now_ns(), item))
            now_ns = self._clock.now_ns()
            if by_ns is not None and now_ns > by_ns:
                self._items.pop()
                return None
            if has_dropped:
                self._dropped += 1
                dropped = (self._items.pop() if self._policy is Policy.DROP_NEWEST else self._items.popleft())[1]
            self._peak = max(self._peak, len(self._items))
            self._not_empty.notify()
        if has_dropped and self._on_drop is not None:
            self._on_drop(dropped)  # type: ignore[arg-type]  # has_dropped says that it is a T
        return now_ns

    def wait_get(self) -> tuple[T, int]:
        """Take the oldest item, waiting for one if need be.

        Returns:
            The item, and how long it waited inside, in nanoseconds.

        Raises:
            LinkEnded: the producer is finished and everything was taken.
            LinkClosed: the link was closed.
        """
        with self._not_empty:
            while not self._items:
                if self._closed:
                    raise LinkClosed(self.name)
                if self._ended:
                    raise LinkEnded(self.name)
                self._clock.wait(self._not_empty, _SLICE_NS)
            return self._take()

    def get_nowait(self) -> tuple[T, int] | None:
        """Take the oldest item as wait_get does, or return None when there is none now."""
        with self._not_empty:
            if self._items:
                return self._take()
            if self._closed:
                raise LinkClosed(self.name)
            if self._ended:
                raise LinkEnded(self.name)
            return None

    def end(self) -> None:
        """Say that nothing more will be put; idempotent."""
        with self._not_empty:
            self._ended = True
            self._not_empty.notify_all()
            self._not_full.notify_all()

    def close(self) -> list[T]:
        """Stop the link at once and return what was inside; idempotent."""
        with self._not_empty:
            self._closed = True
            rest = [item for _, item in self._items]
            self._items.clear()
            self._not_empty.notify_all()
            self._not_full.notify_all()
            return rest

    def statistics(self) -> LinkStatistics:
        """Return a frozen record of the use so far."""
        with self._not_empty:
            return LinkStatistics(capacity=self._capacity, peak=self._peak, dropped=self._dropped)

    def __len__(self) -> int:
        return len(self._items)

    def _take(self) -> tuple[T, int]:
        put_ns, item = self._items.popleft()
        self._not_full.notify()
        return item, self._clock.now_ns() - put_ns

    def _wait_for_room(self) -> None:
        while len(self._items) >= self._capacity:
            self._clock.wait(self._not_full, _SLICE_NS)
            self._refuse_if_over()

    def _refuse_if_over(self) -> None:
        if self._closed or self._ended:
            raise LinkClosed(self.name)
