"""How fast is a recording worked through? framepace and loops as one would write them, same detector, side by side.

Usage: python benchmarks/peers/lossless.py [--frames 795] [--rounds 3] [--tracker own] [--peer NAME] [--json FILE]

Each runs in a process of its own, in turns, framepace as its users run it: `framepace run CLIP --sink jsonl:FILE`. The
loops (peer_lossless.py) use framepace's own detector, scaling and record, with the runtime's threads as named, `spin`
for threads that spin when idle, which is the runtime's default. With the tracker `own` they use framepace's too, and
their records are compared with framepace's; with `bytetrack` that of the package `trackers`. Time counts from when the
model is loaded and warm to the last record; processor time is that of the whole process, loading included. `bound` is
what the machine could do at most if the work of framepace's own stages filled all cores without any loss.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

import clip
import numpy as np
from environments import OPENCV, python_of
from ours import PROGRAM
from peers import HERE, peer_environment
from run import FOLDER

from stages.boxes import iou_matrix

LOOPS = {"cv2 loop": "cv2", "cv2 thread, queue": "queue", "PyAV loop": "pyav-bgr", "PyAV loop, scaled once": "pyav"}
THREADS = {"1": ["--threads", "1"], "2": ["--threads", "2"], "2 spin": ["--threads", "2", "--spin"]}
PEERS = {f"{loop}, {threads}": (loop, threads) for loop in LOOPS for threads in THREADS}
OURS = "framepace"
LONGEST_S = 200.0
SAME_IOU = 0.75


@dataclass(frozen=True, slots=True)
class Round:
    """One run of one of them."""

    fps: float
    cpu_s: float
    """Of the whole process."""
    wall_s: float
    """Of the whole process."""


def run_round(name: str, tracker: str, frames: int, output: Path) -> Round:
    """Run framepace or a loop once.

    Raises:
        RuntimeError: it failed.
    """
    report = output.with_suffix(".report")
    if name == OURS:
        command = [str(PROGRAM), "run", str(clip.SHIPPED), "--sink", f"jsonl:{output}", "--quiet"]
        command += ["--report", str(report), "--max-frames", str(frames)]
    else:
        loop, threads = PEERS[name]
        command = [python_of(OPENCV, FOLDER / "peers"), str(HERE / "peer_lossless.py"), "--clip", str(clip.SHIPPED)]
        command += ["--loop", LOOPS[loop], *THREADS[threads], "--tracker", tracker]
        command += ["--frames", str(frames), "--output", str(output)]
    before, start_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        command, env=peer_environment(), capture_output=True, text=True, timeout=LONGEST_S, check=False
    )
    wall_s, after = time.monotonic() - start_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{name}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
    if name == OURS:
        said = json.loads(report.read_text())
        seconds = said["duration_s"] - said["ready_s"]
    else:
        seconds = json.loads(done.stdout.splitlines()[-1])["seconds"]
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Round(frames / seconds, cpu_s, wall_s)


_NOTHING = '{"tracks": []}'


def same_share(ours: Sequence[str], theirs: Sequence[str]) -> tuple[float, float]:
    """Return the share of identical records, and of our boxes that have a box of theirs in the same place.

    Args:
        ours: records, one a line.
        theirs: of another program, on the same clip.
    """
    identical = sum(a == b for a, b in zip(ours, theirs, strict=False))
    found = count = 0
    for our_line, their_line in itertools.zip_longest(ours, theirs[: len(ours)], fillvalue=_NOTHING):
        our_boxes, their_boxes = (
            np.array([track["box"] for track in json.loads(line)["tracks"]], np.float64).reshape(-1, 4)
            for line in (our_line, their_line)
        )
        count += len(our_boxes)
        if len(our_boxes) and len(their_boxes):
            found += int((iou_matrix(our_boxes, their_boxes).max(axis=1) >= SAME_IOU).sum())
    return identical / max(1, len(ours)), found / max(1, count)


def bound_fps(report: Path, frames: int) -> float:
    """Return cores / (processor seconds of the stages, by framepace's own report, a frame)."""
    stages = json.loads(report.read_text())["stages"].values()
    return len(os.sched_getaffinity(0)) * frames / sum(stage["cpu_s"] for stage in stages)


def line(name: str, rounds: Sequence[Round], best: float, same: tuple[float, float] | None) -> str:
    """Return a row of the table."""
    rates = [one.fps for one in rounds]
    rate = statistics.median(rates)
    equal = "" if same is None else f"{100 * same[0]:10.1f} {100 * same[1]:8.1f}"
    return (
        f"{name:32}{rate:8.1f} {min(rates):8.1f} {max(rates):7.1f} {statistics.median(o.cpu_s for o in rounds):8.2f}"
        f"{statistics.median(o.wall_s for o in rounds):8.2f} {rate / best:7.2f} {equal}"
    )


HEAD = f"{'':32}{'fps':>8} {'least':>8} {'most':>7} {'cpu s':>8}{'wall s':>8} {'ratio':>7}  same, %: records, boxes"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=795)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tracker", choices=["own", "bytetrack"], default="own")
    parser.add_argument("--peer", action="append", help=f"repeatable; {'; '.join(PEERS)}")
    parser.add_argument("--json", type=Path, help="write all figures here")
    arguments = parser.parse_args()
    names = [*(arguments.peer or PEERS), OURS]
    if unknown := set(names) - {*PEERS, OURS}:
        parser.error(f"unknown --peer {', '.join(sorted(unknown))}")
    FOLDER.mkdir(exist_ok=True)
    outputs = {name: FOLDER / f"lossless-{place}.jsonl" for place, name in enumerate(names)}
    rounds: dict[str, list[Round]] = defaultdict(list)
    for _ in range(arguments.rounds):
        for name in names:
            rounds[name].append(run_round(name, arguments.tracker, arguments.frames, outputs[name]))
    rates = {name: statistics.median(one.fps for one in those) for name, those in rounds.items()}
    best = max((rate for name, rate in rates.items() if name != OURS), default=rates[OURS])
    ours = outputs[OURS].read_text().splitlines()
    print(f"{HEAD}\n" if arguments.tracker == "own" else f"{HEAD.partition('  same')[0]}\n", end="")
    for name in names:
        comparable = arguments.tracker == "own" and name != OURS
        same = same_share(ours, outputs[name].read_text().splitlines()) if comparable else None
        print(line(name, rounds[name], best, same), flush=True)
    bound = bound_fps(outputs[OURS].with_suffix(".report"), arguments.frames)
    print(f"bound by framepace's own stages {bound:.1f} fps; framepace reaches {rates[OURS] / bound:.2f} of it")
    if arguments.json:
        data = {name: [asdict(one) for one in those] for name, those in rounds.items()}
        arguments.json.write_text(json.dumps({"tracker": arguments.tracker, "rounds": data, "bound": bound}, indent=1))


if __name__ == "__main__":
    main()
