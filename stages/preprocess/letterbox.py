"""Scales a picture into the model's input, with as few passes over the pixels as possible."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import cv2
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from pipeline.errors import StageOpenError
from pipeline.frame import FrameInfo
from pipeline.stage import OpenContext, Options, Stage
from stages.payloads import ByteArray, InputSpec, ModelInput, Picture


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the scaled picture sits in the model's input, all in model pixels."""

    left: int
    top: int
    width: int
    height: int
    image_from_model: tuple[float, float, float, float]


def place(size: tuple[int, int], spec: InputSpec) -> Placement:
    """Return where a picture of this size (width, height) goes.

    The scale of each axis is taken from the rounded size, so that boxes come back exactly.
    """
    width, height = size
    if spec.placement == "stretch":
        new_width, new_height = spec.width_px, spec.height_px
    else:
        scale = min(spec.width_px / width, spec.height_px / height)
        new_width = max(1, min(spec.width_px, round(width * scale)))
        new_height = max(1, min(spec.height_px, round(height * scale)))
    centred = spec.placement == "centre"
    left = (spec.width_px - new_width) // 2 if centred else 0
    top = (spec.height_px - new_height) // 2 if centred else 0
    scale_x, scale_y = width / new_width, height / new_height
    return Placement(left, top, new_width, new_height, (scale_x, scale_y, -left * scale_x, -top * scale_y))


class Letterbox(Stage):
    """Fits a picture into the input that the detector asks for.

    Comes in: a Picture. Goes out: a ModelInput. Kept: nothing between frames. A bad frame raises.

    Scaling and colour conversion are one swscale pass from the decoder's own format; a model that takes uint8 gets the
    bytes as they are, one that takes floats gets one further pass over the small picture.
    """

    accepts = Picture
    produces = ModelInput
    stateless = True

    def __init__(self, options: Options) -> None:
        self._options = options
        self._spec: InputSpec | None = None

    def open(self, context: OpenContext) -> None:
        if not isinstance(context.downstream, InputSpec):
            raise StageOpenError("preprocess", "must come right before a detector that says what input it takes")
        self._spec = context.downstream
        cv2.setNumThreads(1)  # else each call spreads over all cores and gets in the way of the other stages

    def process(self, payload: object, info: FrameInfo) -> ModelInput:
        assert isinstance(payload, Picture)
        assert self._spec is not None
        spec = self._spec
        where = place(payload.size, spec)
        pixels = scaled(payload, where.width, where.height, spec.colour)
        tensor = _padded_bytes(pixels, where, spec) if spec.dtype == "uint8" else _padded_floats(pixels, where, spec)
        return ModelInput(tensor, where.image_from_model, payload.size)


def scaled(picture: Picture, width: int, height: int, colour: str) -> ByteArray:
    """Return the upright picture in the given size, uint8 (height, width, 3), `rgb` or `bgr`."""
    turned = picture.rotation_deg in (90, 270)
    stored = (height, width) if turned else (width, height)
    if picture.video is not None:
        small = _converter().reformat(
            picture.video, stored[0], stored[1], f"{colour}24", interpolation=Interpolation.BILINEAR, threads=1
        )
        pixels: ByteArray = np.asarray(small.to_ndarray(), dtype=np.uint8)
    else:
        assert picture.array is not None
        shrinks = stored[0] < picture.array.shape[1]
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        pixels = np.asarray(cv2.resize(picture.array, stored, interpolation=interpolation), dtype=np.uint8)
        if colour == "rgb":
            pixels = pixels[:, :, ::-1]
    return np.rot90(pixels, k=-picture.rotation_deg // 90) if picture.rotation_deg else pixels


_of_this_thread = threading.local()


def _converter() -> VideoReformatter:
    """Return this thread's converter: its tables are worth keeping (0.5 against 3 ms a picture), but not shareable."""
    converter: VideoReformatter | None = getattr(_of_this_thread, "converter", None)
    if converter is None:
        converter = _of_this_thread.converter = VideoReformatter()
    return converter


def _padded_bytes(pixels: ByteArray, where: Placement, spec: InputSpec) -> ByteArray:
    shape = (1, spec.height_px, spec.width_px, 3) if spec.layout == "NHWC" else (1, 3, spec.height_px, spec.width_px)
    tensor = np.full(shape, spec.pad_value, dtype=np.uint8)
    rows, columns = slice(where.top, where.top + where.height), slice(where.left, where.left + where.width)
    if spec.layout == "NHWC":
        tensor[0, rows, columns] = pixels
    else:
        tensor[0, :, rows, columns] = pixels.transpose(2, 0, 1)
    return tensor


def _padded_floats(pixels: ByteArray, where: Placement, spec: InputSpec) -> NDArray[np.generic]:
    """Return value * scale + offset per channel, border included, in one pass over the small picture."""
    scale = np.array(spec.scale, dtype=np.float32)
    offset = np.array(spec.offset, dtype=np.float32)
    border = spec.pad_value * scale + offset
    planar = np.empty((3, spec.height_px, spec.width_px), dtype=np.float32)
    planar[...] = border[:, None, None]
    inside = planar[:, where.top : where.top + where.height, where.left : where.left + where.width]
    np.multiply(pixels.transpose(2, 0, 1), scale[:, None, None], out=inside)
    if offset.any():
        inside += offset[:, None, None]
    tensor = planar if spec.layout == "NCHW" else planar.transpose(1, 2, 0)
    return np.ascontiguousarray(tensor[None], dtype=spec.dtype)
