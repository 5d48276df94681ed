"""Plays a recording on the clock, as a camera would give it."""

from __future__ import annotations

import threading

from pipeline.clock import NS_PER_MS, Clock

_SLICE_NS = 200 * NS_PER_MS
"""The longest single wait, so that a close is noticed even if its notification was missed."""


class Pacer:
    """Releases each sample at a fixed offset from the moment of the first one.

    A reader that falls behind does not shift the time line: it gets samples at once until it has caught up.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._condition = threading.Condition()
        self._closed = False
        self._origin_ns: int | None = None

    def wait_until_due(self, offset_ns: int, *, restart_after_ns: int | None = None) -> int | None:
        """Wait until `offset_ns` after the origin, which the first call sets so that it returns at once.

        Args:
            offset_ns: when this sample is due, on the recording's time line.
            restart_after_ns: begin a new time line when the sample comes later than this; None: never.

        Returns:
            The origin on the clock (offset 0), or None when closed meanwhile.
        """
        with self._condition:
            now_ns = self._clock.now_ns()
            if self._origin_ns is None or (
                restart_after_ns is not None and now_ns - self._origin_ns - offset_ns > restart_after_ns
            ):
                self._origin_ns = now_ns - offset_ns
            due_ns = self._origin_ns + offset_ns
            while not self._closed and (left_ns := due_ns - self._clock.now_ns()) > 0:
                self._clock.wait(self._condition, min(left_ns, _SLICE_NS))
            return None if self._closed else self._origin_ns

    def close(self) -> None:
        """End a wait that is going on, and every later one."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
