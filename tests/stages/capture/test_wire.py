"""The messages between the program and the process that reads a camera for it."""

from __future__ import annotations

import io
import json
import os
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.capture import wire
from stages.capture.wire import Flag, Garbled, Header, Kind

int32 = st.integers(1, 2**31 - 1)
int64 = st.integers(-(2**63), 2**63 - 1)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)

DESCRIBED = wire.describe_codec(av.CodecContext.create("h264", "r"))
"""A decoder that nothing is known about."""


@given(
    size=st.integers(0, wire.MAX_PACKET),
    flags=st.integers(0, 15).map(Flag),
    times=st.tuples(int64, int64, int64),
    ratio=st.tuples(int32, int32),
)
def test_a_header_comes_out_as_it_went_in(
    size: int, flags: Flag, times: tuple[int, int, int], ratio: tuple[int, int]
) -> None:
    """Sizes, stamps of any sign, flags and time bases survive."""
    header = Header(Kind.PACKET, size, flags, *times, Fraction(*ratio))
    assert Header.unpack(header.pack()) == header


@given(number=st.integers(0, 7), noise=st.binary(min_size=wire.HEADER_SIZE - 1, max_size=wire.HEADER_SIZE - 1))
def test_garbage_is_no_header(number: int, noise: bytes) -> None:
    """Whatever the bytes, they are refused or promise no more than may come."""
    try:
        header = Header.unpack(bytes([number]) + noise)
    except Garbled:
        return
    assert header.kind == number
    assert header.size <= (wire.MAX_PACKET if header.kind is Kind.PACKET else wire.MAX_JSON)
    assert header.time_base > 0


@pytest.mark.parametrize("kind", Kind)
def test_a_body_has_a_largest_size(kind: Kind) -> None:
    """One byte more than may come is refused before anything is set aside for it."""
    largest = wire.MAX_PACKET if kind is Kind.PACKET else wire.MAX_JSON
    assert Header.unpack(Header(kind, largest).pack()).size == largest
    with pytest.raises(Garbled):
        Header.unpack(Header(kind, largest + 1).pack())


def test_a_message_is_written_whole(tmp_path: os.PathLike[str]) -> None:
    """Header and body follow each other, and numbers of any unit of the body's buffer are bytes."""
    with open(os.path.join(tmp_path, "messages"), "w+b", buffering=0) as file:
        wire.write(file.fileno(), Header(Kind.PACKET, 6), memoryview(np.array([1, 2, 3], np.uint16)))
        wire.write(file.fileno(), Header(Kind.READY, 0))
        wire.write_json(file.fileno(), Kind.OPENED, {"a": 1})
        file.seek(0)
        assert Header.unpack(file.read(wire.HEADER_SIZE)) == Header(Kind.PACKET, 6)
        assert file.read(6) == bytes([1, 0, 2, 0, 3, 0])
        assert Header.unpack(file.read(wire.HEADER_SIZE)) == Header(Kind.READY, 0)
        assert Header.unpack(file.read(wire.HEADER_SIZE)) == Header(Kind.OPENED, 8)
        assert json.loads(file.read()) == {"a": 1}


def test_a_description_has_a_largest_size() -> None:
    """What the other side would refuse is not written."""
    with pytest.raises(ValueError, match="describes itself in more than 1 MiB"):
        wire.write_json(-1, Kind.OPENED, {"codec": "x" * wire.MAX_JSON})


@given(st.binary(max_size=40) | json_values.map(lambda value: json.dumps(value).encode()))
def test_garbage_describes_nothing(body: bytes) -> None:
    """Bytes that are no JSON, or other JSON, are one kind of error."""
    with pytest.raises(Garbled):
        wire.understood(body, wire.make_codec)


@given(st.sampled_from(sorted(DESCRIBED)), json_values)
def test_a_decoder_with_an_odd_number_is_none(field: str, value: object) -> None:
    """Any value in the place of any other makes a decoder or one kind of error."""
    body = json.dumps({**DESCRIBED, field: value}).encode()
    try:
        assert isinstance(wire.understood(body, wire.make_codec), av.VideoCodecContext)
    except Garbled:
        assert value != DESCRIBED[field]


def test_deep_nesting_is_garbage() -> None:
    """JSON that would exhaust the stack is refused."""
    with pytest.raises(Garbled):
        wire.understood(b"[" * 100_000, wire.make_codec)


def test_only_video_is_decoded() -> None:
    """A description of a sound decoder is refused."""
    body = json.dumps({**DESCRIBED, "name": "aac"}).encode()
    with pytest.raises(Garbled):
        wire.understood(body, wire.make_codec)


@pytest.mark.parametrize(
    ("encoder", "pix_fmt", "container"),
    [
        ("libx264", "yuv422p10le", "mp4"),  # parameter sets beside the packets
        ("libx265", "yuv420p", "mpegts"),
        ("mjpeg", "yuvj422p", "mjpeg"),
        ("rawvideo", "yuyv422", "nut"),  # nothing but the description tells how the bytes lie
        ("libsvtav1", "yuv420p", "mp4"),
    ],
)
def test_a_decoder_is_made_as_described(encoder: str, pix_fmt: str, container: str) -> None:
    """The copy describes itself as the original did, and makes the same pictures of the same packets."""
    memory = io.BytesIO()
    with av.open(memory, "w", format=container) as output:
        stream = output.add_stream(encoder, rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, pix_fmt
        stream.codec_context.color_range = 2
        for number in range(6):
            shade = np.full((96, 128, 3), 40 * number, np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(shade, format="bgr24")))
        output.mux(stream.encode(None))
    memory.seek(0)
    with av.open(memory, format=container) as source:
        original = source.streams.video[0].codec_context
        described = json.loads(json.dumps(wire.describe_codec(original)))
        copy = wire.make_codec(described)
        assert wire.describe_codec(copy) == described
        packets = list(source.demux(video=0))
        wanted = [picture for packet in packets for picture in original.decode(packet)]
        got = [picture for packet in packets for picture in copy.decode(packet)]
    assert len(got) == len(wanted) == 6
    for one, other in zip(got, wanted, strict=True):
        assert (one.format.name, one.color_range, one.pts) == (other.format.name, other.color_range, other.pts)
        assert np.array_equal(one.to_ndarray(format="rgb24"), other.to_ndarray(format="rgb24"))
