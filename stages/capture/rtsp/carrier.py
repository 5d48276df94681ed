"""How media travels: inside the RTSP connection, or beside it over UDP (RFC 2326 sections 10.12 and 12.39)."""

from __future__ import annotations

import re
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress

from pipeline.clock import Clock
from stages.capture.rtsp.session import Arrived, Session
from stages.capture.rtsp.sockets import UdpPair

_RTCP_KINDS = range(192, 224)
"""What the second byte of an RTCP packet may be, and of an RTP packet may not (RFC 5761 section 4)."""
_OPEN_FIREWALL_RTP = struct.pack(">BBHII", 0x80, 0, 0, 0, 0)
"""An empty RTP packet from nobody: tells firewalls on the way that answers are wanted."""


def is_rtcp(data: bytes, payload_type: int) -> bool:
    """Whether a packet is RTCP; some cameras send it on the channel for RTP. The agreed payload type is RTP."""
    return len(data) > 1 and data[1] in _RTCP_KINDS and data[1] & 0x7F != payload_type


class Carrier(ABC):
    """One way for media."""

    name: str
    wanted: str
    """The Transport header of SETUP."""

    @abstractmethod
    def agree(self, transport: str, session: Session) -> None:
        """Take the Transport header of the response; what it leaves out is as it was wanted."""

    @abstractmethod
    def receive(self, interleaved: list[Arrived]) -> list[tuple[bytes, int]]:
        """Return the packets that have arrived, RTP and RTCP, each with its arrival time.

        Args:
            interleaved: what came inside the RTSP connection.
        """

    @abstractmethod
    def send_rtcp(self, data: bytes) -> None:
        """Send a report; one that cannot be sent is lost."""

    def sockets(self) -> list[socket.socket]:
        """Return the sockets of its own, to be polled."""
        return []

    def close(self) -> None:
        """Release what it has of its own."""


class TcpCarrier(Carrier):
    """Media inside the RTSP connection."""

    name = "tcp"
    wanted = "RTP/AVP/TCP;unicast;interleaved=0-1"

    def __init__(self, session: Session) -> None:
        self._session = session
        self._channels = (0, 1)
        session.channels.update(self._channels)

    def agree(self, transport: str, session: Session) -> None:
        found = _pair(transport, "interleaved")
        if found is not None and max(found) < 256:
            self._channels = found
            session.channels.clear()
            session.channels.update(found)

    def receive(self, interleaved: list[Arrived]) -> list[tuple[bytes, int]]:
        return [(arrived.data, arrived.arrival_ns) for arrived in interleaved if arrived.channel in self._channels]

    def send_rtcp(self, data: bytes) -> None:
        with suppress(OSError):
            self._session.connection.send(struct.pack(">cBH", b"$", self._channels[1], len(data)) + data)


class UdpCarrier(Carrier):
    """Media over UDP, from the very address that RTSP is spoken with."""

    name = "udp"

    def __init__(self, session: Session, clock: Clock) -> None:
        family, peer = session.connection.peer
        self._clock = clock
        self._pair = UdpPair(family, session.connection.local_address, peer)
        self._server_ports: tuple[int, int] | None = None
        first, second = self._pair.ports
        self.wanted = f"RTP/AVP;unicast;client_port={first}-{second}"

    def agree(self, transport: str, session: Session) -> None:
        self._server_ports = _pair(transport, "server_port")
        if self._server_ports is not None:
            self._pair.agree(self._server_ports)
            self._pair.send(self._pair.rtp, _OPEN_FIREWALL_RTP, self._server_ports[0])

    def receive(self, interleaved: list[Arrived]) -> list[tuple[bytes, int]]:
        packets: list[bytes] = []
        for sock in self.sockets():
            packets += self._pair.receive(sock)
        arrival_ns = self._clock.now_ns()
        return [(data, arrival_ns) for data in packets]

    def send_rtcp(self, data: bytes) -> None:
        if self._server_ports is not None:
            self._pair.send(self._pair.rtcp, data, self._server_ports[1])

    def sockets(self) -> list[socket.socket]:
        return [self._pair.rtp, self._pair.rtcp]

    def close(self) -> None:
        self._pair.close()


def carriers(first: str, session: Session, clock: Clock) -> list[Callable[[], Carrier]]:
    """Return makers of the carriers to try, the wanted one first."""
    makers: dict[str, Callable[[], Carrier]] = {
        "tcp": lambda: TcpCarrier(session),
        "udp": lambda: UdpCarrier(session, clock),
    }
    return [makers.pop(first), *makers.values()]


def _pair(transport: str, name: str) -> tuple[int, int] | None:
    """Return the two numbers of a parameter such as `server_port=5000-5001`; the second may be left out."""
    found = re.search(rf"(?i)(?:^|;)\s*{name}\s*=\s*(\d{{1,5}})(?:\s*-\s*(\d{{1,5}}))?", transport)
    if found is None:
        return None
    first = int(found[1])
    second = int(found[2]) if found[2] else first + 1
    return (first, second) if max(first, second) < 65536 else None
