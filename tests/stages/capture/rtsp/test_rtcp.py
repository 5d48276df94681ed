"""Sender reports read, receiver reports written."""

from __future__ import annotations

import struct
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.clock import NS_PER_S
from stages.capture.rtsp.rtcp import Goodbye, SenderReport, parse_rtcp, receiver_report
from stages.capture.rtsp.rtp import ReceptionReport

NTP_2026 = 4_004_208_000 << 32
"""2026-11-21 00:00:00 UTC."""
REPORT = SenderReport(ssrc=5, ntp=NTP_2026 | 1 << 31, timestamp=0xFFFFF000, packets=10, octets=1000)


def chunk(kind: int, body: bytes, *, count: int = 0) -> bytes:
    return struct.pack(">BBH", 0x80 | count, kind, len(body) // 4) + body


SR = chunk(200, struct.pack(">IQIII", 5, REPORT.ntp, REPORT.timestamp, 10, 1000))
SDES = chunk(202, struct.pack(">IBB", 5, 1, 1) + b"x\x00", count=1)
BYE = chunk(203, struct.pack(">II", 5, 6) + b"\x03bye", count=2)


def test_a_compound_packet() -> None:
    """Sender report, description and goodbye in one packet: the first and the last are of interest."""
    assert parse_rtcp(SR + SDES + BYE) == [REPORT, Goodbye((5, 6))]


def test_a_sender_report_with_report_blocks() -> None:
    """Blocks about others, and extensions, behind the sender's own part are passed over."""
    longer = chunk(200, SR[4:] + bytes(24 + 8), count=1)
    assert parse_rtcp(longer + BYE) == [REPORT, Goodbye((5, 6))]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\xc8\x00",
        SR[:-1],  # cut off
        b"\x40" + SR[1:],  # version 1
        chunk(200, SR[4:-4]),  # too short for a sender report
        chunk(202, b"") + b"\xff" * 9,
        chunk(203, b"", count=31)[:3],
    ],
)
def test_garbage_holds_nothing(data: bytes) -> None:
    """What is cut off or no RTCP says nothing."""
    assert parse_rtcp(data) == []


def test_what_precedes_garbage_counts() -> None:
    """The sensible beginning of a compound packet is believed."""
    assert parse_rtcp(SR + b"\x00\x01\x02\x03\x04") == [REPORT]


def test_a_goodbye_that_names_more_than_it_holds() -> None:
    """The count of a goodbye is bounded by its length."""
    assert parse_rtcp(chunk(203, struct.pack(">I", 9), count=31)) == [Goodbye((9,))]


@given(data=st.binary(max_size=120))
def test_any_bytes(data: bytes) -> None:
    """Nothing raises, and what comes out fits in what came in."""
    assert len(parse_rtcp(b"\x80\xc8" + data)) <= 1 + len(data) // 4
    assert isinstance(parse_rtcp(data), list)


def test_ntp_to_unix_time() -> None:
    """Seconds since 1900 and binary fractions become nanoseconds since 1970."""
    expected = round(datetime(2026, 11, 21, tzinfo=UTC).timestamp()) * NS_PER_S + NS_PER_S // 2
    assert REPORT.unix_ns == expected


def test_ntp_after_2036() -> None:
    """When the seconds have begun anew, the time goes on."""
    last = SenderReport(1, 0xFFFFFFFF << 32, 0, 0, 0)
    first = SenderReport(1, 0, 0, 0, 0)
    assert first.unix_ns - last.unix_ns == NS_PER_S
    assert datetime.fromtimestamp(first.unix_ns / NS_PER_S, UTC).year == 2036


@pytest.mark.parametrize("ticks", [0, 90_000, -90_000, 3_003, 6 * 3600 * 90_000 - 1])
def test_the_time_of_a_picture(ticks: int) -> None:
    """A picture's time is the report's plus the ticks between them, over the wrap of the time stamps too."""
    for timestamp in (REPORT.timestamp + ticks, (REPORT.timestamp + ticks) & 0xFFFFFFFF):
        assert REPORT.unix_ns_at(timestamp) - REPORT.unix_ns == ticks * NS_PER_S // 90_000


def test_a_receiver_report() -> None:
    """All fields are where RFC 3550 puts them: report block, then the description with our name."""
    reception = ReceptionReport(ssrc=5, fraction_lost=64, cumulative_lost=-2, highest_sequence=0x0001_0002, jitter=99)
    data = receiver_report(
        0xA1B2C3D4, reception, cname="framepace", sender_report=REPORT, since_report_ns=3 * NS_PER_S // 2
    )
    head = struct.unpack_from(">BBHI", data)
    assert head == (0x81, 201, 7, 0xA1B2C3D4)
    ssrc, lost, highest, jitter, last, delay = struct.unpack_from(">IIIIII", data, 8)
    assert (ssrc, lost >> 24, lost & 0xFFFFFF, highest, jitter) == (5, 64, 0xFFFFFE, 0x0001_0002, 99)
    assert last == NTP_2026 >> 16 & 0xFFFFFFFF | 1 << 15
    assert delay == 3 << 15
    version, kind, words, own, item, length = struct.unpack_from(">BBHIBB", data, 32)
    assert (version, kind, own, item) == (0x81, 202, 0xA1B2C3D4, 1)
    assert data[42 : 42 + length] == b"framepace"
    assert data[42 + length] == 0
    assert len(data) == 32 + 4 + 4 * words


def test_a_receiver_report_about_nothing() -> None:
    """Before the first packet the report is empty, and still keeps the sender sending."""
    data = receiver_report(1, None, cname="me", sender_report=REPORT, since_report_ns=1)
    assert data[:8] == struct.pack(">BBHI", 0x80, 201, 1, 1)
    assert data[9] == 202


def test_the_report_of_another_sender_is_not_echoed() -> None:
    """Round trips are only told to the sender that the block is about."""
    reception = ReceptionReport(ssrc=6, fraction_lost=0, cumulative_lost=0, highest_sequence=0, jitter=0)
    data = receiver_report(1, reception, cname="me", sender_report=REPORT, since_report_ns=NS_PER_S)
    assert data[24:32] == bytes(8)


@pytest.mark.parametrize("length", range(1, 9))
def test_the_description_ends_at_a_word(length: int) -> None:
    """With a name of any length, the parts of the packet fill it exactly."""
    data = receiver_report(1, None, cname="n" * length)
    position = 0
    while position < len(data):
        position += 4 + 4 * int.from_bytes(data[position + 2 : position + 4])
    assert position == len(data)
    assert data[-1] == 0
