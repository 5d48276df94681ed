"""What travels between the program and the process that reads a camera for it: messages of a header and a body.

A header is numbers of fixed size, a body is a packet's bytes or JSON. Nothing that a camera sends becomes anything but
bytes, numbers and strings.

The process that reads loads this module while a camera waits: it imports little.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from fractions import Fraction
from typing import Any, TypeAlias, TypeVar

import av

Json: TypeAlias = dict[str, Any]
T = TypeVar("T")

MAX_PACKET = 64 << 20
"""Bytes; 8192 x 4320 pixels of 12 bits, the largest raw picture that a camera may give, are 51 MiB."""
MAX_JSON = 1 << 20
"""Bytes; the largest thing that is described is a decoder's parameter sets, which are some 100 bytes mostly."""

_HEADER = struct.Struct("<BBxxIqqqii")
HEADER_SIZE = _HEADER.size

_CODEC_NUMBERS = (
    "width",
    "height",
    "bits_per_coded_sample",
    "level",
    "field_order",
    "color_range",
    "color_primaries",
    "color_trc",
    "colorspace",
    "reorder_depth",
)
_CODEC_NAMES = ("pix_fmt", "profile", "codec_tag")
_CODEC_RATIOS = ("framerate", "sample_aspect_ratio")


class Garbled(Exception):
    """What came is no message."""

    def __init__(self) -> None:
        super().__init__("the process that reads it said something that nobody understands")


class Kind(IntEnum):
    """What a message says; all but the first come from the process that reads."""

    REQUEST = 1
    """JSON: what to open, and how."""
    READY = 2
    """The process is there and begins to open."""
    OPENED = 3
    """JSON: what was opened."""
    PACKET = 4
    """A packet; the only kind whose header says more than its kind and size."""
    LOST = 5
    """JSON: why nothing comes, or nothing more. The last message."""


class Flag(IntFlag):
    """What is true of a packet."""

    NONE = 0
    HAS_PTS = 1
    HAS_DTS = 2
    KEYFRAME = 4
    CORRUPT = 8


@dataclass(frozen=True, slots=True)
class Header:
    """What goes before a body."""

    kind: Kind
    size: int
    """Bytes of the body."""
    flags: Flag = Flag.NONE
    pts: int = 0
    dts: int = 0
    arrival_ns: int = 0
    """When the packet was read, by the machine's monotonic clock, which its processes share."""
    time_base: Fraction = Fraction(1)

    def pack(self) -> bytes:
        """Return the header's bytes."""
        base = self.time_base
        return _HEADER.pack(
            self.kind, self.flags, self.size, self.pts, self.dts, self.arrival_ns, base.numerator, base.denominator
        )

    @classmethod
    def unpack(cls, data: bytes | bytearray) -> Header:
        """Read a header.

        Raises:
            Garbled: this is none, or says that more follows than may.
        """
        number, flags, size, pts, dts, arrival_ns, numerator, denominator = _HEADER.unpack(data)
        if number not in list(Kind) or min(numerator, denominator) <= 0:
            raise Garbled
        kind = Kind(number)
        if size > (MAX_PACKET if kind is Kind.PACKET else MAX_JSON):
            raise Garbled
        return cls(kind, size, Flag(flags), pts, dts, arrival_ns, Fraction(numerator, denominator))


def write(fd: int, header: Header, body: bytes | memoryview = b"") -> None:
    """Write a whole message; a pipe that is full blocks, unless it is set not to.

    Raises:
        BrokenPipeError: nobody reads any more.
        BlockingIOError: it may not block, and is full.
    """
    parts = [memoryview(header.pack()), memoryview(body).cast("B")]
    while parts:
        written = os.writev(fd, parts)
        while parts and written >= len(parts[0]):
            written -= len(parts.pop(0))
        if parts:
            parts[0] = parts[0][written:]


def write_json(fd: int, kind: Kind, content: Json) -> None:
    """Write a message whose body is JSON.

    Raises:
        ValueError: it is longer than may be.
        BrokenPipeError, BlockingIOError: as of `write`.
    """
    body = json.dumps(content).encode()
    if len(body) > MAX_JSON:
        raise ValueError(f"describes itself in more than {MAX_JSON >> 20} MiB")
    write(fd, Header(kind, len(body)), body)


def understood(body: bytes, make: Callable[[Json], T]) -> T:
    """Return what `make` makes of a body that should be JSON.

    Raises:
        Garbled: nothing can be made of it.
    """
    try:
        return make(json.loads(body))
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise Garbled from error


def describe_codec(codec: av.VideoCodecContext) -> Json:
    """Return all that it takes to make a decoder like this one, which is not open yet, as JSON."""
    described: Json = {"name": codec.name, "extradata": (codec.extradata or b"").hex()}
    for name in _CODEC_NUMBERS:
        described[name] = int(getattr(codec, name))
    for name in _CODEC_NAMES:
        try:
            described[name] = getattr(codec, name)
        except UnicodeDecodeError:  # PyAV takes a codec tag for ASCII; the decoders that read it have such tags
            described[name] = None
    for name in _CODEC_RATIOS:
        ratio = getattr(codec, name)
        described[name] = None if ratio is None else [ratio.numerator, ratio.denominator]
    return described


def make_codec(described: Json) -> av.VideoCodecContext:
    """Return a decoder like the one that was described, not open yet.

    Raises:
        ArithmeticError, AttributeError, LookupError, TypeError, ValueError: this describes none.
    """
    name: str = described["name"]
    codec = av.CodecContext.create(name, "r")
    if not isinstance(codec, av.VideoCodecContext):
        raise TypeError(f"{name} is no video codec")
    codec.extradata = bytes.fromhex(described["extradata"]) or None
    for field in _CODEC_NUMBERS + _CODEC_NAMES:
        if described[field] is not None:
            setattr(codec, field, described[field])
    for field in _CODEC_RATIOS:
        if described[field] is not None:
            setattr(codec, field, Fraction(*described[field]))
    return codec
