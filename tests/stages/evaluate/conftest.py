"""Runs that never were."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from pipeline.frame import Mode
from pipeline.report import Ages, DetectorReport, Percentiles, Report
from stages.bench.engine import run_engine
from stages.evaluate.held import Given
from stages.evaluate.play import Played
from stages.evaluate.truth import NOTHING, Objects

PlayedMaker = Callable[..., Played]


@pytest.fixture(scope="session")
def report() -> Report:
    """Of a real run over three numbers."""
    return run_engine(Mode.LOSSLESS, 3)


@pytest.fixture
def played(report: Report) -> PlayedMaker:
    """A function that makes a run at 30 fps up: each frame answered 40 ms after its capture, as told; None is blind."""

    def make(said: Sequence[Objects | None], *, fresh: int = 0, age_ms: float | None = None) -> Played:
        given = [
            Given(
                frame_id=number,
                published_s=number / 30 + 0.04,
                true_at_s=number / 30,
                captured_s=number / 30,
                status="blind" if objects is None else "fresh",
                objects=objects or NOTHING,
                velocities=np.zeros((len(objects or NOTHING), 4)),
            )
            for number, objects in enumerate(said)
        ]
        ages = None if age_ms is None else Percentiles(p50=age_ms, p95=age_ms, p99=2 * age_ms, max=2 * age_ms)
        told = {
            "frames": report.frames.model_copy(update={"captured": len(said), "fresh": fresh}),
            "age_ms": Ages(fresh=ages, all=ages),
            "deadline_ms": 100.0,
            "detector": DetectorReport(model="m", provider="cpu", input="416 px", runs=3),
        }
        return Played(given, report.model_copy(update=told))

    return make
