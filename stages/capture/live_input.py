"""What gives the packets of a live source: one connection to it, whoever speaks with it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
from av.container import InputContainer

from pipeline.clock import NS_PER_S, Clock
from pipeline.errors import Outage, StreamLost
from stages.capture.demux import DemuxFailed, VideoPacket, is_finite, open_input, packets
from stages.capture.targets import Target
from stages.capture.timeline import Stamps

_NAKED_PICTURES = "pipe"
"""How FFmpeg's names of formats end that are pictures one after the other: jpeg_pipe, png_pipe, image2pipe."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One picture's worth of a live stream."""

    packet: VideoPacket | None
    """None: too much of it is missing to decode it."""
    stamps: Stamps


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """What opening a live source tells about it."""

    format_name: str
    """As FFmpeg calls it; some are several names with commas between."""
    rate: Fraction | None
    """Frames per second, as announced."""
    is_finite: bool
    """Whether it has a length: it is a recording after all."""
    client: str = "ffmpeg"
    """Who speaks with it."""
    transport: str | None = None
    """RTSP: how the media travels, if that is known."""

    def shown(self) -> dict[str, int | str]:
        """Return the facts for the report."""
        named = {"client": self.client, "transport": self.transport}
        return {name: value for name, value in named.items() if value is not None}


class LiveInput(ABC):
    """One connection to a live source; opened by its constructor."""

    facts: StreamFacts
    codec: av.VideoCodecContext
    """The stream's decoder, not opened yet."""

    @abstractmethod
    def read(self) -> Unit:
        """Return the next picture's data, in decode order.

        Raises:
            StreamLost: nothing more comes.
        """

    @abstractmethod
    def close(self) -> None:
        """Leave; idempotent."""

    def statistics(self) -> dict[str, int]:
        """Return counters for the report."""
        return {}


class FFmpegInput(LiveInput):
    """A live source that FFmpeg demultiplexes on the calling thread.

    Args:
        target: what to open.
        clock: stamps arrivals.
        options: further demuxer options.
        open_timeout_ns: bound for connecting and probing.
        stall_timeout_ns: bound for each read.

    Raises:
        SourceOpenError: it could not be opened.
    """

    def __init__(
        self, target: Target, clock: Clock, *, options: dict[str, str], open_timeout_ns: int, stall_timeout_ns: int
    ) -> None:
        self._clock = clock
        self._container: InputContainer | None
        self._container, self._stream = open_input(
            target, options=options, open_timeout_ns=open_timeout_ns, read_timeout_ns=stall_timeout_ns
        )
        self.codec = self._stream.codec_context
        name = self._container.format.name
        self.facts = StreamFacts(
            format_name=name,
            rate=self._stream.average_rate or self._stream.guessed_rate,
            is_finite=is_finite(self._container, target),
        )
        self._has_stamps = has_stamps(name)
        self._packets: Iterator[VideoPacket] = packets(self._container, self._stream, target)

    def read(self) -> Unit:
        try:
            packet = next(self._packets, None)
        except DemuxFailed as error:
            raise StreamLost(str(error), error.outage) from None
        if packet is None:
            raise StreamLost("the stream ended", Outage.ENDED)
        return Unit(packet, stamps_of(packet, self._clock.now_ns(), has_stamps=self._has_stamps, codec=self.codec))

    def close(self) -> None:
        if self._container is not None:
            self._packets = iter(())
            self._container.close()
            self._container = None


def has_stamps(format_name: str) -> bool:
    """Whether a format holds time stamps; where it holds none, the demuxer numbers its packets at 25 fps."""
    name = format_name.split(",")[0]
    try:
        flags = av.format.Flags(av.ContainerFormat(name, "r").flags)
    except ValueError:
        return True
    return not (name.endswith(_NAKED_PICTURES) or av.format.Flags.no_timestamps in flags)


def stamps_of(packet: VideoPacket, arrival_ns: int, *, has_stamps: bool, codec: av.VideoCodecContext) -> Stamps:
    """Return what a live packet's own stamps are worth."""
    if not has_stamps or packet.pts is None:
        return Stamps(None, None, arrival_ns)
    # Live demuxers guess decode times; without reordering they say nothing that the presentation time does not.
    dts = packet.dts if codec.has_b_frames else None
    return Stamps(in_ns(packet.pts, packet), None if dts is None else in_ns(dts, packet), arrival_ns)


def in_ns(ticks: int, packet: VideoPacket) -> int:
    """Return a time of a packet in nanoseconds."""
    return round(ticks * packet.time_base * NS_PER_S)
