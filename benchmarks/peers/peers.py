"""Who is compared, and what a run of one of them says."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ours
from environments import GSTREAMER, INFERENCE, OPENCV, OWN, Environment, python_of
from task import Answer, Sent, Task

HERE = Path(__file__).resolve().parent
CAMERA = HERE.parent / "rtsp_server.py"
GRACE_S = 30.0
"""What a peer may need beyond its time to start and to stop."""


@dataclass(frozen=True)
class Peer:
    """One way to answer a camera's frames."""

    name: str
    script: str
    """Empty for framepace itself, which is run as its users run it (ours.py)."""
    environment: Environment
    options: tuple[str, ...] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    """Of framepace's configuration; the others have none."""

    @property
    def is_ours(self) -> bool:
        """Whether it is framepace."""
        return self.environment == OWN


PEERS = (
    Peer("cv2 loop", "peer_cv2.py", OPENCV),
    Peer("cv2 newest", "peer_cv2.py", OPENCV, ("--mode", "newest")),
    Peer("cv2 newest, 1 thread", "peer_cv2.py", OPENCV, ("--mode", "newest", "--decoder-threads", "1")),
    Peer("inference", "peer_inference.py", INFERENCE),
    Peer("inference auto", "peer_inference.py", INFERENCE, ("--mode", "auto")),
    Peer("inference freshest", "peer_inference.py", INFERENCE, ("--mode", "freshest")),
    Peer("PyAV newest", "peer_pyav.py", OPENCV),
    Peer("GStreamer", "peer_gstreamer.py", GSTREAMER),
    Peer("framepace", "", OWN),
    Peer("framepace publish", "", OWN, settings={"project_to": "publish"}),
    Peer("framepace 50 ms", "", OWN, settings={"project_to": "publish", "deadline": "50ms"}),
)


def chosen(names: Sequence[str] | None, among: Sequence[Peer] = PEERS) -> list[Peer]:
    """Return the peers of these names, in their usual order; all if None.

    Raises:
        ValueError: there is none of that name.
    """
    known = [peer.name for peer in among]
    if unknown := set(names or ()) - set(known):
        raise ValueError(f"unknown --peer {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return [peer for peer in among if names is None or peer.name in names]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run left behind."""

    answers: list[Answer]
    sent: list[Sent]
    told: int
    """Pictures that the peer itself says it did not answer."""
    start_ns: int
    cpu_cores: float
    peak_rss_mib: float
    failure: str = ""


def outcome_of(peer: Peer, task: Task, folder: Path) -> Outcome:
    """Run a peer against a camera of its own and return what came out.

    Args:
        peer: who.
        task: what to do.
        folder: where environments are kept, and what the run writes.

    Raises:
        RuntimeError: the peer's environment cannot be made, or it is framepace and failed.
    """
    python = python_of(peer.environment, folder / "peers")
    log, output, errors = folder / "sent.log", folder / "answers.txt", folder / "errors.txt"
    output.write_text("")
    with camera(log, task) as url, _burning() if task.burn else contextlib.nullcontext(), errors.open("w") as err:
        start_ns = time.monotonic_ns()
        if peer.is_ours:
            command = ours.command(task, peer.settings, url, output)
        else:
            command = peer_command(peer, python, task, url, output)
        out = subprocess.PIPE if peer.is_ours else err
        process = subprocess.Popen(command, env=peer_environment(), stdout=out, stderr=err)
        arrivals = None if process.stdout is None else ours.Arrivals(process.stdout)
        code, usage = _finish(process, task.seconds)
        wall_s = (time.monotonic_ns() - start_ns) / 1e9
    lines = errors.read_text(errors="replace").strip().splitlines()
    failure = "" if code == 0 else f"ended with {code}: {lines[-1] if lines else ''}"
    sent = read_sent(log)
    if arrivals is None:
        answers, told = read_answers(output)
    else:
        arrivals.write(output)
        if not ours.report_of(output).exists():
            raise RuntimeError(failure or "ended without a report")
        answers, told = ours.read(output, sent)
    return Outcome(
        answers=answers,
        sent=sent,
        told=told,
        start_ns=start_ns,
        cpu_cores=(usage.ru_utime + usage.ru_stime) / wall_s,
        peak_rss_mib=usage.ru_maxrss / 1024,
        failure=failure,
    )


def peer_command(peer: Peer, python: str, task: Task, url: str, output: Path) -> list[str]:
    """Return the command of a peer that is not framepace; `url` may be a file."""
    command = [python, str(HERE / peer.script), "--url", url, "--output", str(output), *peer.options]
    command += ["--detector", task.detector, "--seconds", f"{task.seconds:g}", "--fps", str(task.fps)]
    return [*command, "--tracker"] if task.tracker else command


def read_answers(path: Path) -> tuple[list[Answer], int]:
    """Return the answers in a peer's output, and how many pictures it says it did not answer."""
    answers, told = [], 0
    for line in path.read_text().splitlines():
        if line.startswith("told "):
            told = int(line.split()[1])
        elif line.startswith("{"):
            answers.append(Answer(**json.loads(line)))
    return answers, told


def read_sent(log: Path) -> list[Sent]:
    """Return what is in a camera's log, the last line left out if it is not whole."""
    rows = [line.split() for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return [Sent(*map(int, row)) for row in rows]


def peer_environment() -> dict[str, str]:
    """Return the variables that a peer runs with: it finds framepace's stages and the modules beside it."""
    paths = os.pathsep.join([str(HERE.parents[1]), str(HERE.parent)])
    return {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "", "PYTHONUNBUFFERED": "1"}


@contextlib.contextmanager
def camera(log: Path, task: Task) -> Iterator[str]:
    """Serve the task's clip from a process of its own; gives the URL."""
    command = [sys.executable, str(CAMERA), "--port", "0", "--clip", str(task.clip), "--fps", str(task.fps)]
    process = subprocess.Popen([*command, "--log", str(log)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def _burning() -> Iterator[None]:
    """Keep all cores busy with processes that do nothing else."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in os.sched_getaffinity(0)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def _finish(process: subprocess.Popen[Any], seconds: float) -> tuple[int, resource.struct_rusage]:
    """Wait for the end of a process, or bring it about; return its exit code and what it used."""
    end_s = time.monotonic() + seconds + GRACE_S
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode, usage
        if time.monotonic() > end_s:
            process.kill()
        time.sleep(0.1)
