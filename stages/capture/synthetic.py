"""Numbered pictures with moving boxes whose places are known: the whole pipeline without camera or model."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import parse_qsl

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.clock import NS_PER_S
from pipeline.frame import CaptureClock, Mode
from pipeline.stage import OpenContext, Options, Sample, Source
from pipeline.units import Duration
from stages.capture.pacing import Pacer
from stages.payloads import ByteArray, Detections, FloatArray, Picture

_NUMBER_BITS = 32
_NUMBER_ROWS = 8
_CLASS_NAMES = ("box",)


class SyntheticOptions(Options):
    """Settings of the synthetic source."""

    width: Annotated[int, Field(ge=64, le=7680)] = 640
    height: Annotated[int, Field(ge=64, le=4320)] = 480
    fps: Annotated[float, Field(gt=0, le=1000)] = 30.0
    frames: Annotated[int, Field(ge=1)] | None = Field(default=300, description="How many; endless if null.")
    objects: Annotated[int, Field(ge=0, le=200)] = Field(default=5, description="Moving boxes.")
    speed: Annotated[float, Field(ge=0, le=10000)] = Field(default=120.0, description="Of the boxes, px/s.")
    pace: Literal["none", "pts"] | Annotated[float, Field(gt=0, le=1000)] = Field(
        default="none", description="Live at its own rate (pts) or at this many fps."
    )
    duration: Duration | None = Field(default=None, description="Stop after this much of the stream.")
    max_frames: Annotated[int, Field(ge=1, le=10**12)] | None = Field(
        default=None, description="Stop after this many frames."
    )


class SyntheticSource(Source):
    """Draws pictures itself.

    Comes in: nothing. Goes out: a Picture with its `truth`. Kept: the picture's number. There are no bad frames. In
    live mode it is always paced.
    """

    produces = Picture
    options_type = SyntheticOptions
    default_stages = ("synthetic_detect", "track")

    def __init__(self, options: SyntheticOptions) -> None:
        self._options = options
        self._pacer: Pacer | None = None
        self._next = 0
        self._background: ByteArray | None = None
        self._fps = options.pace if isinstance(options.pace, float) else options.fps
        self._total = _total(options)

    @classmethod
    def options_from_spec(cls, spec: str) -> dict[str, object]:
        settings: dict[str, object] = {}
        for key, value in parse_qsl(spec.removeprefix("?"), keep_blank_values=True, strict_parsing=bool(spec)):
            if key == "size":
                width, x, height = value.partition("x")
                if not (x and width.isdigit() and height.isdigit()):
                    raise ValueError(f"size must be WIDTHxHEIGHT, such as 640x480, not {value!r}")
                settings |= {"width": int(width), "height": int(height)}
            else:
                settings[key] = None if (key, value) == ("frames", "none") else value
        return settings

    @property
    def live(self) -> bool:
        return self._options.pace != "none" or self._pacer is not None

    @property
    def total_frames(self) -> int | None:
        return self._total

    def open(self, context: OpenContext) -> None:
        paced = self._options.pace != "none" or context.mode is Mode.LIVE
        self._pacer = Pacer(context.clock) if paced else None
        self._next = 0
        height, width = self._options.height, self._options.width
        shade = np.linspace(40, 90, width, dtype=np.float32)[None, :] + np.linspace(0, 40, height)[:, None]
        self._background = np.repeat(shade.astype(np.uint8)[:, :, None], 3, axis=2)

    def close(self) -> None:
        if self._pacer is not None:
            self._pacer.close()
        self._background = None

    def read(self) -> Sample | None:
        if self._total is not None and self._next >= self._total:
            return None
        number = self._next
        self._next += 1
        pts_ns = round(number * NS_PER_S / self._fps)
        if self._pacer is None:
            return Sample(self._draw(number), pts_ns, None, None, CaptureClock.FILE)
        origin_ns = self._pacer.wait_until_due(pts_ns)
        if origin_ns is None:
            return None
        return Sample(self._draw(number), pts_ns, None, origin_ns + pts_ns, CaptureClock.FILE)

    def _draw(self, number: int) -> Picture:
        assert self._background is not None
        array = self._background.copy()
        boxes = true_boxes(self._options, number)
        for place, (left, top, right, bottom) in enumerate(np.rint(boxes).astype(int)):
            array[top:bottom, left:right] = (60 + 40 * (place % 5), 200 - 30 * (place % 6), 120 + 25 * (place % 5))
        write_frame_number(array, number)
        truth = Detections(
            boxes=boxes,
            scores=np.full(len(boxes), 0.9, dtype=np.float32),
            class_ids=np.zeros(len(boxes), dtype=np.int32),
            class_names=_CLASS_NAMES,
            image_size=(self._options.width, self._options.height),
        )
        return Picture(array=array, truth=truth)


def _total(options: SyntheticOptions) -> int | None:
    limits = [limit for limit in (options.frames, options.max_frames) if limit is not None]
    if options.duration is not None:
        limits.append(max(1, round(options.duration / NS_PER_S * options.fps)))
    return min(limits) if limits else None


def true_boxes(options: SyntheticOptions, number: int) -> FloatArray:
    """Return the (N, 4) boxes of a frame, pixels: each moves straight on and bounces off the borders."""
    place = np.arange(options.objects)
    width = options.width / 12 + (place % 3) * options.width / 48
    height = options.height / 6 + (place % 4) * options.height / 48
    angle = 2.399963 * (place + 0.5)  # the golden angle spreads the directions evenly
    travelled = options.speed * number / options.fps
    low_y = float(_NUMBER_ROWS)
    start_x = (place * 0.618034 % 1.0) * (options.width - width)
    start_y = (place * 0.381966 % 1.0) * (options.height - height - low_y)
    left = _bounced(start_x + travelled * np.cos(angle), options.width - width)
    top = low_y + _bounced(start_y + travelled * np.sin(angle), options.height - height - low_y)
    return np.stack([left, top, left + width, top + height], axis=1).astype(np.float32)


def _bounced(position: NDArray[np.float64], span: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fold positions into 0..span, as if reflected at both ends."""
    folded = np.mod(position, 2 * span)
    return np.asarray(np.minimum(folded, 2 * span - folded))


def write_frame_number(array: ByteArray, number: int) -> None:
    """Write a frame number into the top rows: 32 black or white blocks, the highest bit first."""
    bits = (number >> np.arange(_NUMBER_BITS - 1, -1, -1)) & 1
    edges = np.linspace(0, array.shape[1], _NUMBER_BITS + 1).astype(int)
    for bit, left, right in zip(bits, edges[:-1], edges[1:], strict=True):
        array[:_NUMBER_ROWS, left:right] = 255 * bit


def read_frame_number(array: ByteArray) -> int:
    """Return the frame number that is drawn in a picture; survives compression, and scaling to between 1/2 and 2."""
    edges = np.linspace(0, array.shape[1], _NUMBER_BITS + 1)
    centres = ((edges[:-1] + edges[1:]) / 2).astype(int)
    row = array[_NUMBER_ROWS // 4, centres].mean(axis=1) > 127
    return int(sum(1 << (_NUMBER_BITS - 1 - place) for place, bit in enumerate(row) if bit))
