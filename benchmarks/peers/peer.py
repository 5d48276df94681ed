"""What every peer has in common: the same detector and tracker, the same output, the number in the pixels.

Imported by the peer_*.py in an environment of their own. A peer reads pictures in its own way and calls `Work`; it
writes a line of JSON for every picture that it answers: the number in the pixels, the monotonic clock in nanoseconds,
and the tracks as rows of id, x1, y1, x2, y2, score. The detector is framepace's own stage: only the loops differ.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from picture_number import read_number

from pipeline.clock import RealClock
from pipeline.frame import FrameInfo, Mode
from pipeline.testing import open_context
from stages.payloads import InputSpec, Picture
from stages.preprocess.letterbox import Letterbox

PERSON = 0
START_SCORE = 0.4
"""From which boxes start tracks of ByteTrack: of .25, .3, .4, .5 and .6 the one with the best HOTA on PETS09-S2L1 with
the embedded model, whether all pictures are tracked (41 %; 36 with .25, 40 with .6) or every third (42 %)."""
STAND_IN = InputSpec(416, 416, "NHWC", "uint8", "rgb")


def arguments(**more: object) -> argparse.Namespace:
    """Return what the peer was asked to do; `more` are options of its own with their defaults."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--detector", required=True, help="milliseconds of a stand-in, or `model`, or `model+64`")
    parser.add_argument("--tracker", action="store_true")
    parser.add_argument("--fps", type=float, default=30)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, required=True)
    for name, default in more.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    return parser.parse_args()


class Work:
    """Detects, tracks, and writes the answer down."""

    def __init__(self, asked: argparse.Namespace) -> None:
        what, _, delay = asked.detector.partition("+")
        self._is_model = what == "model"
        self._delay_s = float(delay or (0 if self._is_model else what)) / 1000
        clock, spec = RealClock(), STAND_IN
        if self._is_model:
            from stages.detect.onnx import DetectOptions, OnnxDetector  # a stand-in does not wait for the runtime

            self._detector = OnnxDetector(DetectOptions(threads=asked.threads))
            self._detector.open(open_context(clock, mode=Mode.LIVE))
            self._detector.warm()
            spec = self._detector.input_spec
        self._letterbox = Letterbox(Letterbox.options_type())
        self._letterbox.open(open_context(clock, downstream=spec))
        self._tracker = byte_track(asked.fps) if asked.tracker else None
        self._output = asked.output.open("w", buffering=1)
        self._end_s = time.monotonic() + asked.seconds

    @property
    def is_over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self._end_s

    def __call__(self, bgr: np.ndarray, read_s: float) -> tuple[int, list[list[float]]]:
        """Return the number in the picture and its tracks.

        Args:
            bgr: uint8 (H, W, 3).
            read_s: when the peer got it, on the monotonic clock.
        """
        number = read_number(bgr)
        tensor = self._letterbox.process(Picture(array=bgr), FrameInfo("peer", number, read_s, 0, None))
        found = None
        if self._is_model:
            found = self._detector.process(tensor, FrameInfo("peer", number, read_s, 0, None))
        time.sleep(self._delay_s)
        if found is None:
            return number, []
        people = found.class_ids == PERSON
        return number, self._track(found.boxes[people], found.scores[people], read_s)

    def answer(self, number: int, tracks: list[list[float]]) -> None:
        """Write an answer down, as of now."""
        line = {"number": number, "given_ns": time.monotonic_ns(), "tracks": tracks}
        self._output.write(json.dumps(line) + "\n")

    def tell(self, dropped: int) -> None:
        """Write down how many frames the peer itself says that it dropped."""
        self._output.write(f"told {dropped}\n")

    def _track(self, boxes: np.ndarray, scores: np.ndarray, read_s: float) -> list[list[float]]:
        ids = np.arange(len(scores))
        if self._tracker is not None:
            import supervision

            detections = supervision.Detections(xyxy=boxes, confidence=scores, class_id=np.zeros(len(scores), int))
            tracked = self._tracker.update(detections, timestamp=read_s)
            ids = tracked.tracker_id if tracked.tracker_id is not None else np.zeros(0, int)
            known = ids >= 0
            ids, boxes, scores = ids[known], tracked.xyxy[known], tracked.confidence[known]
        return [
            [int(one), *(round(float(side), 1) for side in box), round(float(score), 3)]
            for one, box, score in zip(ids, boxes, scores, strict=True)
        ]


def byte_track(fps: float) -> Any:
    """Return ByteTrack of the package `trackers`, with the thresholds that are best for it here.

    Both are set: with its own `high_conf_det_threshold` of 0.6 a box below that starts no track, whatever the other one
    says. framepace, whose own way of starting tracks is another, does it from 0.3.
    """
    import trackers

    return trackers.ByteTrackTracker(
        frame_rate=fps, track_activation_threshold=START_SCORE, high_conf_det_threshold=START_SCORE
    )


class Newest:
    """The newest picture; what nobody took in time is gone, as the usual thread for it has it."""

    def __init__(self) -> None:
        self._there = threading.Condition()
        self._kept: tuple[object, float] | None = None

    def put(self, picture: object) -> None:
        """Replace the picture."""
        with self._there:
            self._kept = (picture, time.monotonic())
            self._there.notify()

    def take(self) -> tuple[object, float] | None:
        """Return the next picture and when it came; None when there is none for a second."""
        with self._there:
            if not self._there.wait_for(lambda: self._kept is not None, timeout=1.0):
                return None
            kept, self._kept = self._kept, None
            return kept


def work_on_newest(work: Work, newest: Newest, to_bgr: object = None) -> None:
    """Answer the newest picture, again and again, until the time is up."""
    while not work.is_over:
        kept = newest.take()
        if kept is not None:
            picture, read_s = kept
            work.answer(*work(to_bgr(picture) if to_bgr else picture, read_s))
