"""Reads packets from files, network cameras, webcams and filter graphs."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Annotated, Literal

import av
from av.container import InputContainer
from pydantic import Field, ValidationInfo, field_validator

from pipeline.clock import NS_PER_S, Clock
from pipeline.errors import SourceOpenError, StreamLost
from pipeline.frame import Mode
from pipeline.stage import OpenContext, Options, Sample, Source
from pipeline.units import Duration
from stages.capture.demux import DemuxFailed, VideoPacket, open_input, packets
from stages.capture.seeking import packets_from, ticks
from stages.capture.selection import Chosen, Window
from stages.capture.targets import Target, TargetKind, parse_target
from stages.capture.timeline import LiveTimeline, PacedTimeline, RecordedTimeline, Timeline
from stages.payloads import Packet

log = logging.getLogger("framepace.source")

_GUESSED_STAMPS = frozenset({"mpjpeg", "mjpeg"})
"""Formats without time stamps, which the demuxer numbers at 25 fps whatever the rate."""
_UNORDERED_STAMPS = {"avi": frozenset({"h264", "hevc"})}
"""Formats that store no presentation times, with codecs whose reordering the demuxer does not work out: its stamps are
decode times, and only the decoder knows the order."""
_PLAYLIST = "hls"
_PLAYLIST_LATE_NS = NS_PER_S
"""A live playlist that falls behind by more, because a segment came late, starts a new time line."""

Timeout = Annotated[Duration, Field(gt=0)]


class VideoOptions(Options):
    """Settings of the video source."""

    url: str = Field(repr=False, description="File, rtsp://, http(s)://, webcam:N, /dev/videoN or lavfi:GRAPH.")
    pace: Literal["none", "pts"] | Annotated[float, Field(gt=0, le=1000)] = Field(
        default="none", description="Play a recording as a live camera: at its own rate (pts) or at this many fps."
    )
    start: Duration = Field(default=0, description="Begin at this time of a recording.")
    duration: Duration | None = Field(default=None, description="Stop after this much of the stream.")
    max_frames: Annotated[int, Field(ge=1)] | None = Field(default=None, description="Stop after this many frames.")
    transport: Literal["tcp", "udp"] = Field(default="tcp", description="RTSP: how the media travels.")
    open_timeout: Timeout = Field(default=5 * NS_PER_S, description="Bound for connecting and probing, half for each.")
    stall_timeout: Timeout = Field(default=2 * NS_PER_S, description="Silence after which a live source is lost.")
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

    @field_validator("pace", "start")
    @classmethod
    def _for_recordings(cls, value: object, info: ValidationInfo) -> object:
        url = info.data.get("url")
        target = None if url is None else parse_target(url)
        # An HTTP address does not tell for sure whether it is a recording.
        if value not in ("none", 0) and target is not None and target.live and target.kind is not TargetKind.HTTP:
            raise ValueError(f"is for recordings; leave {info.field_name} out for a live source")
        return value


class VideoSource(Source):
    """Packets of the first video stream of whatever FFmpeg can open.

    Comes in: a URL. Goes out: one Packet a frame, in decode order. Kept: the open container and its time line. A
    stretch that cannot be read is passed over. A camera whose stream ends, breaks or goes silent is lost; a recording
    that does is over, and the log says how much is missing.

    A recording in live mode is always paced, as if a camera gave it. So is a live HLS playlist, whose segments arrive
    in bursts: its frames count as captured when they are played.
    """

    produces = Packet
    options_type = VideoOptions

    def __init__(self, options: VideoOptions) -> None:
        self._options = options
        self._target: Target = parse_target(options.url)
        self._endless = self._target.live
        self._container: InputContainer | None = None
        self._stream: av.VideoStream | None = None
        self._clock: Clock | None = None
        self._timeline: Timeline | None = None
        self._chosen: Iterator[Chosen] = iter(())
        self._generation = 0
        self._duration_s: float | None = None
        self._unordered = False
        self._seen = 0
        self._last_pts = 0
        self._given = 0
        self._until_ns: int | None = None

    @classmethod
    def options_from_spec(cls, spec: str) -> dict[str, object]:
        parse_target(spec)
        return {"url": spec}

    @property
    def resource(self) -> str | None:
        return f"file:{os.path.realpath(self._target.address)}" if self._target.kind is TargetKind.FILE else None

    @property
    def live(self) -> bool:
        return self._endless or self._options.pace != "none" or isinstance(self._timeline, PacedTimeline)

    @property
    def total_frames(self) -> int | None:
        if self._stream is None or self._endless:
            return None
        total = self._stream.frames or None
        rate = self._stream.average_rate
        if total is None and rate and self._duration_s is not None:
            total = round(self._duration_s * rate)
        if total is not None and rate:
            total = max(0, total - round(self._options.start / NS_PER_S * rate))
        limits = [total, self._options.max_frames]
        if rate and self._options.duration is not None:
            limits.append(round(self._options.duration / NS_PER_S * rate))
        return min((limit for limit in limits if limit is not None), default=None)

    def open(self, context: OpenContext) -> None:
        options = self._options
        container, stream = open_input(
            self._target,
            options=self._demuxer_options(),
            open_timeout_ns=options.open_timeout,
            read_timeout_ns=options.stall_timeout,
        )
        # The address of an HTTP recording may not show that it is one; its length does.
        self._endless = self._target.live and (self._target.kind is not TargetKind.HTTP or container.duration is None)
        self._container, self._stream, self._clock = container, stream, context.clock
        self._duration_s = None if container.duration is None else container.duration / av.time_base
        codecs = _UNORDERED_STAMPS.get(container.format.name, frozenset())
        self._unordered = stream.codec_context.name in codecs
        self._generation += 1
        try:
            self._chosen = self._choose(container, stream)
        except (SourceOpenError, DemuxFailed) as error:
            self.close()
            raise error if isinstance(error, SourceOpenError) else self._not_opened(str(error)) from None
        self._timeline = self._timed(container, stream, context)

    def close(self) -> None:
        if self._timeline is not None:
            self._timeline.close()
        if self._container is not None:
            self._chosen = iter(())
            self._container.close()
            self._container = None

    def read(self) -> Sample | None:
        assert self._clock is not None, "read before open"
        assert self._timeline is not None
        assert self._stream is not None
        if self._is_over(self._clock.now_ns()):
            return None
        try:
            chosen = next(self._chosen, None)
        except DemuxFailed as error:
            self._ended(str(error))
            return None
        if chosen is None:
            self._ended("the stream ended")
            return None
        times = self._timeline.times(chosen.packet)
        if times is None or self._is_over(self._clock.now_ns()):
            return None
        self._given += 1
        if self._unordered:
            chosen.packet.pts = chosen.packet.dts = None
        payload = Packet(chosen.packet, self._stream.codec_context, self._generation, chosen.preroll)
        return Sample(payload, times.pts_ns, times.dts_ns, times.captured_ns, times.clock)

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

    def _choose(self, container: InputContainer, stream: av.VideoStream) -> Iterator[Chosen]:
        """Return the packets that count, from the start time on."""
        options = self._options
        if self._endless:
            return Window().choose(packets(container, stream, self._target))
        self._seen = self._given = self._last_pts = 0
        origin = stream.start_time
        if origin is None and (options.start or options.duration is not None):
            raise self._not_opened("has no time stamps; leave out start and duration, and use max_frames")
        start_pts = (origin or 0) + ticks(options.start, stream)
        if options.start:
            read = packets_from(container, stream, self._target, start_pts)
        else:
            read = packets(container, stream, self._target)
        end_pts = None
        if options.duration is not None:
            end_pts = (origin or 0) + ticks(options.start + options.duration, stream)
        window = Window(start_pts=start_pts if options.start else None, end_pts=end_pts, max_frames=options.max_frames)
        return window.choose(self._counted(read))

    def _timed(self, container: InputContainer, stream: av.VideoStream, context: OpenContext) -> Timeline:
        pace = self._options.pace
        fps = pace if isinstance(pace, float) else None
        if self._endless and _PLAYLIST in container.format.name.split(","):
            return PacedTimeline(stream, context.clock, fps=None, restart_after_ns=_PLAYLIST_LATE_NS)
        if self._endless:
            return LiveTimeline(
                stream,
                context.clock,
                has_stamps=container.format.name not in _GUESSED_STAMPS,
                driver_clock=self._target.kind is TargetKind.WEBCAM,
            )
        if pace != "none" or context.mode is Mode.LIVE:
            return PacedTimeline(stream, context.clock, fps=fps)
        return RecordedTimeline(stream)

    def _not_opened(self, why: str) -> SourceOpenError:
        return SourceOpenError(self._target.shown, why)

    # Reading

    def _counted(self, read: Iterator[VideoPacket]) -> Iterator[VideoPacket]:
        for packet in read:
            self._seen += 1
            if self._unordered:
                packet.pts = packet.dts
            self._last_pts = max(self._last_pts, packet.pts or 0)
            yield packet

    def _ended(self, why: str) -> None:
        """Say what it means that nothing more comes."""
        if self._endless:
            raise StreamLost(why)
        options = self._options
        whole = not options.start and options.duration is None and options.max_frames is None
        if whole and self._stream is not None and self._is_short(self._stream):
            expected = self._stream.frames
            log.warning("%s ended early: %d of %d frames (%s)", self._target.shown, self._seen, expected, why)

    def _is_short(self, stream: av.VideoStream) -> bool:
        """Whether both frames and time are missing: some containers count gaps as frames, or the last frame as long."""
        if self._seen >= stream.frames or stream.duration is None:
            return False
        length = self._last_pts - (stream.start_time or 0)
        mean_interval = length / max(1, self._seen - 1)
        return length + 1.5 * mean_interval < stream.duration

    def _is_over(self, now_ns: int) -> bool:
        """Whether a live source has given all that was asked for, over all the times that it was opened."""
        options = self._options
        if not self._endless:
            return False
        if options.max_frames is not None and self._given >= options.max_frames:
            return True
        if options.duration is None:
            return False
        if self._until_ns is None and self._given:
            self._until_ns = now_ns + options.duration
        return self._until_ns is not None and now_ns >= self._until_ns
