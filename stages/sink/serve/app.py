"""The addresses, and what stands behind each."""

from __future__ import annotations

import asyncio
import importlib.metadata
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from pydantic import BaseModel, ValidationError
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from pipeline.clock import NS_PER_MS, Clock
from pipeline.frame import Health
from pipeline.observe import Observed
from pipeline.report import Report
from stages.sink.clients import POLICY_VIOLATION, Clients, address_of
from stages.sink.serve.assets import INDEX, Asset
from stages.sink.serve.control import REFUSALS, Said, make_router
from stages.sink.serve.metrics import Exposition
from stages.sink.serve.now import Now
from stages.sink.serve.preview import LEAST_RATE, Preview
from stages.sink.serve.readiness import Watch
from stages.sink.serve.results import ResultQueue, Results, Wishes
from stages.sink.server import aside

_RECENT_NS = 250 * NS_PER_MS
"""What costs something to make is made at most so often, however many ask."""
_TRACE_RECENT_NS = 2000 * NS_PER_MS
_PIECE_BYTES = 65_536
"""Of a trace, given to a client at a time."""

T = TypeVar("T")


class Alive(BaseModel):
    """The process lives."""

    alive: bool = True


class Ready(BaseModel):
    """Whether answers can be relied on."""

    ready: bool
    health: Health | None
    reason: str | None


class Look(BaseModel):
    """How a viewer wishes to look."""

    rate: Annotated[float, Query(ge=LEAST_RATE, le=1000)] = 10.0
    width: Annotated[int, Query(ge=1, le=100_000)] = 960


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything that answers need."""

    run: Observed
    clock: Clock
    watch: Watch
    results: Results
    preview: Preview
    now: Now
    exposition: Exposition
    assets: dict[str, Asset]
    controllable: bool


class Recent:
    """Makes things at most every so often, and gives the last ones in between. Used on the server's thread."""

    def __init__(self, clock: Clock, span_ns: int) -> None:
        self._clock = clock
        self._span_ns = span_ns
        self._made: dict[object, tuple[int, object]] = {}

    def get(self, key: object, make: Callable[[], T]) -> T:
        """Return what was made for a key of late, or make it."""
        now_ns = self._clock.now_ns()
        made = self._made.get(key)
        if made is None or now_ns - made[0] >= self._span_ns:
            made = self._made[key] = (now_ns, make())
        value: T = made[1]  # type: ignore[assignment]  # a key always stands for the same kind of thing
        return value


def make_app(desk: Desk) -> FastAPI:
    """Return the application; the guard goes around it."""
    app = FastAPI(
        title="framepace",
        summary="A run of framepace: results, state and control.",
        version=importlib.metadata.version("framepace"),
        docs_url=None,  # their scripts would come from elsewhere
        redoc_url=None,
        responses=REFUSALS,
    )
    app.add_exception_handler(RequestValidationError, _say_what_is_wrong)
    _add_page(app, desk)
    _add_state(app, desk)
    _add_results(app, desk)
    _add_sockets(app, desk)
    app.include_router(make_router(desk.run, controllable=desk.controllable))
    return app


