"""What is shown during and after a run."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from pipeline.assembly import RunSettings
from pipeline.cli.status import StatusDisplay
from pipeline.cli.summary import print_summary
from pipeline.clock import NS_PER_MS
from pipeline.frame import Health, Mode, Reason
from pipeline.graph import Graph
from pipeline.report import ChangeReport, Report
from pipeline.run import Run
from pipeline.testing import NumberSource, PassDecoder, PassDetector, RecordingSink, SnapshotStage


def console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=180, color_system=None)


def shown(where: Console) -> str:
    assert isinstance(where.file, io.StringIO)
    return where.file.getvalue()


@pytest.fixture
def lossless() -> Report:
    """A finished run over ten numbers, one of which cannot be decoded and one of which a sink refuses."""
    stages = [("detect", PassDetector()), ("track", SnapshotStage())]
    sinks = [("sink good", RecordingSink()), ("sink bad", RecordingSink(fails_on=4))]
    plan = Graph.chain(NumberSource(10), PassDecoder(broken=[3]), stages, sinks).check(Mode.LOSSLESS)
    run = Run(plan, RunSettings("cam7", Mode.LOSSLESS, cores=1))
    run.start()
    return run.join()


def test_summary_says_where_every_frame_went(lossless: Report) -> None:
    """Counts, books, and the sink that failed."""
    where = console(terminal=False)
    print_summary(lossless, where)
    text = shown(where)
    assert "cam7 (lossless): 10 frames = 9 fresh + 1 undecodable   books balance" in text
    assert "sink good: 9 written" in text
    assert "FAILED: no space left" in text


def test_summary_says_what_was_changed(lossless: Report) -> None:
    """The last changes, and how many there were before."""
    changes = [ChangeReport(at_s=at, name="track.min_score", before=0.1, after=at / 10) for at in range(1, 8)]
    where = console(terminal=False)
    print_summary(lossless.model_copy(update={"changes": changes, "changes_left_out": 3}), where)
    assert "changed while it ran: 5 settings, and then track.min_score to 0.3 after 3.0 s, " in shown(where)
    where = console(terminal=False)
    print_summary(lossless, where)
    assert "changed" not in shown(where)


def test_live_line(lossless: Report) -> None:
    """Health, share of fresh answers, drops by reason."""
    report = lossless.model_copy(
        update={
            "health": Health.DEGRADED,
            "frames": lossless.frames.model_copy(update={"fresh": 3, "forecast": 6, "missed": 1, "undecodable": 0}),
            "reasons": {reason: 6 * (reason is Reason.SUPERSEDED) for reason in Reason},
        }
    )
    where = console(terminal=True)
    with StatusDisplay(where, Mode.LIVE, None) as status:
        status.show(report)
    text = shown(where)
    for part in ("cam7", "degraded", "fresh  33%", "frames 10", "superseded 6", "missed 1"):
        assert part in text


def test_progress_of_a_recording(lossless: Report) -> None:
    """A bar with done and total on a terminal; without one, a line every ten seconds and not more often."""
    where = console(terminal=True)
    with StatusDisplay(where, Mode.LOSSLESS, 20) as status:
        status.show(lossless)
    assert "10/20" in shown(where)
    plain = console(terminal=False)
    with StatusDisplay(plain, Mode.LOSSLESS, 20) as status:
        for seconds in (1.0, 9.9, 10.0, 10.2, 19.0, 20.5):
            status.show(lossless.model_copy(update={"duration_s": seconds}))
    assert len(shown(plain).splitlines()) == 2


def test_ages_are_shown_live() -> None:
    """The summary of a live run has the ages of fresh and of all answers."""
    histogram_run = Run(
        Graph.chain(NumberSource(1, clock=None), None, [("detect", PassDetector())], []).check(Mode.LOSSLESS),
        RunSettings("cam", Mode.LOSSLESS, cores=1, deadline_ns=100 * NS_PER_MS),
    )
    report = histogram_run.report()
    spread = {"p50": 20.0, "p95": 25.5, "p99": 31.0, "max": 40.0}
    ages = type(report.age_ms).model_validate({"fresh": spread, "all": spread})
    where = console(terminal=False)
    print_summary(report.model_copy(update={"age_ms": ages, "mode": Mode.LIVE}), where)
    assert "fresh 20.0 / 25.5 / 31.0 / 40.0" in shown(where)
