"""Sockets whose every wait is bounded, and ends soon when the run is stopped."""

from __future__ import annotations

import errno
import logging
import os
import queue
import select
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from pipeline.clock import NS_PER_MS, NS_PER_S, Clock

log = logging.getLogger("framepace.source")

_SLICE_NS = 100 * NS_PER_MS
"""The longest wait before looking whether somebody stops the run."""
_RECEIVE_BYTES = 1 << 16
_UDP_BUFFER_BYTES = 4 << 20
"""Asked for, a second of a good camera; the system may give less (net.core.rmem_max)."""
_UDP_PACKETS = 256
"""Packets taken at once, so that a flood cannot keep the reader from everything else."""
_STRANGERS = 20
"""So many packets from another port of the camera, and none from the agreed one, are the stream."""
_PORT_TRIES = 50
_NO_ROOM = "the camera takes no more requests"


class Interrupted(Exception):
    """The run is being stopped."""


class TimedOut(Exception):
    """The bound of a wait has passed."""


class ConnectionEnded(Exception):
    """The other side closed the connection in order."""


class Patience:
    """How much longer somebody is willing to wait.

    Args:
        clock: tells the time.
        limit_ns: from now on.
        is_interrupted: asked again and again.
    """

    def __init__(self, clock: Clock, limit_ns: int, is_interrupted: Callable[[], bool]) -> None:
        self._clock = clock
        self._end_ns = clock.now_ns() + limit_ns
        self._is_interrupted = is_interrupted

    def slice_s(self) -> float:
        """Return how many seconds to wait now, before asking again.

        Raises:
            Interrupted: not at all, the run is being stopped.
            TimedOut: not at all, the time is up.
        """
        if self._is_interrupted():
            raise Interrupted
        rest_ns = self._end_ns - self._clock.now_ns()
        if rest_ns <= 0:
            raise TimedOut
        return min(rest_ns, _SLICE_NS) / NS_PER_S

    def wait_for(self, sock: socket.socket, events: int) -> None:
        """Wait until a socket is ready for `events` (of select.poll).

        Raises:
            Interrupted, TimedOut: it is not.
        """
        poller = select.poll()
        poller.register(sock, events)
        while not poller.poll(self.slice_s() * 1000):
            pass


def resolve(host: str, port: int, patience: Patience) -> list[tuple[int, tuple[str, int]]]:
    """Return the addresses of a host as (family, address) pairs.

    The system's resolver cannot be interrupted: it runs on a thread of its own, which is left behind when it takes too
    long.

    Raises:
        OSError: there are none.
        Interrupted, TimedOut: it takes too long.
    """
    answers: queue.SimpleQueue[list[tuple[int, tuple[str, int]]] | OSError] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.put([(family, (str(address[0]), port)) for family, _, _, _, address in found])
        except (OSError, UnicodeError) as error:
            answers.put(error if isinstance(error, OSError) else OSError(f"{host!r} is no host name"))

    threading.Thread(target=look_up, name="framepace name lookup", daemon=True).start()
    while True:
        try:
            found = answers.get(timeout=patience.slice_s())
        except queue.Empty:
            continue
        if isinstance(found, OSError):
            raise found
        return found


class Connection:
    """A TCP connection, plain or TLS. Used by one thread."""

    def __init__(self, sock: socket.socket, host: str) -> None:
        self._socket = sock
        self.host = host
        """As it was asked for."""

    @classmethod
    def open(cls, host: str, port: int, patience: Patience, *, tls: ssl.SSLContext | None) -> Connection:
        """Connect to the first address of a host that answers.

        Raises:
            OSError: none does; also ssl.SSLError.
            Interrupted, TimedOut: it takes too long.
        """
        problem: OSError = OSError("no address")
        for family, address in resolve(host, port, patience):
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                _connect(sock, address, patience)
                if tls is not None:
                    sock = _wrapped(sock, host, tls, patience)
            except OSError as error:
                sock.close()
                problem = error
                continue
            except BaseException:
                sock.close()
                raise
            return cls(sock, host)
        raise problem

    @property
    def peer(self) -> tuple[int, str]:
        """Family and address of the other side."""
        return self._socket.family, str(self._socket.getpeername()[0])

    @property
    def local_address(self) -> str:
        """Our own address on the way to the other side."""
        return str(self._socket.getsockname()[0])

    def fileno(self) -> int:
        """Return the descriptor, to be polled."""
        return self._socket.fileno()

    def send(self, data: bytes, patience: Patience | None = None) -> None:
        """Send all of it.

        Args:
            data: the bytes.
            patience: how long to wait for room; None: not at all, what does not fit is an error.

        Raises:
            BlockingIOError: there is no room, and nothing was sent.
            OSError: the connection is broken, or of no use any more since only a part was sent.
            Interrupted, TimedOut: there is no room for too long.
        """
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                if patience is None:
                    if len(rest) == len(data):
                        raise BlockingIOError(errno.EAGAIN, _NO_ROOM) from None
                    raise OSError(_NO_ROOM) from None
                patience.wait_for(self._socket, select.POLLOUT)

    def receive(self) -> bytes:
        """Return what has arrived, without waiting; empty if nothing has.

        Raises:
            ConnectionEnded: nothing more will come.
            OSError: the connection is broken.
        """
        try:
            data = self._socket.recv(_RECEIVE_BYTES)
            # What TLS has decrypted already, no poll shows any more.
            while isinstance(self._socket, ssl.SSLSocket) and data and self._socket.pending():
                data += self._socket.recv(_RECEIVE_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError):
            return b""
        if not data:
            raise ConnectionEnded
        return data

    def wait_readable(self, patience: Patience) -> None:
        """Wait until there is something to receive.

        Raises:
            Interrupted, TimedOut: there is nothing.
        """
        patience.wait_for(self._socket, select.POLLIN)

    def close(self, last_words: bytes, patience: Patience) -> None:
        """Send something, if it can be, and close in order, so that it arrives."""
        with suppress(OSError, ConnectionEnded, Interrupted, TimedOut):
            self.send(last_words)
            self._socket.shutdown(socket.SHUT_WR)
            while True:  # a close with unread data resets the connection, and what was sent is lost
                self.wait_readable(patience)
                self.receive()
        self._socket.close()


