"""An opened source, a recording or a camera: which packets it gives, and when."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice, pairwise
from statistics import median

import av
from av.container import InputContainer

from pipeline.clock import NS_PER_S, Clock
from pipeline.errors import Outage, SourceOpenError, StreamLost
from stages.capture.demux import DemuxFailed, VideoPacket, packets
from stages.capture.freeze import FreezeWatch
from stages.capture.live_input import LiveInput, in_ns
from stages.capture.seeking import packets_from, ticks
from stages.capture.selection import Chosen, Window
from stages.capture.targets import Target, TargetKind
from stages.capture.timeline import LiveTimeline, PacedTimeline, RecordedTimeline, Stamps, Times

log = logging.getLogger("framepace.source")

_AHEAD = 64
"""Packets that are looked at before the first is given, to find out how fast they follow each other."""
_LEAST_STEPS = 4
_GAP = 5
"""Steps longer than so many usual ones are gaps."""
_AGREEMENT = 0.1
"""How far the rate that a recording states may be from that of its stamps."""

_UNORDERED_STAMPS = {"avi": frozenset({"h264", "hevc"})}
"""Formats that store no presentation times, with codecs whose reordering the demuxer does not work out: its stamps are
decode times, and only the decoder knows the order."""


@dataclass(frozen=True, slots=True)
class Given:
    """What one read gives."""

    packet: VideoPacket | None
    """None: a frame that cannot be decoded."""
    preroll: tuple[VideoPacket, ...]
    times: Times


class Reading(ABC):
    """One opened source."""

    codec: av.VideoCodecContext
    """The stream's decoder, not opened yet."""
    total_frames: int | None = None
    """How many frames there will be, if that can be told."""

    @property
    @abstractmethod
    def is_paced(self) -> bool:
        """Whether packets are released as time passes."""

    @abstractmethod
    def read(self) -> Given | None:
        """Return the next packet when its moment has come; None at the end, or when interrupted.

        Raises:
            StreamLost: a camera gives nothing more.
        """

    @abstractmethod
    def interrupt(self) -> None:
        """End a wait that is going on; from any thread."""

    @abstractmethod
    def close(self) -> None:
        """Release everything; idempotent."""


