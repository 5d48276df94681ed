"""`framepace models list | pull | path`, as they are typed."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import pytest
from typer.testing import CliRunner

from pipeline.errors import ConfigError, SourceOpenError, StageOpenError
from stages.detect import store
from stages.detect.commands import app
from stages.detect.store import DATA, KnownModel

CONTENT = b"0123456789" * 150_000
NAME = "small"


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files, and says nothing."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that FRAMEPACE_CACHE names; not there yet."""
    monkeypatch.setenv("FRAMEPACE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "cache"


@pytest.fixture
def clip_picture(tmp_path: Path) -> Path:
    """The first picture of the shipped clip."""
    clip = cv2.VideoCapture(str(Path(__file__).resolve().parents[3] / "sample_videos" / "pedestrians.mp4"))
    _, picture = clip.read()
    clip.release()
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), picture)
    return path


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KnownModel]:
    """A model that is known beside the others, and can be pulled from this machine."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "small.onnx").write_bytes(CONTENT)
    handler = partial(QuietHandler, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = False
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/small.onnx"
        digest = hashlib.sha256(CONTENT).hexdigest()
        model = KnownModel(NAME, "A small one", "Apache-2.0", "small.onnx", len(CONTENT), digest, url)
        monkeypatch.setitem(store.KNOWN, NAME, model)
        yield model
        server.shutdown()
        thread.join(10)


def run(*arguments: str) -> str:
    """Run a command that succeeds; return what it prints."""
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def state_of(name: str, listing: str) -> str:
    """What a listing says of a model."""
    (line,) = (line for line in listing.splitlines() if line.split()[0] == name)
    return line[13:23].strip()


def test_list(cache: Path) -> None:
    """Every model has one line: name, whether it is here, size, what it is, licence; in columns."""
    lines = run("list").splitlines()
    assert lines[0] == (
        "yolov3-tiny  embedded      8.9 MB  YOLOv3-tiny, 8-bit, any multiple of 32, COCO's 80 classes; free for any use"
    )
    assert lines[1] == "yolox-nano   not pulled    3.7 MB  YOLOX-Nano, 416x416, COCO's 80 classes; Apache-2.0"
    assert [line.split()[0] for line in lines] == ["yolov3-tiny", "yolox-nano", "yolox-tiny", "yolox-s", "yolox-m"]
    assert {line.index(" MB") for line in lines} == {lines[0].index(" MB")}


def test_pull(small: KnownModel, cache: Path) -> None:
    """Pull prints the path and nothing else on standard output; list and path know the model then."""
    assert state_of(NAME, run("list")) == "not pulled"
    assert run("pull", NAME) == f"{cache / 'small.onnx'}\n"
    assert (cache / "small.onnx").read_bytes() == CONTENT
    assert run("path", NAME) == f"{cache / 'small.onnx'}\n"
    assert state_of(NAME, run("list")) == "pulled"


def test_damaged(small: KnownModel, cache: Path) -> None:
    """A pulled model that changed is listed as damaged, path refuses it, pull mends it."""
    cache.mkdir()
    (cache / "small.onnx").write_bytes(CONTENT[:-1])
    assert state_of(NAME, run("list")) == "damaged"
    with pytest.raises(StageOpenError, match="is damaged"):
        run("path", NAME)
    run("pull", NAME)
    assert state_of(NAME, run("list")) == "pulled"


def test_a_cache_on_the_command_line(small: KnownModel, cache: Path, tmp_path: Path) -> None:
    """`--cache` goes before the environment."""
    other = tmp_path / "other"
    assert run("pull", NAME, "--cache", str(other)) == f"{other / 'small.onnx'}\n"
    assert run("path", NAME, "--cache", str(other)) == f"{other / 'small.onnx'}\n"
    assert state_of(NAME, run("list", "--cache", str(other))) == "pulled"
    assert not cache.exists()


def test_interrupted(small: KnownModel, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C during a pull is a failure, as there is no model, and says how to go on."""

    def interrupted(*_: object, **__: object) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr("stages.detect.download.pull", interrupted)
    with pytest.raises(StageOpenError, match="the same command goes on from there"):
        run("pull", NAME)


@pytest.mark.parametrize("command", ["pull", "path"])
def test_the_embedded_model(command: str, cache: Path) -> None:
    """The embedded model is always here; nothing is fetched for it."""
    assert run(command, "yolov3-tiny") == f"{DATA / 'yolov3-tiny-int8.onnx'}\n"
    assert not cache.exists()


def test_path_of_what_is_not_here(cache: Path) -> None:
    """Path of a model that was not pulled is an error that says how to pull it."""
    with pytest.raises(StageOpenError, match=f"has not been pulled to {cache}; run: framepace models pull yolox-nano"):
        run("path", "yolox-nano")


@pytest.mark.parametrize("command", ["pull", "path"])
def test_unknown_name(command: str, cache: Path) -> None:
    """A name that is none is a configuration error."""
    with pytest.raises(ConfigError, match="no model is called 'yolo'"):
        run(command, "yolo")


@pytest.mark.parametrize("command", ["pull", "path"])
def test_no_name(command: str) -> None:
    """Without a name, usage is shown."""
    result = CliRunner().invoke(app, [command])
    assert result.exit_code == 2
    assert "NAME" in result.stderr


def test_inspecting_a_model_tells_how_it_is_read(clip_picture: Path, tmp_path: Path) -> None:
    """Inputs, outputs, family and evidence, the YAML file to write; and what it sees in a picture, also drawn."""
    drawn = tmp_path / "drawn.png"
    done = CliRunner().invoke(app, ["inspect", "yolov3-tiny@320", "--on", str(clip_picture), "--output", str(drawn)])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0].startswith("input     images")
    assert any(line.startswith("read as   yolov5: said by its file") for line in lines)
    assert "    family: yolov5" in lines
    assert any("boxes, x1 y1 x2 y2 in pixels" in line for line in lines)
    picture = cv2.imread(str(drawn))
    assert picture is not None
    assert picture.shape == (576, 768, 3)


def test_what_cannot_be_inspected_is_told(tmp_path: Path) -> None:
    """A file that is no model, a picture that is none, a place to draw without a picture."""
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"nothing")
    for arguments, error in [
        (["inspect", str(broken)], StageOpenError),
        (["inspect", "yolov3-tiny", "--on", str(broken)], SourceOpenError),
        (["inspect", "yolov3-tiny", "--output", "a.png"], ConfigError),
        (["inspect", "yolov3-tiny", "--family", "yolov99"], ConfigError),
    ]:
        assert isinstance(CliRunner().invoke(app, arguments).exception, error), arguments
