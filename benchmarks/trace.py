"""Measure what a trace costs: processor time of live runs, traced and not in turn, and of noting events alone.

Usage: python -m benchmarks.trace [--runs 8] [--fps 60] [--model]

A run plays the shipped clip; every half second the trace is switched on or off, and the ratio of two neighbouring half
seconds is that of processor time per answer, of all threads and libraries. (Two runs differ by some per cent, whatever
they do.) The stand-in for the detector costs next to nothing, so that the ratio is as bad as it can be; with --model
it is the embedded model. Noting is measured on one thread: the events of one frame, over and over, for the tracer and
for what finds the blame, which every live run has; with warm caches, so a run pays more.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from pipeline.blame import Blames
from pipeline.chrome import TraceFacts
from pipeline.clock import NS_PER_MS, NS_PER_S, RealClock, process_cpu_ns
from pipeline.config.build import build
from pipeline.config.load import parse
from pipeline.run import Run
from pipeline.timings import Event, Timings
from pipeline.trace import Tracer

CLIP = Path(__file__).resolve().parents[1] / "sample_videos" / "pedestrians.mp4"
FPS = 30
NOTED = 20_000
STAGES = ("preprocess", "detect", "track")
FACTS = TraceFacts("cam0", live=True, stages=("decode", *STAGES), sinks=("sink jsonl",))
WARM_NS, PART_NS = 2 * NS_PER_S, NS_PER_S // 2


class SwitchedTracer(Tracer):
    """A tracer that can be switched off, and counts answers."""

    is_on = False
    answers = 0

    def note(self, event: Event, at_ns: int, frame_id: int = -1, text: str = "", value: int = 0) -> None:
        self.answers += event is Event.ANSWERED
        if self.is_on:
            super().note(event, at_ns, frame_id, text, value)


def costs_in_turn(fps: float, *, model: bool, first: bool) -> list[tuple[bool, float]]:
    """Run once; return for each half second whether it was traced, and milliseconds of processor time per answer."""
    detector: object = "detect" if model else {"kind": "benchmarks.live:StandIn", "name": "detect", "service_ms": 3.0}
    asked = {
        "source": {"kind": "video", "url": str(CLIP), "pace": fps},
        "deadline": "100ms",
        "stages": ["preprocess", detector, "track"],
        "sinks": [f"jsonl:{os.devnull}"],
        "trace_seconds": 30,
    }
    built = build(parse(asked))
    tracer = SwitchedTracer(FACTS, span_ns=30 * NS_PER_S, limit_ns=100 * NS_PER_MS, clock=RealClock())
    with mock.patch("pipeline.run.make_tracer", return_value=tracer):
        run = Run(built.plan, built.settings)
    costs = []
    run.start()
    run.wait(WARM_NS)
    tracer.is_on = first
    before_ns, before = process_cpu_ns(), tracer.answers
    while not run.wait(PART_NS):
        now_ns, now = process_cpu_ns(), tracer.answers
        costs.append((tracer.is_on, (now_ns - before_ns) / (now - before) / NS_PER_MS))
        tracer.is_on = not tracer.is_on
        before_ns, before = now_ns, now
    run.finish()
    return costs


def frame_events(target: Timings, frame_id: int) -> int:
    """Note what a frame's way gives, and return how many events that is."""
    at_ns = frame_id * NS_PER_S // FPS
    target.note(Event.CAPTURED, at_ns, frame_id, value=at_ns - 50_000)
    target.note(Event.BEGAN, at_ns + 100_000, text="decode", value=80_000)
    target.note(Event.OFFERED, at_ns + 900_000, frame_id)
    target.note(Event.DECODED, at_ns + 100_000, value=900_000)
    target.note(Event.ASKED, at_ns + 950_000, frame_id)
    for place, stage in enumerate(STAGES):
        start_ns = at_ns + (place + 1) * NS_PER_MS
        target.note(Event.BEGAN, start_ns, frame_id, stage, 70_000)
        target.note(Event.RAN, start_ns, frame_id, stage, 900_000)
    target.note(Event.MEASURED, at_ns + 5 * NS_PER_MS, frame_id)
    target.note(Event.ANSWERED, at_ns + 5 * NS_PER_MS, frame_id, "fresh", 30_000)
    return 7 + 2 * len(STAGES)


def noting_us(make: Callable[[], Timings]) -> float:
    """Return microseconds of one thread for the events of one frame, the best of five."""
    best_s = float("inf")
    for _ in range(5):
        target = make()
        start_s = time.thread_time()
        for frame_id in range(NOTED):
            frame_events(target, frame_id)
        best_s = min(best_s, time.thread_time() - start_s)
    return best_s / NOTED * 1e6


def make_tracer() -> Tracer:
    """Return a tracer as a live run has it."""
    return Tracer(FACTS, span_ns=30 * NS_PER_S, limit_ns=100 * NS_PER_MS, clock=RealClock())


def measure_noting() -> None:
    """Print what noting costs, and making a trace."""
    nobody_us = noting_us(Timings)
    print(f"noting the {frame_events(Timings(), 0)} events of a frame, less the calls themselves ({nobody_us:.1f} us):")
    for name, make in (("trace", make_tracer), ("blame", lambda: Blames(STAGES))):
        cost_us = noting_us(make) - nobody_us
        print(f"  {name}: {cost_us:5.1f} us a frame, {cost_us * FPS / 1e4:.3f} % of a core at {FPS} fps")
    full = make_tracer()
    for frame_id in range(31 * FPS):
        frame_events(full, frame_id)
    start_s = time.thread_time()
    size = len(full.trace())
    print(f"making a trace of 30 s: {time.thread_time() - start_s:.2f} s, {size / 1e6:.1f} MB")


def measure_runs(runs: int, fps: float, *, model: bool) -> None:
    """Print the ratio of processor time with a trace to that without."""
    ratios, plain = [], []
    for number in range(runs):
        costs = costs_in_turn(fps, model=model, first=bool(number % 2))
        for (is_on, cost), (_, other) in itertools.pairwise(costs):
            ratios.append(cost / other if is_on else other / cost)
            plain.append(other if is_on else cost)
    low, middle, high = statistics.quantiles(ratios, n=4)
    error = 1.25 * (high - low) / 1.35 / math.sqrt(len(ratios) / 2)  # of a median; each part is in two ratios
    what = "embedded model" if model else "stand-in"
    print(f"{what}, {fps:g} fps: {statistics.median(plain):.2f} ms of processor an answer; traced {middle - 1:+.2%}")
    print(f"  standard error {error:.2%}; middle half of {len(ratios)} ratios: {low - 1:+.2%} to {high - 1:+.2%}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--fps", type=float, default=60.0)
    parser.add_argument("--model", action="store_true", help="run the embedded model instead of a stand-in")
    arguments = parser.parse_args()
    sys.setswitchinterval(0.0005)  # as `framepace run` does
    measure_noting()
    measure_runs(arguments.runs, arguments.fps, model=arguments.model)


if __name__ == "__main__":
    main()
