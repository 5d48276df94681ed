"""A stand-in for a model: knows the answer, and takes as long as it is told."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace

import numpy as np
from pydantic import Field

from pipeline.clock import Clock
from pipeline.frame import FrameInfo
from pipeline.stage import OpenContext, Options, Stage
from pipeline.units import Duration
from stages.boxes import clip
from stages.payloads import Detections, Picture

_WORK = bytes(64 * 1024)
"""Hashing this takes some 50 to 200 us on one core, without the interpreter lock: as a model computes."""


class SyntheticDetectOptions(Options):
    """Settings of the stand-in."""

    service_time: Duration = Field(default=0, description="How long each frame takes, such as 18ms.")
    burn: bool = Field(default=False, description="Compute on one core during that time; else only wait.")
    noise_px: float = Field(default=0.0, ge=0, description="Standard deviation of every box edge, pixels.")


class SyntheticDetector(Stage):
    """Returns the boxes that were drawn into a synthetic picture.

    Comes in: a Picture. Goes out: its truth; for a picture that has none (real video) no boxes at all, so that there it
    stands for a model's run time only. Kept between frames: nothing; the noise follows from the frame number. There are
    no bad frames.

    The service time is spent waiting on the run's clock, which leaves the processor to others, unless `burn` is set.
    """

    accepts = Picture
    produces = Detections
    options_type = SyntheticDetectOptions
    stateless = True
    detector = True

    def __init__(self, options: SyntheticDetectOptions) -> None:
        self._options = options
        self._clock: Clock | None = None

    def open(self, context: OpenContext) -> None:
        self._clock = context.clock

    def describe(self) -> dict[str, str | int | float | None]:
        return {"model": "synthetic", "provider": "none", "input": "picture"}

    def process(self, payload: object, info: FrameInfo) -> Detections:
        assert isinstance(payload, Picture)
        self._spend()
        if payload.truth is None:
            return _nothing(payload.size)
        return self._shaken(payload.truth, info.frame_id)

    def _shaken(self, truth: Detections, frame_id: int) -> Detections:
        """Return the truth with noise on its edges, still inside the picture and the right way round."""
        if not self._options.noise_px:
            return truth
        noise = np.random.default_rng(frame_id).normal(0, self._options.noise_px, truth.boxes.shape)
        edges = truth.boxes + noise.astype(np.float32)
        ordered = np.concatenate(
            [np.minimum(edges[:, :2], edges[:, 2:]), np.maximum(edges[:, :2], edges[:, 2:])], axis=1
        )
        return replace(truth, boxes=clip(ordered, *truth.image_size))

    def _spend(self) -> None:
        assert self._clock is not None
        end_ns = self._clock.now_ns() + self._options.service_time
        if self._options.burn:
            while self._clock.now_ns() < end_ns:
                hashlib.sha256(_WORK).digest()
            return
        condition = threading.Condition()  # nobody notifies it: only the clock ends the wait
        with condition:
            while (left_ns := end_ns - self._clock.now_ns()) > 0:
                self._clock.wait(condition, left_ns)


def _nothing(size: tuple[int, int]) -> Detections:
    return Detections(
        boxes=np.empty((0, 4), dtype=np.float32),
        scores=np.empty(0, dtype=np.float32),
        class_ids=np.empty(0, dtype=np.int32),
        class_names=(),
        image_size=size,
    )
