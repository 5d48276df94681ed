"""Measure lossless throughput on the shipped clip with the embedded model, against what the machine could do at most.

Usage: python benchmarks/lossless.py [--frames 795] [--rounds 3]

The bound is cores / (sum of the stages' times on one thread), as if everything ran on all cores without any loss. Both
are measured in turns in one run; the rounds' medians are compared. A plain loop, one frame after the other with the
runtime's own threads, is what one would write by hand.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
from pathlib import Path

import av
from rich.console import Console

from pipeline.cli.run import execute
from pipeline.clock import RealClock
from pipeline.config.build import build
from pipeline.config.load import parse
from pipeline.frame import FrameInfo
from pipeline.testing import open_context
from stages.detect.onnx import DetectOptions, OnnxDetector
from stages.payloads import Picture
from stages.preprocess.letterbox import Letterbox
from stages.track.tracker import Tracker, TrackerOptions

CLIP = Path(__file__).resolve().parents[1] / "sample_videos" / "pedestrians.mp4"
STEPS = ("decode", "preprocess", "detect", "track")


def plain_loop(frames: int, threads: int) -> dict[str, float]:
    """Do everything on one thread (the runtime on `threads`); return seconds by step."""
    clock = RealClock()
    detector, tracker = OnnxDetector(DetectOptions(threads=threads)), Tracker(TrackerOptions())
    detector.open(open_context(clock))
    letterbox = Letterbox(Letterbox.options_type())
    letterbox.open(open_context(clock, downstream=detector.input_spec))
    detector.warm()
    spent = dict.fromkeys(STEPS, 0.0)
    with av.open(str(CLIP)) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.thread_count = "NONE", 1
        pictures = container.decode(stream)
        for number in range(frames):
            marks = [time.perf_counter()]
            video = next(pictures)
            marks.append(time.perf_counter())
            info = FrameInfo("bench", number, video.time, round(video.time * 1e9), None)
            tensor = letterbox.process(Picture(video=video), info)
            marks.append(time.perf_counter())
            found = detector.process(tensor, info)
            marks.append(time.perf_counter())
            tracker.process(found, info).forecast(info.captured_ns)
            marks.append(time.perf_counter())
            for step, (start, end) in zip(STEPS, itertools.pairwise(marks), strict=True):
                spent[step] += end - start
    detector.close()
    return spent


def framepace(frames: int) -> float:
    """Run lossless; return seconds from the first frame on, without loading the model."""
    with tempfile.TemporaryDirectory() as folder:
        source = {"kind": "video", "url": str(CLIP), "max_frames": frames}
        config = parse({"source": source, "sinks": [f"jsonl:{folder}/answers.jsonl"]})
        report = execute(build(config), Console(quiet=True), quiet=True).whole()
    assert report.ready_s is not None
    return report.duration_s - report.ready_s


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=795)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    cores, frames = len(os.sched_getaffinity(0)), arguments.frames
    bounds, rates, loops = [], [], []
    for _ in range(arguments.rounds):
        spent = plain_loop(frames, 1)
        bounds.append(cores * frames / sum(spent.values()))
        rates.append(frames / framepace(frames))
        loops.append(frames / sum(plain_loop(frames, cores).values()))
    bound, rate, loop = map(statistics.median, (bounds, rates, loops))
    print("one thread, ms a frame: ", {step: round(seconds / frames * 1e3, 2) for step, seconds in spent.items()})
    print(f"bound on {cores} cores:  {bound:.1f} frames/s  (rounds {[round(value, 1) for value in bounds]})")
    print(f"framepace:          {rate:.1f} frames/s  (rounds {[round(value, 1) for value in rates]})")
    print(f"plain loop:         {loop:.1f} frames/s  (rounds {[round(value, 1) for value in loops]})")
    print(f"framepace / bound = {rate / bound:.3f}; framepace / plain loop = {rate / loop:.2f}")


if __name__ == "__main__":
    main()
