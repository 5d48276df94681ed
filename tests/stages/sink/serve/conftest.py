"""A run that the tests of the serving sink make up, the sink on a free port, and clients of it."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from pipeline.assembly import RunSettings
from pipeline.clock import NS_PER_MS, RealClock
from pipeline.errors import Outage
from pipeline.frame import Fate, Health, Mode, Reason
from pipeline.graph import Graph
from pipeline.histogram import Histogram
from pipeline.observe import Measures, StageMeasures
from pipeline.report import (
    Ages,
    DetectorReport,
    Frames,
    Percentiles,
    Queue,
    Report,
    SinkReport,
    StageTimes,
)
from pipeline.run import Run
from pipeline.testing import NumberSource, PassDecoder, PassDetector, SnapshotStage, open_context
from stages.sink.clients import ClientCounts
from stages.sink.serve.metrics import Exposition, RunCollector
from stages.sink.serve.options import ServeOptions
from stages.sink.serve.sink import ServeSink

BOUND_S = 20.0

_TIMES = Percentiles(p50=1.0, p95=2.0, p99=3.0, max=4.0)


def make_histogram(*durations_ms: float) -> Histogram:
    """A histogram of these durations."""
    counted = Histogram()
    for duration_ms in durations_ms:
        counted.add(round(duration_ms * NS_PER_MS))
    return counted


@functools.cache
def short_report() -> Report:
    """The report of a real run over a few numbers; tests say what they want of it to be different."""
    stages = [("detect", PassDetector()), ("track", SnapshotStage())]
    plan = Graph.chain(NumberSource(3), PassDecoder(), stages, []).check(Mode.LOSSLESS)
    run = Run(plan, RunSettings("cam0", Mode.LOSSLESS, cores=1))
    run.start()
    return run.join()


def report_with(**changes: object) -> Report:
    """A report of 100 frames: 80 fresh, 15 forecast, 4 blind and one missed."""
    fates = {fate.value: 0 for fate in Fate} | {"fresh": 80, "forecast": 15, "blind": 4, "missed": 1}
    told = {
        "mode": Mode.LIVE,
        "deadline_ms": 100.0,
        "frames": Frames(captured=100, **fates),
        "reasons": dict.fromkeys(Reason, 0) | {Reason.LATE: 15, Reason.WARMING: 4},
        "age_ms": Ages(fresh=_TIMES, all=_TIMES),
        "stages": {"detect": StageTimes(wait_ms=_TIMES, run_ms=_TIMES, items=90, failed=2, cpu_s=1.5)},
        "queues": {"newest picture": Queue(capacity=1, peak=1, dropped=7)},
        "sinks": {"sink jsonl": SinkReport(written=99, skipped=3, failed=None, details={})},
        "detector": DetectorReport(model='a "model"\\', provider="cpu", input="416 px", runs=90),
        "source": short_report().source.model_copy(
            update={
                "reconnects": 2,
                "losses": dict.fromkeys(Outage, 0) | {Outage.SILENT: 2},
                "away": Outage.SILENT,
                "away_s": 4.5,
                "heartbeats": 9,
            }
        ),
        "health": Health.OK,
        "margin_ms": 8.0,
        "duration_s": 3.5,
        "cpu_s": 2.25,
        "peak_rss_mib": 200.0,
    }
    return short_report().model_copy(update=told | changes)


def measures_with(
    *, ages_ms: tuple[float, ...] = (10, 60), run_ms: tuple[float, ...] = (20, 30), depth: int = 1
) -> Measures:
    """Measures of one stage and one queue."""
    return Measures(
        age_fresh=make_histogram(*ages_ms[:1]),
        age_all=make_histogram(*ages_ms),
        stages={"detect": StageMeasures(wait=make_histogram(0.5), run=make_histogram(*run_ms))},
        depths={"newest picture": depth},
    )


@dataclass
class FakeRun:
    """A run that is as the test says, and lets three settings be changed."""

    told: Report = field(default_factory=report_with)
    measured: Measures = field(default_factory=measures_with)
    traced_as: bytes | None = None
    values: dict[str, object] = field(
        default_factory=lambda: {"paused": False, "deadline_ms": 100.0, "track.min_score": 0.4}
    )
    changes: list[tuple[str, object]] = field(default_factory=list)
    stopped: bool = False
    asked_by: list[str | None] = field(default_factory=list)
    reports: int = 0

    @property
    def configuration(self) -> Mapping[str, object]:
        return {"source": "rtsp://***@cam/stream"}

    @property
    def traced(self) -> bool:
        return self.traced_as is not None

    def report(self) -> Report:
        self.reports += 1
        return self.told

    def measures(self) -> Measures:
        return self.measured

    def trace(self) -> bytes | None:
        return self.traced_as

    def settings(self) -> Mapping[str, object]:
        return dict(self.values)

    def change(self, name: str, value: object) -> None:
        self.change_all({name: value})

    def change_all(self, changes: Mapping[str, object], *, by: str | None = None) -> None:
        self.asked_by.append(by)
        for name, value in changes.items():
            if name not in self.values:
                raise ValueError(f"{name}: there is no such setting; there are {', '.join(self.values)}")
            if name == "track.min_score" and not (isinstance(value, float) and 0 <= value <= 1):
                raise ValueError(f"{name}: must be from 0 to 1, not {value!r}")
        self.values |= changes
        self.changes += changes.items()

    def stop(self, *, by: str | None = None) -> None:
        self.asked_by.append(by)
        self.stopped = True


Serve = Callable[..., ServeSink]
Ask = Callable[..., httpx.Response]
Connect = Callable[..., ClientConnection]


@pytest.fixture
def run() -> FakeRun:
    return FakeRun()


@pytest.fixture
def make_report() -> Callable[..., Report]:
    """A function that makes a report with some fields changed."""
    return report_with


@pytest.fixture
def make_measures() -> Callable[..., Measures]:
    """A function that makes the measures of one stage and one queue."""
    return measures_with


@pytest.fixture
def serve(run: FakeRun) -> Iterator[Serve]:
    """A function that opens a sink on a free port; it is closed at the end, and its threads must be gone then."""
    sinks: list[ServeSink] = []

    def make(**options: object) -> ServeSink:
        sink = ServeSink(ServeOptions.model_validate({"port": 0, **options}))
        sink.attach(run)
        sink.open(open_context(RealClock(), mode=Mode.LIVE))
        sinks.append(sink)
        sink.begin()
        return sink

    yield make
    for sink in sinks:
        sink.close()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("sink ")]


@pytest.fixture
def ask() -> Iterator[Ask]:
    """A function that asks a sink for a path over HTTP."""
    with httpx.Client(timeout=BOUND_S, trust_env=False) as client:

        def make(sink: ServeSink, path: str, method: str = "GET", **options: object) -> httpx.Response:
            return client.request(method, f"http://127.0.0.1:{sink.port}{path}", **options)  # type: ignore[arg-type]

        yield make


@pytest.fixture
def join() -> Iterator[Connect]:
    """A function that connects a websocket to a path of a sink."""
    with ExitStack() as clients:

        def make(sink: ServeSink, path: str, **options: object) -> ClientConnection:
            url = f"ws://127.0.0.1:{sink.port}{path}"
            client = connect(url, proxy=None, open_timeout=BOUND_S, close_timeout=0.2, **options)  # type: ignore[arg-type]
            return clients.enter_context(client)

        yield make


@pytest.fixture
def exposition(run: FakeRun) -> Exposition:
    """The metrics of the run, with three readers and a viewer."""
    clients = {"results": ClientCounts(3, 10, 1, 2), "preview": ClientCounts(1, 1, 0, 0)}
    served = {"records_skipped": 5.0, "pictures": 70.0, "picture_seconds": 0.25}
    return Exposition(
        RunCollector(
            run,
            ready=lambda report: report.health is Health.OK,
            clients=lambda: clients,
            served=lambda: served,
            refused=lambda: {"wrong token": 7},
        )
    )
