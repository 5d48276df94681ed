"""H.265 payloads to NAL units, and what each unit means."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.capture.rtsp.h265 import H265Depacketizer
from stages.capture.rtsp.nal import MAX_NAL_BYTES, MalformedPayload, Nal

START, END = 0x80, 0x40


def nal(kind: int, data: bytes = b"", *, sub_layer: int = 0, layer: int = 0) -> bytes:
    return bytes([kind << 1 | layer >> 5, (layer & 31) << 3 | sub_layer + 1]) + data


def fu(kind: int, data: bytes, flags: int = 0) -> bytes:
    return nal(49) + bytes([flags | kind]) + data


def bits(text: str) -> bytes:
    """Return bytes from binary digits, filled with zeros."""
    digits = text.replace(" ", "")
    digits += "0" * (-len(digits) % 8)
    return int(digits, 2).to_bytes(len(digits) // 8)


@pytest.fixture
def depacketizer() -> H265Depacketizer:
    return H265Depacketizer()


def test_a_single_unit(depacketizer: H265Depacketizer) -> None:
    """A payload of types below 48 is the unit."""
    assert depacketizer.nals(nal(19, b"abc")) == [Nal(nal(19, b"abc"))]


def test_an_aggregate(depacketizer: H265Depacketizer) -> None:
    """AP holds units behind their lengths."""
    payload = nal(48) + b"\x00\x03" + nal(32, b"v") + b"\x00\x04" + nal(33, b"sp")
    assert depacketizer.nals(payload) == [Nal(nal(32, b"v")), Nal(nal(33, b"sp"))]


def test_fragments(depacketizer: H265Depacketizer) -> None:
    """FU gives nothing before the last fragment; the payload's layers and the fragment's type make the header."""
    assert depacketizer.nals(fu(19, b"ab", START)) == []
    assert depacketizer.nals(fu(19, b"cd")) == []
    assert depacketizer.nals(fu(19, b"e", END)) == [Nal(nal(19, b"abcde"))]


def test_a_forgotten_end(depacketizer: H265Depacketizer) -> None:
    """With no packet missing, whatever begins next ends a fragmented unit whose sender did not."""
    depacketizer.nals(fu(19, b"ab", START))
    assert depacketizer.nals(nal(33, b"s")) == [Nal(nal(19, b"ab")), Nal(nal(33, b"s"))]


def test_drop_tells_what_was_begun(depacketizer: H265Depacketizer) -> None:
    """After a loss the unit is given back as incomplete, and its later fragments are as well."""
    depacketizer.nals(fu(1, b"\x80b", START))
    assert depacketizer.drop() == [Nal(nal(1, b"\x80b"), is_whole=False)]
    assert depacketizer.nals(fu(1, b"ef", END)) == [Nal(nal(1), is_whole=False)]


@pytest.mark.parametrize(
    "payload",
    [
        b"\x26",  # half a header
        b"\x62",
        nal(48) + b"\x00",
        nal(48) + b"\x00\x00",
        nal(48) + b"\x00\x01\x26",  # a unit of half a header
        nal(48) + b"\x00\x09" + nal(1, b"ab"),
        nal(49, b"\x93"),  # a fragment without data
        b"\xa6\x01abc",  # the forbidden bit
    ],
)
def test_malformed_payloads(depacketizer: H265Depacketizer, payload: bytes) -> None:
    """What breaks the format is refused."""
    with pytest.raises(MalformedPayload):
        depacketizer.nals(payload)


def test_an_endless_unit_is_refused(depacketizer: H265Depacketizer) -> None:
    """A unit that grows too large is given up."""
    piece = bytes(60_000)
    depacketizer.nals(fu(19, piece, START))
    for _ in range(MAX_NAL_BYTES // len(piece) - 1):
        depacketizer.nals(fu(19, piece))
    with pytest.raises(MalformedPayload, match="large"):
        depacketizer.nals(fu(19, piece))
    (given_up,) = depacketizer.drop()
    assert not given_up.is_whole
    assert len(given_up.data) <= MAX_NAL_BYTES


@given(payloads=st.lists(st.binary(min_size=1, max_size=40), max_size=12))
def test_any_payloads(payloads: list[bytes]) -> None:
    """Any bytes give units with a header whose meaning can be told, or are refused."""
    depacketizer = H265Depacketizer()
    for payload in payloads:
        try:
            nals = depacketizer.nals(payload)
        except MalformedPayload:
            nals = depacketizer.drop()
        for one in nals:
            assert len(one.data) >= 2
            depacketizer.facts(one.data)


@pytest.mark.parametrize(
    ("kind", "is_random_access", "is_closed", "is_disposable", "is_decodable_leading"),
    [
        (0, False, False, True, False),  # TRAIL_N
        (1, False, False, False, False),  # TRAIL_R
        (6, False, False, True, True),  # RADL_N
        (7, False, False, False, True),  # RADL_R
        (8, False, False, True, False),  # RASL_N
        (9, False, False, False, False),  # RASL_R
        (16, True, False, False, False),  # BLA_W_LP
        (19, True, True, False, False),  # IDR_W_RADL
        (20, True, True, False, False),  # IDR_N_LP
        (21, True, False, False, False),  # CRA
    ],
)
def test_facts_of_slices(
    depacketizer: H265Depacketizer,
    kind: int,
    *,
    is_random_access: bool,
    is_closed: bool,
    is_disposable: bool,
    is_decodable_leading: bool,
) -> None:
    """The type of a slice says where decoding can begin and which pictures nobody refers to."""
    facts = depacketizer.facts(nal(kind, b"\x80"))
    assert facts.is_slice
    assert facts.starts_picture
    assert facts.is_random_access == is_random_access
    assert facts.is_closed == is_closed
    assert facts.is_disposable == is_disposable
    assert facts.is_decodable_leading == is_decodable_leading


def test_later_slices_and_bare_headers_start_no_picture(depacketizer: H265Depacketizer) -> None:
    """Only the first slice segment starts a picture."""
    assert not depacketizer.facts(nal(1, b"\x7f")).starts_picture
    assert not depacketizer.facts(nal(1)).starts_picture


def test_lower_sub_layers_may_be_referred_to(depacketizer: H265Depacketizer) -> None:
    """Once a higher temporal sub-layer was seen, an unreferred picture of a lower one may be needed there."""
    assert depacketizer.facts(nal(0, b"\x80")).is_disposable
    assert depacketizer.facts(nal(0, b"\x80", sub_layer=1)).is_disposable
    assert not depacketizer.facts(nal(0, b"\x80")).is_disposable


@pytest.mark.parametrize("layer", [1, 32])
def test_other_layers_are_no_slices(depacketizer: H265Depacketizer, layer: int) -> None:
    """Units of enhancement layers say nothing about the picture."""
    assert not depacketizer.facts(nal(1, b"\x80", layer=layer)).is_slice


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        (nal(32, b"\x3c"), (32, 3)),
        (nal(34, bits("00101")), (34, 4)),
        # video set 0, no further sub-layers, nesting; profile and level of 96 bits; id 0
        (nal(33, bits("0000 000 1" + "1" * 96 + "1")), (33, 0)),
        # two further sub-layers: the first with profile and level, the second with its level only; id 1
        (nal(33, bits("0000 010 1" + "1" * 96 + "11 01" + "0" * 12 + "1" * 96 + "1" * 8 + "010")), (33, 1)),
        (nal(33, bits("0000 000 1" + "1" * 96)), None),
        (nal(33), None),
        (nal(32), None),
    ],
)
def test_ids_of_parameter_sets(depacketizer: H265Depacketizer, unit: bytes, expected: tuple[int, int] | None) -> None:
    """Sets are told apart by their id, wherever their profiles let it stand; one without is none."""
    assert depacketizer.facts(unit).parameter_set == expected


def test_recovery_points(depacketizer: H265Depacketizer) -> None:
    """Decoding can begin at a picture with a recovery point message before it, but not with one behind it."""
    assert depacketizer.facts(nal(39, b"\x06\x01\xd0\x80")).is_random_access
    assert not depacketizer.facts(nal(40, b"\x06\x01\xd0\x80")).is_random_access


def test_facts_of_an_encoded_stream(depacketizer: H265Depacketizer, encode: Any) -> None:
    """Of an encoder's stream each picture starts once, and the key pictures are those that the encoder names."""
    video = encode("hevc", slices=3, bframes=2)
    for nals, key in zip(video.units, video.keys, strict=True):
        facts = [depacketizer.facts(unit) for unit in nals]
        assert [fact.starts_picture for fact in facts if fact.is_slice] == [True, False, False]
        assert any(fact.is_random_access for fact in facts) == key
    assert [depacketizer.facts(unit).parameter_set for unit in video.sets] == [(32, 0), (33, 0), (34, 0)]


@pytest.mark.parametrize("payload", [nal(50, b"abc"), nal(63, b"abc"), b"\x26\x00abc"])
def test_units_that_the_codec_does_not_have_are_no_damage(depacketizer: H265Depacketizer, payload: bytes) -> None:
    """Makers add units of their own; they are told from pictures, and break nothing."""
    assert [depacketizer.is_known(unit.data) for unit in depacketizer.nals(payload)] == [False]
