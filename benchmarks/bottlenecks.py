"""Measure live runs whose bottleneck is not the detector: decoder, later stage, sink, forecasts, broken packets.

Usage: python benchmarks/bottlenecks.py [--against COMMIT] [--only sink] [--seconds 6] [--rounds 1] [--output FILE]

Cases: `decoder` takes 50 ms a picture at 60 fps, key pictures every 30, detector 5 ms; `4k60` is a real H.264 file on
one core with the real decoder, preprocessing, embedded model and tracker, `4k60/b-frames` the same with B-frames;
`stage/behind` has a detector of 20 ms and 100 ms behind it, `stage/inside` a detector of 120 ms; `sink` takes 60 ms a
write; `forecast/3ms` computes 3 ms per forecast beside a detector of 60 ms; `undecodable` has packets that all fail.
Deadlines are 100 ms, for stages 250 ms; where nothing else is said, 30 fps. Other parts are the fakes of
pipeline.testing.

With --against, every case is played by both checkouts in turn, the other one first: `old` is the other, `new` this one.
Each measurement is a process of its own. The 4K clips are made on the first run: the shipped one, scaled.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from stages.bench.clip import repeat

HERE = Path(__file__).resolve().parents[1]
PLAYER = Path(__file__).with_name("bottlenecks_cases.py")
CLIP = HERE / "sample_videos" / "pedestrians.mp4"
SECONDS = {
    "decoder": 9.0,
    "4k60": 7.0,
    "4k60/b-frames": 7.0,
    "stage/behind": 6.0,
    "stage/inside": 6.0,
    "sink": 5.0,
    "forecast/0ms": 4.0,
    "forecast/3ms": 4.0,
    "forecast/10ms": 4.0,
    "undecodable": 10.0,
}
"""The cases, and how long each is played."""
B_FRAMES = {"4k60": 0, "4k60/b-frames": 2}
"""Cases that need a clip, and how many B-frames it has in a row."""
SIZE = (3840, 2160)
CLIP_FPS = 60
GOP = 60
PATIENCE_S = 60.0
"""For the start and the end of a run, besides its length."""

Measured = dict[str, Any]


def make_clip(path: Path, frames: int, *, size: tuple[int, int], b_frames: int) -> None:
    """Write an H.264 clip at 60 fps: one GOP encoded once, then repeated as it is.

    Args:
        path: the file.
        frames: at least so many.
        size: width and height, pixels.
        b_frames: in a row.
    """
    part = path.with_suffix(".part.mp4")
    whole = path.with_suffix(".whole.mp4")
    options = {"preset": "veryfast", "bf": str(b_frames), "g": str(GOP)}
    with av.open(str(CLIP)) as source, av.open(str(part), "w") as target:
        stream = target.add_stream("libx264", rate=CLIP_FPS, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for number, picture in zip(range(GOP), source.decode(video=0), strict=False):
            scaled = picture.reformat(*size, format="yuv420p")
            scaled.pts, scaled.time_base, scaled.pict_type = number, Fraction(1, CLIP_FPS), 0
            target.mux(stream.encode(scaled))
        target.mux(stream.encode(None))
    repeat(part, -(-frames // GOP), whole)
    part.unlink()
    whole.rename(path)


def clip_for(case: str, seconds: float, cache: Path) -> Path | None:
    """Return the clip of a case, made if it is not there yet; None if the case needs none."""
    if case not in B_FRAMES:
        return None
    frames = round(seconds * CLIP_FPS)
    path = cache / f"bottlenecks-{SIZE[0]}x{SIZE[1]}-{frames}-bf{B_FRAMES[case]}.mp4"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        make_clip(path, frames, size=SIZE, b_frames=B_FRAMES[case])
    return path


def measure(case: str, checkout: Path, *, seconds: float, cache: Path) -> Measured:
    """Play a case with the code of a checkout and return what it says.

    Raises:
        RuntimeError: it failed, did not end, or ran the code of another checkout.
    """
    clip = clip_for(case, seconds, cache)
    command = [sys.executable, "-P", str(PLAYER), case, "--seconds", str(seconds)]
    command += [] if clip is None else ["--clip", str(clip)]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    try:
        done = subprocess.run(
            command, env=environment, cwd=checkout, capture_output=True, text=True, timeout=seconds + PATIENCE_S
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{case} did not end within {error.timeout:g} s") from error
    if done.returncode:
        raise RuntimeError(f"{case} failed: {done.stderr.strip()[-2000:]}")
    measured: Measured = json.loads(done.stdout.splitlines()[-1])
    if Path(measured["checkout"]) != checkout.resolve():
        raise RuntimeError(f"{case} ran the code of {measured['checkout']}, not of {checkout}")
    return measured


@contextlib.contextmanager
def checkout_of(place: str) -> Iterator[Path]:
    """Give the folder of another checkout: as it is, or of a commit for as long as it is needed."""
    if Path(place).is_dir():
        yield Path(place).resolve()
        return
    with tempfile.TemporaryDirectory(prefix="framepace-old-") as folder:
        tree = Path(folder).resolve() / "checkout"
        git = ["git", "-C", str(HERE), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), place], check=True)
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def row(case: str, name: str, measured: Measured) -> str:
    """Return the line of a measurement, in the columns of HEADER."""
    if "error" in measured:
        return f"{case:15}{name:5}{measured['error']}"
    report = measured["report"]
    frames = report["frames"]
    ages = spread(measured["age_ms"])
    margin_ms = report.get("margin_ms")
    late = sum(sink.get("late") or 0 for sink in report["sinks"].values())
    return (
        f"{case:15}{name:5}{frames['captured']:6}{frames['fresh']:6}{measured['fresh_share'] or 0:7.1%}{ages:>15}"
        f"{frames['forecast']:7}{frames['blind']:6}{frames['missed']:7}{frames['undecodable']:6}{measured['shed']:5}"
        f"{report['published_late']:5}{late:6}{'-' if margin_ms is None else f'{margin_ms:.1f}':>7}"
    )


HEADER = (
    f"{'case':15}{'code':5}{'capt.':>6}{'fresh':>6}{'share':>7}{'age p50/p99 ms':>15}"
    f"{'forec.':>7}{'blind':>6}{'missed':>7}{'undec':>6}{'shed':>5}{'late':>5}{'sinks':>6}{'margin':>7}"
)
"""`late` are answers handed over late, `sinks` those that sinks took late, by the report."""


def notes(measured: Measured) -> list[str]:
    """Return what else is worth a line: reasons, decoder, sinks, what only this case tells, and ages over time."""
    if "error" in measured:
        return []
    report = measured["report"]
    parts = [f"{reason} {count}" for reason, count in report["reasons"].items() if count]
    lines = [f"not fresh: {', '.join(parts) or 'none'}"]
    decode = report["stages"].get("decode")
    if decode:
        lines.append(f"decode: {decode['items']} packets, run {spread(decode['run_ms'])} ms, failed {decode['failed']}")
    for name, sink in report["sinks"].items():
        text = f"{name}: written {sink['written']}, late {sink.get('late')}, skipped {sink['skipped']}"
        lines.append(f"{text}, wait {spread(sink.get('wait_ms'))} ms")
    if measured["details"]:
        lines.append(", ".join(f"{name} {value}" for name, value in measured["details"].items()))
    first, last = measured["age_ms_first_third"], measured["age_ms_last_third"]
    lines.append(f"age in the first third {spread(first)} of {first['count']}, last {spread(last)} of {last['count']}")
    return lines


def spread(values: Measured | None) -> str:
    """Return p50 / p99."""
    return "-" if values is None or values["p50"] is None else f"{values['p50']:.1f} / {values['p99']:.1f}"


def chosen(only: list[str] | None) -> list[str]:
    """Return the cases to play: `stage` means all that begin with `stage/`.

    Raises:
        ValueError: there is no such case.
    """
    cases: list[str] = []
    for asked in only or SECONDS:
        found = [case for case in SECONDS if case == asked or case.startswith(f"{asked}/")]
        if not found:
            raise ValueError(f"there is no case {asked}; the cases are {', '.join(SECONDS)}")
        cases += [case for case in found if case not in cases]
    return cases


def compare(arguments: argparse.Namespace, cases: list[str], checkouts: dict[str, Path]) -> list[Measured]:
    """Measure, print each line as soon as it is known, and return everything; what failed has an `error`."""
    measurements = []
    print(HEADER)
    for case in cases:
        for number in range(arguments.rounds):
            for name, checkout in checkouts.items():
                seconds = arguments.seconds or SECONDS[case]
                try:
                    measured = measure(case, checkout, seconds=seconds, cache=arguments.cache)
                except RuntimeError as error:
                    measured = {"error": str(error)}
                print(row(case, name, measured), *notes(measured), sep="\n      ", flush=True)
                measurements.append({"case": case, "code": name, "round": number, "seconds": seconds, **measured})
    return measurements


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", metavar="PATH_OR_COMMIT", help="another checkout, or a commit, to play in turn")
    parser.add_argument("--only", action="append", metavar="CASE", help="repeatable; `stage` is both of its cases")
    parser.add_argument("--seconds", type=float, help="length of each case, instead of its own")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--output", type=Path, help="file for everything measured, JSON")
    cache = Path(tempfile.gettempdir()) / "framepace-bench"
    parser.add_argument("--cache", type=Path, default=cache, help=f"folder of the clips; default {cache}")
    arguments = parser.parse_args()
    try:
        cases = chosen(arguments.only)
    except ValueError as error:
        parser.error(str(error))
    with contextlib.ExitStack() as stack:
        checkouts = {"old": stack.enter_context(checkout_of(arguments.against))} if arguments.against else {}
        measurements = compare(arguments, cases, checkouts | {"new": HERE})
    if arguments.output:
        arguments.output.write_text(json.dumps(measurements, indent=2) + "\n")
    if any("error" in measured for measured in measurements):
        sys.exit(1)


if __name__ == "__main__":
    main()
