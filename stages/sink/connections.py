"""Lets connections in at a bounded pace, and bounds what each of them may cost.

uvicorn speaks HTTP and websockets; it does not mind how many connections there are, how long one takes for its request,
or how much a websocket client says. That is added here.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import ssl
from collections import Counter, OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

_REQUEST_S = 5.0
"""A connection that has not said what it wants by then is closed."""
_HANDSHAKE_S = 5.0
_CLOSE_S = 2.0
"""A websocket whose end is not confirmed by then is closed all the same."""
_FULL_S = 0.02
_NO_DESCRIPTOR_S = 0.2
_MOST_UNSENT_BYTES = 1 << 20
"""A client that makes us answer (pings, say) and does not read the answers is cut off here."""
_RECEIVE_BUFFER_BYTES = 8192
"""Clients say little; so little can be read at once that no flood keeps the server's thread busy for long."""
_SEND_BUFFER_BYTES = 65_536
"""Records in the kernel's buffer cannot be skipped any more: a large one would hide from a slow client how late it
is."""


_NOT_UNDERSTOOD = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_ADDRESS_SHARE = 0.75
"""Of the connections that are let in a second, one address gets this."""
_MOST_ADDRESSES = 1024
_MOST_WAITING = 256
"""Connections that wait for their turn, and no more than this share of the descriptors that the process may have."""
_WAITING_SHARE = 1 / 4
_LEAST_PLACES = 2
"""Guaranteed however few descriptors there are: one for the busiest client, one for diagnosis."""
_KEPT_DESCRIPTORS = 32
"""Reserved for the pipeline: camera, model, files, and reconnecting."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What clients may cost."""

    connections: int = 192
    """Open ones; further ones wait, unless an idle one can go for them."""
    new_per_s: float = 40.0
    """Connections that are let in a second; twice as many at once."""
    request_bytes: int = 65_536
    """What one connection may ask with at once, and in four seconds; then it is cut."""
    message_bytes: int = 65_536
    """What one websocket may say at once, and in four seconds; then it has to wait."""


