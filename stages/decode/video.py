"""Decodes packets with FFmpeg's own decoders."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

import av
from av.codec.context import Flags
from pydantic import Field

from pipeline.errors import Undecodable
from pipeline.frame import Mode
from pipeline.stage import Decoded, Decoder, OpenContext, Options
from stages.payloads import Packet, Picture

log = logging.getLogger("framepace.decode")


@dataclass(frozen=True, slots=True, eq=False)
class _Tag:
    """Travels through the codec with a packet.

    Each packet needs an object of its own: PyAV finds it again by its address, and forgets that address when one packet
    with it is gone. Small integers share theirs all over the process.
    """

    ticket: int | None
    """None: the tickets of this stream are handed out in order."""


class DecodeOptions(Options):
    """Settings of the video decoder."""

    threads: Annotated[int, Field(ge=1, le=64)] | None = Field(
        default=None, description="Decoder threads; as many as cores if absent."
    )


class VideoDecoder(Decoder):
    """Turns packets into pictures, in presentation order.

    Comes in: a Packet. Goes out: Pictures that keep the decoder's own format; nothing is converted here. Kept: the
    decoder's reference pictures. A broken packet raises Undecodable; a picture that the codec could patch up (it is
    flagged corrupt then) counts as decoded. A packet of a new generation starts a fresh decoder, since its source was
    opened again. With several frame threads an error shows up packets after the one that it is about.

    Tickets travel through the codec with the packet. Only in a stream without any time stamps they are handed
    out in order: its packets can be numbered, but nothing tells where they will be presented.

    Live: slice threads and low delay, because frame threads hold every picture back by as many frames as there are
    threads. Lossless: frame threads, which are the fastest.
    """

    accepts = Packet
    produces = Picture
    options_type = DecodeOptions

    def __init__(self, options: DecodeOptions) -> None:
        self._options = options
        self._mode = Mode.LOSSLESS
        self._threads = 1
        self._generation: int | None = None
        self._codec: av.VideoCodecContext | None = None
        self._untimed: deque[int] = deque()

    def open(self, context: OpenContext) -> None:
        self._mode = context.mode
        self._threads = self._options.threads or context.cores

    def close(self) -> None:
        self._codec = None
        self._generation = None
        self._untimed.clear()

    def decode(self, payload: object, ticket: int) -> Sequence[Decoded]:
        assert isinstance(payload, Packet)
        pictures: list[Decoded] = []
        if payload.generation != self._generation:
            pictures += self.flush()
            self._start(payload)
        codec = self._codec
        assert codec is not None
        for needed in payload.preroll:
            needed.opaque = None
            try:
                pictures += self._tagged(codec.decode(needed))
            except av.error.FFmpegError as error:
                log.debug("a packet that does not count is broken: %s", error.strerror)
        packet = payload.data
        timed = packet.pts is not None or packet.dts is not None
        packet.opaque = _Tag(ticket if timed else None)
        if not timed:
            self._untimed.append(ticket)
        try:
            pictures += self._tagged(codec.decode(packet))
        except av.error.FFmpegError as error:
            if not timed:
                self._untimed.pop()
            if not pictures:
                raise Undecodable(error.strerror or str(error)) from error
            log.debug("packet without a picture: %s", error.strerror)
        return pictures

    def flush(self) -> Sequence[Decoded]:
        if self._codec is None:
            return ()
        codec, self._codec, self._generation = self._codec, None, None
        try:
            return self._tagged(codec.decode(None))
        except av.error.FFmpegError as error:
            log.info("the decoder could not give its last pictures: %s", error.strerror)
            return ()
        finally:
            self._untimed.clear()

    def _start(self, packet: Packet) -> None:
        codec = packet.codec
        live = self._mode is Mode.LIVE
        codec.thread_type = "SLICE" if live else "AUTO"
        codec.thread_count = self._threads
        codec.flags |= Flags.copy_opaque
        if live:
            codec.flags |= Flags.low_delay
        self._codec = codec
        self._generation = packet.generation

    def _tagged(self, frames: Iterable[av.VideoFrame]) -> list[Decoded]:
        """Return the pictures that belong to a ticket; those of preroll packets carry none and are thrown away."""
        decoded = []
        for frame in frames:
            tag = frame.opaque
            if not isinstance(tag, _Tag):
                continue
            ticket = tag.ticket
            if ticket is None:
                if not self._untimed:
                    continue  # a second picture from one packet
                ticket = self._untimed.popleft()
            picture = Picture(video=frame, rotation_deg=_clockwise_deg(frame))
            decoded.append(Decoded(ticket, picture, picture.size))
        return decoded


def _clockwise_deg(frame: av.VideoFrame) -> int:
    """Return the clockwise turn that makes a picture upright; the display matrix counts counter-clockwise."""
    return -round(frame.rotation / 90) * 90 % 360
