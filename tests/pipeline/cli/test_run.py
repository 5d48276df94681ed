"""`framepace run`: what it says without running, and how runs end."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from pipeline.assembly import RunSettings
from pipeline.cli.options import Flags
from pipeline.cli.run import execute, show_configuration
from pipeline.config.build import Built
from pipeline.errors import ConfigError, PipelineError
from pipeline.frame import FrameInfo, Mode
from pipeline.graph import Graph
from pipeline.stage import Sample
from pipeline.testing import NumberSource, PassDetector, RecordingSink


def test_the_configuration_is_shown(tmp_path: Path) -> None:
    """As a file would say it, flags included, without secrets."""
    file = tmp_path / "camera.yaml"
    file.write_text("source: rtsp://admin:secret@cam/a\ndeadline: 80ms\n")
    shown = show_configuration(Flags(config=file, min_score=0.6))
    assert "secret" not in shown
    loaded = yaml.safe_load(shown)
    assert (loaded["source"]["url"], loaded["deadline"]) == ("rtsp://***@cam/a", "80ms")
    assert loaded["stages"][2]["min_score"] == 0.6


def test_a_wrong_configuration_is_not_shown() -> None:
    """What is wrong is said instead."""
    with pytest.raises(ConfigError):
        show_configuration(Flags(source="a.mp4", deadline="soon"))


class Pressed(NumberSource):
    """Somebody presses Ctrl-C when it has given everything."""

    def read(self) -> Sample | None:
        sample = super().read()
        if sample is None:
            signal.raise_signal(signal.SIGINT)
        return sample


@pytest.fixture
def _ctrl_c_counts() -> Iterator[None]:
    """As at a terminal; in tests started in the background, Ctrl-C is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c_counts")
@pytest.mark.parametrize(("source", "interrupted"), [(NumberSource(3), False), (Pressed(3), True)], ids=["no", "yes"])
def test_an_interruption_just_before_the_end_is_not_lost(source: NumberSource, *, interrupted: bool) -> None:
    """The run is over by itself; who wants to go on with another one must know all the same."""
    plan = Graph.chain(source, None, [("detect", PassDetector())], []).check(Mode.LOSSLESS)
    executed = execute(Built(plan, RunSettings("test", Mode.LOSSLESS, cores=1)), Console(quiet=True), quiet=True)
    assert (executed.interrupted, executed.report.frames.captured) == (interrupted, 3)
    if interrupted:
        with pytest.raises(PipelineError, match="interrupted"):
            executed.whole()
    else:
        assert executed.whole() is executed.report


class Raising(PassDetector):
    """Is broken."""

    def process(self, payload: object, info: FrameInfo) -> object:
        raise ZeroDivisionError("a defect")


@pytest.mark.parametrize(
    ("detector", "sink", "said"),
    [(Raising(), RecordingSink(), "a defect"), (PassDetector(), RecordingSink(fails_on=1), "sink failed")],
    ids=["stage", "sink"],
)
def test_half_a_run_is_no_measurement(detector: PassDetector, sink: RecordingSink, said: str) -> None:
    """What failed is said instead."""
    plan = Graph.chain(NumberSource(3), None, [("detect", detector)], [("sink", sink)]).check(Mode.LOSSLESS)
    executed = execute(Built(plan, RunSettings("test", Mode.LOSSLESS, cores=1)), Console(quiet=True), quiet=True)
    with pytest.raises(PipelineError, match=said):
        executed.whole()
