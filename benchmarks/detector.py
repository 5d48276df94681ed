"""Measure detectors on the shipped clip: how well they find people, and how long one run takes.

Usage: python benchmarks/detector.py [--truth GT.TXT] [--model NAME|PATH ...] [--sizes 320,416,608] [--step 5]

    --truth   MOTChallenge ground truth of the clip (PETS09-S2L1, gt/gt.txt; not part of this project), frames counted
              from 1, boxes as left, top, width, height; rows whose 7th column is 0 do not count. Without it only times.
    --model   measured besides the embedded model, at its own input size. May be given several times.
    --step    every how many frames of the clip are looked at.

Average precision of the class person, in the way of COCO: detections of all frames in the order of their scores, each
taking the free truth box of its frame that it overlaps most, at least by the threshold (0.5 for AP50, 0.75 for AP75);
the mean, over 101 recalls, of the best precision at that recall or above. Detections count down to a score of 0.01.
Times are of the detect stage alone (model, reading, NMS), on the CPU: median and 95th percentile.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.clock import NS_PER_MS, RealClock
from pipeline.stage import Options
from pipeline.testing import frame_info, open_context
from stages.boxes import iou_matrix
from stages.detect.onnx import DetectOptions, OnnxDetector
from stages.payloads import Detections, Picture
from stages.preprocess.letterbox import Letterbox

CLIP = Path(__file__).resolve().parents[1] / "sample_videos" / "pedestrians.mp4"
EMBEDDED = "yolov3-tiny"
LOWEST_SCORE = 0.01
RECALLS = np.linspace(0, 1, 101)
THREADS = (1, 2)

Truth = dict[int, NDArray[np.float64]]


@dataclass(frozen=True)
class Measured:
    """One pass over the clip."""

    input_text: str
    found: dict[int, Detections]
    run_ms: list[float]


def read_truth(path: Path) -> Truth:
    """Return the boxes (N, 4) x1, y1, x2, y2 of each frame, counted from 0."""
    rows = np.loadtxt(path, delimiter=",", ndmin=2)
    rows = rows[rows[:, 6] != 0]
    rows[:, 2:4] -= 1  # pixels count from 1 there
    boxes = np.concatenate([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]], axis=1)
    return {int(frame) - 1: boxes[rows[:, 0] == frame] for frame in np.unique(rows[:, 0])}


def average_precision(found: dict[int, Detections], truth: Truth, threshold: float) -> float:
    """Return the average precision over the frames that were looked at."""
    scores, hits = [], []
    for frame, detections in found.items():
        boxes = truth.get(frame, np.empty((0, 4)))
        overlap = iou_matrix(detections.boxes.astype(np.float64), boxes)
        free = np.ones(len(boxes), dtype=bool)
        for score, row in zip(detections.scores, overlap, strict=True):  # best first, as the stage gives them
            candidates = np.where(free & (row >= threshold), row, -1.0)
            hit = bool(len(candidates)) and candidates.max() >= 0
            if hit:
                free[candidates.argmax()] = False
            scores.append(score)
            hits.append(hit)
    total = sum(len(truth.get(frame, ())) for frame in found)
    order = np.argsort(-np.array(scores), kind="stable")
    right = np.cumsum(np.array(hits)[order])
    recall, precision = right / total, right / np.arange(1, len(right) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(recall, RECALLS)
    return float(np.mean([best_from_here[place] if place < len(recall) else 0.0 for place in places]))


def pictures(step: int) -> Iterator[tuple[int, Picture]]:
    """Give every `step`th frame of the clip with its number."""
    with av.open(str(CLIP)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number % step == 0:
                yield number, Picture(video=frame)


def measure(model: str, *, input_size: int | None, threads: int, step: int) -> Measured:
    """Run letterbox and detector over the clip."""
    clock = RealClock()
    detector = OnnxDetector(
        DetectOptions(
            model=model,
            provider="cpu",
            input_size=input_size,
            threads=threads,
            classes=("person",),
            min_score=LOWEST_SCORE,
        )
    )
    letterbox = Letterbox(Options())
    context = open_context(clock)
    detector.open(context)
    letterbox.open(replace(context, downstream=detector.input_spec))
    detector.warm()
    found: dict[int, Detections] = {}
    run_ms = []
    for number, picture in pictures(step):
        model_input = letterbox.process(picture, frame_info(number))
        started_ns = clock.now_ns()
        found[number] = detector.process(model_input, frame_info(number))
        run_ms.append((clock.now_ns() - started_ns) / NS_PER_MS)
    letterbox.close()
    detector.close()
    return Measured(str(detector.describe()["input"]), found, run_ms)


def row(model: str, passes: Sequence[Measured], truth: Truth | None) -> str:
    """Return one line of the table; accuracy is of the first pass."""
    accuracy: tuple[str, ...] = ("-", "-")
    if truth is not None:
        accuracy = tuple(f"{average_precision(passes[0].found, truth, threshold):.3f}" for threshold in (0.5, 0.75))
    times = [f"{statistics.median(one.run_ms):6.1f} / {np.percentile(one.run_ms, 95):6.1f}" for one in passes]
    return f"{Path(model).stem:16} {passes[0].input_text:22} {accuracy[0]:>6} {accuracy[1]:>6}  {'  '.join(times)}"


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--sizes", default="320,416,608", help="input sizes of the embedded model")
    parser.add_argument("--step", type=int, default=5)
    arguments = parser.parse_args()
    truth = None if arguments.truth is None else read_truth(arguments.truth)
    jobs: list[tuple[str, int | None]] = [(EMBEDDED, int(size)) for size in arguments.sizes.split(",") if size]
    jobs += [(model, None) for model in arguments.model]
    heads = "  ".join(f"{threads} thread{'s' * (threads > 1)}, ms p50 / p95" for threads in THREADS)
    print(f"{'model':16} {'input':22} {'AP50':>6} {'AP75':>6}  {heads}")
    for model, input_size in jobs:
        passes = [measure(model, input_size=input_size, threads=count, step=arguments.step) for count in THREADS]
        print(row(model, passes, truth), flush=True)


if __name__ == "__main__":
    main()
