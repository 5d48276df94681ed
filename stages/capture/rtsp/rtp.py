"""RTP packets read with bounds, and what a receiver has to report about their arrival (RFC 3550)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from pipeline.clock import NS_PER_S

CLOCK_RATE = 90_000
"""Ticks per second of RTP time stamps of video (RFC 6184 section 8.2.1, RFC 7798 section 7.1)."""
MAX_PACKET_BYTES = 65_535
"""What a UDP datagram, and an interleaved frame of RTSP, can hold at most."""

_HEADER = struct.Struct(">BBHII")
_VERSION = 2
_MAX_LOST = 0x7FFFFF
"""The cumulative loss is a signed number of 24 bits (RFC 3550 section 6.4.1)."""


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One packet without its padding, contributing sources and header extension."""

    marker: bool
    payload_type: int
    sequence: int
    """16 bits."""
    timestamp: int
    """32 bits, ticks."""
    ssrc: int
    payload: bytes
    """May be empty: some senders fill pauses with padding only."""


def parse_rtp(data: bytes) -> RtpPacket | None:
    """Return the packet (RFC 3550 section 5.1), or None when the bytes are none."""
    if not _HEADER.size <= len(data) <= MAX_PACKET_BYTES:
        return None
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
    if first >> 6 != _VERSION:
        return None
    start = _HEADER.size + 4 * (first & 0x0F)
    end = len(data)
    if first & 0x10:
        if start + 4 > end:
            return None
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4])
    if first & 0x20:
        padding = data[-1]
        if not padding:
            return None
        end -= padding
    if start > end:
        return None
    return RtpPacket(bool(second & 0x80), second & 0x7F, sequence, timestamp, ssrc, data[start:end])


def signed_difference(later: int, earlier: int, bits: int) -> int:
    """Return later - earlier of two counters that wrap at 2**bits, taking the shorter way round."""
    half = 1 << (bits - 1)
    return ((later - earlier + half) & ((1 << bits) - 1)) - half


_BACK_TICKS = 3 * CLOCK_RATE
"""Reordered pictures are presented this much before the one sent last, at most; 16 of them at 6 pictures a second."""
_AHEAD_TICKS = 10 * CLOCK_RATE
"""Time stamps run ahead of the time that passed by what a sender's buffer holds, after a stall; not by more."""


class TimeLine:
    """Unwraps the time stamps of one sender after the other."""

    def __init__(self) -> None:
        self.epoch = 0
        self.timestamp = 0
        """The newest one, ticks, unwrapped over 32 bits within the epoch."""
        self._last: RtpPacket | None = None
        self._last_arrival_ns = 0

    def advance(self, packet: RtpPacket, arrival_ns: int) -> bool:
        """Move on to a packet's time; return whether it is another one than before.

        A new sender begins a new epoch, and so does a step that no reordering, loss or stall explains.
        """
        last, self._last = self._last, packet
        if last is not None and (packet.timestamp, packet.ssrc) == (last.timestamp, last.ssrc):
            return False
        passed = max(arrival_ns - self._last_arrival_ns, 0) * CLOCK_RATE // NS_PER_S
        self._last_arrival_ns = arrival_ns
        if last is None:
            self.timestamp = packet.timestamp
            return True
        step = signed_difference(packet.timestamp, last.timestamp, 32)
        if packet.ssrc == last.ssrc and -_BACK_TICKS <= step <= passed + _AHEAD_TICKS:
            self.timestamp += step
        else:
            self.epoch += 1
            self.timestamp = packet.timestamp
        return True


@dataclass(frozen=True, slots=True)
class ReceptionReport:
    """One report block about a sender (RFC 3550 section 6.4.1), without the part about its sender reports."""

    ssrc: int
    fraction_lost: int
    """0..255, 256ths of the packets since the last report."""
    cumulative_lost: int
    """Packets, below zero when duplicates outnumber losses."""
    highest_sequence: int
    """32 bits: how often the sequence wrapped, and the highest number."""
    jitter: int
    """Ticks."""


class Reception:
    """Counts the arrivals from one sender as RFC 3550 wants them: duplicates and late packets count as received.

    Args:
        first: its first packet, which is not counted yet.
    """

    def __init__(self, first: RtpPacket) -> None:
        self.ssrc = first.ssrc
        self._base = first.sequence
        self._highest = first.sequence
        self._received = 0
        self._expected_before = 0
        self._received_before = 0
        self._transit: int | None = None
        self._jitter = 0.0

    def count(self, packet: RtpPacket, arrival_ns: int) -> None:
        """Count one packet of this sender, in the order of arrival (RFC 3550 appendix A.8 for the jitter)."""
        self._received += 1
        self._highest += max(signed_difference(packet.sequence, self._highest & 0xFFFF, 16), 0)
        transit = arrival_ns * CLOCK_RATE // NS_PER_S - packet.timestamp
        if self._transit is not None:
            self._jitter += (abs(signed_difference(transit, self._transit, 32)) - self._jitter) / 16
        self._transit = transit

    def report(self) -> ReceptionReport:
        """Return the state since the last report, and begin a new interval (RFC 3550 appendix A.3)."""
        expected = self._highest - self._base + 1
        expected_now = expected - self._expected_before
        lost_now = expected_now - (self._received - self._received_before)
        self._expected_before, self._received_before = expected, self._received
        fraction = min((lost_now << 8) // expected_now, 255) if expected_now > 0 and lost_now > 0 else 0
        return ReceptionReport(
            self.ssrc,
            fraction_lost=fraction,
            cumulative_lost=max(min(expected - self._received, _MAX_LOST), -_MAX_LOST - 1),
            highest_sequence=self._highest & 0xFFFFFFFF,
            jitter=min(int(self._jitter), 0xFFFFFFFF),
        )
