"""RTP packets to access units: what comes out, when, and what counts as damaged."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.clock import NS_PER_MS
from stages.capture.rtsp.assembler import Assembler
from stages.capture.rtsp.units import AccessUnit

PERIOD_NS = 33 * NS_PER_MS
TICKS = 3000
CODECS = pytest.mark.parametrize("codec", ["h264", "hevc"])
SHAPES = pytest.mark.parametrize(
    "shape",
    [
        {},
        {"slices": 3},
        {"bframes": 2},
        {"bframes": 3, "slices": 2, "open_gop": True},
    ],
    ids=["plain", "slices", "bframes", "open_gop"],
)
SLOW_SETUP = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


def push_all(assembler: Assembler, packets: Sequence[bytes], *, step_ns: int = 0) -> list[AccessUnit]:
    """Push packets, each `step_ns` after the one before; return what came out."""
    units: list[AccessUnit] = []
    for number, packet in enumerate(packets):
        units += assembler.push(packet, number * step_ns)
    return units


def flat(pictures: Sequence[Sequence[bytes]]) -> list[bytes]:
    return [packet for picture in pictures for packet in picture]


def is_disposable(codec: str, nals: Sequence[bytes]) -> bool:
    """Whether no picture refers to this one, by its last slice's header."""
    return not nals[-1][0] & 0x60 if codec == "h264" else nals[-1][0] >> 1 in (0, 8)


@CODECS
@SHAPES
@pytest.mark.parametrize("mtu", [17, 333, 1400])
@pytest.mark.parametrize("aggregate", [True, False])
def test_each_picture_comes_out_with_its_last_packet(
    codec: Any, shape: dict[str, Any], mtu: int, *, aggregate: bool, encode: Any, sender: Any, annexb: Any
) -> None:
    """With any packet size, a unit is the picture's bytes, and is there as soon as its marked packet is."""
    video = encode(codec, **shape)
    assembler = Assembler(codec, payload_type=96)
    for number, (packets, nals) in enumerate(
        zip(sender(codec, mtu=mtu, aggregate=aggregate).video(video), video.units, strict=True)
    ):
        assert push_all(assembler, packets[:-1]) == []
        (unit,) = assembler.push(packets[-1], number * PERIOD_NS)
        assert unit == AccessUnit(
            data=annexb(nals),
            timestamp=50_000 + video.pts[number] * TICKS,
            epoch=0,
            key=video.keys[number],
            damaged=False,
            arrival_ns=number * PERIOD_NS,
            ended_by_marker=True,
        )
    assert not assembler.statistics().markerless


