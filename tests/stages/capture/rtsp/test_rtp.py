"""RTP packets, time lines and what a receiver reports."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.clock import NS_PER_S
from stages.capture.rtsp.rtp import Reception, RtpPacket, TimeLine, parse_rtp, signed_difference

HEADER = struct.pack(">BBHII", 0x80, 0xE0, 0xFFFE, 0xFFFFFFFD, 0xDEADBEEF)
PARSED = RtpPacket(True, 96, 0xFFFE, 0xFFFFFFFD, 0xDEADBEEF, b"abc")


def packet(timestamp: int, *, sequence: int = 0, ssrc: int = 1) -> RtpPacket:
    return RtpPacket(False, 96, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc, b"")


@pytest.mark.parametrize(
    ("first", "extra"),
    [
        (0x80, b"abc"),
        (0x82, bytes(8) + b"abc"),  # two contributing sources
        (0x90, b"\xbe\xde\x00\x01" + bytes(4) + b"abc"),  # an extension of one word
        (0x90, b"\xbe\xde\x00\x00" + b"abc"),  # an empty extension
        (0xA0, b"abc" + b"\x00\x00\x03"),  # three bytes of padding
        (0xB1, bytes(4) + b"\x10\x00\x00\x02" + bytes(8) + b"abc\x01"),  # all of it
    ],
)
def test_header_parts_are_taken_off(first: int, extra: bytes) -> None:
    """Contributing sources, extension and padding do not reach the payload."""
    assert parse_rtp(bytes([first]) + HEADER[1:] + extra) == PARSED


@pytest.mark.parametrize(
    "data",
    [
        b"",
        HEADER[:-1],
        b"\x40" + HEADER[1:],  # version 1
        b"\x81" + HEADER[1:] + b"abc",  # a contributing source of three bytes
        b"\x90" + HEADER[1:] + b"\xbe\xde\x00",  # half an extension header
        b"\x90" + HEADER[1:] + b"\xbe\xde\x00\x02" + bytes(7),  # an extension beyond the end
        b"\xa0" + HEADER[1:] + b"ab\x00",  # padding of no bytes, which is no padding
        b"\xa0" + HEADER[1:] + b"ab\x04",  # more padding than there is
        HEADER + bytes(65_536 - len(HEADER)),
    ],
)
def test_what_is_no_packet(data: bytes) -> None:
    """Wrong versions, and lengths that point beyond the end, are refused."""
    assert parse_rtp(data) is None


def test_a_packet_of_padding_only() -> None:
    """Senders that fill pauses send packets without a payload."""
    parsed = parse_rtp(b"\xa0" + HEADER[1:] + b"\x00\x00\x00\x04")
    assert parsed is not None
    assert parsed.payload == b""


@given(data=st.binary(max_size=80))
def test_any_bytes(data: bytes) -> None:
    """Whatever comes is a packet made of its own bytes, or none."""
    parsed = parse_rtp(data)
    assert parsed is None or parsed.payload in data


@pytest.mark.parametrize(
    ("later", "earlier", "expected"), [(0, 65_535, 1), (65_535, 0, -1), (32_767, 0, 32_767), (32_768, 0, -32_768)]
)
def test_differences_go_the_shorter_way(later: int, earlier: int, expected: int) -> None:
    """Counters that wrap are compared over the wrap."""
    assert signed_difference(later, earlier, 16) == expected


@given(steps=st.lists(st.integers(-200_000, 900_000), max_size=50), first=st.integers(0, 2**32 - 1))
def test_time_stamps_are_unwrapped(steps: list[int], first: int) -> None:
    """Over wraps, forth and back, the unwrapped time is the true one, and the epoch stays."""
    line = TimeLine()
    true = first
    line.advance(packet(true), 0)
    for step in steps:
        true += step
        assert line.advance(packet(true), 0) == (step != 0)
        assert (line.timestamp, line.epoch) == (true, 0)


@pytest.mark.parametrize(
    ("step", "passed_s", "epoch"),
    [
        (-4 * 90_000, 0, 1),  # back by more than any reordering
        (-2 * 90_000, 0, 0),
        (11 * 90_000, 0, 1),  # ahead by more than any buffer
        (9 * 90_000, 0, 0),
        (3600 * 90_000, 3600, 0),  # an hour of silence
        (3600 * 90_000, 3000, 1),
        (1, 3600, 0),  # a paused sender
    ],
)
def test_a_break_of_the_time_line(step: int, passed_s: int, epoch: int) -> None:
    """A jump that neither the time that passed nor a buffer explains begins a new epoch at its own time."""
    line = TimeLine()
    line.advance(packet(1_000_000), 5 * NS_PER_S)
    line.advance(packet(1_000_000 + step), (5 + passed_s) * NS_PER_S)
    assert line.epoch == epoch
    assert line.timestamp == 1_000_000 + step


def test_a_new_sender_begins_a_new_epoch() -> None:
    """The time stamps of two senders have nothing to do with each other, even if they look alike."""
    line = TimeLine()
    line.advance(packet(100), 0)
    assert line.advance(packet(100, ssrc=2), 0)
    assert (line.epoch, line.timestamp) == (1, 100)


@given(
    kept=st.lists(st.booleans(), min_size=1, max_size=100),
    first=st.integers(0, 65_535),
    cut=st.integers(0, 100),
)
def test_losses_are_reported_per_interval(kept: list[bool], first: int, cut: int) -> None:
    """Over two intervals, the fractions and the sum are those of the numbers that are missing."""
    received = [0, *(number + 1 for number, keep in enumerate(kept) if keep)]
    reception = Reception(packet(0, sequence=first))
    seen_before, expected_before = 0, 0
    for part in ([n for n in received if n <= cut], [n for n in received if n > cut]):
        for number in part:
            reception.count(packet(0, sequence=first + number), 0)
        seen = seen_before + len(part)
        expected = max([*received[:seen], 0]) + 1
        lost, span = (expected - expected_before) - (seen - seen_before), expected - expected_before
        report = reception.report()
        assert report.fraction_lost == (int(256 * lost / span) if lost > 0 else 0)
        assert report.cumulative_lost == expected - seen
        assert report.highest_sequence == first + expected - 1
        seen_before, expected_before = seen, expected


def test_duplicates_make_the_loss_negative() -> None:
    """As the standard has it, a packet that came twice counts twice."""
    reception = Reception(packet(0))
    for _ in range(3):
        reception.count(packet(0), 0)
    report = reception.report()
    assert (report.fraction_lost, report.cumulative_lost) == (0, -2)


def test_a_new_interval_without_packets() -> None:
    """When nothing was expected since the last report, nothing was lost."""
    reception = Reception(packet(0))
    reception.count(packet(0), 0)
    first = reception.report()
    assert reception.report() == first


def test_jitter_follows_the_formula() -> None:
    """Jitter is the smoothed difference of transit times, in ticks, whatever the two clocks show."""
    reception = Reception(packet(0))
    jitter, transit = 0.0, None
    for number, delay_ticks in enumerate([0, 900, 0, 450, 90, 4500, 0]):
        ticks = 0xFFFFFF00 + number * 3000
        reception.count(packet(ticks, sequence=number), (number * 3000 + delay_ticks) * NS_PER_S // 90_000 + 17)
        if transit is not None:
            jitter += (abs(delay_ticks - transit) - jitter) / 16
        transit = delay_ticks
    assert reception.report().jitter == pytest.approx(jitter, abs=2)
    assert jitter > 500
