"""Reads packets from files, network cameras, webcams and filter graphs."""

from __future__ import annotations

import logging
import os
from collections import Counter
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from pipeline.clock import NS_PER_MS, NS_PER_S, Clock
from pipeline.errors import Outage, SourceOpenError, StreamLost
from pipeline.frame import Mode
from pipeline.stage import OpenContext, Options, Sample, Source
from pipeline.units import Duration
from stages.capture import http_probe
from stages.capture.demux import DemuxFailed, open_input, tls_options
from stages.capture.freeze import FreezeWatch
from stages.capture.live_input import FFmpegInput, LiveInput
from stages.capture.reading import LiveReading, Part, Reading, RecordedReading
from stages.capture.rtsp.handshake import CannotOpen, ClientSettings, Handshake
from stages.capture.rtsp.sdp import UnsupportedMedia
from stages.capture.rtsp_input import NothingDecodable, RtspInput
from stages.capture.targets import STANDARD_INPUT, Target, TargetKind, parse_target
from stages.capture.timeline import LiveTimeline, PacedTimeline
from stages.capture.worker_input import WorkerInput
from stages.payloads import MAX_PIXELS, Packet

log = logging.getLogger("framepace.source")

_PLAYLIST = "hls"
_PLAYLIST_LATE_NS = NS_PER_S
"""A live playlist that falls behind by more, because a segment came late, starts a new time line."""

_LEAST_OPEN_NS = 500 * NS_PER_MS
"""Left to FFmpeg, however long our own client took."""

_MOST_PIXELS = 2**31 - 1
"""FFmpeg's own bound."""

Timeout = Annotated[Duration, Field(gt=0)]