def _connect(sock: socket.socket, address: tuple[str, int], patience: Patience) -> None:
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with suppress(BlockingIOError):
        sock.connect(address)
    patience.wait_for(sock, select.POLLOUT)
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))


def _wrapped(sock: socket.socket, host: str, tls: ssl.SSLContext, patience: Patience) -> ssl.SSLSocket:
    wrapped = tls.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    try:
        while True:
            try:
                wrapped.do_handshake()
                return wrapped
            except ssl.SSLWantReadError:
                patience.wait_for(wrapped, select.POLLIN)
            except ssl.SSLWantWriteError:
                patience.wait_for(wrapped, select.POLLOUT)
    except BaseException:
        wrapped.close()
        raise


class UdpPair:
    """Two UDP ports, the even one for RTP and the next for RTCP (RFC 3550 section 11). Used by one thread.

    Args:
        family: of the addresses.
        local_address: where to listen.
        peer: the address from which packets are taken; all others are dropped.

    Raises:
        OSError: there is no free pair.
    """

    def __init__(self, family: int, local_address: str, peer: str) -> None:
        self._peer = peer
        self._agreed: dict[socket.socket, int] = {}
        """The port that packets for each of the two come from."""
        self._heard: set[socket.socket] = set()
        self._strangers: Counter[tuple[socket.socket, int]] = Counter()
        self.rtp, self.rtcp = _bound_pair(family, local_address)
        self.rtp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _UDP_BUFFER_BYTES)
        for sock in (self.rtp, self.rtcp):
            sock.setblocking(False)

    @property
    def ports(self) -> tuple[int, int]:
        """The ports for RTP and RTCP."""
        return self.rtp.getsockname()[1], self.rtcp.getsockname()[1]

    def receive(self, sock: socket.socket) -> list[bytes]:
        """Return packets that have arrived at one of the two, without waiting."""
        packets = []
        with suppress(OSError):  # nothing more; or an ICMP error, which says nothing that silence does not
            for _ in range(_UDP_PACKETS):
                data, address = sock.recvfrom(_RECEIVE_BYTES)
                if address[0] == self._peer and self._is_agreed(sock, address[1]):
                    packets.append(data)
        return packets

    def agree(self, ports: tuple[int, int]) -> None:
        """Take packets from these ports of the peer, for RTP and RTCP, as long as they send any."""
        self._agreed = {self.rtp: ports[0], self.rtcp: ports[1]}

    def _is_agreed(self, sock: socket.socket, port: int) -> bool:
        """Whether a packet comes from where it should; without an agreement, from where the first one came.

        Some cameras send from other ports than they say: where nothing comes from the agreed one, the port that has
        sent enough takes its place.
        """
        if self._agreed.setdefault(sock, port) == port:
            self._heard.add(sock)
            return True
        if sock in self._heard:
            return False
        self._strangers[sock, port] += 1
        if self._strangers[sock, port] < _STRANGERS:
            return False
        log.warning("the camera sends from UDP port %d, not from the agreed %d", port, self._agreed[sock])
        self._agreed[sock] = port
        self._heard.add(sock)
        return True

    def send(self, sock: socket.socket, data: bytes, port: int) -> None:
        """Send a packet; one that cannot be sent is lost, like any."""
        with suppress(OSError):
            sock.sendto(data, (self._peer, port))

    def close(self) -> None:
        """Close both."""
        self.rtp.close()
        self.rtcp.close()


def _bound_pair(family: int, local_address: str) -> tuple[socket.socket, socket.socket]:
    problem: OSError = OSError("no free pair of UDP ports")
    for _ in range(_PORT_TRIES):
        first = socket.socket(family, socket.SOCK_DGRAM)
        second = socket.socket(family, socket.SOCK_DGRAM)
        try:
            first.bind((local_address, 0))
            port = first.getsockname()[1]
            second.bind((local_address, port + 1 if port % 2 == 0 else port - 1))
            return (first, second) if port % 2 == 0 else (second, first)
        except OSError as error:
            first.close()
            second.close()
            problem = error
        except OverflowError:  # port 65536
            first.close()
            second.close()
    raise problem