class LiveReading(Reading):
    """A camera.

    Args:
        live_input: the connection.
        timeline: times its packets.
        freeze: notices a picture that never changes; None: that is nothing bad.
    """

    def __init__(
        self, live_input: LiveInput, timeline: LiveTimeline | PacedTimeline, freeze: FreezeWatch | None
    ) -> None:
        self.input = live_input
        self.codec = live_input.codec
        self._timeline = timeline
        self._freeze = freeze

    @property
    def is_paced(self) -> bool:
        return isinstance(self._timeline, PacedTimeline)

    def read(self) -> Given | None:
        while True:
            unit = self.input.read()
            packet = unit.packet
            if packet is not None and packet.is_discard:
                continue
            if packet is not None and self._is_frozen(packet, unit.stamps.arrival_ns):
                raise StreamLost("the picture is frozen", Outage.FROZEN)
            times = self._timeline.times(unit.stamps)
            return None if times is None else Given(packet, (), times)

    def _is_frozen(self, packet: VideoPacket, arrival_ns: int) -> bool:
        return self._freeze is not None and self._freeze.is_frozen(packet, arrival_ns)

    def interrupt(self) -> None:
        self._timeline.close()

    def close(self) -> None:
        self._timeline.close()
        self.input.close()


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of a recording is wanted."""

    start_ns: int
    duration_ns: int | None
    max_frames: int | None

    @property
    def is_whole(self) -> bool:
        """Whether it is all of it."""
        return not self.start_ns and self.duration_ns is None and self.max_frames is None


class RecordedReading(Reading):
    """A recording, as fast as it can be read or as time passes.

    Args:
        container: freshly opened.
        stream: the one to read.
        target: what it was opened from.
        part: what of it is wanted.
        pace: None: as fast as it can be read. Else how it is paced: its own rate, or frames per second.
        clock: for pacing.

    Raises:
        SourceOpenError: the part cannot be found.
        DemuxFailed: it broke while it was looked for.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: av.VideoStream,
        target: Target,
        part: Part,
        pace: str | float | None,
        clock: Clock,
    ) -> None:
        self.codec = stream.codec_context
        self._container = container
        self._stream = stream
        self._target = target
        self._part = part
        self._clock = clock
        self._unordered = self.codec.name in _UNORDERED_STAMPS.get(container.format.name, frozenset())
        self._seen = 0
        self._last_pts = 0
        self._chosen = self._choose()
        said = stream.average_rate or stream.guessed_rate
        rate, self._chosen = true_rate(self._chosen, said)
        if pace is None:
            self._timeline: RecordedTimeline | PacedTimeline = RecordedTimeline(rate)
        else:
            fps = pace if isinstance(pace, float) else None
            self._timeline = PacedTimeline(target.shown, rate, clock, fps=fps)
        self.total_frames = self._count_frames(rate)

    @property
    def is_paced(self) -> bool:
        return isinstance(self._timeline, PacedTimeline)

    def read(self) -> Given | None:
        try:
            chosen = next(self._chosen, None)
        except DemuxFailed as error:
            self._ended(str(error))
            return None
        if chosen is None:
            self._ended("the stream ended")
            return None
        packet = chosen.packet
        pts_ns = None if packet.pts is None else in_ns(packet.pts, packet)
        dts_ns = None if packet.dts is None else in_ns(packet.dts, packet)
        times = self._timeline.times(Stamps(pts_ns, dts_ns, self._clock.now_ns()))
        if times is None:
            return None
        return Given(packet, chosen.preroll, times)

    def interrupt(self) -> None:
        self._timeline.close()

    def close(self) -> None:
        self._timeline.close()
        self._chosen = iter(())
        self._container.close()

    def _choose(self) -> Iterator[Chosen]:
        """Return the packets that count, from the start time on."""
        part, stream = self._part, self._stream
        origin = stream.start_time
        if origin is None and (part.start_ns or part.duration_ns is not None):
            why = "has no time stamps; leave out start and duration, and use max_frames"
            raise SourceOpenError(self._target.shown, why)
        start_pts = (origin or 0) + ticks(part.start_ns, stream)
        if part.start_ns:
            read = packets_from(self._container, stream, self._target, start_pts)
        else:
            read = packets(self._container, stream, self._target)
        end_pts = None
        if part.duration_ns is not None:
            end_pts = (origin or 0) + ticks(part.start_ns + part.duration_ns, stream)
        window = Window(start_pts=start_pts if part.start_ns else None, end_pts=end_pts, max_frames=part.max_frames)
        return window.choose(self._counted(read))

    def _count_frames(self, rate: Fraction | None) -> int | None:
        """Return how many frames there will be, at so many a second; None if that cannot be told."""
        stream, part = self._stream, self._part
        total = stream.frames or None
        if total is None and rate and self._container.duration is not None:
            total = round(self._container.duration / av.time_base * rate)
        if total is not None and rate:
            total = max(0, total - round(part.start_ns / NS_PER_S * rate))
        limits = [total, part.max_frames]
        if rate and part.duration_ns is not None:
            limits.append(round(part.duration_ns / NS_PER_S * rate))
        return min((limit for limit in limits if limit is not None), default=None)

    def _counted(self, read: Iterator[VideoPacket]) -> Iterator[VideoPacket]:
        for packet in read:
            self._seen += 1
            if self._unordered:
                packet.pts = packet.dts
            self._last_pts = max(self._last_pts, packet.pts or 0)
            yield packet

    def _ended(self, why: str) -> None:
        """Say what it means that nothing more comes."""
        is_still = self._container.format.name.startswith("image2") or self._container.format.name.endswith("_pipe")
        if self._seen == 1 and is_still and self._target.kind is TargetKind.HTTP:
            log.warning("%s is one picture, not a stream; give the address of the camera's stream", self._target.shown)
        if self._part.is_whole and self._is_short():
            expected = self._stream.frames
            log.warning("%s ended early: %d of %d frames (%s)", self._target.shown, self._seen, expected, why)

    def _is_short(self) -> bool:
        """Whether both frames and time are missing: some containers count gaps as frames, or the last frame as long."""
        stream = self._stream
        if self._seen >= stream.frames or stream.duration is None:
            return False
        length = self._last_pts - (stream.start_time or 0)
        mean_interval = length / max(1, self._seen - 1)
        return length + 1.5 * mean_interval < stream.duration


def true_rate(chosen: Iterator[Chosen], said: Fraction | None) -> tuple[Fraction | None, Iterator[Chosen]]:
    """Return the frames per second of a recording, and its packets from the first one on.

    What it says of itself holds as long as the time stamps of its first packets agree; else theirs does.
    """
    ahead: list[Chosen] = []
    try:
        ahead.extend(islice(chosen, _AHEAD))
    except DemuxFailed as error:
        chosen = _Broken(error)
    whole = chain(ahead, chosen)
    ticks = [packet.pts if packet.dts is None else packet.dts for packet in (given.packet for given in ahead)]
    steps = [later - earlier for earlier, later in pairwise(at for at in ticks if at is not None) if later > earlier]
    if len(steps) < _LEAST_STEPS:
        return said, whole
    usual = median(steps)
    regular = [step for step in steps if step <= _GAP * usual]
    measured = Fraction(len(regular), sum(regular)) / ahead[0].packet.time_base
    if said and abs(measured / said - 1) <= _AGREEMENT:
        return said, whole
    return measured, whole


class _Broken(Iterator[Chosen]):
    """The end of a recording that breaks."""

    def __init__(self, error: DemuxFailed) -> None:
        self._error = error

    def __next__(self) -> Chosen:
        raise self._error
