"""A server whose clients all get every record, each from a bounded queue of its own."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from stages.sink.clients import Clients, RecordQueue
from stages.sink.connections import Bounds
from stages.sink.serve.guard import Guard, names_of
from stages.sink.server import ServerThread

_REQUESTS_PER_S = 100.0
_CONNECTIONS_BESIDE = 64
"""Connections that may be open besides those of clients: on their way in or out, or not of our kind."""


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
        hosts: further names under which we may be reached.
        origins: of web pages that may connect, besides our own.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        path: str,
        client_queue: int,
        max_clients: int,
        patience_s: float,
        hosts: Sequence[str] = (),
        origins: Sequence[str] = (),
    ) -> None:
        self._client_queue = client_queue
        self._clients: Clients[RecordQueue] = Clients(max_clients, patience_s=patience_s)
        self._skipped = 0
        app = Starlette(routes=[WebSocketRoute(path, self._serve_client), Route(path, _say_what_this_is)])
        self._server = ServerThread(
            Guard(app, names=names_of(host, hosts), token=None, requests_per_s=_REQUESTS_PER_S, origins=origins),
            name="websocket",
            scheme="ws",
            host=host,
            port=port,
            patience_s=patience_s,
            bounds=Bounds(connections=max_clients + _CONNECTIONS_BESIDE),
        )

    @property
    def port(self) -> int:
        """The port that clients connect to; valid after start."""
        return self._server.port

    @property
    def wanted(self) -> bool:
        """Whether anybody listens.

        Raises:
            RuntimeError: the server broke.
        """
        self._server.check()
        return len(self._clients) > 0

    def start(self) -> None:
        """Listen, and start the thread.

        Raises:
            SinkOpenError: the address cannot be used.
        """
        self._server.start(goodbye=self._clients.finish, left=lambda: len(self._clients))

    def send(self, frame_id: int | None, line: str) -> None:
        """Hand a record over to all clients; never waits."""
        self._server.call(self._offer, frame_id, line)

    def stop(self) -> None:
        """End, in bounded time; idempotent. Clients get what still waits for them, and the close code 1001."""
        self._server.stop()

    def statistics(self) -> dict[str, int]:
        """Return how many clients there are and were, were refused and dropped, and what they skipped together."""
        counts = self._clients.counts()
        return {
            "clients": counts.now,
            "clients_total": counts.total,
            "refused": counts.refused,
            "skipped": self._skipped,
            "dropped": counts.dropped,
        }

    def _offer(self, frame_id: int | None, line: str) -> None:
        for queue in self._clients.outboxes:
            if queue.wants(frame_id):
                self._skipped += queue.offer(frame_id, line)

    async def _serve_client(self, connection: WebSocket) -> None:
        await self._clients.serve(connection, RecordQueue(self._client_queue))


async def _say_what_this_is(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("framepace result records; connect with a websocket\n", 426, {"upgrade": "websocket"})
