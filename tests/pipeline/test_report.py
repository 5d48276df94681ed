"""The report as data."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.assembly import RunSettings
from pipeline.clock import NS_PER_MS, NS_PER_S
from pipeline.frame import Fate, Mode, Reason
from pipeline.graph import Graph
from pipeline.histogram import Histogram
from pipeline.ledger import Ledger
from pipeline.report import Report, frames_from_books, percentiles_ms
from pipeline.run import Run
from pipeline.testing import ManualClock, NumberSource, PassDecoder, PassDetector, RecordingSink, SnapshotStage

PROJECT = Path(__file__).resolve().parents[2]


def make_run(mode: Mode, clock: ManualClock) -> Run:
    source = NumberSource(5, clock=clock if mode is Mode.LIVE else None)
    stages = [("detect", PassDetector()), ("track", SnapshotStage())]
    plan = Graph.chain(source, PassDecoder(), stages, [("sink", RecordingSink())]).check(mode)
    return Run(plan, RunSettings("cam", mode, cores=1, deadline_ns=80 * NS_PER_MS), clock=clock)


def test_percentiles_are_milliseconds() -> None:
    """The maximum is exact, the others to 1 %, all rounded to a microsecond."""
    histogram = Histogram()
    for milliseconds in range(1, 101):
        histogram.add(milliseconds * NS_PER_MS)
    found = percentiles_ms(histogram)
    assert found.p50 == pytest.approx(50, rel=0.011)
    assert found.p95 == pytest.approx(95, rel=0.011)
    assert found.p99 == pytest.approx(99, rel=0.011)
    assert found.max == 100.0
    assert round(found.p95, 3) == found.p95


def test_nothing_measured_is_all_zero() -> None:
    """An empty histogram has no spread."""
    assert set(percentiles_ms(Histogram()).model_dump().values()) == {0.0}


def test_each_fate_has_its_own_count() -> None:
    """Nothing is mixed up between the ledger and the report."""
    ledger = Ledger()
    counts = {fate: number for number, fate in enumerate(Fate, start=1)}
    frame_id = 0
    for fate, count in counts.items():
        for _ in range(count):
            ledger.captured(frame_id)
            ledger.settle(frame_id, fate, Reason.LATE if fate in (Fate.FORECAST, Fate.BLIND) else None)
            frame_id += 1
    frames = frames_from_books(ledger.books()).model_dump()
    assert frames.pop("captured") == sum(counts.values())
    assert frames == {fate.value: count for fate, count in counts.items()}


@pytest.mark.parametrize("mode", list(Mode), ids=str)
def test_a_report_survives_json(mode: Mode) -> None:
    """It names its schema, holds every reason, and reads back equal."""
    report = make_run(mode, ManualClock()).report()
    written = json.loads(report.model_dump_json())
    assert written["schema"] == "framepace/report/1"
    assert set(written["reasons"]) == {reason.value for reason in Reason}
    assert Report.model_validate_json(report.model_dump_json()) == report


def test_a_report_cannot_be_changed_or_misspelt() -> None:
    """It is a frozen record, and a reader notices a key that is not known."""
    report = make_run(Mode.LIVE, ManualClock()).report()
    with pytest.raises(ValidationError):
        report.published_late = 7
    with pytest.raises(ValidationError, match="publishedlate"):
        Report.model_validate(report.model_dump() | {"publishedlate": 0})


def test_a_live_report_before_the_start() -> None:
    """Nothing happened yet, and it says so."""
    clock = ManualClock(77 * NS_PER_S)
    run = make_run(Mode.LIVE, clock)
    clock.advance(1500 * NS_PER_MS)
    report = run.report()
    assert (report.stream, report.mode, report.deadline_ms) == ("cam", Mode.LIVE, 80.0)
    assert (report.duration_s, report.ready_s, report.first_answer_s) == (1.5, None, None)
    assert (report.age_ms.fresh, report.age_ms.all) == (None, None)
    assert report.health is not None
    assert report.margin_ms is not None
    assert set(report.queues) == {"newest picture", "capture -> decode", "detect -> track"}
    assert list(report.stages) == ["decode", "detect", "track"]
    assert report.balanced


def test_a_lossless_report_has_no_live_fields() -> None:
    """Deadline, ages, health and margin make no sense there."""
    report = make_run(Mode.LOSSLESS, ManualClock()).report()
    assert (report.deadline_ms, report.health, report.margin_ms) == (None, None, None)
    assert (report.age_ms.fresh, report.age_ms.all) == (None, None)


def test_times_count_from_the_start() -> None:
    """Not from when the run was made; first answer and end by the run's clock."""
    clock = ManualClock()
    run = make_run(Mode.LOSSLESS, clock)
    clock.advance(5 * NS_PER_S)
    run.start(cancelled=lambda: False)
    while not run.wait(0):
        pass
    clock.advance(NS_PER_S)
    report = run.finish()
    assert (report.ready_s, report.first_answer_s, report.duration_s) == (0.0, 0.0, 1.0)
    assert report.detector is not None
    assert (report.detector.model, report.detector.runs) == ("detect", 5)
    assert run.report() is report


def test_memory_is_that_of_this_process_alone() -> None:
    """Not of a bigger one that started it."""
    big = b"x" * (400 * 2**20)
    program = "from pipeline.reporting import peak_rss_mib; print(peak_rss_mib())"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True, cwd=PROJECT
    )
    assert 5 < float(done.stdout) < len(big) / 2**20
