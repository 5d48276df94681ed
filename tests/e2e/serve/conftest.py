"""The real program on the shipped clip, served, for clients that are not ours."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import httpx
import pytest

BOUND_S = 30.0
"""Whatever has not happened by then does not happen."""
_POLL_S = 0.1
_AUDIENCE = Path(__file__).with_name("audience.py")


@dataclass
class Live:
    """A run that is served."""

    process: subprocess.Popen[str]
    port: int
    token: str | None
    report_file: Path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.token is None else {"authorization": f"Bearer {self.token}"}

    def ask(self, path: str, **headers: str) -> httpx.Response:
        """Ask with the token; one that is told to ask more slowly does."""
        end_s = time.monotonic() + BOUND_S
        while True:
            with httpx.Client(timeout=BOUND_S, trust_env=False, headers=self.headers) as client:
                answer = client.get(f"{self.address}{path}", headers=headers)
            if answer.status_code != 429:
                return answer
            assert time.monotonic() < end_s
            time.sleep(_POLL_S)

    def wait_captured(self, frames: int, *, within_s: float = BOUND_S) -> dict[str, Any]:
        """Wait until so many frames were captured; return the report so far."""
        end_s = time.monotonic() + within_s
        while True:
            report: dict[str, Any] = self.ask("/report").json()
            if report["frames"]["captured"] >= frames:
                return report
            assert time.monotonic() < end_s, report
            time.sleep(_POLL_S)

    def stop(self) -> dict[str, Any]:
        """End it, if it has not ended by itself; return its report, which must be sound."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        _, said = self.process.communicate(timeout=BOUND_S)
        assert self.process.returncode == 0, said
        report: dict[str, Any] = json.loads(self.report_file.read_text())
        assert report["balanced"]
        assert report["published_late"] == 0
        return report


def repeated(clip: Path, target: Path, times: int) -> Path:
    """Write a clip so many times in a row, without coding it anew."""
    with av.open(str(target), "w") as out:
        stream = None
        for turn in range(times):
            with av.open(str(clip)) as source:
                video = source.streams.video[0]
                stream = stream or out.add_stream_from_template(video)
                assert video.duration is not None
                for packet in source.demux(video):
                    if packet.dts is None or packet.pts is None:
                        continue  # the end
                    packet.dts += turn * video.duration
                    packet.pts += turn * video.duration
                    packet.stream = stream
                    out.mux(packet)
    return target


@pytest.fixture
def live(start: Callable[..., subprocess.Popen[str]], pedestrians: Path, tmp_path: Path) -> Callable[..., Live]:
    """A function that starts a run on the clip, played as a camera, and serves it with the given options."""

    def run(*, pace: int = 30, times: int = 1, token: str | None = None, **options: Any) -> Live:
        clip = pedestrians if times == 1 else repeated(pedestrians, tmp_path / "long.mp4", times)
        config = {
            "source": {"kind": "video", "url": str(clip), "pace": pace},
            "mode": "live",
            "deadline": "200ms",
            "serve": {"port": 0, **({} if token is None else {"token": token}), **options},
            "report": "report.json",
        }
        (tmp_path / "run.yaml").write_text(json.dumps(config))
        process = start("run", "--config", "run.yaml")
        assert process.stderr is not None
        said = process.stderr.readline()
        assert said.startswith("serving http://127.0.0.1:"), said + process.stderr.read()
        return Live(process, int(said.rsplit(":", 1)[1].strip(" /\n")), token, tmp_path / "report.json")

    return run


@dataclass
class Audience:
    """Clients in a process of their own."""

    process: subprocess.Popen[str]

    def wait_begun(self) -> None:
        """Wait until everybody has got something."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "begun\n"

    def told(self) -> list[dict[str, Any]]:
        """Wait until the server has said goodbye to all; return what each has got."""
        said, _ = self.process.communicate(timeout=BOUND_S)
        assert self.process.returncode == 0
        told: list[dict[str, Any]] = json.loads(said)
        return told


@pytest.fixture
def audience(start: Callable[..., subprocess.Popen[str]]) -> Any:
    """A function that lets clients in: so many readers of records, so many viewers of pictures.

    They run at the lowest priority, as if they were on another machine.
    """
    begun: list[subprocess.Popen[str]] = []

    def come(live: Live, *, readers: int, viewers: int = 0) -> Audience:
        query = "" if live.token is None else f"?token={live.token}"
        paths = [f"/results{query}"] * readers + [f"/preview{query}"] * viewers
        command = [
            "nice",
            "-n19",
            sys.executable,
            str(_AUDIENCE),
            *(f"ws://127.0.0.1:{live.port}{path}" for path in paths),
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        begun.append(process)
        return Audience(process)

    yield come
    for process in begun:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=10)
