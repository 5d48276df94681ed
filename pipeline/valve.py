"""Lets through, or holds back."""

from __future__ import annotations

import threading

from pipeline.clock import NS_PER_S, Clock
from pipeline.errors import LinkClosed

_SLICE_NS = NS_PER_S
"""Waits are cut into slices so that none is unbounded; every change wakes them earlier."""


class Valve:
    """Something that threads have to pass, and that can be shut for a while; safe to use from several threads.

    Args:
        clock: every wait goes through it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition()  # its lock guards the two below
        self._shut = False
        self._closed = False

    @property
    def is_shut(self) -> bool:
        """Whether nobody may pass."""
        return self._shut

    def shut(self) -> None:
        """Let nobody pass until it is opened."""
        self._shut = True

    def open(self) -> None:
        """Let all pass."""
        with self._changed:
            self._shut = False
            self._changed.notify_all()

    def close(self) -> None:
        """Stop for good: who waits raises LinkClosed."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wait_pass(self) -> None:
        """Wait while it is shut.

        Raises:
            LinkClosed: it was closed meanwhile.
        """
        if not self._shut:
            return
        with self._changed:
            while self._shut and not self._closed:
                self._clock.wait(self._changed, _SLICE_NS)
            if self._closed:
                raise LinkClosed("valve")
