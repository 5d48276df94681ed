"""Gives packets their times: presentation, decoding, and when the frame was captured."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import av

from pipeline.clock import NS_PER_S, Clock
from pipeline.frame import CaptureClock
from stages.capture.demux import VideoPacket
from stages.capture.envelope import PtsEnvelope
from stages.capture.pacing import Pacer

_DRIVER_DELAY_NS = NS_PER_S
"""A driver's time stamp is believed if it lies within this much before the arrival, and not after it."""
_USUAL_RATE = 25
"""Frames per second of a stream that does not say."""


@dataclass(frozen=True, slots=True)
class Times:
    """The times of one packet, as `pipeline.stage.Sample` means them."""

    pts_ns: int | None
    dts_ns: int | None
    captured_ns: int | None
    clock: CaptureClock


class Timeline(ABC):
    """How the packets of one opened source are timed."""

    @abstractmethod
    def times(self, packet: VideoPacket) -> Times | None:
        """Return the packet's times, when its moment has come; None when closed meanwhile."""

    def close(self) -> None:
        """End a wait that is going on."""


class RecordedTimeline(Timeline):
    """A recording as fast as it can be read: the presentation time is the capture time.

    A stream without time stamps (a bare H.264 file) is numbered at its nominal rate, so that two runs agree.
    """

    def __init__(self, stream: av.VideoStream) -> None:
        self._rate = stream.average_rate or stream.guessed_rate or _USUAL_RATE
        self._untimed = 0

    def times(self, packet: VideoPacket) -> Times:
        pts_ns, dts_ns = self._stamps(packet)
        return Times(pts_ns, dts_ns, None, CaptureClock.FILE)

    def _stamps(self, packet: VideoPacket) -> tuple[int, int | None]:
        pts_ns, dts_ns = _ns(packet.pts, packet), _ns(packet.dts, packet)
        if pts_ns is None and dts_ns is None:
            pts_ns = round(self._untimed * NS_PER_S / self._rate)
            self._untimed += 1
        if pts_ns is None:
            assert dts_ns is not None
            return dts_ns, dts_ns
        return pts_ns, dts_ns


class PacedTimeline(RecordedTimeline):
    """A recording as a camera would give it.

    A packet is released at its decode time, and its frame counts as captured at its presentation time: no frame can
    be decoded before it was captured, B-frames or not.

    Args:
        stream: what is played.
        clock: tells the time.
        fps: the mean rate to play at; None for the recording's own. The rhythm within stays.
        restart_after_ns: begin a new time line after falling behind by more; None: never.
    """

    def __init__(
        self, stream: av.VideoStream, clock: Clock, *, fps: float | None, restart_after_ns: int | None = None
    ) -> None:
        super().__init__(stream)
        self._pacer = Pacer(clock)
        self._stretch = 1.0 if fps is None else float(self._rate) / fps
        self._restart_after_ns = restart_after_ns
        self._first_dts_ns: int | None = None

    def times(self, packet: VideoPacket) -> Times | None:  # type: ignore[override]  # a wait can be cut short
        pts_ns, dts_ns = self._stamps(packet)
        pts_ns = round(pts_ns * self._stretch)
        dts_ns = pts_ns if dts_ns is None else round(dts_ns * self._stretch)
        if self._first_dts_ns is None:
            self._first_dts_ns = dts_ns
        origin_ns = self._pacer.wait_until_due(dts_ns - self._first_dts_ns, restart_after_ns=self._restart_after_ns)
        if origin_ns is None:
            return None
        return Times(pts_ns, dts_ns, origin_ns + pts_ns - self._first_dts_ns, CaptureClock.FILE)

    def close(self) -> None:
        self._pacer.close()


class LiveTimeline(Timeline):
    """A camera: the capture time is the arrival, put right by the stream's own stamps.

    Args:
        stream: what arrives.
        clock: tells the time.
        has_stamps: whether the stamps come from the sender, and not from a guess of the demuxer.
        driver_clock: whether the stamps may be the driver's, on the same clock as ours.
    """

    def __init__(self, stream: av.VideoStream, clock: Clock, *, has_stamps: bool, driver_clock: bool) -> None:
        self._stream = stream
        self._clock = clock
        self._has_stamps = has_stamps
        self._driver_clock = driver_clock
        self._envelope = PtsEnvelope()

    def times(self, packet: VideoPacket) -> Times:
        arrival_ns = self._clock.now_ns()
        pts_ns = _ns(packet.pts, packet) if self._has_stamps else None
        if pts_ns is None:
            return Times(None, None, arrival_ns, CaptureClock.ARRIVAL)
        # Live demuxers guess decode times; without reordering they say nothing that the presentation time does not.
        dts_ns = _ns(packet.dts, packet) if self._stream.codec_context.has_b_frames else None
        if self._driver_clock and arrival_ns - _DRIVER_DELAY_NS < pts_ns <= arrival_ns:
            return Times(pts_ns, dts_ns, pts_ns, CaptureClock.V4L2)
        captured_ns = self._envelope.captured_ns(pts_ns, arrival_ns)
        if captured_ns is None:
            return Times(pts_ns, dts_ns, arrival_ns, CaptureClock.ARRIVAL)
        return Times(pts_ns, dts_ns, captured_ns, CaptureClock.PTS)


def _ns(ticks: int | None, packet: VideoPacket) -> int | None:
    return None if ticks is None else round(ticks * packet.time_base * NS_PER_S)
