"""The verdict of `framepace check`."""

from __future__ import annotations

import pytest

from pipeline.assembly import RunSettings
from pipeline.cli.check import verdict
from pipeline.clock import RealClock
from pipeline.frame import Mode
from pipeline.graph import Graph
from pipeline.report import Frames, Report
from pipeline.run import Run
from pipeline.testing import NumberSource, PassDetector


@pytest.fixture
def report() -> Report:
    """The report of a live run that has not begun."""
    plan = Graph.chain(NumberSource(1, clock=RealClock()), None, [("detect", PassDetector())], []).check(Mode.LIVE)
    return Run(plan, RunSettings("cam", Mode.LIVE, cores=1, deadline_ns=50_000_000)).report()


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"fresh": 100}, "can hold 50 ms: fresh answers for every frame"),
        (
            {"fresh": 62, "forecast": 38},
            "can hold 50 ms: fresh answers for about 62% of frames, forecasts for",
        ),
        ({"forecast": 100}, "can hold 50 ms with forecasts only"),
        ({"fresh": 98, "missed": 2}, "cannot hold 50 ms: 2 of 100"),
        ({"undecodable": 100}, "cannot say anything about 50 ms"),
    ],
)
def test_verdicts(counts: dict[str, int], said: str, report: Report) -> None:
    """What was measured becomes one sentence that claims no more than that."""
    fates = dict.fromkeys(("fresh", "forecast", "blind", "missed", "undecodable", "abandoned"), 0) | counts
    frames = Frames(captured=sum(counts.values()), **fates)
    assert verdict(report.model_copy(update={"frames": frames})).startswith(said)
