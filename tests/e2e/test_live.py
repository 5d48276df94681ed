"""The program live: answers over a websocket, and every way to end it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

pytestmark = pytest.mark.e2e

WAIT_S = 30
STATUSES = {"fresh", "forecast", "blind"}


@pytest.fixture
def port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def connected(port: int, process: subprocess.Popen[str]) -> ClientConnection:
    """Connect as soon as the program listens."""
    while process.poll() is None:
        try:
            return connect(f"ws://127.0.0.1:{port}", open_timeout=WAIT_S, proxy=None)
        except (ConnectionRefusedError, TimeoutError):
            continue
    raise AssertionError(f"the program ended: {process.communicate()}")


def received(client: ClientConnection) -> Iterator[dict[str, object]]:
    """Give records until the server says goodbye."""
    while True:
        try:
            yield json.loads(client.recv(timeout=WAIT_S))
        except ConnectionClosed:
            return


def test_live_file_to_a_websocket_client(
    pedestrians: Path, start: Callable[..., subprocess.Popen[str]], port: int, tmp_path: Path
) -> None:
    """Each frame gets one answer, in order, by its deadline; file and websocket say the same; the books balance."""
    sinks = ["--sink", f"ws://127.0.0.1:{port}", "--sink", "jsonl:o.jsonl", "--report", "report.json"]
    process = start("run", pedestrians, "--pace", "25", "--deadline", "150ms", *sinks, "--max-frames", 100)
    with connected(port, process) as client:
        seen = list(received(client))
        assert client.close_code == 1001
    _, said = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, said
    lines = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert seen == lines[-len(seen) :]
    lines = [line for line in lines if line["frame"] is not None]  # a heartbeat may have come before the first frame
    assert len(seen) > 50
    frames = json.loads((tmp_path / "report.json").read_text())["frames"]
    assert frames["captured"] == 100
    assert sum(frames.values()) == 200
    assert len(lines) == 100 - frames["missed"]
    numbers = [line["frame"] for line in lines]
    assert numbers == sorted(set(numbers))
    for line in lines:
        assert line["status"] in STATUSES
        assert (line["reason"] is None) == (line["status"] == "fresh")
        assert line["published_s"] <= line["due_s"]
        assert line["status"] != "blind" or line["tracks"] == []
    assert sum(line["status"] == "fresh" for line in lines) > 50


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_a_signal_is_a_clean_stop(
    number: signal.Signals, start: Callable[..., subprocess.Popen[str]], port: int, tmp_path: Path
) -> None:
    """The run stops, files are whole, the report balances and the exit code is 0."""
    sinks = ["--sink", f"ws://127.0.0.1:{port}", "--sink", "jsonl:o.jsonl", "--sink", "video:o.mp4"]
    process = start("run", "synthetic:", "--report", "report.json", *sinks)
    with connected(port, process) as client:
        assert json.loads(client.recv(timeout=WAIT_S))["status"] in STATUSES
        for _ in range(20):
            client.recv(timeout=WAIT_S)
        process.send_signal(number)
        list(received(client))
    _, said = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, said
    assert "Traceback" not in said
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["balanced"]
    assert report["published_late"] == 0
    answered = sum(report["frames"][status] for status in STATUSES)
    lines = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert len([line for line in lines if line["frame"] is not None]) == answered  # the others are heartbeats
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert len(list(container.decode(video=0))) == answered


def test_killed_in_the_middle(start: Callable[..., subprocess.Popen[str]], port: int, tmp_path: Path) -> None:
    """After kill -9 every line that is there is whole, and the video can be played."""
    sinks = ["--sink", f"ws://127.0.0.1:{port}", "--sink", "jsonl:o.jsonl", "--sink", "video:o.mp4"]
    process = start("run", "synthetic:", *sinks)
    with connected(port, process) as client:
        for _ in range(100):
            client.recv(timeout=WAIT_S)
        process.kill()
    process.communicate(timeout=WAIT_S)
    lines = (tmp_path / "o.jsonl").read_text().splitlines(keepends=True)
    assert len(lines) > 90
    assert all(line.endswith("\n") and json.loads(line) for line in lines)
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert len(list(container.decode(video=0))) > 20


def test_a_reader_that_leaves(start: Callable[..., subprocess.Popen[str]], pedestrians: Path, tmp_path: Path) -> None:
    """When nobody reads standard output any more, that sink has failed, and the other has everything."""
    process = start("run", pedestrians, "--max-frames", 40, "--sink", "stdout", "--sink", "jsonl:o.jsonl")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["frame"] == 0
    process.stdout.close()
    assert process.stderr is not None
    said = process.stderr.read()
    assert process.wait(timeout=WAIT_S) == 1
    assert "stdout" in said
    assert "Traceback" not in said
    assert len((tmp_path / "o.jsonl").read_text().splitlines()) == 40


def test_check_gives_a_verdict(framepace: Callable[..., object], tmp_path: Path) -> None:
    """`check` measures, writes nothing, and says whether the deadline can be held."""
    done = framepace("check", "synthetic:", "--deadline", "100ms", "--duration", "1s")
    assert done.code == 0, done.err
    assert "hold 100 ms" in done.err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_a_camera_that_is_not_there_yet(start: Callable[..., subprocess.Popen[str]], port: int, tmp_path: Path) -> None:
    """With --retry-start a live source may come later; Ctrl-C ends the waiting cleanly."""
    process = start("run", f"rtsp://admin:hunter2@127.0.0.1:{port}/x", "--retry-start", "--sink", "jsonl:o.jsonl")
    assert process.stderr is not None
    said = process.stderr.readline()
    assert "not there yet" in said
    process.send_signal(signal.SIGINT)
    said += process.stderr.read()
    assert process.wait(timeout=WAIT_S) == 0, said
    assert "hunter2" not in said
    assert "Traceback" not in said
