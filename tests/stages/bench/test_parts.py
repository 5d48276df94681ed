"""Parts, one at a time: that something was measured, not how fast it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import OpenError
from pipeline.frame import Mode
from pipeline.histogram import Histogram
from stages.bench.clip import make_clip
from stages.bench.parts import (
    Effort,
    decode_figures,
    decoded,
    detector_figures,
    pictures_of,
    timed,
    tracker_figures,
)

FRAMES = 6
LITTLE = Effort(seconds=0.0, least=3)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few pictures."""
    path = tmp_path_factory.mktemp("clip") / "made.mp4"
    make_clip(path, (128, 96), FRAMES)
    return path


def test_calls_are_counted_and_numbered() -> None:
    """As many as the least effort says, even if there is no time for one."""
    numbers: list[int] = []
    took = timed(numbers.append, LITTLE)
    assert numbers == [0, 1, 2]
    assert took.count == 3


@pytest.mark.parametrize("mode", Mode)
def test_every_picture_is_decoded(clip: Path, mode: Mode) -> None:
    """And the time of each packet is taken."""
    took = Histogram()
    pictures = [picture for group in decoded(clip, mode, 2, took) for picture in group]
    assert [picture.ticket for picture in pictures] == list(range(FRAMES))
    assert took.count == FRAMES
    assert took.total_ns > 0


def test_the_first_pictures(clip: Path) -> None:
    """No more than asked for, and no more than there are."""
    assert len(pictures_of(clip, 2, 1)) == 2
    assert [picture.size for picture in pictures_of(clip, 100, 1)] == [(128, 96)] * FRAMES


def test_what_is_no_video_is_said(tmp_path: Path) -> None:
    """As a run would say it."""
    (tmp_path / "clip.mp4").write_text("nothing")
    with pytest.raises(OpenError, match=r"clip\.mp4"):
        pictures_of(tmp_path / "clip.mp4", 1, 1)


def test_decoding_has_figures_of_both_modes(clip: Path) -> None:
    """The spread is of live decoding."""
    figures = decode_figures(clip, "small", 1, Effort(seconds=5.0))
    assert figures.clip == "small"
    assert figures.live_fps > 0
    assert figures.recorded_fps > 0
    assert 0 < figures.live_ms.p50 <= figures.live_ms.max


def test_a_detector_is_measured_with_its_preprocessing(clip: Path) -> None:
    """At the size that was asked for."""
    options: dict[str, object] = {"model": "yolov3-tiny", "input_size": 64}
    figures = detector_figures("tiny@64", options, pictures_of(clip, 2, 1), 1, LITTLE)
    assert (figures.name, figures.provider) == ("tiny@64", "cpu")
    assert figures.input.startswith("64x64 ")
    assert figures.fps > 0
    assert figures.preprocess_ms.p50 > 0
    assert figures.detect_ms.p50 > 0


def test_a_model_that_is_not_there_is_said(clip: Path) -> None:
    """As a run would say it."""
    with pytest.raises(OpenError, match=r"none\.onnx"):
        detector_figures("none", {"model": "none.onnx"}, pictures_of(clip, 1, 1), 1, LITTLE)


def test_the_tracker_has_thirty_boxes() -> None:
    """Both of what it does is measured."""
    figures = tracker_figures(3)
    assert figures.boxes == 30
    assert figures.process_ms.max > 0
    assert figures.forecast_ms.max > 0
