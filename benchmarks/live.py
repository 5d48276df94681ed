"""Measure the whole pipeline live: 720p at 30 fps from a paced file, a stand-in detector, every load in one run.

Usage: python benchmarks/live.py [--seconds 60] [--only 64/100] [--json]

A load is SERVICE/DEADLINE in milliseconds; `model/100` runs the embedded model. With `+burn`, other processes keep all
cores busy meanwhile. The stand-in sleeps for its time, as a model on an accelerator would; capture, H.264 decoding,
letterbox, tracker, publisher and a JSONL sink are real. The clip is made on the first run: the shipped one, scaled.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from rich.console import Console

from pipeline.cli.run import execute
from pipeline.config.build import build
from pipeline.config.load import parse
from pipeline.frame import FrameInfo
from pipeline.report import Percentiles, Report
from pipeline.stage import Options, Stage
from stages.bench.clip import FPS, encode, repeat
from stages.payloads import Detections, InputSpec, ModelInput

CLIP = Path(__file__).resolve().parents[1] / "sample_videos" / "pedestrians.mp4"
LOADS = ("18/100", "64/100", "64/50", "18/100+burn", "64/100+burn", "64/50+burn", "model/100")
SIZE = (1280, 720)
PART_FRAMES = 300
MODEL_PX = 416


class StandInOptions(Options):
    """Settings of the stand-in."""

    service_ms: float = 18.0


class StandIn(Stage):
    """A detector that takes its time and always sees the same two people."""

    accepts = ModelInput
    produces = Detections
    options_type = StandInOptions
    detector = True

    def __init__(self, options: StandInOptions) -> None:
        self._service_s = options.service_ms / 1000

    @property
    def input_spec(self) -> InputSpec:
        return InputSpec(MODEL_PX, MODEL_PX, "NHWC", "uint8", "rgb")

    def describe(self) -> dict[str, str | int | float | None]:
        return {"model": f"stand-in {self._service_s * 1000:g} ms", "provider": "none", "input": f"{MODEL_PX} px"}

    def process(self, payload: object, info: FrameInfo) -> Detections:
        assert isinstance(payload, ModelInput)
        time.sleep(self._service_s)
        boxes = np.array([[100, 100, 150, 220], [700, 300, 760, 450]], np.float32)
        return Detections(boxes, np.full(2, 0.9, np.float32), np.zeros(2, np.int32), ("person",), payload.image_size)


def make_clip(path: Path, seconds: float, gop: int) -> None:
    """Write a 720p H.264 clip at 30 fps: ten seconds encoded once, then repeated as they are."""
    part = path.with_suffix(".part.mp4")
    options = {"preset": "veryfast", "tune": "zerolatency"}
    with av.open(str(CLIP)) as source:
        encode(itertools.islice(source.decode(video=0), PART_FRAMES), part, size=SIZE, options=options, gop=gop)
    repeat(part, int(-(-seconds * FPS // PART_FRAMES)), path)
    part.unlink()


@contextlib.contextmanager
def burning(cores: int) -> Iterator[None]:
    """Keep cores busy with processes that do nothing else."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(cores)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def measure(load: str, clip: Path, seconds: float, folder: Path) -> Report:
    """Run one load and return the report."""
    what, _, rest = load.partition("/")
    deadline, _, burn = rest.partition("+")
    detector: object = "detect"
    if what != "model":
        detector = {"kind": f"{__name__}:StandIn", "name": "detect", "service_ms": float(what)}
    config = parse(
        {
            "source": {"kind": "video", "url": str(clip), "pace": "pts", "max_frames": int(seconds * FPS)},
            "deadline": f"{deadline}ms",
            "stages": ["preprocess", detector, "track"],
            "sinks": [f"jsonl:{folder / 'answers.jsonl'}"],
        }
    )
    with burning(os.cpu_count() or 1) if burn else contextlib.nullcontext():
        return execute(build(config), Console(quiet=True), quiet=True).whole()


def spread(values: Percentiles | None) -> str:
    """Return p50 / p99 / max."""
    return "-" if values is None else f"{values.p50:.1f} / {values.p99:.1f} / {values.max:.1f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each load")
    parser.add_argument("--gop", type=int, default=FPS, help="frames from one key picture to the next, at most 300")
    parser.add_argument("--only", action="append", help="SERVICE/DEADLINE[+burn] or model/DEADLINE; repeatable")
    parser.add_argument("--json", action="store_true", help="print the reports as JSON")
    arguments = parser.parse_args()
    folder = Path(tempfile.gettempdir()) / "framepace-bench"
    folder.mkdir(exist_ok=True)
    clip = folder / f"720p30-{arguments.seconds:g}s-gop{arguments.gop}.mp4"
    if not clip.exists():
        make_clip(clip, arguments.seconds, arguments.gop)
    print(f"{'load':14}{'frames':>7}{'fresh':>7}{'forec.':>7}{'blind':>6}{'missed':>7}{'late':>5}", end="")
    print(f"{'fresh age p50/p99/max ms':>28}{'all':>24}{'cpu':>6}{'MiB':>6}")
    for load in arguments.only or LOADS:
        report = measure(load, clip, arguments.seconds, folder)
        if arguments.json:
            print(json.dumps({"load": load, **report.model_dump(mode="json")}))
            continue
        frames = report.frames
        print(
            f"{load:14}{frames.captured:7}{frames.fresh:7}{frames.forecast:7}{frames.blind:6}{frames.missed:7}"
            f"{report.published_late:5}{spread(report.age_ms.fresh):>28}{spread(report.age_ms.all):>24}"
            f"{report.cpu_s / report.duration_s:6.2f}{report.peak_rss_mib:6.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
