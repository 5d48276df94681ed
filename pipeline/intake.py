"""Where frames are born: samples get tickets in decode order, frames get ids in presentation order.

A sample's frame is registered as soon as no earlier-presented one can still come: when a sample with a decode
time at or after its presentation time was read (the buffer model of ISO/IEC 13818-1). Without B-frames that is
at once. Which packet a decoder error belongs to is not asked (decoders report late): a frame whose picture was
overtaken by a later one, or had not come when the decoder was flushed, is undecodable.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.clock import NS_PER_S
from pipeline.frame import CaptureClock, FrameInfo
from pipeline.limits import Limits
from pipeline.stage import Sample

_MAX_REORDER = 16
"""H.264 and H.265 hold back at most 16 pictures (ITU-T H.264 A.3.1); more waiting means broken time stamps."""
_JUMP_NS = NS_PER_S
"""Decode times that go back by more start a new time line. Presentation times go back by any number of periods where
B-frames are, decode times never do (ISO/IEC 13818-1)."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A frame that has just been given its id."""

    info: FrameInfo
    clock: CaptureClock
    withdrawn: bool = False
    """Its packet is not decoded, on purpose: no picture will come."""
    undecodable: bool = False
    """Too much of it was lost on the way: no picture will come."""


@dataclass(frozen=True, slots=True)
class Emerged:
    """What a picture out of the decoder says."""

    info: FrameInfo | None
    """The picture's frame; None for a ticket that is not known (a second picture from one packet)."""
    lost: tuple[FrameInfo, ...]
    """Frames presented earlier whose pictures never came: undecodable."""


@dataclass(slots=True)
class _Waiting:
    ticket: int
    pts_ns: int
    captured_ns: int
    clock: CaptureClock
    undecodable: bool
    withdrawn: bool = False


class Intake:
    """Counts the frames of one stream; safe to use from several threads.

    Args:
        stream_id: goes into every FrameInfo.
        limit_ns: the deadline after capture, at first; None in lossless mode, where the presentation time is the
            capture time.
        register: called for each new frame, in presentation order, under the lock.
    """

    def __init__(self, stream_id: str, *, limit_ns: int | None, register: Callable[[Registered], None]) -> None:
        self._stream_id = stream_id
        self._limits = None if limit_ns is None else Limits(limit_ns)
        self._register = register
        self._lock = threading.Lock()  # guards all fields
        self._waiting: list[tuple[int, int, _Waiting]] = []
        self._undecoded: dict[int, FrameInfo] = {}  # by ticket, in registration order
        self._next_ticket = 0
        self._next_frame = 0
        self._last_pts_ns = -1
        self._last_decode_ns = 0
        self._first_captured_ns: int | None = None

    def take(self, sample: Sample, now_ns: int) -> int:
        """Give a sample its ticket, and register every frame whose turn has come."""
        captured_ns = now_ns if sample.captured_ns is None else sample.captured_ns
        with self._lock:
            ticket = self._next_ticket
            self._next_ticket += 1
            pts_ns = self._presentation_ns(sample, captured_ns)
            decode_ns = pts_ns if sample.dts_ns is None else sample.dts_ns
            if decode_ns < self._last_decode_ns - _JUMP_NS:
                self._register_until(None)
            self._last_decode_ns = decode_ns
            waiting = _Waiting(ticket, pts_ns, captured_ns, sample.clock, undecodable=sample.payload is None)
            heapq.heappush(self._waiting, (pts_ns, ticket, waiting))
            self._register_until(decode_ns)
            while len(self._waiting) > _MAX_REORDER:
                self._register_first()
        return ticket

    def withdraw(self, ticket: int) -> FrameInfo | None:
        """Take out a frame whose packet is not decoded on purpose.

        Returns:
            The frame; None if its turn has not come, since frames presented before it are still expected: it is then
            registered as withdrawn. None also if it is not known any more.
        """
        with self._lock:
            for _, waiting_ticket, waiting in self._waiting:
                if waiting_ticket == ticket:
                    waiting.withdrawn = True
                    return None
            return self._undecoded.pop(ticket, None)

    def emerged(self, ticket: int) -> Emerged:
        """Look up the frame of a decoded picture, and close the accounts of those that it overtook."""
        with self._lock:
            self._register_ticket(ticket)
            info = self._undecoded.get(ticket)
            if info is None:
                return Emerged(None, ())
            lost = []
            for earlier in list(self._undecoded):
                lost_or_this = self._undecoded.pop(earlier)
                if earlier == ticket:
                    break
                lost.append(lost_or_this)
            return Emerged(info, tuple(lost))

    def flush(self) -> None:
        """Register all that wait: the stream ended or its time line breaks off here."""
        with self._lock:
            self._register_until(None)

    def rest(self) -> list[FrameInfo]:
        """Take out the frames whose pictures never came; call after the decoder was flushed."""
        with self._lock:
            self._register_until(None)
            rest = list(self._undecoded.values())
            self._undecoded.clear()
            return rest

    @property
    def limit_ns(self) -> int | None:
        """The deadline after capture of a frame that is captured now."""
        return None if self._limits is None else self._limits.present_ns

    def change_limit(self, limit_ns: int, now_ns: int) -> None:
        """Give frames another deadline after capture that are captured from now on; in live mode only."""
        with self._lock:
            assert self._limits is not None
            self._limits.change(limit_ns, now_ns)

    @property
    def frames(self) -> int:
        """How many frames were registered so far."""
        return self._next_frame

    def _presentation_ns(self, sample: Sample, captured_ns: int) -> int:
        if sample.pts_ns is not None:
            return sample.pts_ns
        if self._first_captured_ns is None:
            self._first_captured_ns = captured_ns
        return max(captured_ns - self._first_captured_ns, self._last_pts_ns + 1)

    def _register_ticket(self, ticket: int) -> None:
        """Register a frame now if it still waits, and all that are presented before it."""
        for pts_ns, waiting_ticket, _ in self._waiting:
            if waiting_ticket == ticket:
                self._register_until(pts_ns)
                return

    def _register_until(self, bound_ns: int | None) -> None:
        while self._waiting and (bound_ns is None or self._waiting[0][0] <= bound_ns):
            self._register_first()

    def _register_first(self) -> None:
        _, _, waiting = heapq.heappop(self._waiting)
        captured_ns = waiting.pts_ns if self._limits is None else waiting.captured_ns
        info = FrameInfo(
            stream_id=self._stream_id,
            frame_id=self._next_frame,
            pts_s=waiting.pts_ns / NS_PER_S,
            captured_ns=captured_ns,
            due_ns=None if self._limits is None else captured_ns + self._limits.of(captured_ns),
        )
        self._next_frame += 1
        self._last_pts_ns = waiting.pts_ns
        if not (waiting.withdrawn or waiting.undecodable):
            self._undecoded[waiting.ticket] = info
        self._register(Registered(info, waiting.clock, waiting.withdrawn, waiting.undecodable))
