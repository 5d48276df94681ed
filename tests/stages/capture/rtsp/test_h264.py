"""H.264 payloads to NAL units, and what each unit means."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.capture.rtsp.h264 import H264Depacketizer
from stages.capture.rtsp.nal import MAX_NAL_BYTES, MalformedPayload, Nal, units_in

SPS = bytes([0x67, 0x42, 0xC0, 0x1E, 0x95])  # id 0: the bit 1 after profile, constraints and level
PPS = bytes([0x68, 0xCE, 0x3C, 0x80])
START, END = 0x80, 0x40


@pytest.fixture
def depacketizer() -> H264Depacketizer:
    return H264Depacketizer()


def fu_a(kind: int, data: bytes, flags: int = 0) -> bytes:
    return bytes([0x7C, flags | kind]) + data


def test_a_single_unit(depacketizer: H264Depacketizer) -> None:
    """A payload of types 1 to 23 is the unit."""
    assert depacketizer.nals(SPS) == [Nal(SPS)]


def test_an_aggregate(depacketizer: H264Depacketizer) -> None:
    """STAP-A holds units behind their lengths."""
    payload = b"\x78" + b"\x00\x05" + SPS + b"\x00\x04" + PPS
    assert depacketizer.nals(payload) == [Nal(SPS), Nal(PPS)]


def test_fragments(depacketizer: H264Depacketizer) -> None:
    """FU-A gives nothing before the last fragment; importance and type make the header."""
    assert depacketizer.nals(fu_a(5, b"ab", START)) == []
    assert depacketizer.nals(fu_a(5, b"cd")) == []
    assert depacketizer.nals(fu_a(5, b"e", END)) == [Nal(b"\x65abcde")]


def test_a_unit_in_one_fragment(depacketizer: H264Depacketizer) -> None:
    """Start and end in one fragment, which the standard forbids and cameras do, is a unit."""
    assert depacketizer.nals(fu_a(5, b"ab", START | END)) == [Nal(b"\x65ab")]


@pytest.mark.parametrize("following", [SPS, fu_a(1, b"x", START | END)])
def test_a_forgotten_end(depacketizer: H264Depacketizer, following: bytes) -> None:
    """With no packet missing, whatever begins next ends a fragmented unit whose sender did not."""
    depacketizer.nals(fu_a(5, b"ab", START))
    assert depacketizer.nals(following)[0] == Nal(b"\x65ab")
    assert depacketizer.finish() == []


def test_finish_ends_a_unit(depacketizer: H264Depacketizer) -> None:
    """At the end of a picture a unit under way is over, once."""
    depacketizer.nals(fu_a(5, b"ab", START))
    assert depacketizer.finish() == [Nal(b"\x65ab")]
    assert depacketizer.finish() == []


def test_drop_tells_what_was_begun(depacketizer: H264Depacketizer) -> None:
    """After a loss the unit is given back as incomplete, and its later fragments are as well."""
    depacketizer.nals(fu_a(5, b"ab", START))
    assert depacketizer.drop() == [Nal(b"\x65ab", is_whole=False)]
    assert depacketizer.nals(fu_a(5, b"ef", END)) == [Nal(b"\x65", is_whole=False)]
    assert depacketizer.drop() == []


@pytest.mark.parametrize(
    "payload",
    [
        b"\x78\x00",  # half a length
        b"\x78\x00\x00",  # a unit of no bytes
        b"\x78\x00\x06" + SPS,  # a unit beyond the end
        b"\x7c",
        b"\x7c\x85",  # a fragment without data
        b"\xe5abc",  # the forbidden bit
    ],
)
def test_malformed_payloads(depacketizer: H264Depacketizer, payload: bytes) -> None:
    """What breaks the format, or needs the interleaved mode, is refused."""
    with pytest.raises(MalformedPayload):
        depacketizer.nals(payload)


def test_an_endless_unit_is_refused(depacketizer: H264Depacketizer) -> None:
    """A unit that grows too large is given up, and so is the rest of it."""
    piece = bytes(60_000)
    depacketizer.nals(fu_a(5, piece, START))
    for _ in range(MAX_NAL_BYTES // len(piece) - 1):
        depacketizer.nals(fu_a(5, piece))
    with pytest.raises(MalformedPayload, match="large"):
        depacketizer.nals(fu_a(5, piece))
    (given_up,) = depacketizer.drop()
    assert not given_up.is_whole
    assert len(given_up.data) <= MAX_NAL_BYTES
    assert depacketizer.nals(fu_a(5, piece, END)) == [Nal(b"\x65", is_whole=False)]


@given(payloads=st.lists(st.binary(min_size=1, max_size=40), max_size=12))
def test_any_payloads(payloads: list[bytes]) -> None:
    """Any bytes give units with a header whose meaning can be told, or are refused."""
    depacketizer = H264Depacketizer()
    for payload in payloads:
        try:
            nals = depacketizer.nals(payload)
        except MalformedPayload:
            nals = depacketizer.drop()
        for nal in nals:
            for unit in units_in(nal):
                assert not nal.data[0] & 0x80
                depacketizer.is_known(unit.data)
                depacketizer.facts(unit.data)


def test_facts_of_slices(depacketizer: H264Depacketizer) -> None:
    """The first slice, the key picture, and the picture that nobody refers to are told by the first two bytes."""
    idr = depacketizer.facts(b"\x65\x88")
    assert idr.is_slice
    assert idr.starts_picture
    assert idr.is_random_access
    assert idr.is_closed
    assert not idr.is_disposable
    second = depacketizer.facts(b"\x41\x40")
    assert second.is_slice
    assert not second.starts_picture
    assert not second.is_random_access
    assert not second.is_disposable
    assert depacketizer.facts(b"\x01\x88").is_disposable
    assert not depacketizer.facts(b"\x65").starts_picture
    assert not depacketizer.facts(b"\x09\xf0").is_slice


@pytest.mark.parametrize(
    ("nal", "expected"),
    [
        (SPS, (7, 0)),
        (PPS, (8, 0)),
        (SPS[:4] + b"\x40", (7, 1)),  # 010
        (b"\x68\x28", (8, 4)),  # 00101
        (SPS[:4] + b"\x00\x00\x03\x00\x80", None),  # cut off: 0 (24 times), 1, and no 24 bits behind
        (SPS[:4], None),
        (b"\x68", None),
    ],
)
def test_ids_of_parameter_sets(depacketizer: H264Depacketizer, nal: bytes, expected: tuple[int, int] | None) -> None:
    """Sets are told apart by their id; one without is none."""
    assert depacketizer.facts(nal).parameter_set == expected


@pytest.mark.parametrize(
    ("nal", "expected"),
    [
        (b"\x06\x06\x01\xc4\x80", True),
        (b"\x06\x05\x02ab\x06\x01\xc4\x80", True),  # behind another message
        (b"\x06\x05\xff\x01" + bytes([1] * 256) + b"\x06\x01\xc4\x80", True),  # behind a long one
        (b"\x06\x05\x04\x00\x00\x03\x00\x00\x06\x01\xc4\x80", True),  # whose bytes are escaped
        (b"\x06\x05\x06\x06\x01\xc4\x06\x01\xc4\x80", False),  # inside another one
        (b"\x06\xff\x06\x01\xc4\x80", False),  # type 261
        (b"\x06\x06\x00\x80", False),
        (b"\x06", False),
        (b"\x06" + b"\xff" * 5000, False),
    ],
)
def test_recovery_points(depacketizer: H264Depacketizer, nal: bytes, *, expected: bool) -> None:
    """Decoding can begin at a picture with a recovery point message, wherever that stands."""
    assert depacketizer.facts(nal).is_random_access == expected


def test_facts_of_an_encoded_stream(depacketizer: H264Depacketizer, encode: Any) -> None:
    """Of an encoder's stream each picture starts once, and the key pictures are those that the encoder names."""
    video = encode("h264", slices=3, bframes=2)
    for nals, key in zip(video.units, video.keys, strict=True):
        facts = [depacketizer.facts(nal) for nal in nals]
        assert [fact.starts_picture for fact in facts if fact.is_slice] == [True, False, False]
        assert any(fact.is_random_access for fact in facts) == key
    assert [depacketizer.facts(nal).parameter_set for nal in video.sets] == [(7, 0), (8, 0)]


