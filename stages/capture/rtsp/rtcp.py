"""RTCP: sender reports read, receiver reports written (RFC 3550 section 6)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from pipeline.clock import NS_PER_S
from stages.capture.rtsp.rtp import CLOCK_RATE, ReceptionReport, signed_difference

_VERSION = 2
_SENDER_REPORT, _RECEIVER_REPORT, _DESCRIPTION, _GOODBYE = 200, 201, 202, 203
"""RFC 3550 section 12.1."""
_CNAME = 1
_MAX_CNAME_BYTES = 255
_NTP_TO_UNIX_S = 2_208_988_800
"""1900 to 1970 (RFC 868)."""
_NTP_ERA_S = 1 << 32
"""NTP seconds begin anew in February 2036."""


@dataclass(frozen=True, slots=True)
class SenderReport:
    """What a sender says about its clocks: one instant on both of them."""

    ssrc: int
    ntp: int
    """64 bits, the upper half seconds; 0 from senders that know no time."""
    timestamp: int
    """32 bits, ticks of the RTP time stamps."""
    packets: int
    octets: int

    @property
    def unix_ns(self) -> int:
        """The instant as nanoseconds since 1970, from 1968 to 2104 (RFC 4330 section 3 on the upper bit)."""
        seconds = self.ntp >> 32
        if not seconds & 0x80000000:
            seconds += _NTP_ERA_S
        return (seconds - _NTP_TO_UNIX_S) * NS_PER_S + ((self.ntp & 0xFFFFFFFF) * NS_PER_S >> 32)

    def unix_ns_at(self, timestamp: int) -> int:
        """Return when the sender's clock showed this RTP time stamp, within 6 h of the report.

        Args:
            timestamp: ticks, unwrapped or not.

        Returns:
            Nanoseconds since 1970, by the sender's clock.
        """
        return self.unix_ns + signed_difference(timestamp, self.timestamp, 32) * NS_PER_S // CLOCK_RATE


@dataclass(frozen=True, slots=True)
class Goodbye:
    """Senders that leave."""

    ssrcs: tuple[int, ...]


def parse_rtcp(data: bytes) -> list[SenderReport | Goodbye]:
    """Return the sender reports and goodbyes of a compound packet, up to the first byte that makes no sense."""
    found: list[SenderReport | Goodbye] = []
    position = 0
    while position + 4 <= len(data):
        first, kind, words = struct.unpack_from(">BBH", data, position)
        body = data[position + 4 : position + 4 + 4 * words]
        if first >> 6 != _VERSION or len(body) < 4 * words:
            break
        if kind == _SENDER_REPORT and len(body) >= 24:
            found.append(SenderReport(*struct.unpack_from(">IQIII", body)))
        elif kind == _GOODBYE:
            count = min(first & 0x1F, words)
            found.append(Goodbye(struct.unpack_from(f">{count}I", body)))
        position += 4 + len(body)
    return found


def receiver_report(
    ssrc: int,
    reception: ReceptionReport | None,
    *,
    cname: str,
    sender_report: SenderReport | None = None,
    since_report_ns: int = 0,
) -> bytes:
    """Return a compound packet that tells a sender how its packets arrive, and that somebody is here.

    Args:
        ssrc: our own identifier, 32 bits.
        reception: about the sender; None while nothing has come.
        cname: our canonical name, ASCII (RFC 3550 section 6.5.1 demands one).
        sender_report: the sender's last report.
        since_report_ns: how long ago that arrived.
    """
    block = b"" if reception is None else _report_block(reception, sender_report, since_report_ns)
    head = struct.pack(">BBHI", _VERSION << 6 | bool(block), _RECEIVER_REPORT, 1 + len(block) // 4, ssrc)
    name = cname.encode("ascii")[:_MAX_CNAME_BYTES]
    chunk = struct.pack(">IBB", ssrc, _CNAME, len(name)) + name
    # The list of items ends with at least one zero byte, and at a word.
    chunk += bytes(4 - len(chunk) % 4)
    return head + block + struct.pack(">BBH", _VERSION << 6 | 1, _DESCRIPTION, len(chunk) // 4) + chunk


def _report_block(reception: ReceptionReport, sender_report: SenderReport | None, since_report_ns: int) -> bytes:
    """Return 24 bytes (RFC 3550 section 6.4.1): what was lost, and the echo of the last sender report."""
    last, delay = 0, 0
    if sender_report is not None and sender_report.ssrc == reception.ssrc:
        last = sender_report.ntp >> 16 & 0xFFFFFFFF
        delay = min(max((since_report_ns << 16) // NS_PER_S, 0), 0xFFFFFFFF)
    lost = reception.fraction_lost << 24 | reception.cumulative_lost & 0xFFFFFF
    return struct.pack(">IIIIII", reception.ssrc, lost, reception.highest_sequence, reception.jitter, last, delay)