class Allowance:
    """A bucket that fills at a steady rate; what is taken must be in it."""

    def __init__(self, most: float, per_s: float, now_s: float) -> None:
        self._most = most
        self._per_s = per_s
        self._left = most
        self._at_s = now_s

    def take(self, amount: float, now_s: float) -> bool:
        """Take from it; return whether there was enough."""
        self._fill(now_s)
        enough = self._left >= amount
        if enough:
            self._left -= amount
        return enough

    def short_s(self, amount: float, now_s: float) -> float:
        """Return how long it takes until so much is in it."""
        self._fill(now_s)
        return max(0.0, (amount - self._left) / self._per_s)

    def _fill(self, now_s: float) -> None:
        self._left = min(self._most, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s


class HttpConnection(H11Protocol):
    """A connection that must say in time what it wants, and briefly."""

    def __init__(self, bounds: Bounds, **given: Any) -> None:
        super().__init__(**given)
        self._bounds = bounds
        self._allowance = Allowance(bounds.request_bytes, bounds.request_bytes / 4, self.loop.time())
        self._hurry: asyncio.TimerHandle | None = None
        self._unsent = 0
        self.since_s = self.loop.time()

    @property
    def idle(self) -> bool:
        """Whether nothing is being done for it, since it has said nothing, or not all of it."""
        return self._is_unheard or bool(self.cycle.more_body)

    @property
    def _is_unheard(self) -> bool:
        return self.cycle is None or bool(self.cycle.response_complete)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]  # a Transport, as uvicorn expects
        self._hurry = self.loop.call_later(_REQUEST_S, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        self._calm_down()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._allowance.take(len(data), self.loop.time()):
            self.transport.abort()
            return
        super().data_received(data)
        if not self._is_unheard:
            self._calm_down()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._calm_down()
        if self._is_unheard and not self.transport.is_closing():
            self._unsent = self.transport.get_write_buffer_size() + 1
            self._hurry = self.loop.call_later(_REQUEST_S, self._give_up)

    def handle_websocket_upgrade(self, event: Any) -> None:
        self._calm_down()
        try:
            super().handle_websocket_upgrade(event)
        except Exception:  # of the library, on what a client wrote
            self.transport.abort()

    def cut(self) -> None:
        """End it without a word."""
        self._calm_down()
        self.transport.abort()

    def _calm_down(self) -> None:
        if self._hurry is not None:
            self._hurry.cancel()
            self._hurry = None

    def _give_up(self) -> None:
        if not self._is_unheard:
            return
        unsent = self.transport.get_write_buffer_size()
        if 0 < unsent < self._unsent:  # the answer is still being taken
            self._unsent = unsent
            self._hurry = self.loop.call_later(_REQUEST_S, self._give_up)
        else:
            self.cut()


class WebsocketConnection(WebSocketsSansIOProtocol):
    """A connection whose client may say little: what is too much for now has to wait."""

    def __init__(self, bounds: Bounds, **given: Any) -> None:
        super().__init__(**given)
        self.close_timeout = _CLOSE_S
        self._most_held = bounds.message_bytes
        self._allowance = Allowance(bounds.message_bytes, bounds.message_bytes / 4, self.loop.time())
        self._held = b""
        self.since_s = self.loop.time()

    @property
    def idle(self) -> bool:
        """Whether it is no websocket yet."""
        return not self.handshake_complete

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.loop.call_later(_HANDSHAKE_S, self._give_up)

    def cut(self) -> None:
        """End it without a word."""
        self.transport.abort()

    def _give_up(self) -> None:
        if self.idle:
            self.cut()

    def data_received(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > self._most_held or self.transport.get_write_buffer_size() > _MOST_UNSENT_BYTES:
            self.transport.abort()
        elif len(self._held) == len(data):  # else the timer is on
            self._go_on()

    def _go_on(self) -> None:
        if self.transport.is_closing():
            return
        now_s = self.loop.time()
        if self._allowance.take(len(self._held), now_s):
            held, self._held = self._held, b""
            super().data_received(held)
            if self.conn.handshake_exc is not None and not self.handshake_initiated:
                self.transport.write(_NOT_UNDERSTOOD)  # the library leaves such a client without an answer
                self.transport.close()
        else:
            self.transport.pause_reading()
            self.loop.call_later(self._allowance.short_s(len(self._held), now_s), self._read_again)

    def _read_again(self) -> None:
        self._go_on()
        if not self._held and not self.read_paused and not self.transport.is_closing():
            self.transport.resume_reading()


def _address(connection: HttpConnection | WebsocketConnection) -> str:
    return connection.client[0] if connection.client else ""


def _free_descriptors() -> int:
    """Return how many clients may have now, as far as can be told."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        used = len(os.listdir("/proc/self/fd"))
    except OSError:
        used = _KEPT_DESCRIPTORS
    return max(0, most - used - _KEPT_DESCRIPTORS)


def make_listener(address: Any, family: int, *, patience_s: float) -> socket.socket:
    """Return a socket that listens; connections inherit its settings.

    Raises:
        OSError: the address cannot be used.
    """
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; it cuts clients off that keep their window closed
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(patience_s * 1000))
        listener.bind(address)
        listener.listen()
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _is_full(taken: int, most: int) -> bool:
    """Whether no place is left, by their number or for lack of descriptors."""
    return taken >= most or (taken >= _LEAST_PLACES and not _free_descriptors())


class Doorkeeper:
    """Accepts connections for a uvicorn server, in its loop.

    Args:
        listener: a listening socket that does not block.
        server: gets the connections.
        bounds: how many, how fast.
        tls: None for plain connections.
    """

    def __init__(
        self, listener: socket.socket, server: uvicorn.Server, bounds: Bounds, *, tls: ssl.SSLContext | None
    ) -> None:
        self._listener = listener
        self._server = server
        self._bounds = bounds
        self._tls = tls
        self._waiting: dict[asyncio.Task[None], tuple[socket.socket, str]] = {}
        """By admitting task: a connection that has no owner yet, and its address."""
        self._handshakes: set[asyncio.Task[None]] = set()
        self._door = asyncio.Lock()
        self._pace = Allowance(0, 1, 0)
        self._allowances: OrderedDict[str, Allowance] = OrderedDict()
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most_waiting = max(_LEAST_PLACES, min(_MOST_WAITING, round(most * _WAITING_SHARE)))

    async def accept_all(self) -> None:
        """Accept until cancelled."""
        loop = asyncio.get_running_loop()
        self._pace = Allowance(2 * self._bounds.new_per_s, self._bounds.new_per_s, loop.time())
        try:
            while True:
                try:
                    connection, address = await loop.sock_accept(self._listener)
                except ConnectionError:  # it is gone again
                    continue
                except OSError:  # no descriptor is left
                    await asyncio.sleep(_NO_DESCRIPTOR_S)
                    continue
                if self._may_wait(str(address[0])):
                    task = loop.create_task(self._admit(connection, str(address[0])))
                    self._waiting[task] = connection, str(address[0])
                    task.add_done_callback(self._forget)
                else:
                    connection.close()
        finally:
            for connection, _ in self._waiting.values():
                connection.close()  # a task that has not begun cannot do it
            for task in (*self._waiting, *self._handshakes):
                task.cancel()

    def _may_wait(self, address: str) -> bool:
        """Whether one more connection may wait; if need be, the newest of the busiest address makes room."""
        if not _is_full(len(self._waiting), self._most_waiting):
            return True
        counts = Counter(its for _, its in self._waiting.values())
        greediest, most = counts.most_common(1)[0]
        if counts[address] + 1 >= most:
            return False
        latest = next(task for task, (_, its) in reversed(self._waiting.items()) if its == greediest)
        latest.cancel()
        self._forget(latest)
        return True

    async def _admit(self, connection: socket.socket, address: str) -> None:
        """Let a connection in when it is its turn; an address that opens too many waits for itself."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        for allowance in (self._allowance_of(address, loop.time()), self._pace):
            while not allowance.take(1, loop.time()):
                await asyncio.sleep(allowance.short_s(1, loop.time()))
        async with self._door:
            await self._wait_room(address)
            del self._waiting[task]
            self._handshakes.add(task)
        await self._welcome(connection)

    def _allowance_of(self, address: str, now_s: float) -> Allowance:
        bounds = self._bounds
        allowance = self._allowances.pop(address, None)
        if allowance is None:
            allowance = Allowance(2 * bounds.new_per_s, _ADDRESS_SHARE * bounds.new_per_s, now_s)
        self._allowances[address] = allowance
        if len(self._allowances) > _MOST_ADDRESSES:
            self._allowances.popitem(last=False)
        return allowance

    async def _wait_room(self, address: str) -> None:
        """Wait until one more connection of this address may be open; cut another one for it."""
        while _is_full(len(self._server.server_state.connections) + len(self._handshakes), self._bounds.connections):
            victim = self._victim(address)
            if victim is not None:
                victim.cut()
            await asyncio.sleep(_FULL_S)

    def _victim(self, address: str) -> HttpConnection | WebsocketConnection | None:
        """Return the connection to cut: the oldest idle one, else the newest, of the busiest address.

        A busy connection is cut only for an address that has fewer.
        """
        here = [
            each
            for each in self._server.server_state.connections
            if isinstance(each, HttpConnection | WebsocketConnection)
        ]
        idle = [each for each in here if each.idle]
        if idle:
            counts = Counter(_address(each) for each in idle)
            return min(idle, key=lambda each: (-counts[_address(each)], each.since_s))
        counts = Counter(_address(each) for each in here)
        greediest, most = counts.most_common(1)[0] if counts else ("", 0)
        if counts[address] + 1 >= most:
            return None
        return max((each for each in here if _address(each) == greediest), key=lambda each: each.since_s)

    def _forget(self, task: asyncio.Task[None]) -> None:
        waiting = self._waiting.pop(task, None)
        if waiting is not None:
            waiting[0].close()
        self._handshakes.discard(task)

    async def _welcome(self, connection: socket.socket) -> None:
        given = {"config": self._server.config, "server_state": self._server.server_state, "app_state": {}}
        with suppress(OSError, asyncio.TimeoutError):  # a client that does not get through its TLS handshake
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: HttpConnection(self._bounds, **given),
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=None if self._tls is None else _HANDSHAKE_S,
            )