@CODECS
@SHAPES
def test_the_units_decode_to_the_same_pictures(
    codec: Any, shape: dict[str, Any], encode: Any, sender: Any, decode: Any, annexb: Any
) -> None:
    """A decoder makes as many pictures, and the same, of the units as of the encoder's own packets."""
    video = encode(codec, **shape)
    units = push_all(Assembler(codec, payload_type=96), flat(sender(codec, mtu=211).video(video)))
    pictures = decode(codec, [(unit.data, (unit.timestamp - 50_000) // TICKS) for unit in units])
    assert len(pictures) == len(video.units)
    assert pictures == decode(codec, [(annexb(nals), pts) for nals, pts in zip(video.units, video.pts, strict=True)])


@CODECS
@SHAPES
def test_a_lost_packet_damages_exactly_what_it_must(
    codec: Any, shape: dict[str, Any], encode: Any, sender: Any
) -> None:
    """Whichever packet is lost: its picture is damaged and, if others refer to it, all up to the next key picture."""
    video = encode(codec, **shape | {"open_gop": False})
    pictures = sender(codec, mtu=2000).video(video)
    final = (len(pictures) - 1, len(pictures[-1]) - 1)
    for hit, packets in enumerate(pictures):
        until = hit + 1
        if not is_disposable(codec, video.units[hit]):
            until = next((n for n in range(hit + 1, len(pictures)) if video.keys[n]), len(pictures))
        for lost in range(len(packets)) if len(packets) > 1 else ():
            assembler = Assembler(codec, payload_type=96)
            left = [*flat(pictures[:hit]), *packets[:lost], *packets[lost + 1 :], *flat(pictures[hit + 1 :])]
            units = push_all(assembler, left) + assembler.flush()
            assert len(units) == len(pictures)
            # The first packet of a later key picture holds nothing but parameter sets that are known already.
            only_known_sets = lost == 0 and hit > 0 and video.keys[hit]
            expected = [] if only_known_sets else list(range(hit, until))
            assert [n for n, unit in enumerate(units) if unit.damaged] == expected
            assert assembler.statistics().lost == ((hit, lost) not in ((0, 0), final))


@CODECS
def test_a_picture_lost_as_a_whole_breaks_the_chain(codec: Any, encode: Any, sender: Any) -> None:
    """Nobody knows whether others refer to a picture that never came: all up to the next key picture are damaged."""
    pictures = sender(codec).video(encode(codec))
    units = push_all(Assembler(codec, payload_type=96), flat([*pictures[:3], *pictures[4:]]))
    assert [n for n, unit in enumerate(units) if unit.damaged] == list(range(3, 7))
    assert units[7].key


@CODECS
@SHAPES
@SLOW_SETUP
@given(seed=st.integers(0, 2**32), rate=st.sampled_from([0.002, 0.01, 0.05, 0.3]), marker=st.booleans())
def test_what_is_not_damaged_decodes_to_the_same_picture(
    codec: Any,
    shape: dict[str, Any],
    encode: Any,
    sender: Any,
    decode: Any,
    seed: int,
    rate: float,
    *,
    marker: bool,
) -> None:
    """Under any loss, with markers or without, a decoder that gets the sound units only makes no wrong picture."""
    video = encode(codec, **shape)
    packets = flat(sender(codec, mtu=900).video(video, marker=marker))
    chance = random.Random(seed)
    assembler = Assembler(codec, payload_type=96)
    units = push_all(assembler, [packet for packet in packets if chance.random() >= rate]) + assembler.flush()
    sound = [(unit.data, (unit.timestamp - 50_000) // TICKS) for unit in units if not unit.damaged]
    pictures = decode(codec, sound) if sound else {}
    true = reference(codec, video, decode)
    assert set(pictures) == {number for _, number in sound}
    assert [number for number, luma in pictures.items() if luma != true[number]] == []


def reference(codec: str, video: Any, decode: Callable[..., dict[int, bytes]]) -> dict[int, bytes]:
    """Return the pictures of the whole video."""
    whole = [b"".join(b"\0\0\0\1" + nal for nal in nals) for nals in video.units]
    return decode(codec, list(zip(whole, video.pts, strict=True)))


@CODECS
def test_pictures_before_the_first_key_picture_are_damaged(codec: Any, encode: Any, sender: Any) -> None:
    """Whoever comes in the middle of a group of pictures counts what goes by until it can decode."""
    pictures = sender(codec, mtu=100).video(encode(codec))
    units = push_all(Assembler(codec, payload_type=96), [*pictures[4][2:], *flat(pictures[5:10])])
    assert [unit.damaged for unit in units] == [True] * 4 + [False] * 2


@CODECS
def test_parameter_sets_of_the_description_go_before_a_key_picture_without(
    codec: Any, encode: Any, sender: Any, decode: Any, annexb: Any
) -> None:
    """Sets that do not come in band are put before each key picture, which then decodes."""
    video = encode(codec)
    bare = [[nal for nal in nals if nal not in video.sets] for nals in video.units]
    source = sender(codec)
    assembler = Assembler(codec, payload_type=96, parameter_sets=[*video.sets, b"", b"?"])
    units = push_all(assembler, flat([source.picture(nals, number) for number, nals in enumerate(bare)]))
    for unit, nals, key in zip(units, bare, video.keys, strict=True):
        assert unit.data == annexb([*video.sets, *nals] if key else nals)
        assert unit.key == key
    assert len(decode(codec, [(unit.data, n) for n, unit in enumerate(units)])) == len(units)


@CODECS
def test_without_parameter_sets_nothing_is_decodable(codec: Any, encode: Any, sender: Any) -> None:
    """A key picture whose parameter sets nobody ever sent is damaged, and no key."""
    video = encode(codec)
    packets = sender(codec).picture([nal for nal in video.units[0] if nal not in video.sets], 0)
    (unit,) = push_all(Assembler(codec, payload_type=96), packets)
    assert unit.damaged
    assert not unit.key


@CODECS
def test_newer_parameter_sets_replace_those_of_the_description(codec: Any, encode: Any, sender: Any) -> None:
    """A set that came in band, alone and with a marker of its own, stands in for the older one with its id."""
    video = encode(codec)
    older = [nal[:-1] + bytes([nal[-1] ^ 0x40]) for nal in video.sets]
    assembler = Assembler(codec, payload_type=96, parameter_sets=older)
    source = sender(codec, aggregate=False)
    alone = [source.packet(nal, 0, marker=True) for nal in video.sets]
    assert push_all(assembler, alone) == []
    slices = [nal for nal in video.units[0] if nal not in video.sets]
    (unit,) = push_all(assembler, source.picture(slices, 1))
    assert unit.key
    assert not any(nal in unit.data for nal in older)
    assert all(unit.data.count(nal) == 1 for nal in video.sets)


@CODECS
@SHAPES
def test_without_markers_the_next_picture_ends_one(
    codec: Any, shape: dict[str, Any], encode: Any, sender: Any, annexb: Any
) -> None:
    """A sender without markers loses nothing: each unit comes one picture later, with its own arrival time.

    The last one counts as damaged: it may have been cut off.
    """
    video = encode(codec, **shape)
    assembler = Assembler(codec, payload_type=96)
    units: list[AccessUnit] = []
    for number, packets in enumerate(sender(codec, mtu=400).video(video, marker=False)):
        for packet in packets:
            units += assembler.push(packet, number * PERIOD_NS)
        assert len(units) == number
        assert assembler.statistics().markerless == (number >= 5)
    units += assembler.flush()
    assert [unit.data for unit in units] == [annexb(nals) for nals in video.units]
    assert [unit.arrival_ns for unit in units] == [number * PERIOD_NS for number in range(len(units))]
    assert not any(unit.ended_by_marker for unit in units)
    assert [number for number, unit in enumerate(units) if unit.damaged] == [len(units) - 1]
    assert assembler.statistics().unmarked == len(units) - 1


@CODECS
def test_markers_that_appear_are_used(codec: Any, encode: Any, sender: Any) -> None:
    """Once a marker comes, the fall-back is over."""
    video = encode(codec)
    source = sender(codec)
    assembler = Assembler(codec, payload_type=96)
    for number in range(8):
        push_all(assembler, source.picture(video.units[number], number, marker=False))
    assert assembler.statistics().markerless
    units = push_all(assembler, source.picture(video.units[8], 8))
    assert [unit.ended_by_marker for unit in units] == [False, True]
    assert not assembler.statistics().markerless


@CODECS
@given(marked=st.lists(st.booleans(), min_size=24, max_size=24))
@SLOW_SETUP
def test_a_marker_now_and_then(codec: Any, encode: Any, sender: Any, annexb: Any, marked: list[bool]) -> None:
    """Whichever pictures carry a marker, all come out whole."""
    video = encode(codec, bframes=2)
    source = sender(codec, mtu=700)
    assembler = Assembler(codec, payload_type=96)
    units = []
    for nals, pts, marker in zip(video.units, video.pts, marked, strict=True):
        units += push_all(assembler, source.picture(nals, pts, marker=marker))
    units += push_all(assembler, [source.packet(b"", 0)])
    assert [unit.data for unit in units] == [annexb(nals) for nals in video.units]
    assert [unit.ended_by_marker for unit in units] == marked
    assert not any(unit.damaged for unit in units)


@CODECS
def test_markers_on_each_slice_are_distrusted(codec: Any, encode: Any, sender: Any, annexb: Any) -> None:
    """A sender that marks every packet is found out, and cut by its time stamps from the next key picture on."""
    video = encode(codec, slices=3)
    pictures = sender(codec, mtu=4000, aggregate=False).video(video)
    packets = [packet[:1] + bytes([packet[1] | 0x80]) + packet[2:] for packet in flat(pictures)]
    assembler = Assembler(codec, payload_type=96)
    units = push_all(assembler, packets) + assembler.flush()
    assert assembler.statistics().markerless
    by_key = units[[unit.timestamp for unit in units].index(50_000 + 8 * TICKS) :]
    assert [unit.data for unit in by_key] == [annexb(nals) for nals in video.units[8:]]
    assert [number for number, unit in enumerate(by_key) if unit.damaged] == [len(by_key) - 1]  # it may be cut off
