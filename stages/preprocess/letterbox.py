"""Scales a picture into the model's input, with as few passes over the pixels as possible."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import av
import cv2
import numpy as np
from av.video.plane import VideoPlane
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

    Scaling and colour conversion are one swscale pass from the decoder's own format, into planes for NCHW and packed
    for NHWC. One further pass over the small picture puts it in its place, and turns, scales and offsets it on the way.
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
        spec = context.downstream
        if spec.dtype == "uint8" and (set(spec.scale), set(spec.offset)) != ({1.0}, {0.0}):
            raise StageOpenError("preprocess", "cannot scale or offset the values of a uint8 input")
        self._spec = spec
        cv2.setNumThreads(1)  # else each call spreads over all cores and gets in the way of the other stages

    def process(self, payload: object, info: FrameInfo) -> ModelInput:
        assert isinstance(payload, Picture)
        assert self._spec is not None
        spec = self._spec
        where = place(payload.size, spec)
        if spec.layout == "NCHW":
            tensor = np.empty((1, 3, spec.height_px, spec.width_px), dtype=spec.dtype)
            planes = scaled_planes(payload, where.width, where.height, spec.colour)
            for channel, plane in enumerate(planes):
                _write(tensor[0, channel], plane, where, spec, slice(channel, channel + 1))
        else:
            tensor = np.empty((1, spec.height_px, spec.width_px, 3), dtype=spec.dtype)
            pixels = scaled_pixels(payload, where.width, where.height, spec.colour)
            _write(tensor[0], pixels, where, spec, slice(None))
        return ModelInput(tensor, where.image_from_model, payload.size)


def scaled_pixels(picture: Picture, width: int, height: int, colour: str) -> ByteArray:
    """Return the upright picture in the given size, uint8 (height, width, 3), `rgb` or `bgr`."""
    if picture.array is not None:
        pixels = _resized(picture.array, picture.rotation_deg, width, height)
    else:
        # swscale takes twice as long for rgb24 as for bgr24; exchanging the channels of the small picture costs little.
        small = _converted(picture, width, height, "bgr24")
        rows = _rows(small.planes[0])[:, : 3 * small.width]
        pixels = rows.reshape(small.height, small.width, 3)
    if colour == "rgb":
        pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), dtype=np.uint8)
    return picture.upright(pixels)


def scaled_planes(picture: Picture, width: int, height: int, colour: str) -> list[ByteArray]:
    """Return the channels of the upright picture, three uint8 (height, width) in the order of `colour`."""
    if picture.array is not None:
        blue, green, red = cv2.split(_resized(picture.array, picture.rotation_deg, width, height))
    else:
        small = _converted(picture, width, height, "gbrp")
        green, blue, red = (_rows(plane)[:, : small.width] for plane in small.planes)
    blue, green, red = (picture.upright(np.asarray(plane, np.uint8)) for plane in (blue, green, red))
    return [red, green, blue] if colour == "rgb" else [blue, green, red]


def _converted(picture: Picture, width: int, height: int, pixel_format: str) -> av.VideoFrame:
    """Return the decoder's picture, still unturned, so scaled that it has the given size when upright.

    Area averaging: between 320 and 1280 pixels it is as fast as bilinear and nearer to an exact reduction
    (benchmarks/preprocess.py).
    """
    assert picture.video is not None
    if picture.rotation_deg in (90, 270):
        width, height = height, width
    return _converter().reformat(
        picture.video, width, height, pixel_format, interpolation=Interpolation.AREA, threads=1
    )


def _rows(plane: VideoPlane) -> ByteArray:
    """Return a plane's bytes, uint8 (height, bytes in a row with padding); they live as long as the array."""
    return np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)


def _resized(array: ByteArray, rotation_deg: int, width: int, height: int) -> ByteArray:
    """Return an array picture, still unturned, so scaled that it has the given size when upright."""
    if rotation_deg in (90, 270):
        width, height = height, width
    # Bilinear reads four pixels: enough down to half the size.
    interpolation = cv2.INTER_AREA if 2 * width < array.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(array, (width, height), interpolation=interpolation), dtype=np.uint8)


_of_this_thread = threading.local()


def _converter() -> VideoReformatter:
    """Return this thread's converter: its tables are worth keeping, but must not be shared by threads."""
    converter: VideoReformatter | None = getattr(_of_this_thread, "converter", None)
    if converter is None:
        converter = _of_this_thread.converter = VideoReformatter()
    return converter


def _write(canvas: NDArray[np.generic], pixels: ByteArray, where: Placement, spec: InputSpec, channels: slice) -> None:
    """Fill `canvas`, (H, W) or (H, W, 3), with the picture in its place and the border around it.

    Args:
        canvas: part of the tensor, of whatever memory layout.
        pixels: uint8 (height, width) or (height, width, 3).
        where: the place.
        spec: gives scale, offset and border.
        channels: which of the spec's channels the canvas holds.
    """
    bottom, right = where.top + where.height, where.left + where.width
    inside = canvas[where.top : bottom, where.left : right]
    border: NDArray[np.generic] = np.full(1, spec.pad_value)
    if canvas.dtype == np.uint8:
        inside[...] = pixels
    else:
        scale = np.array(spec.scale[channels], dtype=np.float32)
        offset = np.array(spec.offset[channels], dtype=np.float32)
        np.multiply(pixels, scale, out=inside, casting="same_kind")
        if offset.any():
            np.add(inside, offset, out=inside, casting="same_kind")
        border = spec.pad_value * scale + offset
    canvas[: where.top] = border
    canvas[bottom:] = border
    canvas[where.top : bottom, : where.left] = border
    canvas[where.top : bottom, right:] = border
