"""Finds capture times from a stream's own time stamps and the arrival of its packets."""

from __future__ import annotations

from collections import deque

from pipeline.clock import NS_PER_S

WINDOW_NS = 10 * NS_PER_S
"""The fastest packet of the last 10 s tells the offset between the sender's clock and ours."""
DRIFT_PER_S_NS = 2_000_000
"""How fast the offset may rise, 2 ms/s: 1000 ppm for cameras that stamp 30 fps at 29.97, as much again for crystals."""
JUMP_NS = NS_PER_S
"""A change of the offset beyond this is a break of the time line, not network delay."""
GAP_NS = NS_PER_S
"""A silence counts as no more than this in the window: the burst after a stall must not be all that is left in it."""
REPEATED_JUMP_NS = 60 * NS_PER_S
"""Two forward breaks within this time: the stamps run at another speed than time does."""


class PtsEnvelope:
    """The lower envelope of arrival minus PTS: after a stall, a burst of old packets keeps its true age.

    A packet can be delayed but never early, so the smallest `arrival - pts` of a while is the offset between
    the two time lines, plus the shortest way through the network. It follows a smaller value at once and a larger
    one slowly. One envelope serves one connection.
    """

    def __init__(self) -> None:
        # (received time, delay), delays rising: the head is the minimum of the window.
        self._window: deque[tuple[int, int]] = deque()
        self._offset_ns = 0
        self._received_ns = 0
        self._last_arrival_ns = 0
        self._last_pts_ns: int | None = None
        self._last_break_ns: int | None = None
        self._usable = True

    def captured_ns(self, pts_ns: int, arrival_ns: int) -> int | None:
        """Return when the packet left the camera plus the shortest delay seen, never after its arrival.

        Returns:
            Nanoseconds on the clock of `arrival_ns`; None once the stamps proved to run at another speed than time:
            take the arrival then, until the stream is opened again.
        """
        if not self._usable:
            return None
        delay_ns = arrival_ns - pts_ns
        if self._last_pts_ns is None or self._pts_jumped(pts_ns, arrival_ns):
            self._restart(delay_ns)
        else:
            self._follow(delay_ns, arrival_ns)
        self._last_pts_ns, self._last_arrival_ns = pts_ns, arrival_ns
        return min(pts_ns + self._offset_ns, arrival_ns) if self._usable else None

    def _pts_jumped(self, pts_ns: int, arrival_ns: int) -> bool:
        """Whether the stamps broke: back (wrap, restarted camera), or forward by more than the time that passed."""
        assert self._last_pts_ns is not None
        step_ns = pts_ns - self._last_pts_ns
        return step_ns < -JUMP_NS or step_ns - (arrival_ns - self._last_arrival_ns) > JUMP_NS

    def _restart(self, delay_ns: int) -> None:
        self._window.clear()
        self._window.append((self._received_ns, delay_ns))
        self._offset_ns = delay_ns

    def _follow(self, delay_ns: int, arrival_ns: int) -> None:
        passed_ns = min(max(arrival_ns - self._last_arrival_ns, 0), GAP_NS)
        self._received_ns += passed_ns
        while self._window and self._window[-1][1] >= delay_ns:
            self._window.pop()
        self._window.append((self._received_ns, delay_ns))
        while self._window[0][0] < self._received_ns - WINDOW_NS:
            self._window.popleft()
        lowest_ns = self._window[0][1]
        if lowest_ns <= self._offset_ns:
            self._offset_ns = lowest_ns
        elif lowest_ns > self._offset_ns + JUMP_NS:
            self._break(lowest_ns, arrival_ns)
        else:
            self._offset_ns = min(lowest_ns, self._offset_ns + passed_ns * DRIFT_PER_S_NS // NS_PER_S)

    def _break(self, lowest_ns: int, arrival_ns: int) -> None:
        """Take over an offset that even the fastest packet of a whole window confirms; give up if it repeats."""
        if self._last_break_ns is not None and arrival_ns - self._last_break_ns < REPEATED_JUMP_NS:
            self._usable = False
        self._last_break_ns = arrival_ns
        self._offset_ns = lowest_ns
