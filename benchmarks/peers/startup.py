"""How long from the start of a program to its first answer? framepace and what one would use instead.

Usage: python benchmarks/peers/startup.py [--rounds 5] [--peer NAME] [--source camera] [--json FILE]

Everything counts: the interpreter, imports, loading and warming framepace's embedded model, opening the source, the
first picture's way, until its fresh answer has come through a pipe to this program. All run the same model on one
thread (framepace on a file: on one thread a frame); only framepace tracks, too, unless --tracker. The camera is that of
run.py, the file the shipped clip. Peers are run in turns; a first round, which brings programs and libraries into
memory, does not count. Who gives no answer, or has no environment, is left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

import clip
import ours
from accuracy import PICTURES
from environments import python_of
from peers import PEERS, Peer, camera, chosen, peer_command, peer_environment
from run import FOLDER
from task import Task

LONGEST_S = 30.0
SOURCES = ("camera", "file")
OUT = Path("/dev/stdout")


def command_of(peer: Peer, source: str, task: Task, url: str) -> list[str]:
    """Return the command that writes answers to standard output.

    Raises:
        RuntimeError: the peer's environment cannot be made.
    """
    if not peer.is_ours:
        return peer_command(peer, python_of(peer.environment, FOLDER / "peers"), task, url, OUT)
    if source == "file":
        return [str(ours.PROGRAM), "run", url, "--sink", "stdout", "--quiet"]
    command = ours.command(task, {}, url, FOLDER / "startup.jsonl")
    return command[: command.index("--report")]


def first_answer_s(command: Sequence[str]) -> float:
    """Return seconds from the start of a program to its first fresh answer; the program is ended then.

    Raises:
        RuntimeError: there was none.
    """
    start_s = time.monotonic()
    process = subprocess.Popen(
        command, env=peer_environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    watchdog = threading.Timer(LONGEST_S, process.kill)
    watchdog.start()
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if is_answer(line):
                return time.monotonic() - start_s
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        process.stdout.close()
    raise RuntimeError("no answer")


def times_of(
    peers: Sequence[Peer], source: str, task: Task, url: str, rounds: int
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Return the seconds of each peer, all in turns; and why others are left out, which one failure is enough for."""
    times: dict[str, list[float]] = {peer.name: [] for peer in peers}
    failures: dict[str, str] = {}
    for number in range(1 + rounds):
        for peer in peers:
            if peer.name in failures:
                continue
            try:
                seconds = first_answer_s(command_of(peer, source, task, url))
            except RuntimeError as error:
                failures[peer.name] = str(error)
                del times[peer.name]
                continue
            if number:
                times[peer.name].append(seconds)
    return times, failures


def is_answer(line: str) -> bool:
    """Return whether a line is a record of a fresh answer; peers may say other things, too."""
    return line.startswith("{") and json.loads(line).get("status", "fresh") == "fresh"


def row(name: str, seconds: Sequence[float]) -> str:
    """Return a row of the table."""
    return f"{name:22} {statistics.median(seconds):6.2f} {min(seconds):6.2f} {max(seconds):6.2f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer", action="append", help="repeatable; of run.py")
    parser.add_argument("--source", choices=SOURCES, action="append", help="repeatable; both if absent")
    parser.add_argument("--tracker", action="store_true", help="peers track with ByteTrack of the package trackers")
    parser.add_argument("--json", type=Path, help="write all times here")
    arguments = parser.parse_args()
    try:
        peers = chosen(arguments.peer, [peer for peer in PEERS if not peer.settings])
    except ValueError as error:
        parser.error(str(error))
    if arguments.rounds < 1:
        parser.error(f"--rounds {arguments.rounds}: the first round does not count, and one at least has to")
    FOLDER.mkdir(exist_ok=True)
    task = Task("model", LONGEST_S, FOLDER / f"numbered-{PICTURES}.mp4", tracker=arguments.tracker)
    clip.make(task.clip, PICTURES)
    times: dict[str, dict[str, list[float]]] = {}
    for source in arguments.source or SOURCES:
        with camera(FOLDER / "startup.log", task) as url:
            where = url if source == "camera" else str(clip.SHIPPED)
            times[source], failures = times_of(peers, source, task, where, arguments.rounds)
        print(f"{source + ', s':22} {'median':>6} {'least':>6} {'most':>6}")
        for name, values in times[source].items():
            print(row(name, values), flush=True)
        for name, why in failures.items():
            print(f"{name:22} left out: {why}", flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(times, indent=1))


if __name__ == "__main__":
    main()
