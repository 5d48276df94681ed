"""Measures the engine alone: stages that do nothing, no pictures."""

from __future__ import annotations

import sys

from pipeline.assembly import RunSettings
from pipeline.cli.run import SWITCH_INTERVAL_S
from pipeline.clock import NS_PER_MS, NS_PER_S, RealClock
from pipeline.frame import Answer, Mode
from pipeline.graph import Graph
from pipeline.report import Report
from pipeline.run import Run
from pipeline.stage import Sink
from pipeline.testing import NumberSource, PassDetector, PassStage, SnapshotStage
from stages.bench.figures import EngineFigures

STAGES = 6
FPS = 30
"""Of a NumberSource that keeps the pace."""


class ForgetfulSink(Sink):
    """Keeps nothing."""

    def write(self, answer: Answer, *, gap: int) -> None:
        pass


def run_engine(mode: Mode, frames: int) -> Report:
    """Run numbers through STAGES stages that pass them on, live at FPS or as fast as can be."""
    source = NumberSource(frames, clock=RealClock() if mode is Mode.LIVE else None)
    passing = [(f"stage {number}", PassStage()) for number in range(STAGES - 2)]
    stages = [*passing, ("detect", PassDetector()), ("track", SnapshotStage())]
    plan = Graph.chain(source, None, stages, [("sink", ForgetfulSink())]).check(mode)
    settings = RunSettings("bench", mode, cores=1, deadline_ns=100 * NS_PER_MS)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    run = Run(plan, settings)
    run.start()
    try:
        while not run.wait(NS_PER_S):
            pass
    finally:  # Ctrl-C, too
        report = run.finish()
    if run.failure is not None:
        raise run.failure
    return report


def engine_figures(*, flat_out_frames: int, paced_seconds: float) -> EngineFigures:
    """Measure processor time and ages of the engine."""
    flat_out = run_engine(Mode.LOSSLESS, flat_out_frames)
    paced = run_engine(Mode.LIVE, round(paced_seconds * FPS))
    ages = paced.age_ms.all
    assert ages is not None  # every frame was answered
    return EngineFigures(
        flat_out_us=round(1e6 * flat_out.cpu_s / flat_out_frames, 1),
        paced_us=round(1e6 * paced.cpu_s / paced.frames.captured, 1),
        age_ms=ages,
        frames=paced.frames.captured,
    )
