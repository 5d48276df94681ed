"""Broadcasts result records to any number of websocket clients, none of which can hold anything up."""

from __future__ import annotations

import ipaddress
import logging
from urllib.parse import urlsplit

from pydantic import Field

from pipeline.clock import NS_PER_MS, NS_PER_S
from pipeline.frame import Answer, Heartbeat
from pipeline.stage import OpenContext, Options, Sink
from pipeline.units import Duration
from stages.sink.broadcast import BroadcastServer
from stages.sink.record import line_from_answer, line_from_heartbeat

log = logging.getLogger("framepace.serve")


class WebsocketOptions(Options):
    """Settings of the websocket sink."""

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 opens it to the network.")
    port: int = Field(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    path: str = Field("/", pattern="^/", description="Path of the endpoint.")
    client_queue: int = Field(64, ge=1, description="Records that a client may lag behind before it skips the oldest.")
    max_clients: int = Field(64, ge=1, description="Further clients are refused.")
    allowed_hosts: tuple[str, ...] = Field(
        (), description="Further names under which clients reach us, such as that of a proxy."
    )
    allowed_origins: tuple[str, ...] = Field(
        (), description="Web pages that may connect, such as http://localhost:3000; programs always may."
    )
    patience: Duration = Field(
        5 * NS_PER_S,
        ge=10 * NS_PER_MS,
        description="How long a client may leave a ping unanswered, or take no data, before it is dropped.",
    )


class WebsocketSink(Sink):
    """Serves `ws://HOST:PORT/PATH`: each client gets every record from when it connected, as one text message.

    A client that falls behind skips its oldest waiting records, and sees how many in the `gap` of the next one. What
    clients send is ignored. At the end, clients get the close code 1001.

    Runs an event loop on a thread of its own. write() hands a record over and never waits; everything about clients
    happens on that thread, so nothing but the counters is seen by two threads.
    """

    options_type = WebsocketOptions

    def __init__(self, options: WebsocketOptions) -> None:
        self._options = options
        self._server: BroadcastServer | None = None

    @classmethod
    def options_from_spec(cls, spec: str) -> dict[str, object]:
        usage = "write ws://HOST:PORT, such as ws://127.0.0.1:8765"
        try:
            url = urlsplit(f"ws:{spec}")
            port = url.port
        except ValueError as error:
            raise ValueError(f"{error}; {usage}") from error
        if not spec.startswith("//") or port is None or url.query or url.fragment or url.username is not None:
            raise ValueError(usage)
        return {"host": url.hostname or "127.0.0.1", "port": port, "path": url.path or "/"}

    @property
    def resource(self) -> str | None:
        return f"port:{self._options.host}:{self._options.port}" if self._options.port else None

    @property
    def port(self) -> int:
        """The port that clients connect to; valid after open."""
        assert self._server is not None
        return self._server.port

    def open(self, context: OpenContext) -> None:
        self._server = BroadcastServer(
            self._options.host,
            self._options.port,
            path=self._options.path,
            client_queue=self._options.client_queue,
            max_clients=self._options.max_clients,
            patience_s=self._options.patience / NS_PER_S,
            hosts=self._options.allowed_hosts,
            origins=self._options.allowed_origins,
        )
        self._server.start()
        host = self._options.host
        shown = f"[{host}]" if ":" in host else host
        log.info("results at ws://%s:%d%s", shown, self._server.port, self._options.path)
        if not _is_loopback(host):
            log.warning("ws://%s:%d is open to the network, and asks for no token", shown, self._server.port)

    def write(self, answer: Answer, *, gap: int) -> None:
        assert self._server is not None
        if self._server.wanted:
            # Each client's gap follows from the frame numbers that it got; so one line serves all.
            self._server.send(answer.info.frame_id, line_from_answer(answer))

    def beat(self, heartbeat: Heartbeat) -> None:
        assert self._server is not None
        if self._server.wanted:
            self._server.send(None, line_from_heartbeat(heartbeat))

    def close(self) -> None:
        if self._server is not None:
            self._server.stop()

    def statistics(self) -> dict[str, int]:
        return self._server.statistics() if self._server is not None else {}


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
