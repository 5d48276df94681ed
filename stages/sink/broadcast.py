"""The websocket server on its own thread: an event loop, the clients, and a bounded queue for each."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import deque
from contextlib import suppress

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from pipeline.errors import SinkOpenError
from stages.sink.record import line_with_gap

_START_S = 5.0
_GOODBYE_S = 0.5
"""At the end clients have this long to take what still waits for them."""
_LINGER_S = 0.4
"""And this long to take the close frame; then connections are cut."""
_JOIN_S = 2.0
_POLL_S = 0.01
_GOING_AWAY = 1001
_TRY_LATER = 1013
"""Close codes of RFC 6455 section 7.4.1 and its IANA registry."""
_MOST_INCOMING_BYTES = 4096
"""Clients have nothing to say; a longer message ends the connection."""
_SEND_BUFFER_BYTES = 65_536
"""Records in the kernel's buffer cannot be skipped any more: a large one would hide from a slow client how late it
is."""


class Client:
    """One client and the records that wait for it. Used on the server's thread only."""

    def __init__(self, connection: WebSocket, capacity: int) -> None:
        self._connection = connection
        self._capacity = capacity
        self._waiting: deque[tuple[int | None, str]] = deque()
        self._changed = asyncio.Event()
        self._last_frame: int | None = None
        self._finishing = False

    def offer(self, frame_id: int | None, line: str) -> int:
        """Queue a record, of no frame if `frame_id` is None; return 1 if the oldest one had to make room, else 0."""
        if self._last_frame is None and frame_id is not None:
            self._last_frame = frame_id - 1  # what was before the client came is no gap
        full = len(self._waiting) == self._capacity
        if full:
            self._waiting.popleft()
        self._waiting.append((frame_id, line))
        self._changed.set()
        return int(full)

    def finish(self) -> None:
        """Say goodbye after what is queued has been sent."""
        self._finishing = True
        self._changed.set()

    async def send_all(self) -> None:
        """Send what is queued, as fast as the client takes it, until finish() or until the client is gone.

        Raises:
            WebSocketDisconnect, RuntimeError: the client is gone.
        """
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._waiting:
                frame_id, line = self._waiting.popleft()
                await self._connection.send_text(self._with_gap(frame_id, line))
            if self._finishing:
                await self._connection.close(_GOING_AWAY, "the run is over")
                return

    def _with_gap(self, frame_id: int | None, line: str) -> str:
        """Return the line with the gap that this client sees before it."""
        if frame_id is None:
            return line
        assert self._last_frame is not None
        gap, self._last_frame = frame_id - self._last_frame - 1, frame_id
        return line_with_gap(line, gap)

    async def wait_gone(self) -> bool:
        """Read, and throw away, until the client is gone; return whether there was a goodbye."""
        while True:
            message = await self._connection.receive()
            if message["type"] == "websocket.disconnect":
                # A connection that is just lost has a code, but no reason, not even an empty one.
                return "reason" in message


