"""Decodes packets with FFmpeg's own decoders."""

from __future__ import annotations

import logging
import math
import struct
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, cast

import av
from av.codec.context import Flags
from pydantic import Field

from pipeline.errors import Undecodable
from pipeline.frame import Mode
from pipeline.stage import Decoded, Decoder, OpenContext, Options
from stages.decode.exif import MIRRORED, TURN_DEG, orientation_in
from stages.payloads import MAX_PIXELS, Packet, Picture

if TYPE_CHECKING:
    from typing_extensions import Buffer

log = logging.getLogger("framepace.decode")

_EXIF_WITHIN = 1 << 16
"""An Exif block lies at the beginning, and is no longer than this."""
_MAX_REORDER = 16
"""H.264 and H.265 hold back at most 16 pictures (ITU-T H.264 A.3.1)."""
_REFUSED = "more than max_pixels of the source allows ({}), or none at all"
_JUMP_S = 1
"""Stamps that go back by more are a new time line, not reordering."""


@dataclass(frozen=True, slots=True, eq=False)
class _Tag:
    """Travels through the codec with a packet.

    Each packet needs an object of its own: PyAV finds it again by its address, and forgets that address when one packet
    with it is gone. Small integers share theirs all over the process.
    """

    ticket: int
    is_timed: bool
    """Whether the time stamps tell where its picture is presented; else it takes the first ticket that waits."""
    exif: int | None
    """The orientation that the packet states, if it is a JPEG."""


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

    Tickets travel through the codec with the packet. Where time stamps do not tell the order of presentation, since
    there are none or they are those of decoding, tickets are handed out in the order in which pictures come.

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
        self._ahead = 0
        self._order = _StampOrder()
        self._orientation = _Orientation()
        self._has_refused = False
        self._max_pixels: str | None = None
        self._is_refused = False

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
        if self._is_refused:
            raise Undecodable(_REFUSED.format(self._max_pixels))
        for needed in payload.preroll:
            needed.opaque = None
            try:
                pictures += self._tagged(codec.decode(needed))
            except av.error.FFmpegError as error:
                log.debug("a packet that does not count is broken: %s", error.strerror)
        packet = payload.data
        timed = self._order.is_told_by(packet, codec)
        exif = orientation_in(bytes(memoryview(packet)[:_EXIF_WITHIN])) if codec.name == "mjpeg" else None
        packet.opaque = _Tag(ticket, timed, exif)
        if not timed:
            self._untimed.append(ticket)
        try:
            pictures += self._tagged(codec.decode(packet))
        except av.error.FFmpegError as error:
            if not timed:
                self._untimed.pop()
            if not pictures:
                raise Undecodable(self._why(error, codec)) from error
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
        self._max_pixels = codec.options.get(MAX_PIXELS)
        self._is_refused = False
        self._generation = packet.generation
        self._order = _StampOrder()

    def _tagged(self, frames: Iterable[av.VideoFrame]) -> list[Decoded]:
        """Return the pictures that belong to a ticket; those of preroll packets carry none and are thrown away."""
        decoded = []
        for frame in frames:
            tag = frame.opaque
            if not isinstance(tag, _Tag):
                continue
            ticket = tag.ticket if tag.is_timed else self._next_untimed(tag.ticket)
            if ticket is None:
                continue  # a second picture from one packet
            rotation_deg, mirrored = self._orientation.of(frame, tag.exif)
            picture = Picture(video=frame, rotation_deg=rotation_deg, mirrored=mirrored)
            decoded.append(Decoded(ticket, picture, picture.size))
        return decoded

    def _why(self, error: av.error.FFmpegError, codec: av.VideoCodecContext) -> str:
        """Return why a packet gave no picture; some codecs forget the size of one that is refused for it."""
        size = codec.width * codec.height
        is_forgotten = not size and isinstance(error, av.error.ArgumentError)
        if self._max_pixels is None or not (is_forgotten or size > int(self._max_pixels)):
            return error.strerror or str(error)
        # One that was refused when it was to be opened is not tried again: it has lost its options, and its bound.
        self._is_refused = not codec.is_open
        why = _REFUSED.format(self._max_pixels)
        if not self._has_refused:
            self._has_refused = True
            log.warning("the size of the pictures is refused: %s", why)
        return why

    def _next_untimed(self, own: int) -> int | None:
        """Return the ticket whose turn it is, now that the packet of another one has become a picture."""
        if not self._untimed:
            return None
        ticket = self._untimed.popleft()
        # Reordering takes turns; what stays ahead waits for a picture that the decoder has silently left out.
        self._ahead = self._ahead + 1 if own > ticket else 0
        if self._ahead > _MAX_REORDER and self._untimed:
            self._ahead = 0
            ticket = self._untimed.popleft()
        return ticket


class _StampOrder:
    """Finds out whether the time stamps of packets tell in which order their pictures are presented.

    Where a codec reorders, times of presentation go back and forth from packet to packet. As long as they only grow,
    they are those of decoding: some containers store no others, and some writers leave the others out.
    """

    def __init__(self) -> None:
        self._latest: Fraction | None = None
        self._goes_back = False

    def is_told_by(self, packet: av.Packet[av.VideoStream], codec: av.VideoCodecContext) -> bool:
        """Whether it is told by the stamps of the packets up to this one."""
        ticks = packet.dts if packet.pts is None else packet.pts
        if ticks is None:
            return False
        at = ticks * packet.time_base
        if self._latest is not None and 0 < self._latest - at < _JUMP_S:
            self._goes_back = True
        self._latest = at
        return self._goes_back or not codec.has_b_frames


class _Orientation:
    """Which way up the pictures of one decoder are.

    The display matrix is read from the first picture, and again when its angle changes: PyAV's view of what lies beside
    a picture holds on to the picture in a circle, which only the garbage collector would undo.
    """

    def __init__(self) -> None:
        self._angle: float | None = None
        self._read = (0, False)

    def of(self, frame: av.VideoFrame, exif: int | None) -> tuple[int, bool]:
        """Return the clockwise turn that makes it upright, and whether left and right are exchanged before it.

        Args:
            frame: the decoder's picture.
            exif: what its packet says of its orientation; None: nothing.
        """
        if exif is not None:
            return TURN_DEG[exif], exif in MIRRORED
        if frame.rotation != self._angle:
            self._angle = frame.rotation
            self._read = _of_display_matrix(frame)
        return self._read


def _of_display_matrix(frame: av.VideoFrame) -> tuple[int, bool]:
    """Return turn and mirroring as the display matrix tells them.

    Its upper left four numbers say where the axes of the stored picture go: (a, b) the one to the right, (c, d) the one
    downwards. Where they change sides, the picture is mirrored.
    """
    try:
        matrix = cast("Buffer | None", frame.side_data.get("DISPLAYMATRIX"))
    except ValueError:  # PyAV does not know all that FFmpeg puts beside a picture; the angle it finds all the same
        return -round(frame.rotation / 90) * 90 % 360, False
    if matrix is None:
        return 0, False
    a, b, _, c, d = struct.unpack_from("=5i", matrix)
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    return round(math.degrees(math.atan2(b, a)) / 90) * 90 % 360, mirrored
