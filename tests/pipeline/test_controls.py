"""What may be changed of a run while it goes."""

from __future__ import annotations

import logging
import math

import pytest
from pydantic import Field

from pipeline.assembly import RunSettings, make_engine
from pipeline.clock import NS_PER_MS
from pipeline.controls import Controls
from pipeline.frame import FrameInfo, Mode
from pipeline.graph import Graph
from pipeline.ledger import Ledger
from pipeline.stage import Options, Stage
from pipeline.testing import ManualClock, NumberSource, PassDetector
from pipeline.units import Duration


class KnobOptions(Options):
    """Settings of a stage with knobs."""

    level: float = Field(default=0.5, ge=0, le=1)
    names: tuple[str, ...] | None = Field(default=None, min_length=1)
    patience: Duration = 100 * NS_PER_MS
    fixed: int = 7


class Knobs(Stage):
    """Some of its options can be turned; it refuses names that it does not know."""

    options_type = KnobOptions
    tunable = frozenset({"level", "names", "patience"})

    def __init__(self) -> None:
        self.turned = KnobOptions()

    @property
    def options(self) -> KnobOptions:
        return self.turned

    def tune(self, options: Options) -> None:
        assert isinstance(options, KnobOptions)
        if "defect" in (options.names or ()):
            raise ZeroDivisionError("a defect in the stage")
        if "unicorn" in (options.names or ()):
            raise ValueError("the model has no class 'unicorn'")
        self.turned = options

    def process(self, payload: object, info: FrameInfo) -> object:
        return payload


class Bench:
    """The controls of a run that stands still."""

    def __init__(self, mode: Mode = Mode.LIVE) -> None:
        self.clock = ManualClock()
        self.first, self.second = Knobs(), Knobs()
        source = NumberSource(9, clock=self.clock if mode is Mode.LIVE else None)
        stages = [("detect", PassDetector()), ("first", self.first), ("second", self.second)]
        plan = Graph.chain(source, None, stages, []).check(mode)
        self.engine = make_engine(
            plan,
            RunSettings("test", mode, cores=1),
            clock=self.clock,
            ledger=Ledger(),
            hand_over=lambda answer: self.clock.now_ns(),
            hand_beat=lambda heartbeat: None,
            timings=None,
        )
        self.controls = Controls(plan, self.engine, self.clock)


def test_the_settings_say_what_can_be_changed() -> None:
    """With the present values, as plain data; a lossless run has no deadline."""
    knobs = {"level": 0.5, "names": None, "patience": "100ms"}
    stages = {f"{stage}.{name}": value for stage in ("first", "second") for name, value in knobs.items()}
    assert Bench().controls.settings() == {"paused": False, "deadline_ms": 100.0, **stages}
    assert Bench(Mode.LOSSLESS).controls.settings() == {"paused": False, **stages}


