"""The sink that serves a run on one port: a page, records, pictures, state, metrics and control."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping
from pathlib import Path

from pipeline.clock import NS_PER_S, Clock
from pipeline.errors import SinkOpenError
from pipeline.files import is_exposed, read_secret
from pipeline.frame import Answer, Heartbeat
from pipeline.observe import Observed, Observer
from pipeline.report import Report
from pipeline.stage import OpenContext
from stages.payloads import Picture
from stages.sink.clients import ClientCounts
from stages.sink.connections import Bounds
from stages.sink.record import record_from_answer, record_from_heartbeat
from stages.sink.serve.app import Desk, make_app
from stages.sink.serve.assets import read_assets
from stages.sink.serve.guard import Guard, names_of
from stages.sink.serve.metrics import Exposition, RunCollector
from stages.sink.serve.now import Now
from stages.sink.serve.options import ServeOptions, check_token, options_from_address
from stages.sink.serve.preview import Preview, Studio, Wish
from stages.sink.serve.readiness import Watch
from stages.sink.serve.results import Results
from stages.sink.server import ServerThread

log = logging.getLogger("framepace.serve")

_CONNECTIONS_BESIDE = 64
"""Connections that may be open besides those of clients that stay: short requests, and who is on the way in or out."""
_BYTES_A_REQUEST = 4096
_MOST_MESSAGE_BYTES = 16_384
"""Clients have nothing to say on websockets, but must answer pings."""


class ServeSink(Observer):
    """Serves `http://HOST:PORT/`.

    Clients get records, pictures and the state of the run from when they connected; whoever is slow skips, and nobody
    can hold anything up. write() hands a record over and never waits. Two threads: the server's own, and one that makes
    pictures while somebody looks. Opened before everything else, so that the page can say what is being waited for.
    """

    options_type = ServeOptions
    wants_pictures = True

    def __init__(self, options: ServeOptions) -> None:
        self._options = options
        patience_s = options.patience / NS_PER_S
        self._results = Results(options.result_clients, client_queue=options.client_queue, patience_s=patience_s)
        self._preview = Preview(
            options.preview_clients,
            most_rate=options.preview_rate,
            most_width_px=options.preview_width,
            patience_s=patience_s,
        )
        self._run: Observed | None = None
        self._now: Now | None = None
        self._clock: Clock | None = None
        self._watch: Watch | None = None
        self._guard: Guard | None = None
        self._server: ServerThread | None = None
        self._studio: Studio | None = None

    @classmethod
    def options_from_spec(cls, spec: str) -> dict[str, object]:
        return options_from_address(spec)

    @property
    def resource(self) -> str | None:
        return f"port:{self._options.host}:{self._options.port}" if self._options.port else None

    @property
    def port(self) -> int:
        """The port that clients connect to; valid after open."""
        assert self._server is not None
        return self._server.port

    @property
    def address(self) -> str:
        """The page's address; valid after open."""
        scheme = "http" if self._options.certificate is None else "https"
        host = self._options.host
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}/"

    def attach(self, run: Observed) -> None:
        self._run = run

    def open(self, context: OpenContext) -> None:
        assert self._run is not None
        options = self._options
        token = self._token()
        self._clock = context.clock
        self._watch = Watch(context.clock, within_ns=options.ready_within)
        self._studio = Studio(quality=options.preview_quality, clock=context.clock, deliver=self._deliver)
        self._now = Now(
            self._run,
            context.clock,
            limit=options.page_clients,
            patience_s=options.patience / NS_PER_S,
            controllable=token is not None,
            viewers=lambda: len(self._preview.clients),
        )
        desk = Desk(
            run=self._run,
            clock=context.clock,
            watch=self._watch,
            results=self._results,
            preview=self._preview,
            now=self._now,
            exposition=Exposition(
                RunCollector(
                    self._run, ready=self._is_ready, clients=self._counts, served=self._served, refused=self._refused
                )
            ),
            assets=read_assets(),
            controllable=token is not None,
        )
        self._guard = Guard(
            make_app(desk),
            names=names_of(options.host, options.allowed_hosts),
            token=token,
            requests_per_s=options.requests_per_s,
        )
        self._server = self._make_server(self._guard)
        self._server.start(goodbye=self._say_goodbye, left=lambda: sum(each.now for each in self._counts().values()))
        self._studio.start()
        log.info("serving %s", self.address)

    def write(self, answer: Answer, *, gap: int) -> None:
        assert self._server is not None
        assert self._watch is not None
        assert self._clock is not None
        assert self._studio is not None
        self._server.check()
        self._watch.note(answer)
        due = self._preview.schedule.due(self._clock.now_ns()) if isinstance(answer.picture, Picture) else None
        wanted = len(self._results.clients) > 0
        if not (wanted or due):
            return
        record = record_from_answer(answer)
        if wanted:
            # Each client's gap follows from the frame numbers that it got; so one record serves all.
            self._server.call(self._results.offer, answer.info.frame_id, record)
        if due:
            assert isinstance(answer.picture, Picture)
            self._studio.order(answer.picture, record, due)

    def beat(self, heartbeat: Heartbeat) -> None:
        assert self._server is not None
        self._server.check()
        if len(self._results.clients):
            self._server.call(self._results.offer, None, record_from_heartbeat(heartbeat))

    def close(self) -> None:
        if self._studio is not None:
            self._studio.stop()
        if self._server is not None:
            self._server.stop()

    def statistics(self) -> dict[str, int]:
        counts = self._counts()
        statistics = {f"{kind}_clients": count.total for kind, count in counts.items()}
        statistics["refused"] = sum(count.refused for count in counts.values())
        statistics["dropped"] = sum(count.dropped for count in counts.values())
        statistics["skipped"] = self._results.skipped
        statistics["requests_refused"] = sum(self._refused().values())
        statistics["wrong_tokens"] = 0 if self._guard is None else self._guard.wrong_tokens
        statistics["pictures"] = 0 if self._studio is None else self._studio.pictures
        return statistics

    # Opening

    def _token(self) -> str | None:
        options = self._options
        if options.token is not None:
            return options.token.get_secret_value()
        if options.token_file is None:
            return None
        try:
            token = read_secret(options.token_file)
            check_token(token)
        except ValueError as error:
            raise SinkOpenError(options.token_file, f"holds no token: {error}") from error
        if is_exposed(options.token_file):
            log.warning("every user of this machine can read %s; chmod 600 it", options.token_file)
        return token

    def _make_server(self, guard: Guard) -> ServerThread:
        options = self._options
        clients = options.result_clients + options.preview_clients + options.page_clients
        return ServerThread(
            guard,
            name="serving",
            scheme="http" if options.certificate is None else "https",
            host=options.host,
            port=options.port,
            patience_s=options.patience / NS_PER_S,
            bounds=Bounds(
                connections=clients + _CONNECTIONS_BESIDE,
                request_bytes=max(_MOST_MESSAGE_BYTES, round(_BYTES_A_REQUEST * options.requests_per_s)),
                message_bytes=_MOST_MESSAGE_BYTES,
            ),
            tls=self._tls(),
        )

    def _tls(self) -> ssl.SSLContext | None:
        certificate, key = self._options.certificate, self._options.key
        if certificate is None or key is None:
            return None
        for file in (certificate, key):
            if not Path(file).is_file():
                raise SinkOpenError(file, "there is no such file")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(certificate, key, password=lambda: "")  # never ask at the terminal
        except (OSError, ValueError) as error:  # SSLError is an OSError
            raise SinkOpenError(certificate, f"is no certificate for the key {key}: {error}") from error
        return context

    # On the server's thread

    def _say_goodbye(self) -> None:
        assert self._now is not None
        for clients in (self._results.clients, self._preview.clients, self._now.clients):
            clients.finish()

    def _deliver(self, wishes: frozenset[Wish], message: bytes) -> None:
        assert self._server is not None
        self._server.call(self._preview.hand_out, wishes, message)

    def _is_ready(self, report: Report) -> bool:
        assert self._watch is not None
        return self._watch.judge(report.health).ready

    def _counts(self) -> Mapping[str, ClientCounts]:
        counts = {"results": self._results.clients.counts(), "preview": self._preview.clients.counts()}
        return counts if self._now is None else {**counts, "page": self._now.clients.counts()}

    def _refused(self) -> Mapping[str, int]:
        return {} if self._guard is None else dict(self._guard.refused)

    def _served(self) -> Mapping[str, float]:
        assert self._studio is not None
        return {
            "records_skipped": self._results.skipped,
            "pictures": self._studio.pictures,
            "picture_seconds": self._studio.busy_ns / NS_PER_S,
        }
