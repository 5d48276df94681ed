"""Flags over a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.cli.options import Flags, built_from_flags, model_options, overrides_from_flags
from pipeline.errors import ConfigError
from pipeline.frame import Mode
from stages.capture.video import VideoSource
from stages.sink.serve.options import ServeOptions
from stages.sink.serve.sink import ServeSink


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


def test_a_password_may_be_a_variable(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the command line and in the file, which is then read on as if it stood there."""
    monkeypatch.setenv("CAMERA_PASSWORD", "p@ss")
    monkeypatch.setenv("PAGE", "127.0.0.1:8080")
    file.write_text(file.read_text() + "serve: ${PAGE}\n")
    _, built = built_from_flags(Flags(config=file, source="rtsp://u:${CAMERA_PASSWORD}@cam/b"))
    assert isinstance(built.plan.source, VideoSource)
    assert built.plan.source._options.url == "rtsp://u:p%40ss@cam/b"
    assert "p%40ss" not in str(built.settings.configuration)
    with pytest.raises(ConfigError, match="SOURCE: the variable NONE is not set, or empty"):
        built_from_flags(Flags(source="rtsp://u:${NONE}@cam/b"))


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
        ("a@" + "9" * 5000, {"model": "a@" + "9" * 5000}),
    ],
)
def test_a_model_may_have_a_size(text: str, options: dict[str, object]) -> None:
    """Behind the last @."""
    assert model_options(text) == options
    assert overrides_from_flags(Flags(model=text)).detector_options == options


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ServeOptions]:
    """A function that returns the options of the page that flags, over what a file says, ask for."""
    monkeypatch.delenv("FRAMEPACE_TOKEN", raising=False)

    def make(written: str = "", **flags: object) -> ServeOptions:
        file = tmp_path / "page.yaml"
        file.write_text(f"source: a.mp4\n{f'serve: {written}' if written else ''}\n")
        _, built = built_from_flags(Flags(config=file, **flags))  # type: ignore[arg-type]
        [(name, sink)] = built.plan.sinks
        assert name == "sink serve"
        assert isinstance(sink, ServeSink)
        return sink._options

    return make


Page = Callable[..., ServeOptions]


def token_of(options: ServeOptions) -> str | None:
    return None if options.token is None else options.token.get_secret_value()


def test_a_page(page: Page) -> None:
    """Asked for by a flag, by text in the file, or by a mapping with more options; a flag's address goes first."""
    assert (page(serve="127.0.0.1:8080").host, page(serve="127.0.0.1:8080").port) == ("127.0.0.1", 8080)
    assert page(written="'localhost:81'").port == 81
    options = page(written="{port: 81, preview_rate: 5}", serve=":82")
    assert (options.port, options.preview_rate) == (82, 5)
    assert page(serve="0.0.0.0:80", insecure=True).insecure


def test_where_a_token_comes_from(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag goes over the file, and the file over the environment, which alone turns nothing on."""
    in_file = "{port: 81, token: of-the-file}"
    assert token_of(page(written=in_file)) == "of-the-file"
    assert token_of(page(written=in_file, token="of-the-flag")) == "of-the-flag"
    by_flag = page(written=in_file, token_file="t.txt")
    assert (token_of(by_flag), by_flag.token_file) == (None, "t.txt")
    monkeypatch.setenv("FRAMEPACE_TOKEN", "of-the-shell")
    assert token_of(page(serve=":80")) == "of-the-shell"
    assert token_of(page(written=in_file)) == "of-the-file"
    assert token_of(page(serve=":80", token_file="t.txt")) is None
    assert built_from_flags(Flags(source="a.mp4"))[1].plan.sinks == ()


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"serve": "nowhere"}, "--serve: 'nowhere': write HOST:PORT"),
        ({"token": "correct-horse"}, "--token: is for --serve"),
        ({"token_file": "t"}, "--token-file: is for --serve"),
        ({"insecure": True}, "--insecure: is for --serve"),
        ({"serve": "0.0.0.0:80"}, r"\$\.serve: 0\.0\.0\.0 can be reached from the network"),
        ({"serve": ":80", "token": "short"}, r"\$\.serve\.token: a token has 8 to 200"),
    ],
)
def test_a_page_that_cannot_be(page: Page, flags: dict[str, object], says: str) -> None:
    """One line that says which flag, and never a token."""
    with pytest.raises(ConfigError, match=says) as refused:
        built_from_flags(Flags(source="a.mp4", **flags))  # type: ignore[arg-type]
    assert "short" not in str(refused.value)
