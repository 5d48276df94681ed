"""Flags over a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.cli.options import Flags, built_from_flags, model_options, overrides_from_flags
from pipeline.errors import ConfigError
from pipeline.frame import Mode
from stages.capture.video import VideoSource


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration of a camera."""
    path = tmp_path / "camera.yaml"
    path.write_text(
        "source: {kind: video, url: 'rtsp://cam/a', transport: udp}\n"
        "deadline: 200ms\n"
        "sinks: [stdout]\n"
        "stages: [preprocess, {kind: detect, min_score: 0.4, classes: [person]}, {kind: track, horizon: 1s}]\n"
    )
    return path


def test_flags_go_over_the_file(file: Path) -> None:
    """Each flag replaces its counterpart, and nothing else."""
    config, built = built_from_flags(
        Flags(config=file, deadline="80ms", sinks=["jsonl:o"], min_score=0.6, stream="door", classes="car, bus")
    )
    assert built.settings.deadline_ns == 80_000_000
    assert built.settings.stream_id == "door"
    assert [name for name, _ in built.plan.sinks] == ["sink jsonl"]
    options = {name: stage.options for name, stage in built.plan.stages if name != "preprocess"}
    assert options["detect"].min_score == options["track"].min_score == 0.6
    assert options["detect"].classes == ("car", "bus")
    assert options["track"].horizon == 1_000_000_000
    assert config.sinks == ["jsonl:o"]


def test_another_address_keeps_the_other_settings(file: Path) -> None:
    """SOURCE replaces the file's address; transport and the like stay."""
    _, built = built_from_flags(Flags(config=file, source="rtsp://cam/b"))
    assert isinstance(built.plan.source, VideoSource)
    assert built.plan.source._options.url == "rtsp://cam/b"
    assert built.plan.source._options.transport == "udp"
    _, other = built_from_flags(Flags(config=file, source="synthetic:"))
    assert not isinstance(other.plan.source, VideoSource)


def test_pace_makes_a_file_live() -> None:
    """--pace takes pts, none or a rate."""
    assert overrides_from_flags(Flags(pace="12.5")).source_options == {"pace": 12.5}
    assert overrides_from_flags(Flags(pace="pts")).source_options == {"pace": "pts"}
    assert built_from_flags(Flags(source="a.mp4", pace="30"))[1].settings.mode is Mode.LIVE
    with pytest.raises(ConfigError, match="--pace"):
        overrides_from_flags(Flags(pace="fast"))


def test_no_source() -> None:
    """Without a source there is nothing to do, and the message says how to name one."""
    with pytest.raises(ConfigError, match="SOURCE"):
        built_from_flags(Flags())


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("yolov3-tiny", {"model": "yolov3-tiny"}),
        ("yolov3-tiny@608", {"model": "yolov3-tiny", "input_size": 608}),
        ("a@b/my.onnx@640x384", {"model": "a@b/my.onnx", "input_size": "640x384"}),
        ("a@b/my.onnx", {"model": "a@b/my.onnx"}),  # an @ that no size follows belongs to the path
        ("@608", {"model": "@608"}),
    ],
)
def test_a_model_may_have_a_size(text: str, options: dict[str, object]) -> None:
    """Behind the last @."""
    assert model_options(text) == options
    assert overrides_from_flags(Flags(model=text)).detector_options == options
