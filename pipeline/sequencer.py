"""Brings what several workers finish back into order."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

from pipeline.clock import NS_PER_S, Clock
from pipeline.errors import LinkClosed
from pipeline.link import Link

T = TypeVar("T")


class Sequencer(Generic[T]):
    """Takes numbered results in any order and puts them into a link in order; safe to use from several threads."""

    def __init__(self, link: Link[T], *, clock: Clock, window: int) -> None:
        self._link = link
        self._clock = clock
        self._window = window
        self._changed = threading.Condition()  # guards all fields
        self._waiting: dict[int, T] = {}
        self._next = 0
        self._putting = False
        self._closed = False

    def wait_put(self, number: int, item: T) -> None:
        """Hand in result `number`; waits while it is too far ahead.

        Raises:
            LinkClosed: the run was stopped.
        """
        with self._changed:
            while number - self._next >= self._window and not self._closed:
                self._clock.wait(self._changed, NS_PER_S)
            if self._closed:
                raise LinkClosed(self._link.name)
            self._waiting[number] = item
            if self._putting:
                return  # the worker that is putting now takes this one along
            self._putting = True
        self._put_in_order()

    def close(self) -> None:
        """Let nobody wait any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _put_in_order(self) -> None:
        while True:
            with self._changed:
                item = self._waiting.pop(self._next, None)
                if item is None:
                    self._putting = False
                    return
                self._next += 1
                self._changed.notify_all()
            self._link.wait_put(item)
