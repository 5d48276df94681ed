"""What networks, restarted cameras and hostile senders do to the assembler."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.clock import NS_PER_MS, NS_PER_S
from stages.capture.rtsp.assembler import Assembler, AssemblerStatistics
from stages.capture.rtsp.picture import MAX_UNIT_BYTES
from stages.capture.rtsp.units import AccessUnit

TICKS = 3000
CODECS = pytest.mark.parametrize("codec", ["h264", "hevc"])
MANY = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


def push_all(assembler: Assembler, packets: Sequence[bytes], *, now_ns: int = 0) -> list[AccessUnit]:
    return [unit for packet in packets for unit in assembler.push(packet, now_ns)]


def flat(pictures: Sequence[Sequence[bytes]]) -> list[bytes]:
    return [packet for picture in pictures for packet in picture]


def accounted(counts: AssemblerStatistics) -> int:
    """Return how many pushed packets the statistics account for."""
    return counts.received + counts.duplicates + counts.late + counts.other + counts.garbage


@CODECS
def test_reordering_within_the_window_heals(codec: Any, encode: Any, sender: Any, annexb: Any) -> None:
    """Packets displaced by less than the window give the same units as in order."""
    video = encode(codec, bframes=2)
    packets = flat(sender(codec, mtu=300).video(video))
    chance = random.Random(3)
    shuffled = sorted(range(1, len(packets)), key=lambda number: number + chance.random() * 20)
    assembler = Assembler(codec, payload_type=96, reorder_ns=30 * NS_PER_MS)
    units = assembler.push(packets[0], 0)
    for place, number in enumerate(shuffled):
        units += assembler.push(packets[number], place * NS_PER_MS)
    assert [unit.data for unit in units] == [annexb(nals) for nals in video.units]
    assert not any(unit.damaged for unit in units)
    counts = assembler.statistics()
    assert counts.reordered > 20
    assert counts.lost == 0


@CODECS
def test_beyond_the_window_a_packet_is_lost(codec: Any, encode: Any, sender: Any) -> None:
    """The unit that waits for a packet comes with the poll that the assembler asks for, as damaged."""
    pictures = sender(codec, mtu=300).video(encode(codec))
    assembler = Assembler(codec, payload_type=96, reorder_ns=30 * NS_PER_MS)
    late = pictures[0].pop(2)
    assert push_all(assembler, pictures[0], now_ns=1000) == []
    assert assembler.next_poll_ns() == 1000 + 30 * NS_PER_MS
    assert assembler.poll(1000 + 30 * NS_PER_MS - 1) == []
    (unit,) = assembler.poll(1000 + 30 * NS_PER_MS)
    assert unit.damaged
    assert unit.arrival_ns == 1000
    assert assembler.push(late, NS_PER_S) == []
    counts = assembler.statistics()
    assert (counts.lost, counts.late, counts.damaged) == (1, 1, 1)


@CODECS
@pytest.mark.parametrize("reorder_ns", [0, 30 * NS_PER_MS])
def test_duplicates_change_nothing(codec: Any, reorder_ns: int, encode: Any, sender: Any, annexb: Any) -> None:
    """Packets that come twice are used once."""
    video = encode(codec)
    packets = flat(sender(codec, mtu=300).video(video))
    assembler = Assembler(codec, payload_type=96, reorder_ns=reorder_ns)
    units = push_all(assembler, [packet for packet in packets for _ in range(2)])
    assert [unit.data for unit in units] == [annexb(nals) for nals in video.units]
    assert not any(unit.damaged for unit in units)
    assert assembler.statistics().duplicates == len(packets)


@CODECS
def test_sequence_and_time_stamp_wrap(codec: Any, encode: Any, sender: Any, annexb: Any) -> None:
    """Over both wraps units stay whole and their time goes on, in one epoch."""
    video = encode(codec, bframes=2)
    first = 2**32 - 5 * TICKS
    source = sender(codec, mtu=300, sequence=65_500, first_timestamp=first)
    units = push_all(Assembler(codec, payload_type=96), flat(source.video(video)))
    assert [unit.data for unit in units] == [annexb(nals) for nals in video.units]
    assert [unit.timestamp for unit in units] == [first + pts * TICKS for pts in video.pts]
    assert not any(unit.damaged or unit.epoch for unit in units)


@CODECS
def test_another_sender(codec: Any, encode: Any, sender: Any, annexb: Any) -> None:
    """A new SSRC begins a new epoch; what the old one left unfinished is damaged, and nothing of the new is lost."""
    video = encode(codec)
    old = sender(codec, mtu=300).video(video)
    new = sender(codec, mtu=300, ssrc=99, sequence=7, first_timestamp=17).video(video)
    assembler = Assembler(codec, payload_type=96)
    units = push_all(assembler, [*flat(old[:3]), *old[3][:1], *flat(new)])
    assert [unit.damaged for unit in units] == [False] * 3 + [True] + [False] * len(new)
    assert [unit.epoch for unit in units] == [0] * 4 + [1] * len(new)
    assert [unit.data for unit in units[4:]] == [annexb(nals) for nals in video.units]
    assert units[4].timestamp == 17
    assert assembler.ssrc == 99


@CODECS
def test_a_sender_that_counts_anew(codec: Any, encode: Any, sender: Any) -> None:
    """A jump of the sequence alone is a loss of unknown size: damaged up to the next key picture, same epoch."""
    source = sender(codec, mtu=300)
    video = encode(codec)
    pictures = [source.picture(video.units[number], number) for number in range(3)]
    source.sequence = 30_000
    pictures += [source.picture(video.units[number], number) for number in range(3, len(video.units))]
    units = push_all(Assembler(codec, payload_type=96), flat(pictures))
    assert [n for n, unit in enumerate(units) if unit.damaged] == [3, 4, 5, 6, 7]
    assert not any(unit.epoch for unit in units)


@CODECS
def test_a_jump_of_the_time_alone(codec: Any, encode: Any, sender: Any) -> None:
    """When only the time stamps jump, no picture is lost, but a new time line begins."""
    source = sender(codec, mtu=300)
    video = encode(codec)
    packets = flat([source.picture(nals, number + 100_000 * (number > 5)) for number, nals in enumerate(video.units)])
    units = push_all(Assembler(codec, payload_type=96), packets)
    assert [unit.epoch for unit in units] == [0] * 6 + [1] * (len(units) - 6)
    assert not any(unit.damaged for unit in units)


@CODECS
def test_strange_packets_between(codec: Any, encode: Any, sender: Any, annexb: Any) -> None:
    """Other payload types, other senders, RTCP, empty packets and noise between the packets change nothing."""
    video = encode(codec, bframes=2)
    source = sender(codec, mtu=300)
    chance = random.Random(5)
    packets, strangers = [], 0
    for nals, pts in zip(video.units, video.pts, strict=True):
        payloads = source.payloads(nals)
        for number, payload in enumerate(payloads):
            time = 50_000 + pts * TICKS
            if number:
                packets.append(source.packet(b"", time))
            packets.append(source.packet(payload, time, marker=number == len(payloads) - 1))
            packets.append(
                [
                    sender(codec, payload_type=97).packet(b"audio", 0),
                    sender(codec, ssrc=chance.getrandbits(32)).packet(b"\x65\x88", 0, marker=True),
                    b"\x80\xc8\x00\x06" + bytes(24),
                    chance.randbytes(chance.randrange(40)),
                ][chance.randrange(4)]
            )
            strangers += 1
    assembler = Assembler(codec, payload_type=96)
    units = push_all(assembler, packets)
    assert [unit.data for unit in units] == [annexb(nals) for nals in video.units]
    assert not any(unit.damaged for unit in units)
    counts = assembler.statistics()
    # The last stranger may be one that is set aside until the next packet.
    assert strangers - 1 <= counts.other + counts.garbage <= strangers
    assert counts.received == len(packets) - strangers


@CODECS
def test_decorated_packets(codec: Any, encode: Any, sender: Any, annexb: Any) -> None:
    """Padding, contributing sources and extensions on any packet do not reach the units."""
    video = encode(codec)
    packets = []
    for number, packet in enumerate(flat(sender(codec, mtu=300).video(video))):
        sources = b"\x00\x00\x00\x09" * (number % 3)
        extension = b"\xbe\xde\x00\x01abcd" if number % 2 else b""
        padding = b"\x00\x02" if number % 5 == 0 else b""
        first = 0x80 | number % 3 | bool(extension) << 4 | bool(padding) << 5
        packets.append(bytes([first]) + packet[1:12] + sources + extension + packet[12:] + padding)
    units = push_all(Assembler(codec, payload_type=96), packets)
    assert [unit.data for unit in units] == [annexb(nals) for nals in video.units]


@CODECS
def test_a_malformed_payload_damages_its_picture(codec: Any, encode: Any, sender: Any) -> None:
    """A payload that cannot be read is as good as lost."""
    source = sender(codec, mtu=300)
    payloads = source.payloads(encode(codec).units[0])
    payloads.insert(2, b"\xff\xff\xff")
    packets = [source.packet(payload, 0, marker=payload is payloads[-1]) for payload in payloads]
    assembler = Assembler(codec, payload_type=96)
    (unit,) = push_all(assembler, packets)
    assert unit.damaged
    assert assembler.statistics().malformed == 1


def mutated(packets: Sequence[bytes], chance: random.Random) -> Iterator[bytes]:
    """Give the packets with changed, cut, missing, doubled, swapped and invented ones among them."""
    for packet in packets:
        fate = chance.randrange(12)
        if fate == 0:
            position = chance.randrange(len(packet))
            yield packet[:position] + bytes([packet[position] ^ 1 << chance.randrange(8)]) + packet[position + 1 :]
        elif fate == 1:
            yield packet[: chance.randrange(len(packet))]
        elif fate == 2:
            yield from (packet, packet)
        elif fate == 3:
            yield chance.randbytes(chance.randrange(60))
        elif fate == 4:
            yield packets[chance.randrange(len(packets))]
        elif fate > 5:
            yield packet


@CODECS
@MANY
@given(seed=st.integers(0, 2**32), reorder_ms=st.sampled_from([0, 5]), marker=st.booleans())
def test_mutated_streams(codec: Any, seed: int, reorder_ms: int, *, marker: bool, encode: Any, sender: Any) -> None:
    """Whatever is done to real packets, nothing raises, each is accounted for, and so is each unit."""
    chance = random.Random(seed)
    packets = list(mutated(flat(sender(codec, mtu=250).video(encode(codec), marker=marker)), chance))
    assembler = Assembler(codec, payload_type=96, reorder_ns=reorder_ms * NS_PER_MS)
    units: list[AccessUnit] = []
    now_ns = 0
    for number, packet in enumerate(packets):
        now_ns += chance.randrange(2 * NS_PER_MS)
        units += assembler.push(packet, now_ns)
        # At most one packet is set aside until it is known whose it is.
        assert 0 <= number + 1 - accounted(assembler.statistics()) <= 1
        due_ns = assembler.next_poll_ns()
        assert due_ns is None or due_ns > now_ns
    units += assembler.flush()
    counts = assembler.statistics()
    assert counts.units == len(units)
    assert counts.damaged == sum(unit.damaged for unit in units)
    assert [unit.epoch for unit in units] == sorted(unit.epoch for unit in units)
    assert assembler.next_poll_ns() is None


@CODECS
@MANY
@given(packets=st.lists(st.tuples(st.binary(max_size=60), st.booleans()), max_size=30))
def test_any_bytes(codec: Any, packets: list[tuple[bytes, bool]]) -> None:
    """Arbitrary bytes, bare or behind a believable header, never raise and are each accounted for."""
    assembler = Assembler(codec, payload_type=96, reorder_ns=1, parameter_sets=[data for data, _ in packets])
    for number, (data, with_header) in enumerate(packets):
        packet = b"\x80\xe0" + number.to_bytes(2) + bytes(8) + data if with_header else data
        assembler.push(packet, number)
        assert 0 <= number + 1 - accounted(assembler.statistics()) <= 1
    assembler.flush()


def hostile(kind: str, codec: str, sender: Any) -> Iterator[bytes]:
    """Give packets, some 60 MB of them, that something might be tempted to collect."""
    source = sender(codec)
    body = bytes([0x80]) + b"\x55" * 60_000
    slice_header = b"\x41" if codec == "h264" else b"\x02\x01"
    for number in range(1000):
        if kind == "endless unit":
            yield source.packet(slice_header + body, 0)
        elif kind == "endless fragments":
            head = b"\x7c" if codec == "h264" else b"\x62\x01"
            yield source.packet(head + bytes([0x81 if number == 0 else 0x01]) + body, 0)
        elif kind == "no picture at all":
            yield source.packet((b"\x09" if codec == "h264" else b"\x46\x01") + body, number, marker=True)
        elif kind == "parameter sets":
            # Exp-Golomb ids, each of 31 bits and another one.
            number_id = (1 << 15 | number).to_bytes(4)
            yield source.packet((b"\x68" if codec == "h264" else b"\x44\x01") + number_id + body, 0, marker=True)
        elif kind == "gap":
            source.sequence += number == 1
            yield source.packet(slice_header + body, 0)
        else:
            yield sender(codec, ssrc=number, sequence=number).packet(slice_header + body, number)


@pytest.mark.parametrize(
    "kind", ["endless unit", "endless fragments", "no picture at all", "parameter sets", "gap", "many senders"]
)
@CODECS
def test_memory_is_bounded(codec: Any, kind: str, sender: Any) -> None:
    """Whatever is sent without an end, no more is kept than one unit, its copy and the reorder window."""
    assembler = Assembler(codec, payload_type=96, reorder_ns=NS_PER_S)
    tracemalloc.start()
    try:
        largest = max(
            (len(unit.data) for p in hostile(kind, codec, sender) for unit in assembler.push(p, 0)), default=0
        )
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < (33 << 20 if kind == "gap" else MAX_UNIT_BYTES * 9 // 8 + (1 << 20))
    assert largest <= MAX_UNIT_BYTES