async def _say_what_is_wrong(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return JSONResponse({"detail": _one_line(error.errors()[0])}, 422)


def _one_line(error: Mapping[str, Any]) -> str:
    """Return what is wrong and where."""
    where = ".".join(str(step) for step in error["loc"] if step not in ("body", "query"))
    return f"{where}: {error['msg']}" if where else str(error["msg"])


def _add_page(app: FastAPI, desk: Desk) -> None:
    def asset(name: str) -> Response:
        found = desk.assets.get(name)
        if found is None:
            raise HTTPException(404, "there is no such file")
        return Response(found.content, media_type=found.media_type)

    @app.get("/", response_class=Response, tags=["page"], summary="The page")
    async def index() -> Response:
        return asset(INDEX)

    missing: dict[int | str, dict[str, Any]] = {404: {"model": Said, "description": "There is no such file."}}

    @app.get("/page/{name:path}", response_class=Response, tags=["page"], summary="A file of it", responses=missing)
    async def page(name: str) -> Response:
        return asset(name)


def _add_state(app: FastAPI, desk: Desk) -> None:
    run = desk.run
    recent = Recent(desk.clock, _RECENT_NS)
    traces = Recent(desk.clock, _TRACE_RECENT_NS)
    tracing = asyncio.Lock()

    @app.get("/healthz", tags=["state"], summary="Whether the process lives")
    async def healthz() -> Alive:
        return Alive()

    unready: dict[int | str, dict[str, Any]] = {503: {"model": Ready, "description": "Not just now."}}

    @app.get("/readyz", tags=["state"], summary="Whether answers can be relied on", responses=unready)
    async def readyz(response: Response) -> Ready:
        judged = desk.watch.judge(recent.get("report", run.report).health)
        response.status_code = 200 if judged.ready else 503
        return Ready(ready=judged.ready, health=judged.health, reason=judged.reason)

    @app.get("/report", response_model=Report, tags=["state"], summary="The report so far")
    async def report() -> Response:
        made = recent.get("report text", lambda: run.report().model_dump_json())
        return Response(made, media_type="application/json")

    @app.get("/config", tags=["state"], summary="The effective configuration, secrets masked")
    async def config() -> dict[str, Any]:
        return dict(run.configuration)

    @app.get("/settings", tags=["state"], summary="What can be changed, and its present values")
    async def settings() -> dict[str, Any]:
        return dict(run.settings())

    @app.get("/metrics", response_class=PlainTextResponse, tags=["state"], summary="Metrics for Prometheus")
    async def metrics(request: Request) -> Response:
        accept = request.headers.get("accept", "")
        kind = "openmetrics" if "application/openmetrics-text" in accept else "text"
        body, media_type = recent.get(kind, lambda: desk.exposition.text(accept))
        return Response(body, headers={"content-type": media_type})

    untraced: dict[int | str, dict[str, Any]] = {404: {"model": Said, "description": "The run is not traced."}}

    @app.get("/trace.json", tags=["state"], summary="The trace of the last seconds, for Perfetto", responses=untraced)
    async def trace() -> Response:
        if not run.traced:
            raise HTTPException(404, "the run is not traced; start it with --trace FILE")
        async with tracing:  # one at a time
            made = await aside(lambda: traces.get("trace", run.trace))
        if made is None:
            raise HTTPException(404, "there is no trace")
        headers = {
            "content-disposition": 'attachment; filename="framepace-trace.json"',
            "content-length": str(len(made)),
        }
        return StreamingResponse(_pieces(made), media_type="application/json", headers=headers)


def _add_results(app: FastAPI, desk: Desk) -> None:
    clients = desk.results.clients
    full: dict[int | str, dict[str, Any]] = {
        422: {"model": Said, "description": "A wish makes no sense."},
        503: {"model": Said, "description": "Too many clients."},
    }

    @app.get(
        "/results.ndjson", response_class=StreamingResponse, tags=["results"], summary="Result records as they come, "
        "one a line", responses=full
    )  # fmt: skip
    async def ndjson(
        request: Request,
        classes: Annotated[str | None, Query(description="Only tracks of these, such as person,car.")] = None,
        min_score: Annotated[float | None, Query(ge=0, le=1, description="Only tracks with this score.")] = None,
        every: Annotated[int, Query(ge=1, le=1_000_000, description="Of so many records, one.")] = 1,
    ) -> Response:
        address = address_of(request.scope)
        if not clients.admits(address):
            return JSONResponse({"detail": "too many clients"}, 503, {"retry-after": "5"})
        queue = desk.results.queue(Wishes.model_validate({"classes": classes, "min_score": min_score, "every": every}))

        return _Lines(clients, queue, address)


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    """Yield it piece by piece, so that a slow reader costs no copy."""
    for start in range(0, len(content), _PIECE_BYTES):
        yield content[start : start + _PIECE_BYTES]


class _Lines(StreamingResponse):
    """The records of a queue, one a line. Its client counts from before the first byte until the last."""

    media_type = "application/x-ndjson"

    def __init__(self, clients: Clients[ResultQueue], queue: ResultQueue, address: str) -> None:
        super().__init__(self._lines())
        self._clients = clients
        self._queue = queue
        self._address = address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._clients.having(self._queue, self._address):
            await super().__call__(scope, receive, send)

    async def _lines(self) -> AsyncIterator[str]:
        while (line := await self._queue.wait_next()) is not None:
            assert isinstance(line, str)
            yield line + "\n"


def _add_sockets(app: FastAPI, desk: Desk) -> None:
    @app.websocket("/results")
    async def results(connection: WebSocket) -> None:
        if (wishes := await _asked(connection, Wishes)) is not None:
            await desk.results.serve(connection, wishes)

    @app.websocket("/preview")
    async def preview(connection: WebSocket) -> None:
        if (look := await _asked(connection, Look)) is not None:
            await desk.preview.serve(connection, width_px=look.width, rate=look.rate)

    @app.websocket("/now")
    async def now(connection: WebSocket) -> None:
        await desk.now.serve(connection)


M = TypeVar("M", bound=BaseModel)


async def _asked(connection: WebSocket, wishes: type[M]) -> M | None:
    """Return what a websocket's query asks for; a wrong one ends the connection, and says why."""
    try:
        return wishes.model_validate(dict(connection.query_params))
    except ValidationError as error:
        await connection.accept()  # a refusal before that could not carry a reason
        await connection.close(POLICY_VIOLATION, _one_line(error.errors()[0])[:100])
        return None
