"""What observers see of a run."""

from __future__ import annotations

import threading

import pytest

from pipeline.assembly import RunSettings
from pipeline.clock import NS_PER_MS, NS_PER_S, RealClock
from pipeline.frame import Answer, Mode, Reason, Status
from pipeline.graph import Graph
from pipeline.observe import Measures, Observed, Observer
from pipeline.report import Report
from pipeline.run import Run
from pipeline.stage import OpenContext
from pipeline.testing import NumberSource, PassDecoder, PassDetector, SnapshotStage

GUARD_S = 30.0
"""A run that has not come so far by then is a test gone wrong."""


class Onlooker(Observer):
    """Looks when it is opened, and at every answer; may stop the run at one, or pause it."""

    def __init__(self, *, stop_at: int | None = None, pause_at: int | None = None) -> None:
        self.run: Observed | None = None
        self.attached = 0
        self.attached_before_open = False
        self.answers = 0
        self.reports: list[Report] = []
        self.measures: list[Measures] = []
        self.counts: list[int] = []
        self.statuses: list[tuple[Status, Reason | None]] = []
        self.paused = threading.Event()
        self._stop_at = stop_at
        self._pause_at = pause_at

    def attach(self, run: Observed) -> None:
        self.run = run
        self.attached += 1

    def open(self, context: OpenContext) -> None:
        self.attached_before_open = self.run is not None

    def write(self, answer: Answer, *, gap: int) -> None:
        assert self.run is not None
        self.answers += 1
        self.reports.append(self.run.report())
        self.measures.append(self.run.measures())
        self.counts.append(self.measures[-1].age_all.count)
        self.statuses.append((answer.status, answer.reason))
        if answer.info.frame_id == self._stop_at:
            self.run.stop()
        if answer.info.frame_id == self._pause_at:
            self.run.change("paused", True)
            self.paused.set()


def watched_run(onlooker: Onlooker, mode: Mode, count: int = 20) -> Run:
    source = NumberSource(count, period_ns=5 * NS_PER_MS, clock=RealClock() if mode is Mode.LIVE else None)
    stages = [("detect", PassDetector()), ("track", SnapshotStage())]
    plan = Graph.chain(source, PassDecoder(), stages, [("sink onlooker", onlooker)]).check(mode)
    settings = RunSettings("test", mode, cores=1, deadline_ns=NS_PER_S, configuration={"stream": "test"})
    return Run(plan, settings)


@pytest.mark.parametrize("mode", list(Mode), ids=str)
def test_an_observer_sees_the_run(mode: Mode) -> None:
    """It is attached once, before it is opened, and then sees what the report says, and more."""
    onlooker, live = Onlooker(), mode is Mode.LIVE
    run = watched_run(onlooker, mode)
    run.start()
    report = run.join()
    assert onlooker.attached == 1
    assert onlooker.attached_before_open
    assert onlooker.run is not None
    assert onlooker.run.configuration == {"stream": "test"}
    assert onlooker.run.report() == report
    assert onlooker.run.trace() is None
    assert not onlooker.run.traced
    measures = onlooker.run.measures()
    assert set(measures.stages) == set(report.stages)
    assert set(measures.depths) == set(report.queues)
    assert measures.stages["detect"].run.count == report.stages["detect"].items
    answers = report.frames.fresh + report.frames.forecast + report.frames.blind
    assert measures.age_all.count == (answers if live else 0)
    assert measures.age_fresh.count == (report.frames.fresh if live else 0)


def test_measures_are_copies() -> None:
    """What was taken earlier stays as it was while the run goes on."""
    onlooker = Onlooker()
    run = watched_run(onlooker, Mode.LIVE)
    run.start()
    run.join()
    assert [measures.age_all.count for measures in onlooker.measures] == onlooker.counts
    assert onlooker.counts == sorted(onlooker.counts)
    assert onlooker.counts[-1] == 20


def test_an_observer_can_stop_the_run() -> None:
    """That is a stop like any other."""
    onlooker = Onlooker(stop_at=3)
    run = watched_run(onlooker, Mode.LIVE, 10**6)
    run.start()
    report = run.join()
    assert report.frames.captured < 10**6
    assert report.balanced
    assert report.failure is None


def test_a_paused_live_run_answers_and_resumes() -> None:
    """Every frame has its answer, those of the pause say so, and afterwards they are fresh again."""
    onlooker = Onlooker(pause_at=4)
    run = watched_run(onlooker, Mode.LIVE, 100)
    run.start()
    assert onlooker.paused.wait(GUARD_S)
    assert onlooker.run is not None
    assert onlooker.run.settings()["paused"] is True
    while (Status.FORECAST, Reason.PAUSED) not in onlooker.statuses:
        assert not run.wait(10 * NS_PER_MS)
    onlooker.run.change_all({"paused": False, "deadline_ms": 900}, by="192.0.2.7")
    report = run.join()
    assert report.balanced
    assert (report.frames.captured, report.frames.missed, report.published_late) == (100, 0, 0)
    assert onlooker.statuses[-1] == (Status.FRESH, None)
    assert report.reasons[Reason.PAUSED] == onlooker.statuses.count((Status.FORECAST, Reason.PAUSED)) > 0
    assert [(change.name, change.before, change.after) for change in report.changes] == [
        ("paused", False, True),
        ("paused", True, False),
        ("deadline_ms", 1000.0, 900.0),
    ]
    assert [change.by for change in report.changes] == [None, "192.0.2.7", "192.0.2.7"]
    times = [change.at_s for change in report.changes]
    assert times == sorted(times)
    assert report.duration_s >= times[-1] > 0
    assert (report.deadline_ms, report.changes_left_out) == (900.0, 0)


def test_a_paused_lossless_run_loses_nothing() -> None:
    """Capture waits; when it goes on, every frame is processed."""
    onlooker = Onlooker(pause_at=4)
    run = watched_run(onlooker, Mode.LOSSLESS, 2000)
    run.start()
    assert onlooker.paused.wait(GUARD_S)
    assert onlooker.run is not None
    assert not run.wait(10 * NS_PER_MS)
    assert run.report().frames.captured < 2000
    onlooker.run.change("paused", False)
    report = run.join()
    assert (report.frames.captured, report.frames.fresh, onlooker.answers) == (2000, 2000, 2000)
    assert report.balanced


@pytest.mark.parametrize("mode", list(Mode), ids=str)
def test_a_paused_run_can_be_stopped(mode: Mode) -> None:
    """With balanced books, and nobody left behind."""
    onlooker = Onlooker(pause_at=4)
    run = watched_run(onlooker, mode, 10**6)
    run.start()
    assert onlooker.paused.wait(GUARD_S)
    assert onlooker.run is not None
    onlooker.run.stop(by="192.0.2.7")
    onlooker.run.stop(by="192.0.2.8")
    report = run.finish()
    assert report.balanced
    assert report.stopped_by == "192.0.2.7"
    assert (report.failure, report.stuck) == (None, [])


def test_a_live_run_that_is_paused_to_its_end_ends() -> None:
    """The last frames are answered without being measured."""
    onlooker = Onlooker(pause_at=4)
    run = watched_run(onlooker, Mode.LIVE, 30)
    run.start()
    report = run.join()
    assert report.balanced
    assert onlooker.statuses[-1] == (Status.FORECAST, Reason.PAUSED)
