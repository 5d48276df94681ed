"""Whatever is wrong gets one line that says what, where and what would be right, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.unhurried]


@pytest.fixture
def folder(tmp_path: Path, pedestrians: Path) -> Path:
    """A folder with everything that is no video, and one that is."""
    (tmp_path / "zero.mp4").touch()
    (tmp_path / "text.mp4").write_text("once upon a time there was no video\n" * 20)
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.onnx").write_text("no model")
    (tmp_path / "not.yaml").write_text("source: [1, 2")
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "good.yaml").write_text("source: clip.mp4\n")
    (tmp_path / "twice.yaml").write_text("source: clip.mp4\nsinks: [stdout]\nsinks: ['jsonl:a']\n")
    (tmp_path / "octal.yaml").write_text("source: clip.mp4\nstages: [{kind: detect, input_size: 0640}]\n")
    os.link(tmp_path / "text.onnx", tmp_path / "twin.onnx")
    shutil.copy(pedestrians, tmp_path / "clip.mp4")
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8192), np.float32), format="fltp", layout="mono")
        frame.rate, frame.pts = 48_000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return tmp_path


@pytest.fixture
def busy_port() -> Iterator[int]:
    """A port on which somebody else listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


CASES = [
    # what is asked for, exit code, what the line must say
    ("missing.mp4", 3, ["missing.mp4", "no such file"]),
    ("folder", 3, ["folder", "directory"]),
    ("sound.mp4", 3, ["sound.mp4", "no video stream", "audio"]),
    ("zero.mp4", 3, ["zero.mp4", "empty"]),
    ("text.mp4", 3, ["text.mp4", "not a video file"]),
    ("webcam:99", 3, ["/dev/video99", "no such camera"]),
    ("webcam:front", 2, ["webcam:front", "webcam:0"]),
    ("gopher://x", 2, ["gopher://", "rtsp://"]),
    ("rtsp://admin:hunter2@127.0.0.1:1/x", 3, ["***@127.0.0.1:1", "refused"]),
    ("clip.mp4 --model text.onnx", 3, ["text.onnx", "cannot load"]),
    ("clip.mp4 --model nosuch", 3, ["nosuch", "yolov3-tiny"]),
    ("clip.mp4 --provider cuda", 3, ["cuda", "pip install framepace[cuda]"]),
    ("clip.mp4 --trace folder", 2, ["--trace", "directory"]),
    ("clip.mp4 --report a.json --trace a.json", 2, ["--trace", "in use by --report"]),
    ("clip.mp4 --trace t.json --trace-seconds 0", 2, ["--trace-seconds"]),
    ("clip.mp4 --trace-on-miss misses", 2, ["trace_on_miss", "--pace pts"]),
    ("synthetic: --pace pts --trace-on-miss no/misses", 2, ["no/misses", "No such file"]),
    ("clip.mp4 --provider gpu", 2, ["provider", "'cuda'"]),
    ("clip.mp4 --classes persn", 2, ["persn", "did you mean person"]),
    ("clip.mp4 --deadline 100", 2, ["deadline", "100ms"]),
    ("clip.mp4 --deadline 1ms", 2, ["deadline"]),
    ("clip.mp4 --mode fast", 2, ["$.mode", "'lossless'"]),
    ("clip.mp4 --pace fast", 2, ["--pace", "pts"]),
    ("clip.mp4 --max-frames 0", 2, ["--max-frames", "greater"]),
    ("clip.mp4 --min-score 3", 2, ["--min-score"]),
    ("clip.mp4 --sinc stdout", 2, ["--sinc"]),
    ("clip.mp4 --sink fax:123", 2, ["fax", "jsonl"]),
    ("clip.mp4 --sink jsonl:", 2, ["jsonl:", "path"]),
    ("clip.mp4 --sink ws://127.0.0.1", 2, ["ws://HOST:PORT"]),
    ("clip.mp4 --sink jsonl:new.txt --sink csv:./new.txt", 2, ["sink csv", "in use by sink jsonl"]),
    ("clip.mp4 --sink video:clip.mp4", 2, ["clip.mp4", "in use by source"]),
    ("clip.mp4 --sink jsonl:new.txt --report new.txt", 2, ["--report", "in use by sink jsonl"]),
    ("--config good.yaml --sink jsonl:./good.yaml", 2, ["sink jsonl", "in use by --config"]),
    ("--config good.yaml --report good.yaml", 2, ["--report", "in use by --config"]),
    ("clip.mp4 --model text.onnx --sink csv:twin.onnx", 2, ["sink csv", "in use by detect as its model"]),
    ("--config twice.yaml", 2, ["twice.yaml line 3", "sinks is there twice, first in line 2"]),
    ("--config octal.yaml", 2, ["octal.yaml line 2", "write 640"]),
    (f"clip.mp4 --report {'x' * 300}", 2, ["--report", "too long"]),
    (f"clip.mp4 --model {'x' * 300}.onnx", 3, ["too long"]),
    ("clip.mp4 --serve nowhere", 2, ["--serve", "HOST:PORT"]),
    ("clip.mp4 --serve 192.0.2.1:0 --insecure", 2, ["192.0.2.1", "cannot listen there"]),
    ("clip.mp4 --serve 0.0.0.0:0", 2, ["$.serve", "0.0.0.0", "--token-file", "--insecure"]),
    ("clip.mp4 --serve :0 --token hunter2", 2, ["$.serve.token", "8 to 200"]),
    ("clip.mp4 --serve :0 --token-file none.txt", 2, ["none.txt", "cannot be read"]),
    ("clip.mp4 --token correct-horse", 2, ["--token", "--serve"]),
    ("clip.mp4 --insecure", 2, ["--insecure", "--serve"]),
    ("clip.mp4 --sink jsonl:nowhere/new.txt", 2, ["nowhere", "does not exist"]),
    ("clip.mp4 --sink jsonl:folder", 2, ["folder", "directory"]),
    ("clip.mp4 --sink jsonl:/proc/new.txt", 2, ["/proc/new.txt"]),
    ("clip.mp4 --report nowhere/report.json", 2, ["--report", "nowhere"]),
    ("--config missing.yaml", 2, ["missing.yaml", "No such file"]),
    ("--config not.yaml", 2, ["not.yaml", "line 1"]),
    ("--config list.yaml", 2, ["list.yaml", "mapping"]),
    ("", 2, ["SOURCE", "missing"]),
]


