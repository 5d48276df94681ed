"""What travels between the stages: packets, pictures, model inputs, detections, tracks.

All arrays are read-only by convention: whoever wants another value makes another array.
"""

from __future__ import annotations

from dataclasses import dataclass

import av
import cv2
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorTrc, Interpolation, VideoReformatter
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]
LongArray = NDArray[np.int64]
ByteArray = NDArray[np.uint8]

MAX_PIXELS = "max_pixels"
"""FFmpeg's name for the bound on the size of pictures: an option of its decoders."""


@dataclass(frozen=True, slots=True)
class Packet:
    """Compressed data as it came from the source."""

    data: av.Packet[av.VideoStream]
    codec: av.VideoCodecContext
    """The stream's own decoder, not opened yet; the decoder stage sets it up, and nobody else touches it."""
    generation: int
    """Counts the times that the source was opened; a new number means: start the decoder afresh."""
    preroll: tuple[av.Packet[av.VideoStream], ...] = ()
    """Packets to decode before `data` only because later ones refer to them; their pictures are thrown away."""


class Picture:
    """A decoded picture that is converted only when somebody asks.

    The decoder's own buffer is kept (YUV mostly); `bgr()` and the preprocess stage convert from it. Either
    `video` (av.VideoFrame) or `array` (uint8 (H, W, 3) BGR) is given.

    Args:
        video: the decoder's picture; its transfer and primaries tags are taken off.
        array: a picture made in memory (synthetic source).
        rotation_deg: clockwise turn that makes it upright.
        mirrored: whether left and right are exchanged before that turn.
        truth: for synthetic pictures, the boxes that were drawn.
    """

    __slots__ = ("array", "mirrored", "rotation_deg", "truth", "video")

    def __init__(
        self,
        *,
        video: av.VideoFrame | None = None,
        array: ByteArray | None = None,
        rotation_deg: int = 0,
        mirrored: bool = False,
        truth: Detections | None = None,
    ) -> None:
        if (video is None) == (array is None):
            raise ValueError("a picture has either a video frame or an array")
        if video is not None:
            # A conversion takes these tags off for as long as it lasts and then puts them back, which another one at
            # the same time may trip over: swscale refuses some. No conversion here needs them.
            video.color_trc = ColorTrc.UNSPECIFIED
            video.color_primaries = ColorPrimaries.UNSPECIFIED
        self.video = video
        self.array = array
        self.rotation_deg = rotation_deg
        self.mirrored = mirrored
        self.truth = truth

    @property
    def stored_size(self) -> tuple[int, int]:
        """Width and height before rotation, pixels."""
        if self.video is not None:
            return self.video.width, self.video.height
        assert self.array is not None
        return self.array.shape[1], self.array.shape[0]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as a viewer sees it, pixels; the space of every published box."""
        width, height = self.stored_size
        return (height, width) if self.rotation_deg in (90, 270) else (width, height)

    @property
    def nbytes(self) -> int:
        """The memory that it holds, bytes; queues are bounded by it."""
        if self.video is not None:
            return sum(plane.buffer_size for plane in self.video.planes)
        assert self.array is not None
        return self.array.nbytes

    def bgr(self) -> ByteArray:
        """Return the upright picture, uint8 (H, W, 3) BGR, contiguous; a fresh conversion each time."""
        pixels = self.array if self.array is not None else self._converted()
        return np.ascontiguousarray(self.upright(pixels))

    def upright(self, pixels: ByteArray) -> ByteArray:
        """Return stored pixels, (H, W) or (H, W, channels), as a viewer sees them; a view where it can be."""
        if self.mirrored:
            pixels = pixels[:, ::-1]
        return np.rot90(pixels, k=-self.rotation_deg // 90) if self.rotation_deg else pixels

    def bgr_at_most(self, width: int) -> ByteArray:
        """Return the upright picture and at most so wide, uint8 (H, W, 3) BGR, contiguous; made anew each time."""
        scale = min(1.0, width / self.size[0])
        stored_width, stored_height = (max(1, round(length * scale)) for length in self.stored_size)
        if scale == 1.0:
            return self.bgr()
        if self.array is not None:
            small = cv2.resize(self.array, (stored_width, stored_height), interpolation=cv2.INTER_AREA)
        else:
            assert self.video is not None
            frame = VideoReformatter().reformat(
                self.video, stored_width, stored_height, "bgr24", interpolation=Interpolation.BILINEAR, threads=1
            )
            small = frame.to_ndarray()
        return np.ascontiguousarray(self.upright(np.asarray(small, np.uint8)))

    def grey(self, width: int, height: int) -> ByteArray:
        """Return the upright picture in grey and in another size, uint8 (height, width); made anew each time."""
        if self.rotation_deg in (90, 270):
            width, height = height, width
        if self.array is not None:
            small = cv2.resize(
                cv2.cvtColor(self.array, cv2.COLOR_BGR2GRAY), (width, height), interpolation=cv2.INTER_AREA
            )
        else:
            assert self.video is not None
            frame = VideoReformatter().reformat(
                self.video, width, height, "gray", interpolation=Interpolation.AREA, threads=1
            )
            small = frame.to_ndarray()
        return np.ascontiguousarray(self.upright(np.asarray(small, np.uint8)))

    def _converted(self) -> ByteArray:
        assert self.video is not None
        # A converter of its own, since the frame's is shared, and sinks convert one picture at the same time.
        frame = VideoReformatter().reformat(self.video, format="bgr24", threads=1)
        return frame.to_ndarray()  # type: ignore[return-value]  # PyAV types it as Any dtype


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What the detector wants its input to look like; the preprocess stage reads it."""

    width_px: int
    height_px: int
    layout: str
    """`NCHW` or `NHWC`."""
    dtype: str
    """`uint8`, `float32` or `float16`."""
    colour: str
    """`rgb` or `bgr`."""
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Multiplied on each channel (in `colour` order) of 0..255 values, before `offset` is added."""
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    pad_value: int = 114
    """Grey of the border, 0..255."""
    placement: str = "centre"
    """Where the letterboxed picture sits: `centre`, `top_left`, or `stretch` (no letterbox)."""


@dataclass(frozen=True, slots=True)
class ModelInput:
    """One preprocessed picture."""

    tensor: NDArray[np.generic]
    """(1, 3, H, W) or (1, H, W, 3), as the InputSpec says; contiguous."""
    image_from_model: tuple[float, float, float, float]
    """(scale_x, scale_y, shift_x, shift_y): x_image = x_model * scale_x + shift_x, likewise y."""
    image_size: tuple[int, int]
    """Width and height of the upright source picture, pixels."""

    @property
    def nbytes(self) -> int:
        """The memory that it holds, bytes."""
        return self.tensor.nbytes


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """What a detector found in one frame, as a struct of arrays."""

    boxes: FloatArray
    """(N, 4) x1, y1, x2, y2 in source-picture pixels."""
    scores: FloatArray
    """(N,) 0..1."""
    class_ids: IntArray
    """(N,)"""
    class_names: tuple[str, ...]
    """Name of each class id; may be shorter than the ids that occur."""
    image_size: tuple[int, int]
    """Width and height of the source picture, pixels."""

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """Objects followed over time, at one instant."""

    boxes: FloatArray
    """(N, 4) x1, y1, x2, y2 in source-picture pixels."""
    scores: FloatArray
    """(N,) 0..1, of the last measurement."""
    class_ids: IntArray
    """(N,)"""
    track_ids: LongArray
    """(N,) unique per stream, never reused."""
    velocities: FloatArray
    """(N, 4) of the box corners, px/s."""
    measured_ns: LongArray
    """(N,) capture time of the frame on which each track was last measured."""
    position_std: FloatArray
    """(N,) one standard deviation of the box centre, pixels; grows with the age of the measurement."""
    class_names: tuple[str, ...]
    image_size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.track_ids)


def class_name(names: tuple[str, ...], class_id: int) -> str:
    """Return the name of a class id, or `class N` where the model does not name it."""
    return names[class_id] if 0 <= class_id < len(names) else f"class {class_id}"
