"""Puts the RTP packets of one sender in order: waits for late ones, notices lost ones and a new sender."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from stages.capture.rtsp.rtp import Reception, ReceptionReport, RtpPacket, parse_rtp, signed_difference

MAX_WAITING = 512
"""At most so many packets wait for one before them."""
_MAX_AHEAD = 3000
"""A number further ahead is no loss but another numbering (RFC 3550 appendix A.1, MAX_DROPOUT)."""


@dataclass(frozen=True, slots=True)
class Ordered:
    """A packet in its place."""

    packet: RtpPacket
    arrival_ns: int
    lost_before: int
    """How many packets are missing between the one before and this one."""
    restarted: bool
    """The first of another sender, or of a sender that began to count anew: what is missing is unknown."""


@dataclass(slots=True)
class Counts:
    """Each packet pushed is counted once, as received, duplicate, late, other or garbage."""

    received: int = 0
    """Taken into the order, or waiting for it."""
    duplicates: int = 0
    late: int = 0
    """Came after they had been given up."""
    other: int = 0
    """Of another payload type, or stray ones of another sender."""
    garbage: int = 0
    """Not RTP."""
    reordered: int = 0
    """Of those received: came after a later one, and in time."""
    lost: int = 0
    """Not pushed: given up."""


class Sequencer:
    """Gives packets back in the order of their sequence numbers.

    A packet of another sender, or with a number far off, is set aside until the next one continues it: a single
    stray packet changes nothing, and a new sender loses none. The very first packet is believed at once.

    Args:
        payload_type: other packets are counted and dropped.
        reorder_ns: how long a gap is kept open for a late packet; 0 gives it up at once, as TCP deserves.
    """

    def __init__(self, *, payload_type: int, reorder_ns: int) -> None:
        self.counts = Counts()
        self._payload_type = payload_type
        self._reorder_ns = reorder_ns
        self._reception: Reception | None = None
        self._expected = 0
        self._waiting: dict[int, tuple[RtpPacket, int]] = {}
        self._given_up: deque[int] = deque(maxlen=MAX_WAITING)
        self._stray: tuple[RtpPacket, int] | None = None

    @property
    def ssrc(self) -> int | None:
        """The sender whose packets are taken; None before the first."""
        return None if self._reception is None else self._reception.ssrc

    def reception_report(self) -> ReceptionReport | None:
        """Return what to tell the sender about the time since the last report; None before its first packet."""
        return None if self._reception is None else self._reception.report()

    def push(self, data: bytes, arrival_ns: int) -> list[Ordered]:
        """Take one packet as it arrived; return those that are next in order, oldest first."""
        packet = parse_rtp(data)
        if packet is None:
            self.counts.garbage += 1
            return self.poll(arrival_ns)
        if packet.payload_type != self._payload_type:
            self.counts.other += 1
            return self.poll(arrival_ns)
        if self._reception is None:
            return [self._restart(packet, arrival_ns)]
        if packet.ssrc == self._reception.ssrc and -MAX_WAITING <= self._ahead(packet.sequence) < _MAX_AHEAD:
            self._drop_stray()
            ordered = self._take(packet, arrival_ns)
        else:
            ordered = self._set_aside(packet, arrival_ns)
        if self._waiting:
            ordered += self.poll(arrival_ns)
        return ordered

    def poll(self, now_ns: int) -> list[Ordered]:
        """Give up the packets that were waited for long enough; return those behind them, oldest first."""
        ordered: list[Ordered] = []
        while self._waiting and (len(self._waiting) > MAX_WAITING or now_ns >= self._gives_up_ns()):
            ordered += self._give_up()
        return ordered

    def next_poll_ns(self) -> int | None:
        """Return when to poll, if nothing arrives before; None: no need to."""
        return self._gives_up_ns() if self._waiting else None

    def flush(self) -> list[Ordered]:
        """Give up all that is waited for."""
        ordered: list[Ordered] = []
        while self._waiting:
            ordered += self._give_up()
        return ordered

    def _gives_up_ns(self) -> int:
        return min(arrival_ns for _, arrival_ns in self._waiting.values()) + self._reorder_ns

    def _ahead(self, sequence: int) -> int:
        return signed_difference(sequence, self._expected, 16)

    def _take(self, packet: RtpPacket, arrival_ns: int) -> list[Ordered]:
        """Put a packet of the present sequence in its place; return what is next in order now."""
        assert self._reception is not None
        self._reception.count(packet, arrival_ns)
        ahead = self._ahead(packet.sequence)
        if ahead < 0 or packet.sequence in self._waiting:
            self._count_again(packet.sequence)
            return []
        self.counts.received += 1
        if ahead == 0 and not self._waiting:
            self._expected = (packet.sequence + 1) & 0xFFFF
            return [Ordered(packet, arrival_ns, 0, restarted=False)]
        if any(self._ahead(other) > ahead for other in self._waiting):
            self.counts.reordered += 1
        self._waiting[packet.sequence] = (packet, arrival_ns)
        return self._in_order()

    def _in_order(self, lost_before: int = 0) -> list[Ordered]:
        """Take out what has become next; the first has `lost_before` missing before it."""
        ordered = []
        while (found := self._waiting.pop(self._expected, None)) is not None:
            ordered.append(Ordered(*found, lost_before, restarted=False))
            self._expected = (self._expected + 1) & 0xFFFF
            lost_before = 0
        return ordered

    def _give_up(self) -> list[Ordered]:
        """Close the first gap as lost."""
        lost = min(self._ahead(sequence) for sequence in self._waiting)
        self._given_up.extend((self._expected + step) & 0xFFFF for step in range(max(lost - MAX_WAITING, 0), lost))
        self._expected = (self._expected + lost) & 0xFFFF
        self.counts.lost += lost
        return self._in_order(lost)

    def _count_again(self, sequence: int) -> None:
        """Count a packet whose place in the order is taken, or past."""
        if sequence in self._given_up:
            self._given_up.remove(sequence)
            self.counts.late += 1
        else:
            self.counts.duplicates += 1

    def _set_aside(self, packet: RtpPacket, arrival_ns: int) -> list[Ordered]:
        """Keep a packet that does not continue the sequence; begin a new one if it continues the packet kept before."""
        stray = self._stray
        if stray is None or (packet.ssrc, packet.sequence) != (stray[0].ssrc, (stray[0].sequence + 1) & 0xFFFF):
            self._drop_stray()
            self._stray = (packet, arrival_ns)
            return []
        self._stray = None
        return [*self.flush(), self._restart(*stray), *self._take(packet, arrival_ns)]

    def _drop_stray(self) -> None:
        if self._stray is not None:
            self.counts.other += 1
            self._stray = None

    def _restart(self, packet: RtpPacket, arrival_ns: int) -> Ordered:
        """Begin to count at a packet."""
        self._reception = Reception(packet)
        self._reception.count(packet, arrival_ns)
        self._given_up.clear()
        self._expected = (packet.sequence + 1) & 0xFFFF
        self.counts.received += 1
        return Ordered(packet, arrival_ns, 0, restarted=True)
