"""Measure the engine alone: six trivial stages, no pictures.

Usage: python benchmarks/engine.py [--frames 20000] [--seconds 20]

Flat out: a lossless run over numbers, processor time per frame, everything included (capture, six stages, publisher,
one sink). Beside it a bare chain of as many threads over bounded deques, in the same run: what Python itself takes.
Paced: a live run at 30 fps, age of the answer from read to publish.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import threading
import time
from collections import deque

from pipeline.assembly import RunSettings
from pipeline.clock import NS_PER_MS, RealClock
from pipeline.frame import Mode
from pipeline.graph import Graph
from pipeline.report import Report
from pipeline.run import Run
from pipeline.testing import NumberSource, PassDetector, PassStage, RecordingSink, SnapshotStage

STAGES = 6
SWITCH_INTERVAL_S = 0.0005
"""As the command line sets it."""


class ForgetfulSink(RecordingSink):
    """Keeps nothing, so that memory does not count."""

    def write(self, answer: object, *, gap: int) -> None:
        pass


def run_engine(mode: Mode, frames: int) -> Report:
    """Run numbers through six stages that pass them on."""
    clock = RealClock()
    source = NumberSource(frames, clock=clock if mode is Mode.LIVE else None)
    passing = [(f"stage {number}", PassStage()) for number in range(STAGES - 2)]
    stages = [*passing, ("detect", PassDetector()), ("track", SnapshotStage())]
    plan = Graph.chain(source, None, stages, [("sink", ForgetfulSink())]).check(mode)
    run = Run(plan, RunSettings("bench", mode, cores=1, deadline_ns=100 * NS_PER_MS))
    run.start()
    return run.join()


class Queue:
    """The least that a bounded queue between two threads can be."""

    def __init__(self, capacity: int = 4) -> None:
        self._items: deque[int | None] = deque()
        self._capacity = capacity
        lock = threading.Lock()
        self._not_empty, self._not_full = threading.Condition(lock), threading.Condition(lock)

    def put(self, item: int | None) -> None:
        with self._not_full:
            while len(self._items) >= self._capacity:
                self._not_full.wait(1)
            self._items.append(item)
            self._not_empty.notify()

    def get(self) -> int | None:
        with self._not_empty:
            while not self._items:
                self._not_empty.wait(1)
            self._not_full.notify()
            return self._items.popleft()


def run_bare_chain(frames: int, threads: int) -> float:
    """Return the processor time of one item through a chain of threads, in microseconds."""
    queues = [Queue() for _ in range(threads)]

    def stage(source: Queue, target: Queue) -> None:
        while (item := source.get()) is not None:
            target.put(item)
        target.put(None)

    def feed() -> None:
        for number in range(frames):
            queues[0].put(number)
        queues[0].put(None)

    workers = [threading.Thread(target=feed)]
    workers += [threading.Thread(target=stage, args=pair) for pair in itertools.pairwise(queues)]
    before_s = time.process_time()
    for worker in workers:
        worker.start()
    while queues[-1].get() is not None:
        pass
    for worker in workers:
        worker.join()
    return (time.process_time() - before_s) / frames * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=20_000, help="frames of the flat-out runs")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the paced run")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    flat = run_engine(Mode.LOSSLESS, arguments.frames)
    # Capture, six stages, publisher and sink are nine threads.
    bare_us = run_bare_chain(arguments.frames, STAGES + 3)
    paced = run_engine(Mode.LIVE, round(arguments.seconds * 30))
    ages = paced.age_ms.fresh
    result = {
        "flat_out_us_per_frame": round(flat.cpu_s / arguments.frames * 1e6, 1),
        "bare_chain_us_per_frame": round(bare_us, 1),
        "paced_fresh": paced.frames.fresh,
        "paced_frames": paced.frames.captured,
        "paced_age_ms": None if ages is None else ages.model_dump(),
        "paced_us_per_frame": round(paced.cpu_s / paced.frames.captured * 1e6, 1),
    }
    if arguments.json:
        print(json.dumps(result))
        return
    print(f"flat out: {result['flat_out_us_per_frame']} us of processor per frame")
    print(f"          {result['bare_chain_us_per_frame']} us for a bare chain of {STAGES + 3} threads")
    print(f"paced:    {paced.frames.fresh} of {paced.frames.captured} fresh, age {result['paced_age_ms']} ms")
    print(f"          {result['paced_us_per_frame']} us of processor per frame")


if __name__ == "__main__":
    main()