class VideoOptions(Options):
    """Settings of the video source."""

    url: str = Field(repr=False, description="File, rtsp://, http(s)://, webcam:N, /dev/videoN, lavfi:GRAPH, or -.")
    pace: Literal["none", "pts"] | Annotated[float, Field(gt=0, le=1000)] = Field(
        default="none", description="Play a recording as a live camera: at its own rate (pts) or at this many fps."
    )
    start: Duration = Field(default=0, description="Begin at this time of a recording.")
    duration: Duration | None = Field(default=None, description="Stop after this much of the stream.")
    max_frames: Annotated[int, Field(ge=1, le=10**12)] | None = Field(
        default=None, description="Stop after this many frames."
    )
    transport: Literal["tcp", "udp"] = Field(default="tcp", description="RTSP: how the media travels.")
    client: Literal["auto", "own", "ffmpeg"] = Field(
        default="auto",
        description="RTSP: our own client, which hands a picture on as soon as it is there, or FFmpeg's, which waits "
        "for the next one; `auto`: FFmpeg's where ours does not speak the codec. Before FFmpeg shows a password or "
        "opens rtsps, ours asks for the description, to find out where that leads.",
    )
    reorder: Duration = Field(
        default=30 * NS_PER_MS, description="RTSP over UDP: how long to wait for a packet that others overtook."
    )
    verify_tls: bool = Field(
        default=True, description="rtsps, https: whether the certificate must be one that is trusted."
    )
    synchronised_clocks: bool = Field(
        default=False, description="RTSP: the camera's clock is ours (NTP, PTP), so believe when it says it captured."
    )
    open_timeout: Timeout = Field(default=5 * NS_PER_S, description="Bound for connecting and probing, half for each.")
    stall_timeout: Timeout = Field(default=2 * NS_PER_S, description="Silence after which a live source is lost.")
    detect_frozen: bool = Field(
        default=True, description="A camera that sends the same picture for stall_timeout is lost; off for screens."
    )
    max_pixels: Annotated[int, Field(ge=1, le=_MOST_PIXELS)] = Field(
        default=8192 * 4352,
        description="Larger pictures are refused before they take memory; the default lets 8K pass.",
    )
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
    """Packets of the first video stream of whatever can be opened.

    Comes in: a URL. Goes out: one Packet a frame, in decode order. Kept: the open connection and its time line. A
    stretch that cannot be read is passed over. A camera whose stream ends, breaks, goes silent or freezes is lost; a
    recording that does is over, and the log says how much is missing.

    A recording in live mode is always paced, as if a camera gave it. So is a live HLS playlist, whose segments arrive
    in bursts: its frames count as captured when they are played.
    """

    produces = Packet
    options_type = VideoOptions

    def __init__(self, options: VideoOptions) -> None:
        self._options = options
        self._target: Target = parse_target(options.url)
        self._endless = self._target.live
        self._has_asked = False
        self._reading: Reading | None = None
        self._clock: Clock | None = None
        self._generation = 0
        self._given = 0
        self._until_ns: int | None = None
        self._is_open = False
        self._is_interrupted = False
        self._needs_ffmpeg = options.client == "ffmpeg"
        self._facts: dict[str, int | str] = {}
        self._counts: Counter[str] = Counter()  # of earlier connections

    @classmethod
    def options_from_spec(cls, spec: str) -> dict[str, object]:
        parse_target(spec)
        return {"url": spec}

    @property
    def resource(self) -> str | None:
        is_file = self._target.kind is TargetKind.FILE and self._target.address != STANDARD_INPUT
        return f"file:{os.path.realpath(self._target.address)}" if is_file else None

    @property
    def live(self) -> bool:
        if not self._has_asked and self._target.kind is TargetKind.HTTP and not self._target.live:
            # Its name promises a recording; only the server knows.
            self._has_asked = True
            shown = http_probe.ask(self._target.address, verify=self._options.verify_tls)
            self._endless = shown is not None and shown.is_endless
        paced = self._reading is not None and self._reading.is_paced
        return self._endless or self._options.pace != "none" or paced

    @property
    def total_frames(self) -> int | None:
        return None if self._reading is None or self._endless else self._reading.total_frames

    def open(self, context: OpenContext) -> None:
        self._clock = context.clock
        reading = self._open_live(context.clock) if self._endless else None
        # The address of an HTTP recording may not show that it is one; its length does.
        self._endless = reading is not None
        self._reading = reading or self._open_recording(context)
        # Before it is opened, which happens at its first packet.
        self._reading.codec.options = {**self._reading.codec.options, **self._bound()}
        self._is_open = True
        self._generation += 1

    def close(self) -> None:
        if self._reading is not None:
            self._counts.update(self._present_counts())
            self._is_open = False
            self._reading.close()

    def describe(self) -> dict[str, int | str]:
        counts = Counter(self._counts)
        counts.update(self._present_counts())
        return {**self._facts, **counts}

    def interrupt(self) -> None:
        self._is_interrupted = True
        if self._reading is not None:
            self._reading.interrupt()

    def read(self) -> Sample | None:
        assert self._clock is not None, "read before open"
        assert self._reading is not None
        if self._is_over(self._clock.now_ns()):
            return None
        try:
            given = self._reading.read()
        except NothingDecodable as error:
            raise self._given_up(error) from None
        if given is None or self._is_over(self._clock.now_ns()):
            return None
        self._given += 1
        payload = None
        if given.packet is not None:
            payload = Packet(given.packet, self._reading.codec, self._generation, given.preroll)
        times = given.times
        return Sample(payload, times.pts_ns, times.dts_ns, times.captured_ns, times.clock)

    def _given_up(self, error: NothingDecodable) -> StreamLost:
        """Let FFmpeg read from now on, unless it must not."""
        why = f"nothing of it can be decoded: {error}"
        if self._options.client == "auto":
            self._needs_ffmpeg = True
            log.warning("%s: %s; FFmpeg tries it from now on", self._target.shown, why)
        return StreamLost(why, Outage.ERROR)

    def _open_live(self, clock: Clock) -> Reading | None:
        """Return a live source, opened; None if it turns out to be a recording."""
        live_input = self._connect(clock)
        facts = live_input.facts
        self._facts = facts.shown()
        if self._target.kind is TargetKind.HTTP and facts.is_finite:
            live_input.close()
            return None
        try:
            self._check_playlist(facts.format_name)
        except SourceOpenError:
            live_input.close()
            raise
        timeline: LiveTimeline | PacedTimeline = LiveTimeline(
            self._target.shown, driver_clock=self._target.kind is TargetKind.WEBCAM
        )
        if _PLAYLIST in facts.format_name.split(","):
            timeline = PacedTimeline(
                self._target.shown, facts.rate, clock, fps=None, restart_after_ns=_PLAYLIST_LATE_NS
            )
        watched = self._options.detect_frozen and self._target.kind is not TargetKind.LAVFI
        return LiveReading(live_input, timeline, FreezeWatch(self._options.stall_timeout) if watched else None)

    def _check_playlist(self, format_name: str) -> None:
        """Refuse a playlist over https whose segments would be read without a look at certificates.

        Raises:
            SourceOpenError: it is one, and certificates are to be looked at.
        """
        over_tls = self._target.address.lower().startswith("https:")
        if over_tls and self._options.verify_tls and _PLAYLIST in format_name.split(","):
            why = "is a playlist: FFmpeg would read its segments without looking at certificates"
            raise SourceOpenError(self._target.shown, f"{why}; verify_tls: false accepts that")

    def _present_counts(self) -> Counter[str]:
        reading = self._reading
        if not self._is_open or not isinstance(reading, LiveReading):
            return Counter()
        return Counter(reading.input.statistics())

    def _connect(self, clock: Clock) -> LiveInput:
        options = self._options
        if self._target.kind is TargetKind.RTSP and not self._needs_ffmpeg:
            try:
                return self._connect_rtsp(clock)
            except UnsupportedMedia as error:
                if options.client == "own":
                    raise SourceOpenError(self._target.shown, f"our own client does not speak {error}") from None
                self._needs_ffmpeg = True
                log.warning(
                    "%s sends %s: FFmpeg reads it, which holds each picture for one frame interval",
                    self._target.shown,
                    error,
                )
        if self._target.kind is TargetKind.LAVFI:
            return FFmpegInput(
                self._target,
                clock,
                options=self._bound(),
                open_timeout_ns=options.open_timeout,
                stall_timeout_ns=options.stall_timeout,
            )
        begun_ns = clock.now_ns()
        target = self._guarded_target(clock)
        passed_ns = (clock.now_ns() - begun_ns) // NS_PER_MS * NS_PER_MS
        return WorkerInput(
            target,
            clock,
            options=self._bound() | self._demuxer_options(),
            open_timeout_ns=max(_LEAST_OPEN_NS, options.open_timeout - passed_ns),
            stall_timeout_ns=options.stall_timeout,
            is_interrupted=lambda: self._is_interrupted,
        )

    def _guarded_target(self, clock: Clock) -> Target:
        """Return the address for FFmpeg, whose RTSP client verifies no certificate and sends the password along with
        every redirect. Our own client therefore follows the redirects first. FFmpeg's later connection is not checked.

        Raises:
            SourceOpenError: the stream is not described, or its server is not trusted.
        """
        target = self._target
        needs_guard = target.address.lower().startswith("rtsps:") or "@" in target.address
        if target.kind is not TargetKind.RTSP or not needs_guard:
            return target
        try:
            handshake = Handshake(target.address, self._client_settings(), clock, lambda: self._is_interrupted)
            return Target(TargetKind.RTSP, handshake.locate())
        except CannotOpen as error:
            raise SourceOpenError(target.shown, str(error)) from None

    def _connect_rtsp(self, clock: Clock) -> LiveInput:
        return RtspInput(
            self._target,
            self._client_settings(),
            clock,
            synchronised_clocks=self._options.synchronised_clocks,
            is_interrupted=lambda: self._is_interrupted,
        )

    def _client_settings(self) -> ClientSettings:
        options = self._options
        return ClientSettings(
            transport=options.transport,
            open_timeout_ns=options.open_timeout,
            stall_timeout_ns=options.stall_timeout,
            reorder_ns=options.reorder,
            verify_tls=options.verify_tls,
        )

    def _bound(self) -> dict[str, str]:
        """Return what makes FFmpeg's decoders refuse pictures that are too large, those of probing included."""
        return {MAX_PIXELS: str(self._options.max_pixels)}

    def _demuxer_options(self) -> dict[str, str]:
        options = self._options
        match self._target.kind:
            case TargetKind.RTSP:
                return {"rtsp_transport": options.transport, **tls_options(verify=options.verify_tls)}
            case TargetKind.HTTP:
                return tls_options(verify=options.verify_tls)
            case TargetKind.WEBCAM:
                wanted = {"video_size": options.size, "framerate": options.rate, "input_format": options.input_format}
                return {key: str(value) for key, value in wanted.items() if value is not None}
        return {}

    def _open_recording(self, context: OpenContext) -> Reading:
        options = self._options
        tls = tls_options(verify=options.verify_tls) if self._target.kind is TargetKind.HTTP else {}
        container, stream = open_input(
            self._target,
            options=self._bound() | tls,
            open_timeout_ns=options.open_timeout,
            read_timeout_ns=options.stall_timeout,
        )
        pace = None if options.pace == "none" and context.mode is Mode.LOSSLESS else options.pace
        part = Part(options.start, options.duration, options.max_frames)
        try:
            self._check_playlist(container.format.name)
            return RecordedReading(container, stream, self._target, part, pace, context.clock)
        except (SourceOpenError, DemuxFailed) as error:
            container.close()
            if isinstance(error, SourceOpenError):
                raise
            raise SourceOpenError(self._target.shown, str(error)) from None

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