@pytest.mark.parametrize(("asked", "code", "said"), CASES, ids=[case[0] or "nothing" for case in CASES])
def test_says_what_is_wrong(
    asked: str, code: int, said: list[str], folder: Path, framepace: Callable[..., object]
) -> None:
    """One line on standard error, the right exit code, nothing on standard output, no file."""
    before = {path: path.stat().st_size for path in folder.iterdir()}
    done = framepace("run", *asked.split())
    assert done.code == code
    assert done.out == ""
    assert len(done.err.splitlines()) == 1, done.err
    assert all(part in done.err for part in said), done.err
    assert "hunter2" not in done.err
    assert {path: path.stat().st_size for path in folder.iterdir()} == before


@pytest.mark.parametrize("wanted", ["--sink ws://127.0.0.1:", "--serve 127.0.0.1:"])
def test_busy_port(busy_port: int, folder: Path, framepace: Callable[..., object], wanted: str) -> None:
    """A port in use is a wrong sink, and the other sink's old file stays as it was."""
    (folder / "old.jsonl").write_text("precious\n")
    done = framepace("run", "clip.mp4", "--sink", "jsonl:old.jsonl", *f"{wanted}{busy_port}".split())
    assert done.code == 2
    assert len(done.err.splitlines()) == 1
    assert str(busy_port) in done.err
    assert "in use" in done.err
    assert (folder / "old.jsonl").read_text() == "precious\n"


def test_every_problem_of_a_file_at_once(folder: Path, framepace: Callable[..., object]) -> None:
    """Top-level keys, stages and sinks are all checked, each with its path and the near name."""
    (folder / "typos.yaml").write_text(
        """
        source: clip.mp4
        deadlin: 100ms
        stages: [preprocess, {kind: detect, min_scor: 0.3}, trak]
        sinks: [{kind: jsonl, pth: new.jsonl}]
        engine: {credits: 0}
        """
    )
    done = framepace("run", "--config", "typos.yaml")
    assert done.code == 2
    lines = done.err.splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        "$.engine.credits",
        "$.deadlin",
        "$.stages[1].min_scor",
        "$.stages[2].kind",
        "$.sinks[0].path",
        "$.sinks[0].pth",
    ]
    assert "did you mean deadline?" in done.err
    assert "did you mean min_score?" in done.err
    assert "did you mean track?" in done.err


def test_a_password_in_a_wrong_file_is_not_shown(folder: Path, framepace: Callable[..., object]) -> None:
    """A value that is refused is not quoted when it may hold a password."""
    (folder / "secret.yaml").write_text("source: {kind: video, url: 'gopher://admin:hunter2@cam/x'}\n")
    done = framepace("run", "--config", "secret.yaml")
    assert done.code == 2
    assert "$.source.url" in done.err
    assert "hunter2" not in done.err


def test_usage_of_commands(framepace: Callable[..., object]) -> None:
    """A command that does not exist is one line; no command at all is the help."""
    wrong = framepace("fly")
    assert (wrong.code, len(wrong.err.splitlines())) == (2, 1)
    nothing = framepace()
    assert nothing.code == 0
    assert "run" in nothing.out
    assert framepace("schema", "nosuch").code == 2
