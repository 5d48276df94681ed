"""A clip whose pictures are numbered in their pixels, and its RTP packets."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import av
import numpy as np
from picture_number import write_number

CLOCK_RATE = 90_000


@dataclass(frozen=True)
class Clip:
    """An encoded clip without B-frames."""

    codec: str
    """h264 or hevc."""
    width: int
    height: int
    fps: int
    pictures: tuple[tuple[bytes, ...], ...]
    """NAL units of each picture, without start codes."""
    sets: tuple[bytes, ...]
    """The parameter sets."""


@cache
def numbered_clip(
    codec: str = "h264", *, width: int = 320, height: int = 240, fps: int = 30, pictures: int = 60, gop: int = 15
) -> Clip:
    """Encode a moving picture in real time's manner: one reference, no reordering.

    Args:
        codec: h264 or hevc.
        width: pixels, a multiple of 16.
        height: pixels, a multiple of 16.
        fps: frames per second.
        pictures: how many; 4096 at most.
        gop: from one key picture to the next.
    """
    encoder = av.CodecContext.create({"h264": "libx264", "hevc": "libx265"}[codec], "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, fps), Fraction(fps)
    params = f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes=0"
    if codec == "h264":
        encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "28", "x264-params": params}
    else:
        params += ":log-level=none:pools=1:frame-threads=1:crf=30:repeat-headers=1"
        encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "x265-params": params}
    packets = []
    for number in range(pictures):
        frame = av.VideoFrame.from_ndarray(_picture(number, width, height), format="gray").reformat(format="yuv420p")
        frame.pts = number
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    units = tuple(tuple(_nals(bytes(packet))) for packet in packets)
    kinds = (7, 8) if codec == "h264" else (32, 33, 34)
    sets = tuple(nal for nal in units[0] if kind_of(nal, codec) in kinds)
    return Clip(codec, width, height, fps, units, sets)


def clip_from_file(path: str) -> Clip:
    """Return the pictures of a recorded H.264 or H.265 clip without B-frames."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        codec = stream.codec_context.name
        annexb = av.BitStreamFilterContext(f"{codec}_mp4toannexb", stream)
        pictures = []
        for packet in container.demux(stream):
            if packet.size:
                pictures += [tuple(_nals(bytes(filtered))) for filtered in annexb.filter(packet)]
        width, height, fps = stream.width, stream.height, round(stream.average_rate)
    kinds = (7, 8) if codec == "h264" else (32, 33, 34)
    sets = tuple(nal for nal in pictures[0] if kind_of(nal, codec) in kinds)
    return Clip(codec, width, height, fps, tuple(pictures), sets)


def kind_of(nal: bytes, codec: str) -> int:
    """Return the NAL unit type."""
    return nal[0] & 31 if codec == "h264" else nal[0] >> 1 & 63


def payloads(nals: Sequence[bytes], codec: str, mtu: int, *, aggregates: bool = False) -> list[bytes]:
    """Return NAL units as RTP payloads of at most `mtu` bytes (RFC 6184, RFC 7798).

    Args:
        nals: of one picture.
        codec: h264 or hevc.
        mtu: bytes; what is larger goes in fragments.
        aggregates: whether neighbours that fit in one payload share it.
    """
    groups: list[list[bytes]] = []
    size = 0
    for nal in nals:
        size += 2 + len(nal)
        if not groups or not aggregates or size > mtu:
            groups.append([])
            size = 2 + len(nal) + 2  # the head of an aggregate has two bytes at most
        groups[-1].append(nal)
    content: list[bytes] = []
    for group in groups:
        if len(group) > 1:
            content.append(_aggregate(group, codec))
        else:
            content += group if len(group[0]) <= mtu else _fragments(group[0], codec, mtu)
    return content


def rtp_packet(payload: bytes, *, sequence: int, timestamp: int, ssrc: int, marker: bool) -> bytes:
    """Return an RTP packet of payload type 96."""
    second = 96 | (0x80 if marker else 0)
    return struct.pack(">BBHII", 0x80, second, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc) + payload


def sender_report(ssrc: int, *, unix_ns: int, timestamp: int, packets: int, octets: int) -> bytes:
    """Return an RTCP sender report (RFC 3550 section 6.4.1)."""
    seconds, rest = divmod(unix_ns, 1_000_000_000)
    ntp = (seconds + 2_208_988_800 & 0xFFFFFFFF) << 32 | (rest << 32) // 1_000_000_000
    return struct.pack(">BBHIQIII", 0x80, 200, 6, ssrc, ntp, timestamp & 0xFFFFFFFF, packets, octets & 0xFFFFFFFF)


def _picture(number: int, width: int, height: int) -> np.ndarray:
    """Return a grey picture: a texture that moves, and the number in squares at the top."""
    rows, columns = np.ogrid[:height, :width]
    wave = np.sin((columns + 3 * number) / 9.0) * np.cos((rows - 2 * number) / 13.0)
    noise = np.random.default_rng(5).integers(-24, 24, (height, width))
    pixels = (128 + 60 * wave + np.roll(noise, 2 * number, axis=1)).clip(0, 255).astype(np.uint8)
    write_number(pixels, number)
    return pixels


def _nals(annexb: bytes) -> Iterator[bytes]:
    for piece in annexb.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1"):
        if piece:
            yield piece


def _aggregate(nals: Sequence[bytes], codec: str) -> bytes:
    """Return a STAP-A (RFC 6184 section 5.7.1) or an AP (RFC 7798 section 4.4.2)."""
    if codec == "h264":
        head = bytes([max(nal[0] & 0x60 for nal in nals) | 24])
    else:
        head = bytes([48 << 1, min(nal[1] & 7 for nal in nals)])
    return head + b"".join(struct.pack(">H", len(nal)) + nal for nal in nals)


def _fragments(nal: bytes, codec: str, mtu: int) -> Iterator[bytes]:
    kind = kind_of(nal, codec)
    if codec == "h264":
        head, skip = bytes([nal[0] & 0xE0 | 28]), 1
    else:
        head, skip = bytes([nal[0] & 0x81 | 49 << 1, nal[1]]), 2
    room = mtu - len(head) - 1
    for start in range(skip, len(nal), room):
        flags = (0x80 if start == skip else 0) | (0x40 if start + room >= len(nal) else 0)
        yield head + bytes([flags | kind]) + nal[start : start + room]
