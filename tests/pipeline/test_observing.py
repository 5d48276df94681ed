"""What observers see of a run."""

from __future__ import annotations

import pytest

from pipeline.assembly import RunSettings
from pipeline.clock import NS_PER_MS, RealClock
from pipeline.frame import Answer, Mode
from pipeline.graph import Graph
from pipeline.observe import Measures, Observed, Observer
from pipeline.report import Report
from pipeline.run import Run
from pipeline.stage import OpenContext
from pipeline.testing import NumberSource, PassDecoder, PassDetector, SnapshotStage


class Onlooker(Observer):
    """Looks when it is opened, and at every answer."""

    def __init__(self, *, stop_at: int | None = None) -> None:
        self.run: Observed | None = None
        self.attached = 0
        self.attached_before_open = False
        self.answers = 0
        self.reports: list[Report] = []
        self.measures: list[Measures] = []
        self.counts: list[int] = []
        self._stop_at = stop_at

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
        if answer.info.frame_id == self._stop_at:
            self.run.stop()


def watched_run(onlooker: Onlooker, mode: Mode, count: int = 20) -> Run:
    source = NumberSource(count, period_ns=5 * NS_PER_MS, clock=RealClock() if mode is Mode.LIVE else None)
    stages = [("detect", PassDetector()), ("track", SnapshotStage())]
    plan = Graph.chain(source, PassDecoder(), stages, [("sink onlooker", onlooker)]).check(mode)
    return Run(plan, RunSettings("test", mode, cores=1, configuration={"stream": "test"}))


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
