"""Drives the real program as a user does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).with_name("framepace")
PROJECT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_reaches_programs() -> None:
    """Programs started in the background of a script ignore Ctrl-C, and so would those that they start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class Done:
    """What a command did."""

    code: int
    out: str
    err: str


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def framepace(tmp_path: Path) -> Callable[..., Done]:
    """Run a command in an empty folder and return what it did."""

    def run(*arguments: object, timeout_s: float = 60, environment: Mapping[str, str] | None = None) -> Done:
        command, variables = [str(PROGRAM), *map(str, arguments)], {**ENVIRONMENT, **(environment or {})}
        done = subprocess.run(
            command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a command in an empty folder; it is killed at the end of the test if it still runs."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: object, **options: object) -> subprocess.Popen[str]:
        command = [str(PROGRAM), *map(str, arguments)]
        settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        process = subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, text=True, **settings)
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=10)


@pytest.fixture(scope="session")
def pedestrians() -> Path:
    """The shipped clip: 795 frames, 768x576, 10 fps."""
    return PROJECT / "sample_videos" / "pedestrians.mp4"
