"""A web server on a thread of its own: it listens, starts and ends in bounded time, and keeps its failure."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

import uvicorn

from pipeline.errors import SinkOpenError
from stages.sink.connections import Bounds, Doorkeeper, WebsocketConnection, make_listener

_START_S = 5.0
_GOODBYE_S = 0.3
"""At the end clients have this long to take what still waits for them."""
_LINGER_S = 0.2
"""And this long to take the close frame; then connections are cut. Together less than a run waits for its sinks."""
_JOIN_S = 2.0
_POLL_S = 0.01
_MOST_INCOMING_BYTES = 4096
"""Clients have nothing to say; a longer message ends the connection."""
_MOST_HEADER_BYTES = 16_384

T = TypeVar("T")


async def aside(make: Callable[[], T]) -> T:
    """Run a function on a daemon thread, which does not delay the end of the server.

    Raises:
        Exception: what the function raised.
    """
    loop = asyncio.get_running_loop()
    made: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if made.cancelled():
            return
        if error is not None:
            made.set_exception(error)
        else:
            made.set_result(cast("T", result))

    def work() -> None:
        result: T | None = None
        failure: Exception | None = None
        try:
            result = make()
        except Exception as error:  # raised where it is waited for; a future takes no StopIteration
            failure = RuntimeError("it stopped") if isinstance(error, StopIteration) else error
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=work, name="framepace aside", daemon=True).start()
    return await made


class ServerThread:
    """Serves an ASGI application.

    The owner calls start, call and stop from one thread. The application runs on the server's own thread.

    Args:
        app: the application.
        name: of the thread, and in messages: `the NAME server broke`.
        scheme: for messages.
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        patience_s: a client that leaves a ping unanswered, or takes no data, for this long is dropped.
        bounds: what clients may cost.
        tls: None for plain connections.
    """

    def __init__(
        self,
        app: Any,
        *,
        name: str,
        scheme: str,
        host: str,
        port: int,
        patience_s: float,
        bounds: Bounds,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.port = port
        self._app = app
        self._name = name
        self._scheme = scheme
        self._host = host
        self._patience_s = patience_s
        self._bounds = bounds
        self._tls = tls
        self._goodbye: Callable[[], None] = lambda: None
        self._left: Callable[[], int] = lambda: 0
        self._closing = False
        self._failure: BaseException | None = None
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    def check(self) -> None:
        """Do nothing, unless the server broke.

        Raises:
            RuntimeError: it did.
        """
        if self._failure is not None:
            raise RuntimeError(f"the {self._name} server broke: {self._failure}") from self._failure

    def start(self, *, goodbye: Callable[[], None], left: Callable[[], int]) -> None:
        """Listen, and start the thread.

        Args:
            goodbye: called on the server's thread at the end; tells clients to go when they have what waits for them.
            left: how many are still here.

        Raises:
            SinkOpenError: the address cannot be used.
        """
        self._goodbye, self._left = goodbye, left
        listener = self._listen()
        self.port = listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, args=(listener,), name=f"sink {self._scheme}", daemon=True)
        self._thread.start()
        if not self._ready.wait(_START_S):
            what = f"{self._scheme}://{self._host}:{self.port}"
            raise SinkOpenError(what, f"the server did not start within {_START_S:g} s")

    def call(self, function: Callable[..., object], *arguments: object) -> None:
        """Have a function called on the server's thread; never waits, and does nothing once the server ends."""
        assert self._loop is not None
        if not self._closing:
            with suppress(RuntimeError):  # the server broke, and its loop is closed
                self._loop.call_soon_threadsafe(function, *arguments)

    def stop(self) -> None:
        """End, in bounded time; idempotent.

        1. Each client gets what still waits for it, and a goodbye; new ones are turned away. 2. The server stops
        listening and closes connections. 3. Connections that do not let go are cut.
        """
        thread, self._thread = self._thread, None
        if thread is None or self._loop is None or self._stop is None:
            return
        self._closing = True
        with suppress(RuntimeError):  # the server broke, and its loop is closed
            self._loop.call_soon_threadsafe(self._stop.set)
        thread.join(_JOIN_S)

    def _listen(self) -> socket.socket:
        what = f"{self._scheme}://{self._host}:{self.port}"
        try:
            family, _, _, _, address = socket.getaddrinfo(
                self._host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
        except OSError as error:
            raise SinkOpenError(what, f"is no address of this machine: {error.strerror or error}") from error
        try:
            return make_listener(address, family, patience_s=self._patience_s)
        except OSError as error:
            raise SinkOpenError(what, f"cannot listen there: {error.strerror or error}") from error

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
        serving = asyncio.create_task(server.serve(sockets=[]))
        accepting = asyncio.create_task(Doorkeeper(listener, server, self._bounds, tls=self._tls).accept_all())
        stopping = asyncio.create_task(self._stop.wait())
        self._ready.set()  # the socket listens already: whoever connects now is served in a moment
        await asyncio.wait({serving, accepting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not stopping.done():
            for task in (serving, accepting):
                if task.done():
                    task.result()  # raises what ended it
            raise RuntimeError("it ended by itself")
        await self._say_goodbye()
        accepting.cancel()
        server.should_exit = True
        await asyncio.wait({serving}, timeout=_LINGER_S)
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        await serving

    async def _say_goodbye(self) -> None:
        self._goodbye()
        assert self._loop is not None
        end_s = self._loop.time() + _GOODBYE_S
        while self._left() and self._loop.time() < end_s:
            await asyncio.sleep(_POLL_S)

    def _config(self) -> uvicorn.Config:
        return uvicorn.Config(
            self._app,
            loop="asyncio",
            http="h11",
            h11_max_incomplete_event_size=_MOST_HEADER_BYTES,
            ws=functools.partial(WebsocketConnection, self._bounds),  # type: ignore[arg-type]  # called like a class
            ws_max_size=_MOST_INCOMING_BYTES,
            ws_ping_interval=self._patience_s,
            ws_ping_timeout=self._patience_s,
            ws_per_message_deflate=False,  # compressing for each client anew costs more than it saves
            lifespan="off",
            log_config=None,
            log_level="critical",  # what clients do wrong is their matter
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )
