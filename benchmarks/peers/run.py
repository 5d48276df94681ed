"""Put framepace and what one would use instead in front of the same camera, with the same detector, side by side.

Usage: python benchmarks/peers/run.py [--seconds 30] [--load 18] [--peer framepace] [--json FILE] [--plot FILE]

Each peer runs in an environment and a process of its own (made on the first run, in the temporary folder, from PyPI;
for GStreamer: make peer-packages). A load is the detector: milliseconds of a stand-in that sleeps, as an accelerator
would leave the processor free, or `model`, framepace's embedded one on one thread; then @FPS of the camera, and +burn
for other processes that keep all cores busy. The clip is 720p H.264, with its pictures numbered in their pixels. Ages
are from the camera's note that it has sent the last byte of a picture to the moment of the answer, on one clock: for
framepace when its line has come through a pipe, for the others when they are about to write. The first 2 s after the
first answer do not count.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

import clip
from figures import LIMITS_MS, Figures, figures
from peers import PEERS, Peer, chosen, outcome_of
from task import Task

FOLDER = Path(tempfile.gettempdir()) / "framepace-bench"
LOADS = ("18", "64", "model", "18+burn", "64+burn", "18@10", "64@10", "18@60", "64@60")
SIZE = (1280, 720)


def task_of(load: str, seconds: float) -> Task:
    """Return what DETECTOR[@FPS][+burn] asks for.

    Raises:
        ValueError: it is not of that form.
    """
    rest, _, burn = load.partition("+")
    detector, _, fps = rest.partition("@")
    if burn not in ("", "burn") or not (detector == "model" or detector.replace(".", "", 1).isdigit()):
        raise ValueError(f"{load!r} is not DETECTOR[@FPS][+burn], such as 64@30+burn or model")
    path = FOLDER / f"numbered-{SIZE[0]}x{SIZE[1]}-{clip.MOST}.mp4"
    return Task(detector, seconds, path, int(fps or 30), bool(burn))


def measure(peer: Peer, task: Task) -> Figures | str:
    """Return the figures of a run, or why there are none."""
    try:
        return figures(outcome_of(peer, task, FOLDER))
    except (RuntimeError, ValueError) as error:
        return str(error)


def line(name: str, value: Figures | str) -> str:
    """Return a row of the table."""
    if isinstance(value, str):
        return f"{name:22} left out: {value}"
    fresh = " ".join(f"{100 * value.fresh_by[limit]:6.1f}" for limit in LIMITS_MS)
    answered = " ".join(f"{100 * value.answered_by[limit]:6.1f}" for limit in LIMITS_MS)
    ages = " ".join(_number(age, 8, 1) for age in (value.age_p50_ms, value.age_p99_ms, value.age_max_ms))
    return (
        f"{name:22}{ages}  {fresh}   {answered}  {value.silent:6}/{value.sent:<5} {value.told:6} "
        f"{_number(value.first_answer_s, 6, 2)} {value.cpu_cores:5.2f} {value.peak_rss_mib:5.0f}"
    )


def _number(value: float, width: int, digits: int) -> str:
    """Return a number, or `-` where there is none."""
    return f"{'-' if math.isnan(value) else f'{value:.{digits}f}':>{width}}"


def as_data(value: Figures | str) -> object:
    """Return what goes into a JSON file, which knows no number that is none."""
    if isinstance(value, str):
        return value
    fields = dataclasses.asdict(value).items()
    return {name: None if isinstance(field, float) and math.isnan(field) else field for name, field in fields}


HEAD = (
    f"{'':22}{'fresh age p50      p99      max':>26}  {'fresh by 50/100/200 ms, %':>20}   {'answered by ..., %':20}"
    f"  {'silent/sent':>10} {'told':>7} {'start':>6} {'cores':>5} {'MiB':>5}"
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each run")
    parser.add_argument("--load", action="append", help=f"DETECTOR[@FPS][+burn]; repeatable; {', '.join(LOADS)}")
    parser.add_argument("--peer", action="append", help=f"repeatable; {', '.join(peer.name for peer in PEERS)}")
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--plot", type=Path, help="draw ages and shares of the first loads into this PNG")
    arguments = parser.parse_args()
    try:
        peers = chosen(arguments.peer)
        tasks = {load: task_of(load, arguments.seconds) for load in arguments.load or LOADS}
    except ValueError as error:
        parser.error(str(error))
    most = max(task.fps * task.seconds for task in tasks.values())
    if most > clip.MOST - 300:
        parser.error(f"{most:g} pictures are more than can be numbered ({clip.MOST}); take fewer --seconds")
    FOLDER.mkdir(exist_ok=True)
    clip.make(next(iter(tasks.values())).clip, clip.MOST, SIZE)
    rows: dict[str, dict[str, Figures | str]] = {}
    for load, task in tasks.items():
        print(f"\n{load}\n{HEAD}", flush=True)
        for peer in peers:
            value = rows.setdefault(load, {})[peer.name] = measure(peer, task)
            print(line(peer.name, value), flush=True)
        if arguments.json:
            data = {at: {name: as_data(value) for name, value in row.items()} for at, row in rows.items()}
            arguments.json.write_text(json.dumps(data, indent=1))
    if arguments.plot:
        from plot import draw  # needs matplotlib

        draw(rows, arguments.plot)


if __name__ == "__main__":
    main()
