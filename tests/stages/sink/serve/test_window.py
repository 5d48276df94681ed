"""What happened in the last seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pipeline.clock import NS_PER_S
from pipeline.frame import Fate, Reason
from pipeline.observe import Measures
from pipeline.report import Frames, Report
from pipeline.testing import ManualClock
from stages.sink.serve.window import Look, Window, between, look_at

MakeReport = Callable[..., Report]
MakeMeasures = Callable[..., Measures]


def frames(captured: int, **fates: int) -> Frames:
    return Frames(captured=captured, **({fate.value: 0 for fate in Fate} | fates))


def test_the_difference_of_two_looks(make_report: MakeReport, make_measures: MakeMeasures) -> None:
    """Rates by the time between, ages and stage times of what came in between only."""
    before = Look(
        NS_PER_S,
        make_report(frames=frames(10, fresh=10), reasons={Reason.LATE: 0}),
        make_measures(ages_ms=(1000,), run_ms=(1000,)),
    )
    after = Look(
        3 * NS_PER_S,
        make_report(frames=frames(70, fresh=40, forecast=10, missed=3), reasons={Reason.LATE: 10}),
        make_measures(ages_ms=(1000, 20, 20, 80), run_ms=(1000, 10, 30)),
    )
    window = between(before, after)
    assert window["span_s"] == 2.0
    assert window["fps_in"] == 30.0
    assert window["fps_out"] == 20.0
    assert window["fresh_share"] == 0.75
    assert window["age_ms"] == pytest.approx({"p50": 20, "p99": 80}, rel=0.011)
    assert window["stages"] == {"detect": {"wait_ms": None, "run_ms": 20.0, "items": 2}}
    assert window["reasons"] == {"late": 10}
    assert window["missed"] == 3


def test_nothing_is_not_zero(make_report: MakeReport, make_measures: MakeMeasures) -> None:
    """Where no frame came there is no age, no share and no time, rather than a good one."""
    look = Look(NS_PER_S, make_report(), make_measures())
    window = between(look, look)
    assert window["span_s"] == window["fps_in"] == window["fps_out"] == 0.0
    assert window["fresh_share"] is None
    assert window["age_ms"] == {"p50": None, "p99": None}
    assert window["stages"] == {"detect": {"wait_ms": None, "run_ms": None, "items": 0}}


def test_the_window_moves(make_report: MakeReport, make_measures: MakeMeasures) -> None:
    """It grows to its length and then follows, with the look that is at least so old."""
    window = Window(5 * NS_PER_S)
    spans = [
        window.add(Look(second * NS_PER_S, make_report(frames=frames(second)), make_measures()))["span_s"]
        for second in range(9)
    ]
    assert spans == [0, 1, 2, 3, 4, 5, 5, 5, 5]
    window.clear()
    assert window.add(Look(9 * NS_PER_S, make_report(), make_measures()))["span_s"] == 0


def test_a_look(run: Any) -> None:
    """It is the report and the measures of one moment."""
    look = look_at(run, ManualClock(7))
    assert (look.at_ns, look.report, look.measures) == (7, run.told, run.measured)
