"""Reads packets from files, network cameras, webcams and filter graphs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Annotated, Literal

from av.container import InputContainer
from av.stream import Stream
from av.video.stream import VideoStream
from pydantic import Field, field_validator

from pipeline.clock import NS_PER_S, Clock
from pipeline.errors import StreamLost
from pipeline.frame import CaptureClock
from pipeline.stage import OpenContext, Options, Sample, Source
from pipeline.units import Duration
from stages.capture.demux import DemuxFailed, VideoPacket, open_input, packets
from stages.capture.envelope import PtsEnvelope
from stages.capture.pacing import Pacer
from stages.capture.selection import Chosen, Window
from stages.capture.targets import Target, TargetKind, parse_target
from stages.payloads import Packet

log = logging.getLogger("framepace.source")

_FAR_AHEAD_NS = NS_PER_S
"""A driver's time stamp is believed if it lies within this much before the arrival, and not after it."""


class VideoOptions(Options):
    """Settings of the video source."""

    url: str = Field(description="File, rtsp://, http(s)://, webcam:N, /dev/videoN or lavfi:GRAPH.")
    pace: Literal["none", "pts"] | Annotated[float, Field(gt=0, le=1000)] = Field(
        default="none", description="Play a recording as a live camera: at its own rate (pts) or at this many fps."
    )
    start: Duration = Field(default=0, description="Begin at this time of a recording.")
    duration: Duration | None = Field(default=None, description="Stop after this much of the stream.")
    max_frames: Annotated[int, Field(ge=1)] | None = Field(default=None, description="Stop after this many frames.")
    transport: Literal["tcp", "udp"] = Field(default="tcp", description="RTSP: how the media travels.")
    open_timeout: Duration = Field(default=5 * NS_PER_S, description="Bound for connecting and probing.")
    stall_timeout: Duration = Field(default=2 * NS_PER_S, description="Silence after which a live source is lost.")
    size: Annotated[str, Field(pattern=r"^\d+x\d+$")] | None = Field(
        default=None, description="Webcam: picture size to ask for, such as 1280x720."
    )
    rate: Annotated[float, Field(gt=0, le=1000)] | None = Field(default=None, description="Webcam: fps to ask for.")
    input_format: str | None = Field(default=None, description="Webcam: pixel format or codec, such as mjpeg.")

    @field_validator("url")
    @classmethod
    def _understood(cls, url: str) -> str:
        parse_target(url)
        return url


