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

PICTURE_BYTES = 128 << 20
"""What may wait in one queue of pictures: 41 of 1080p, 10 of 4K, 2 of 8K."""
_ALWAYS = 2
"""Items that fit into every link, however large they are: one that is worked on, and the next."""
_SLICE_NS = NS_PER_S
"""Waits are cut into slices so that none is unbounded; close() and end() wake them earlier."""


def held_bytes(payload: object) -> int:
    """Return the bytes of memory that a payload says it holds (`nbytes`); 0 if it says nothing."""
    held = getattr(payload, "nbytes", 0)
    return held if isinstance(held, int) else 0


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
        weigh: gives the bytes that an item holds; more than two items hold at most `PICTURE_BYTES` together.
    """

    def __init__(
        self,
        name: str,
        *,
        capacity: int,
        policy: Policy,
        clock: Clock,
        on_drop: Callable[[T], None] | None = None,
        weigh: Callable[[T], int] | None = None,
    ) -> None:
        if capacity < 1:
            raise ValueError(f"link {name}: capacity must be at least 1, not {capacity}")
        self.name = name
        self._capacity = capacity
        self._policy = policy
        self._clock = clock
        self._on_drop = on_drop
        self._weigh = weigh
        self._items: deque[tuple[int, T, int]] = deque()
        """When each was put, and its bytes."""
        self._bytes = 0
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
        weight = 0 if self._weigh is None else self._weigh(item)
        dropped: list[T] = []
        with self._not_empty:
            self._refuse_if_over()
            if self._policy is Policy.BLOCK:
                self._wait_for_room(weight)
            self._items.append((self._clock.now_ns(), item, weight))
            self._bytes += weight
            now_ns = self._clock.now_ns()
            if by_ns is not None and now_ns > by_ns:
                self._pop(newest=True)
                return None
            while self._is_over(len(self._items), self._bytes):
                dropped.append(self._pop(newest=self._policy is Policy.DROP_NEWEST)[1])
            self._dropped += len(dropped)
            self._peak = max(self._peak, len(self._items))
            self._not_empty.notify()
        if self._on_drop is not None:
            for each in dropped:
                self._on_drop(each)
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
            rest = [item for _, item, _ in self._items]
            self._items.clear()
            self._bytes = 0
            self._not_empty.notify_all()
            self._not_full.notify_all()
            return rest

    def statistics(self) -> LinkStatistics:
        """Return a frozen record of the use so far."""
        with self._not_empty:
            return LinkStatistics(capacity=self._capacity, peak=self._peak, dropped=self._dropped)

    def __len__(self) -> int:
        return len(self._items)

    @property
    def is_full(self) -> bool:
        """Whether there is no room for one more item like the last."""
        with self._not_empty:
            last = self._items[-1][2] if self._items else 0
            return self._is_over(len(self._items) + 1, self._bytes + last)

    def _take(self) -> tuple[T, int]:
        put_ns, item = self._pop()
        self._not_full.notify()
        return item, self._clock.now_ns() - put_ns

    def _pop(self, *, newest: bool = False) -> tuple[int, T]:
        put_ns, item, weight = self._items.pop() if newest else self._items.popleft()
        self._bytes -= weight
        return put_ns, item

    def _is_over(self, count: int, size: int) -> bool:
        """Whether so many items of so many bytes together are too much."""
        return count > self._capacity or (count > _ALWAYS and size > PICTURE_BYTES)

    def _wait_for_room(self, weight: int) -> None:
        while self._is_over(len(self._items) + 1, self._bytes + weight):
            self._clock.wait(self._not_full, _SLICE_NS)
            self._refuse_if_over()

    def _refuse_if_over(self) -> None:
        if self._closed or self._ended:
            raise LinkClosed(self.name)
