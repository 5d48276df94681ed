"""What both codecs share: pieces of RTP payloads become NAL units, and what the assembler must know about each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

MAX_NAL_BYTES = 8 << 20
"""More than the largest picture of level 6.2 at common rates; what grows beyond is dropped."""
MAX_SET_BYTES = 64 << 10
"""Larger parameter sets are not kept."""
_START_CODE = b"\0\0\1"
_HEADER_BYTES = 2
"""Of the longer header, that of H.265."""
_MOST_UNITS = 2048
"""Sent as one. Pictures have at most 600 slices (H.265 table A.8); looking at millions would take seconds."""
_MAX_SEI_BYTES = 4096
"""As far into a message unit as a recovery point is looked for."""
_RECOVERY_POINT = 6
"""payloadType of the recovery point message, in both codecs (H.264 D.1, H.265 D.2.1)."""


class MalformedPayload(ValueError):
    """A payload that does not follow its format."""


@dataclass(frozen=True, slots=True)
class Nal:
    """A NAL unit without its start code."""

    data: bytes
    """At least its header."""
    is_whole: bool = True
    """False: a unit whose fragments are not all there; `data` holds its beginning, or its header only."""


@dataclass(frozen=True, slots=True)
class NalFacts:
    """What one NAL unit means for the picture that it belongs to."""

    is_slice: bool = False
    starts_picture: bool = False
    """It is the first slice of its picture."""
    is_random_access: bool = False
    """A decoder can begin with this picture."""
    is_closed: bool = False
    """No later picture refers to anything before this one, whatever the order of presentation."""
    is_disposable: bool = False
    """No other picture refers to this one."""
    is_decodable_leading: bool = False
    """Presented before the random access picture that it follows, and decodable with it alone."""
    parameter_set: tuple[int, int] | None = None
    """(NAL type, id) of a parameter set."""


class Depacketizer(ABC):
    """Turns the payloads of consecutive RTP packets into NAL units, without start codes."""

    sets_needed: frozenset[int]
    """NAL types of the parameter sets without which nothing is decoded."""

    def __init__(self) -> None:
        self._fragments: bytearray | None = None

    @abstractmethod
    def nals(self, payload: bytes) -> list[Nal]:
        """Return the NAL units that this payload, never empty, completes, or shows to be incomplete.

        Raises:
            MalformedPayload: it breaks the format, or a unit grows beyond MAX_NAL_BYTES; call `drop` then.
        """

    @abstractmethod
    def is_known(self, nal: bytes) -> bool:
        """Whether a unit, at least its header, is one that the codec has; makers of cameras add units of their own."""

    @abstractmethod
    def facts(self, nal: bytes) -> NalFacts:
        """Return what a unit of the stream, at least its header, means; units come in the order of the stream."""

    def finish(self) -> list[Nal]:
        """End a fragmented unit whose sender forgot to mark the last fragment; nothing may be missing."""
        fragments, self._fragments = self._fragments, None
        return [] if fragments is None else [Nal(bytes(fragments))]

    def drop(self) -> list[Nal]:
        """Give up a fragmented unit that is under way, since a packet of it may be missing; return what there is."""
        return [Nal(nal.data, is_whole=False) for nal in self.finish()]

    def _fragment(self, header: bytes, data: bytes, *, starts: bool, ends: bool) -> list[Nal]:
        """Take one fragment; return the units that it completes, or belongs to without their beginning."""
        done = self.finish() if starts else []
        if starts:
            self._fragments = bytearray(header)
        if self._fragments is None:
            return [Nal(header, is_whole=False)]
        if len(self._fragments) + len(data) > MAX_NAL_BYTES:
            raise MalformedPayload("fragmented unit too large")
        self._fragments += data
        return done + self.finish() if ends else done


def units_in(nal: Nal) -> list[Nal]:
    """Return the units in what was sent as one; some cameras send several with the start codes of a byte stream.

    Within a unit there can be no start code (H.264 7.4.1, H.265 7.4.2), and none ends with a zero. What holds more
    units than any picture has is one that is not whole.
    """
    if _START_CODE not in nal.data:
        return [nal]
    cut = nal.data.split(_START_CODE, _MOST_UNITS)
    parts = [part.rstrip(b"\0") for part in cut[:_MOST_UNITS]]
    if len(cut) > _MOST_UNITS:
        return [Nal(next((part for part in parts if part), nal.data)[:_HEADER_BYTES], is_whole=False)]
    return [Nal(part, is_whole=nal.is_whole) for part in parts if part]


def aggregated(data: bytes) -> Iterator[bytes]:
    """Yield units that each follow their 16-bit length.

    Raises:
        MalformedPayload: a length is zero or points beyond the end.
    """
    position = 0
    while position < len(data):
        length = int.from_bytes(data[position : position + 2])
        unit = data[position + 2 : position + 2 + length]
        if not length or len(unit) < length:
            raise MalformedPayload("aggregated unit cut off")
        yield unit
        position += 2 + length


def without_emulation_prevention(data: bytes) -> bytes:
    """Return the bytes that the syntax elements lie in (H.264 7.4.1, H.265 7.4.2)."""
    return data.replace(b"\x00\x00\x03", b"\x00\x00")


def has_recovery_point(messages: bytes) -> bool:
    """Whether one of the messages of an SEI unit, behind its header, is a recovery point."""
    data = without_emulation_prevention(messages[:_MAX_SEI_BYTES])
    position = 0
    while position + 2 <= len(data):
        kind, position = _sum_of_bytes(data, position)
        size, position = _sum_of_bytes(data, position)
        if kind == _RECOVERY_POINT and size:
            return True
        position += size
    return False


def _sum_of_bytes(data: bytes, position: int) -> tuple[int, int]:
    """Return a number written as bytes of 255 and a last one below, and the position behind it."""
    total = 0
    while position < len(data) and data[position] == 0xFF:
        total += 0xFF
        position += 1
    return total + (data[position] if position < len(data) else 0), position + 1


def exp_golomb(data: bytes, bit: int) -> int | None:
    """Return the unsigned Exp-Golomb number that begins at a bit (H.264 9.1); None when it is cut off or absurd."""
    value = int.from_bytes(data[bit // 8 : bit // 8 + 9]) & ((1 << (72 - bit % 8)) - 1)
    available = 8 * len(data[bit // 8 : bit // 8 + 9]) - bit % 8
    zeros = available - value.bit_length()
    if not value or zeros > 31 or available < 2 * zeros + 1:
        return None
    return (value >> (available - 2 * zeros - 1)) - 1
