"""The real program on somebody else's RTSP server: GStreamer's, as Debian packages it."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PYTHON = Path("/usr/bin/python3")
SERVER = Path(__file__).with_name("gst_server.py")


@pytest.fixture
def gstreamer() -> Iterator[Callable[[str], str]]:
    """A function that starts a server for a codec and returns its URL."""
    started: list[subprocess.Popen[str]] = []

    def start(codec: str) -> str:
        command = [str(PYTHON), str(SERVER), codec]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        try:
            process = subprocess.Popen(command, text=True, **pipes)
        except OSError:
            pytest.skip("there is no system Python; GStreamer's RTSP server needs one")
        started.append(process)
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            pytest.skip("GStreamer's RTSP server is not installed; on Debian and Ubuntu: make test-packages")
        return url

    yield start
    for process in started:
        process.communicate(input="", timeout=10)


@pytest.mark.e2e
@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_foreign_server_is_understood(gstreamer, framepace, tmp_path: Path, codec: str, transport: str) -> None:  # type: ignore[no-untyped-def]
    """By our own client, on both transports; frames come at their rate and are answered in time."""
    url = gstreamer(codec)
    config = {
        "source": {"kind": "video", "url": url, "transport": transport, "client": "own", "duration": "3s"},
        "deadline": "200ms",
        "sinks": ["jsonl:out.jsonl"],
        "report": "report.json",
    }
    (tmp_path / "run.yaml").write_text(json.dumps(config))
    done = framepace("run", "--config", "run.yaml", "--quiet")
    assert done.code == 0, done.err
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["balanced"]
    assert report["published_late"] == 0
    assert report["source"]["details"]["transport"] == transport
    assert report["source"]["details"]["rtp_lost"] == 0
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    fresh = [record for record in records if record["status"] == "fresh"]
    assert len(fresh) > 30
    steps = sorted(b["pts_s"] - a["pts_s"] for a, b in itertools.pairwise(fresh))
    assert steps[len(steps) // 2] == pytest.approx(1 / 30, abs=0.002)


@pytest.mark.e2e
def test_a_codec_that_is_not_ours_is_read_by_ffmpeg(gstreamer, framepace, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """One line says what that costs."""
    url = gstreamer("mjpeg")
    done = framepace("run", url, "--duration", "2s", "--deadline", "300ms", "--report", "report.json")
    assert done.code == 0, done.err
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["source"]["details"] == {"client": "ffmpeg"}
    assert report["frames"]["fresh"] > 10
    assert done.err.count("FFmpeg reads it, which holds each picture for one frame interval") == 1