@pytest.mark.parametrize(
    ("payload", "known"),
    [(b"\x00abc", False), (b"\x1fabc", False), (b"\x79\x00\x00", False), (b"\x65abc", True), (b"\x01abc", True)],
)
def test_units_that_the_codec_does_not_have_are_no_damage(
    depacketizer: H264Depacketizer,
    payload: bytes,
    known: bool,  # noqa: FBT001  # a case
) -> None:
    """Makers add units of their own; they are told from pictures, and break nothing."""
    assert [depacketizer.is_known(nal.data) for nal in depacketizer.nals(payload)] == [known]


def test_units_with_start_codes_between_them_are_taken_apart() -> None:
    """Some cameras send a piece of a byte stream as one unit."""
    stream = b"\0\0\1" + SPS + b"\0\0\0\1\x68ab\0\0\1\x65\x88c"
    assert [unit.data for unit in units_in(Nal(stream))] == [SPS, b"\x68ab", b"\x65\x88c"]
    assert [unit.data for unit in units_in(Nal(SPS))] == [SPS]


def test_millions_of_units_in_one_are_no_picture() -> None:
    """They are not looked at: that would take seconds, and a picture has a few hundred slices at most."""
    (unit,) = units_in(Nal(b"\x65\x88" + b"\0\0\1" * 2_000_000))
    assert (unit.data, unit.is_whole) == (b"\x65\x88", False)
    (unit,) = units_in(Nal(b"\0\0\1" * 3000 + b"\x65\x88"))
    assert not unit.is_whole
    (unit,) = units_in(Nal(b"\0\0\0\1" + b"\x65\x88c\0\0\1" * 3000))
    assert (unit.data, unit.is_whole) == (b"\x65\x88", False)
    assert len(units_in(Nal(b"\0\0\1".join([b"\x65\x88c"] * 600)))) == 600
