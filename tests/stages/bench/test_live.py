"""Live runs in processes of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config.build import build
from pipeline.config.load import parse
from pipeline.errors import PipelineError
from pipeline.frame import Mode, Reason
from stages.bench.clip import long_enough, make_clip
from stages.bench.live import Choice, LiveCase, live_figures, play

CHOICE = Choice("yolov3-tiny@320", {"model": "yolov3-tiny", "input_size": 320})


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a second."""
    folder = tmp_path_factory.mktemp("clip")
    make_clip(folder / "made.mp4", (128, 96), 5)
    return long_enough(folder / "made.mp4", 15, folder / "long.mkv")


def test_the_case_is_a_configuration_of_a_live_run(clip: Path, tmp_path: Path) -> None:
    """At that deadline."""
    case = LiveCase(clip, fps=12.5, seconds=2, deadline_ms=33.5, choice=CHOICE)
    assert case.frames == 25
    settings = build(parse(case.config(tmp_path / "answers.jsonl"))).settings
    assert (settings.mode, settings.deadline_ns) == (Mode.LIVE, 33_500_000)
    exact = LiveCase(clip, fps=12.5, seconds=2, deadline_ms=12_345.678, choice=CHOICE)
    assert build(parse(exact.config(tmp_path / "answers.jsonl"))).settings.deadline_ns == 12_345_678_000


def test_a_run_is_the_whole_program(clip: Path) -> None:
    """Every frame is in its books; those before the model was ready do not count in the shares."""
    case = LiveCase(clip, fps=30, seconds=0.5, deadline_ms=1000, choice=CHOICE)
    report = play(case)
    assert report.frames.captured == 15
    assert report.balanced
    assert "320x320" in report.detector.input
    report = report.model_copy(
        update={
            "frames": report.frames.model_copy(update={"captured": 15, "fresh": 6, "forecast": 3}),
            "reasons": {**report.reasons, Reason.WARMING: 3},
        }
    )
    figures = live_figures(case, report)
    assert (figures.frames, figures.warming) == (15, 3)
    assert (figures.fresh_share, figures.forecast_share) == (0.5, 0.25)
    assert (figures.model, figures.fps, figures.deadline_ms) == ("yolov3-tiny@320", 30, 1000)
    assert figures.peak_rss_mib > 10


def test_a_run_that_fails_says_why(clip: Path) -> None:
    """In the words of the program."""
    case = LiveCase(clip, fps=30, seconds=0.5, deadline_ms=100, choice=Choice("none.onnx", {"model": "none.onnx"}))
    with pytest.raises(PipelineError, match=r"a live run failed: framepace: .*none\.onnx"):
        play(case)


def test_a_clip_that_ends_early_is_no_measurement(clip: Path) -> None:
    """It was asked for more frames than there are."""
    case = LiveCase(clip, fps=30, seconds=1, deadline_ms=1000, choice=CHOICE)
    with pytest.raises(PipelineError, match="did not come to its end"):
        play(case)
