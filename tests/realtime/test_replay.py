"""Real runs, recorded and played again."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.assembly import RunSettings
from pipeline.clock import NS_PER_MS, RealClock
from pipeline.frame import Mode
from pipeline.graph import Graph
from pipeline.run import Run
from pipeline.simulation.recording import read_recording
from pipeline.simulation.replay import replay
from pipeline.testing import NumberSource, PassDecoder, PassDetector, SnapshotStage

COUNT = 100
ALLOWED = 2
"""Events of two threads within the same microsecond may be noted the other way round."""


@pytest.mark.parametrize("service_ms", [4, 18, 90])
def test_decisions_are_reproduced(service_ms: int, tmp_path: Path) -> None:
    """Below, above and far above the load that the detector can take."""
    path = tmp_path / "timings.jsonl"
    clock = RealClock()
    source = NumberSource(COUNT, period_ns=10 * NS_PER_MS, clock=clock)
    detector = PassDetector(service_ns=service_ms * NS_PER_MS, clock=clock)
    plan = Graph.chain(source, PassDecoder(), [("detect", detector), ("track", SnapshotStage())], []).check(Mode.LIVE)
    run = Run(plan, RunSettings("cam", Mode.LIVE, cores=1, deadline_ns=60 * NS_PER_MS, timings=path))
    run.start()
    report = run.join()
    replayed = replay(read_recording(path))
    assert replayed.compared == COUNT
    assert len(replayed.different) <= ALLOWED, replayed.different
    assert replayed.outcome.books.captured == report.frames.captured
    assert abs(replayed.outcome.books.fates["fresh"] - report.frames.fresh) <= ALLOWED  # type: ignore[index]
