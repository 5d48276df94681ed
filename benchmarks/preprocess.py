"""Measure the preprocess stage against the usual OpenCV way, in one run, on one thread.

Usage: python benchmarks/preprocess.py

The usual way: to_ndarray(bgr24), resize, copyMakeBorder, and for floats blobFromImage. Medians of milliseconds a
picture, and how far the result is from the same picture reduced exactly (area average of the converted original).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np

from pipeline.clock import RealClock
from pipeline.testing import frame_info, open_context
from stages.payloads import ByteArray, InputSpec, Picture
from stages.preprocess.letterbox import Letterbox, place

CLIP = Path(__file__).resolve().parents[1] / "sample_videos" / "pedestrians.mp4"
MODEL_PX = 416
ROUNDS = 200


def usual(frame: av.VideoFrame, spec: InputSpec, interpolation: int) -> np.ndarray:
    """Letterbox with OpenCV, as most projects do it."""
    bgr = frame.to_ndarray(format="bgr24")
    where = place((frame.width, frame.height), spec)
    small = cv2.resize(bgr, (where.width, where.height), interpolation=interpolation)
    below = spec.height_px - where.top - where.height
    beside = spec.width_px - where.left - where.width
    grey = (spec.pad_value,) * 3
    padded = cv2.copyMakeBorder(small, where.top, below, where.left, beside, cv2.BORDER_CONSTANT, value=grey)
    if spec.dtype == "uint8":
        return np.ascontiguousarray(padded[None, :, :, ::-1])
    return cv2.dnn.blobFromImage(padded, spec.scale[0], swapRB=True)


def median_ms(work: Callable[[], object]) -> float:
    """Return the median time of a call, milliseconds."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def report(name: str, frame: av.VideoFrame, spec: InputSpec) -> None:
    """Print one line: ours, the usual way, their ratio, and the mean error of both in grey levels."""
    stage = Letterbox(Letterbox.options_type())
    stage.open(open_context(RealClock(), downstream=spec))
    picture, info = Picture(video=frame), frame_info()
    ours_ms = median_ms(lambda: stage.process(picture, info))
    usual_ms = median_ms(lambda: usual(frame, spec, cv2.INTER_LINEAR))
    exact = usual(frame, spec, cv2.INTER_AREA)
    levels = 1 if spec.dtype == "uint8" else 255

    def error(tensor: ByteArray) -> float:
        return float(np.abs(tensor.astype(float) - exact.astype(float)).mean()) * levels

    ours_error, usual_error = error(stage.process(picture, info).tensor), error(usual(frame, spec, cv2.INTER_LINEAR))
    print(
        f"{name:<24} ours {ours_ms:5.2f} ms   usual {usual_ms:5.2f} ms   ratio {ours_ms / usual_ms:4.2f}   "
        f"error {ours_error:4.2f} against {usual_error:4.2f}"
    )


def main() -> None:
    """Measure two sizes and two kinds of input."""
    cv2.setNumThreads(1)
    with av.open(str(CLIP)) as clip:
        small = next(clip.decode(video=0))
    large = small.reformat(1280, 720, "yuv420p", interpolation="BICUBIC")
    unit = (1 / 255,) * 3
    for size, frame in (("1280x720", large), ("768x576", small)):
        report(f"{size} uint8 NHWC", frame, InputSpec(MODEL_PX, MODEL_PX, "NHWC", "uint8", "rgb"))
        report(f"{size} float32 NCHW", frame, InputSpec(MODEL_PX, MODEL_PX, "NCHW", "float32", "rgb", scale=unit))


if __name__ == "__main__":
    main()