class BroadcastServer:
    """Sends every record to every client.

    The owner calls start, send and stop from one thread. Everything about clients happens on the server's own thread;
    the counters are only read by others.

    Args:
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        path: of the endpoint.
        client_queue: records that a client may lag behind before it skips the oldest.
        max_clients: further ones are turned away with close code 1013.
        patience_s: a client that leaves a ping unanswered, or takes no data, for this long is dropped.
    """

    def __init__(
        self, host: str, port: int, *, path: str, client_queue: int, max_clients: int, patience_s: float
    ) -> None:
        self.port = port
        self._host = host
        self._path = path
        self._client_queue = client_queue
        self._max_clients = max_clients
        self._patience_s = patience_s
        self._clients: set[Client] = set()
        self._clients_total = 0
        self._refused = 0
        self._skipped = 0
        self._dropped = 0
        self._closing = False
        self._failure: BaseException | None = None
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    @property
    def wanted(self) -> bool:
        """Whether anybody listens.

        Raises:
            RuntimeError: the server broke.
        """
        if self._failure is not None:
            raise RuntimeError(f"the websocket server broke: {self._failure}") from self._failure
        return bool(self._clients)

    def start(self) -> None:
        """Listen, and start the thread.

        Raises:
            SinkOpenError: the address cannot be used.
        """
        listener = self._listen()
        self.port = listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, args=(listener,), name="sink ws", daemon=True)
        self._thread.start()
        if not self._ready.wait(_START_S):
            raise SinkOpenError(f"ws://{self._host}:{self.port}", f"the server did not start within {_START_S:g} s")

    def send(self, frame_id: int | None, line: str) -> None:
        """Hand a record over to all clients; never waits."""
        assert self._loop is not None
        if not self._closing:
            self._loop.call_soon_threadsafe(self._offer, frame_id, line)

    def stop(self) -> None:
        """End, in bounded time; idempotent.

        1. New clients are turned away. 2. Each client gets what still waits for it, and the close code 1001.
        3. The server stops listening and closes connections. 4. Connections that do not let go are cut.
        """
        thread, self._thread = self._thread, None
        if thread is None or self._loop is None or self._stop is None:
            return
        self._closing = True
        with suppress(RuntimeError):  # the server broke, and its loop is closed
            self._loop.call_soon_threadsafe(self._stop.set)
        thread.join(_JOIN_S)

    def statistics(self) -> dict[str, int]:
        """Return how many clients there are and were, were refused and dropped, and what they skipped together."""
        return {
            "clients": len(self._clients),
            "clients_total": self._clients_total,
            "refused": self._refused,
            "skipped": self._skipped,
            "dropped": self._dropped,
        }

    def _listen(self) -> socket.socket:
        what = f"ws://{self._host}:{self.port}"
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                self._host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            listener = socket.socket(family, kind, protocol)
        except OSError as error:
            raise SinkOpenError(what, f"is no address of this machine: {error.strerror or error}") from error
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Accepted connections inherit these two.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; it cuts clients off that keep their window closed
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(self._patience_s * 1000))
            listener.bind(address)
            listener.listen()
        except OSError as error:
            listener.close()
            raise SinkOpenError(what, f"cannot listen there: {error.strerror or error}") from error
        return listener

    def _run(self, listener: socket.socket) -> None:
        try:
            asyncio.run(self._serve(listener))
        except BaseException as error:  # kept, and raised at the next write
            self._failure = error
        finally:
            listener.close()
            self._ready.set()

    async def _serve(self, listener: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = uvicorn.Server(self._config())
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        stopping = asyncio.create_task(self._stop.wait())
        self._ready.set()  # the socket listens already: whoever connects now is served in a moment
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not stopping.done():
            stopping.cancel()
            await serving
            raise RuntimeError("it ended by itself")
        await self._say_goodbye()
        server.should_exit = True
        await asyncio.wait({serving}, timeout=_LINGER_S)
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        await serving

    async def _say_goodbye(self) -> None:
        for client in self._clients:
            client.finish()
        assert self._loop is not None
        end_s = self._loop.time() + _GOODBYE_S
        while self._clients and self._loop.time() < end_s:
            await asyncio.sleep(_POLL_S)

    def _config(self) -> uvicorn.Config:
        app = Starlette(
            routes=[WebSocketRoute(self._path, self._serve_client), Route(self._path, _say_what_this_is)],
        )
        return uvicorn.Config(
            app,
            loop="asyncio",
            ws="websockets-sansio",
            ws_max_size=_MOST_INCOMING_BYTES,
            ws_ping_interval=self._patience_s,
            ws_ping_timeout=self._patience_s,
            ws_per_message_deflate=False,  # compressing for each client anew costs more than it saves
            lifespan="off",
            log_config=None,
            log_level="critical",  # what clients do wrong is their matter
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )

    def _offer(self, frame_id: int | None, line: str) -> None:
        for client in self._clients:
            self._skipped += client.offer(frame_id, line)

    async def _serve_client(self, connection: WebSocket) -> None:
        if self._closing or len(self._clients) >= self._max_clients:
            self._refused += 1
            await connection.accept()  # a refusal before that could not carry a close code
            await connection.close(_GOING_AWAY if self._closing else _TRY_LATER, "too many clients")
            return
        client = Client(connection, self._client_queue)
        self._clients.add(client)
        self._clients_total += 1
        try:
            await connection.accept()
            if not await self._attend(client):
                self._dropped += 1
        finally:
            self._clients.discard(client)

    async def _attend(self, client: Client) -> bool:
        """Send until the client is gone; return whether there was a goodbye."""
        sending = asyncio.create_task(client.send_all())
        gone = asyncio.create_task(client.wait_gone())
        try:
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
            # A send fails on a client that is gone; how it went is known a moment later.
            await asyncio.wait({gone}, timeout=self._patience_s)
            return gone.done() and gone.result()
        finally:
            sending.cancel()
            gone.cancel()
            await asyncio.gather(sending, gone, return_exceptions=True)


async def _say_what_this_is(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("framepace result records; connect with a websocket\n", 426, {"upgrade": "websocket"})