def test_several_settings_change_together() -> None:
    """All that were named, and no others."""
    bench = Bench()
    wanted = {"paused": True, "deadline_ms": 80, "first.level": 0.25, "second.names": ["a", "b"]}
    before = bench.controls.settings()
    bench.controls.change_all(wanted)
    assert bench.controls.settings() == before | wanted
    assert bench.first.turned == KnobOptions(level=0.25)
    assert bench.second.turned == KnobOptions(names=("a", "b"))
    bench.controls.change_all({"paused": False, "first.patience": "2s"})
    assert not bench.engine.paused
    assert bench.first.turned == KnobOptions.model_validate({"level": 0.25, "patience": "2s"})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("paused", 1, "paused: must be true or false, not 1"),
        ("deadline_ms", 4.9, "deadline_ms: must be 5 to 60000 milliseconds, not 4.9"),
        ("deadline_ms", 60_001, "deadline_ms: must be 5 to 60000 milliseconds, not 60001"),
        ("deadline_ms", math.nan, "deadline_ms: must be 5 to 60000 milliseconds, not nan"),
        ("deadline_ms", "80ms", "deadline_ms: must be 5 to 60000 milliseconds, not '80ms'"),
        ("deadline_ms", True, "deadline_ms: must be 5 to 60000 milliseconds, not True"),
        ("first.level", 1.5, "first.level: input should be less than or equal to 1, not 1.5"),
        ("first.level", "0.5", "first.level: must be a number, not '0.5'"),
        ("first.level", False, "first.level: must be a number, not False"),
        ("first.level", None, "first.level: input should be a valid number, not None"),
        ("first.level", math.inf, "first.level: input should be a finite number, not inf"),
        ("first.names", 3, "first.names: input should be a valid tuple, not 3"),
        ("first.names", ["unicorn"], "first: the model has no class 'unicorn'"),
        ("first.patience", "soon", "first.patience: 'soon' is not a duration"),
        ("first.levle", 0.5, "first.levle: there is no such setting, did you mean first.level"),
        ("first.fixed", 8, "first.fixed: there is no such setting"),
        ("detect.level", 0.5, "detect.level: there is no such setting"),
        ("", 0.5, ": there is no such setting; there are paused, deadline_ms, first.level"),
    ],
)
def test_what_is_not_right_changes_nothing(name: str, value: object, message: str) -> None:
    """The message says what would be right; what was asked for together with it is not done either."""
    bench = Bench()
    before = bench.controls.settings()
    with pytest.raises(ValueError) as caught:
        bench.controls.change_all({"second.level": 0.9, "paused": True, "deadline_ms": 50, name: value})
    assert str(caught.value).startswith(message)
    assert bench.controls.settings() == before
    assert bench.controls.changes() == ([], 0)


def test_all_that_is_wrong_is_said_at_once() -> None:
    """One message for everything."""
    with pytest.raises(ValueError) as caught:
        Bench().controls.change_all({"first.level": -1, "nothing": 1, "first.names": []})
    for name in ("first.level", "nothing", "first.names"):
        assert f"{name}: " in str(caught.value)


def test_a_lossless_run_has_no_deadline_to_change() -> None:
    """It is no setting there."""
    with pytest.raises(ValueError, match="deadline_ms: there is no such setting"):
        Bench(Mode.LOSSLESS).controls.change_all({"deadline_ms": 80})


def test_a_stage_that_refuses_takes_back_the_others() -> None:
    """What was tuned before it gets its old options again, even if it refuses by a defect."""
    bench = Bench()
    with pytest.raises(ValueError, match="second: the model has no class"):
        bench.controls.change_all({"first.level": 0.1, "second.names": ["unicorn"]})
    assert bench.first.turned == KnobOptions()
    with pytest.raises(ZeroDivisionError):
        bench.controls.change_all({"first.level": 0.1, "second.names": ["defect"], "paused": True})
    assert bench.first.turned == KnobOptions()
    assert not bench.engine.paused


def test_changes_are_remembered_and_said(caplog: pytest.LogCaptureFixture) -> None:
    """One line each, with before and after; what stays as it is, is no change."""
    bench = Bench()
    bench.clock.advance(5)
    with caplog.at_level(logging.INFO, "framepace.run"):
        bench.controls.change_all({"first.level": 0.25, "second.level": 0.5, "deadline_ms": 100})
    changes, left_out = bench.controls.changes()
    assert [(one.at_ns, one.name, one.before, one.after) for one in changes] == [(5, "first.level", 0.5, 0.25)]
    assert left_out == 0
    assert [record.getMessage() for record in caplog.records] == ["first.level changed from 0.5 to 0.25"]


def test_memory_of_changes_is_bounded() -> None:
    """The last ones are kept, the others counted."""
    bench = Bench()
    for number in range(1, 251):
        bench.controls.change_all({"first.level": number / 1000})
    changes, left_out = bench.controls.changes()
    assert (len(changes), left_out) == (100, 150)
    assert changes[-1].after == 0.25
