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
import threading
import time
from collections import deque

from stages.bench.engine import STAGES, engine_figures


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
    # First, since it sets the interpreter's switch interval as the command line does, for the bare chain too.
    engine = engine_figures(flat_out_frames=arguments.frames, paced_seconds=arguments.seconds)
    # Capture, six stages, publisher and sink are nine threads.
    bare_us = round(run_bare_chain(arguments.frames, STAGES + 3), 1)
    if arguments.json:
        print(json.dumps({**engine.model_dump(), "bare_chain_us": bare_us}))
        return
    print(f"flat out: {engine.flat_out_us} us of processor per frame")
    print(f"          {bare_us} us for a bare chain of {STAGES + 3} threads")
    print(f"paced:    age of {engine.frames} answers {engine.age_ms} ms")
    print(f"          {engine.paced_us} us of processor per frame")


if __name__ == "__main__":
    main()