class VideoSource(Source):
    """Packets of the first video stream of whatever FFmpeg can open.

    Comes in: a URL. Goes out: one Packet a frame, in decode order. Kept: the open container, the envelope of time
    stamps, and the time line of a paced recording. A stretch that cannot be read is passed over in a recording, and
    is a loss in a live stream.
    """

    produces = Packet
    options_type = VideoOptions

    def __init__(self, options: VideoOptions) -> None:
        self._options = options
        self._target: Target = parse_target(options.url)
        self._paced = options.pace != "none" and not self._target.live
        self._container: InputContainer | None = None
        self._stream: VideoStream | None = None
        self._clock: Clock | None = None
        self._chosen: Iterator[Chosen] = iter(())
        self._generation = 0
        self._count = 0
        self._envelope = PtsEnvelope()
        self._pacer: Pacer | None = None
        self._first_dts_ns: int | None = None
        self._until_ns: int | None = None

    @classmethod
    def options_from_spec(cls, spec: str) -> dict[str, object]:
        parse_target(spec)
        return {"url": spec}

    @property
    def live(self) -> bool:
        return self._target.live or self._paced

    @property
    def total_frames(self) -> int | None:
        if self._stream is None or self._target.live:
            return None
        total = self._stream.frames or None
        rate = self._stream.average_rate
        if rate and self._options.duration is not None:
            wanted = round(self._options.duration / NS_PER_S * rate)
            total = wanted if total is None else min(total, wanted)
        if self._options.max_frames is not None:
            total = self._options.max_frames if total is None else min(total, self._options.max_frames)
        return total

    def open(self, context: OpenContext) -> None:
        options = self._options
        self._container, self._stream = open_input(
            self._target,
            options=self._demuxer_options(),
            open_timeout_ns=options.open_timeout,
            read_timeout_ns=options.stall_timeout,
        )
        self._clock = context.clock
        self._generation += 1
        self._envelope = PtsEnvelope()
        self._pacer = Pacer(context.clock) if self._paced else None
        self._chosen = self._choose(self._container, self._stream)

    def close(self) -> None:
        if self._pacer is not None:
            self._pacer.close()
        if self._container is not None:
            self._chosen = iter(())
            self._container.close()
            self._container = None

    def read(self) -> Sample | None:
        assert self._clock is not None, "read before open"
        try:
            chosen = next(self._chosen, None)
        except DemuxFailed as error:
            if self._target.live:
                raise StreamLost(str(error)) from error
            log.warning("%s: reading broke off: %s", self._target.shown, error)
            chosen = None
        if chosen is None:
            return self._ended()
        if self._target.live and self._is_over(self._clock.now_ns()):
            return None
        self._count += 1
        return self._sample(chosen, self._clock)

    # Opening

    def _demuxer_options(self) -> dict[str, str]:
        options = self._options
        match self._target.kind:
            case TargetKind.RTSP:
                return {"rtsp_transport": options.transport}
            case TargetKind.WEBCAM:
                wanted = {"video_size": options.size, "framerate": options.rate, "input_format": options.input_format}
                return {key: str(value) for key, value in wanted.items() if value is not None}
        return {}

    def _choose(self, container: InputContainer, stream: VideoStream) -> Iterator[Chosen]:
        """Return the packets that count, from the start time on."""
        read = packets(container, stream, self._target)
        if self._target.live:
            return Window().choose(read)
        options = self._options
        origin = stream.start_time or 0
        start_pts = origin + _ticks(options.start, stream) if options.start else None
        if start_pts is not None and options.start:
            container.seek(start_pts, stream=stream)  # to the key frame at or before it
        end_pts = None
        if options.duration is not None:
            end_pts = origin + _ticks(options.start + options.duration, stream)
        return Window(start_pts=start_pts, end_pts=end_pts, max_frames=options.max_frames).choose(read)

    # Reading

    def _ended(self) -> Sample | None:
        if self._target.live:
            raise StreamLost("the stream ended")
        expected = self._stream.frames if self._stream is not None else 0
        whole = not self._options.start and self._options.duration is None and self._options.max_frames is None
        if whole and self._count < expected:
            log.warning("%s ended early: %d of %d frames", self._target.shown, self._count, expected)
        return None

    def _is_over(self, now_ns: int) -> bool:
        """Whether a live source has given all that was asked for."""
        options = self._options
        if options.max_frames is not None and self._count >= options.max_frames:
            return True
        if options.duration is None:
            return False
        if self._until_ns is None:
            self._until_ns = now_ns + options.duration
        return now_ns >= self._until_ns

    def _sample(self, chosen: Chosen, clock: Clock) -> Sample | None:
        packet = chosen.packet
        assert self._stream is not None
        payload = Packet(packet, self._stream.codec_context, self._generation, chosen.preroll)
        pts_ns, dts_ns = _ns(packet.pts, packet), _ns(packet.dts, packet)
        if self._paced:
            return self._paced_sample(payload, pts_ns, dts_ns)
        if not self._target.live:
            return Sample(payload, pts_ns, dts_ns, None, CaptureClock.FILE)
        captured_ns, stamped_by = self._captured(pts_ns, clock.now_ns())
        # Live demuxers guess decode times; for a stream without reordering they say nothing that the PTS does not.
        reorders = self._stream.codec_context.has_b_frames
        return Sample(payload, pts_ns, dts_ns if reorders else None, captured_ns, stamped_by)

    def _captured(self, pts_ns: int | None, arrival_ns: int) -> tuple[int, CaptureClock]:
        """Return when a live frame was captured, and by which clock."""
        if pts_ns is None:
            return arrival_ns, CaptureClock.ARRIVAL
        if self._target.kind is TargetKind.WEBCAM and arrival_ns - _FAR_AHEAD_NS < pts_ns <= arrival_ns:
            return pts_ns, CaptureClock.V4L2
        captured_ns = self._envelope.captured_ns(pts_ns, arrival_ns)
        if captured_ns is None:
            return arrival_ns, CaptureClock.ARRIVAL
        return captured_ns, CaptureClock.PTS

    def _paced_sample(self, payload: Packet, pts_ns: int | None, dts_ns: int | None) -> Sample | None:
        """Wait until a camera would have sent this packet: at its decode time, so that it can be shown at its PTS."""
        assert self._pacer is not None
        pts_ns = self._stretched(pts_ns if pts_ns is not None else dts_ns or 0)
        dts_ns = self._stretched(dts_ns) if dts_ns is not None else pts_ns
        if self._first_dts_ns is None:
            self._first_dts_ns = dts_ns
        origin_ns = self._pacer.wait_until_due(dts_ns - self._first_dts_ns)
        if origin_ns is None:
            return None
        captured_ns = origin_ns + pts_ns - self._first_dts_ns
        return Sample(payload, pts_ns, dts_ns, captured_ns, CaptureClock.FILE)

    def _stretched(self, time_ns: int) -> int:
        """Return a time of the recording on the time line of the asked rate."""
        assert self._stream is not None
        native = self._stream.average_rate
        if not isinstance(self._options.pace, float) or not native:
            return time_ns
        return round(time_ns * float(native) / self._options.pace)


def _ns(ticks: int | None, packet: VideoPacket) -> int | None:
    return None if ticks is None else round(ticks * packet.time_base * NS_PER_S)


def _ticks(duration_ns: int, stream: Stream) -> int:
    """Return a duration in units of the stream's time base, rounded up so that a frame at that time counts."""
    assert stream.time_base is not None
    return -(-duration_ns * stream.time_base.denominator // (stream.time_base.numerator * NS_PER_S))
