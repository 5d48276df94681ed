"""The letterbox: where pixels land, what they become, and the way back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.clock import RealClock
from pipeline.errors import StageOpenError
from pipeline.stage import Options
from pipeline.testing import check_stage, frame_info, open_context
from stages.boxes import image_boxes_from_model
from stages.payloads import InputSpec, ModelInput, Picture
from stages.preprocess.letterbox import Letterbox, place

FrameMaker = Callable[[int, int], av.VideoFrame]

BYTES = InputSpec(416, 416, "NHWC", "uint8", "rgb")
FLOATS = InputSpec(416, 416, "NCHW", "float32", "rgb", scale=(1 / 255,) * 3)


def letterboxed(picture: Picture, spec: InputSpec) -> ModelInput:
    stage = Letterbox(Options())
    stage.open(open_context(RealClock(), downstream=spec))
    made = stage.process(picture, frame_info())
    stage.close()
    return made


def independent(frame: av.VideoFrame, spec: InputSpec) -> np.ndarray:
    """Letterbox with OpenCV alone: its own YUV conversion, area averaging, border; float RGB or BGR (H, W, 3)."""
    yuv = frame.to_ndarray(format="yuv420p")
    code = cv2.COLOR_YUV2RGB_I420 if spec.colour == "rgb" else cv2.COLOR_YUV2BGR_I420
    pixels = cv2.cvtColor(yuv, code).astype(np.float32)
    ratio = min(spec.width_px / frame.width, spec.height_px / frame.height)
    size = round(frame.width * ratio), round(frame.height * ratio)
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    beside, above = spec.width_px - size[0], spec.height_px - size[1]
    if spec.placement == "top_left":
        edges = (0, above, 0, beside)
    else:
        edges = (above // 2, above - above // 2, beside // 2, beside - beside // 2)
    grey = (float(spec.pad_value),) * 3
    return cv2.copyMakeBorder(small, *edges, cv2.BORDER_CONSTANT, value=grey)


@pytest.mark.parametrize("size", [(768, 576), (1280, 720), (240, 426), (416, 416)])
@pytest.mark.parametrize("placement", ["centre", "top_left"])
@pytest.mark.parametrize("colour", ["rgb", "bgr"])
@pytest.mark.parametrize(
    ("layout", "dtype"), [("NHWC", "uint8"), ("NCHW", "uint8"), ("NCHW", "float32"), ("NHWC", "float32")]
)
def test_pixels_are_those_of_an_independent_letterbox(
    tv_frame: FrameMaker, size: tuple[int, int], placement: str, colour: str, layout: str, dtype: str
) -> None:
    """In every layout, the values agree with OpenCV's within conversion rounding, the border exactly."""
    frame = tv_frame(*size)
    spec = InputSpec(416, 416, layout, dtype, colour, placement=placement)
    made = letterboxed(Picture(video=frame), spec)
    assert made.tensor.shape == ((1, 3, 416, 416) if layout == "NCHW" else (1, 416, 416, 3))
    assert made.tensor.dtype == dtype
    assert made.tensor.flags.c_contiguous
    assert made.image_size == size
    pixels = made.tensor[0].transpose(1, 2, 0) if layout == "NCHW" else made.tensor[0]
    wanted = independent(frame, spec)
    difference = np.abs(pixels.astype(np.float32) - wanted)
    assert difference.mean() < 1.5
    assert np.percentile(difference, 99.9) < 6
    border = np.all(wanted == 114, axis=2)
    assert np.all(pixels[border] == 114)


def test_floats_are_scaled_and_offset_per_channel(tv_frame: FrameMaker) -> None:
    """Each channel is value * scale + offset, the border too."""
    scale, offset = (0.01, 0.02, 0.03), (-1.0, 0.5, 2.0)
    picture = Picture(video=tv_frame(768, 576))
    plain = letterboxed(picture, replace(FLOATS, scale=(1.0, 1.0, 1.0))).tensor
    for layout in ("NCHW", "NHWC"):
        spec = replace(FLOATS, layout=layout, scale=scale, offset=offset, pad_value=100)
        made = letterboxed(picture, spec).tensor
        made = made if layout == "NCHW" else made.transpose(0, 3, 1, 2)
        for channel in range(3):
            wanted = plain[0, channel, 60:340] * scale[channel] + offset[channel]
            np.testing.assert_allclose(made[0, channel, 60:340], wanted, atol=0.15 if layout == "NHWC" else 1e-5)
            np.testing.assert_allclose(made[0, channel, :40], 100 * scale[channel] + offset[channel], rtol=1e-6)


def test_half_precision(tv_frame: FrameMaker) -> None:
    """float16 inputs hold the float32 values, rounded."""
    picture = Picture(video=tv_frame(768, 576))
    half = letterboxed(picture, replace(FLOATS, dtype="float16")).tensor
    assert half.dtype == np.float16
    np.testing.assert_allclose(half.astype(np.float32), letterboxed(picture, FLOATS).tensor, atol=1e-3)


@pytest.mark.parametrize(("colour_range", "matrix"), [(1, 1), (1, 5), (2, 1), (2, 5)])
def test_colours_follow_the_tags_of_the_stream(colour_range: int, matrix: int) -> None:
    """BT.601 and BT.709, limited and full range give the colours of their formulas (ITU-T H.273, 8.3)."""
    luma, blue_difference, red_difference = 120, 90, 170
    frame = av.VideoFrame(64, 64, "yuv420p")
    for plane, value in zip(frame.planes, (luma, blue_difference, red_difference), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    frame.color_range, frame.colorspace = colour_range, matrix
    y, cb, cr = (
        ((luma - 16) / 219, (blue_difference - 128) / 224, (red_difference - 128) / 224)
        if colour_range == 1
        else (luma / 255, (blue_difference - 128) / 255, (red_difference - 128) / 255)
    )
    k_red, k_blue = (0.2126, 0.0722) if matrix == 1 else (0.299, 0.114)
    red = y + 2 * (1 - k_red) * cr
    blue = y + 2 * (1 - k_blue) * cb
    green = (y - k_red * red - k_blue * blue) / (1 - k_red - k_blue)
    for spec in (BYTES, replace(BYTES, layout="NCHW")):
        made = letterboxed(Picture(video=frame), replace(spec, width_px=32, height_px=32)).tensor
        pixel = made[0, 16, 16] if spec.layout == "NHWC" else made[0, :, 16, 16]
        np.testing.assert_allclose(pixel, [255 * red, 255 * green, 255 * blue], atol=3)


@pytest.mark.parametrize("rotation_deg", [0, 90, 180, 270])
@pytest.mark.parametrize("spec", [BYTES, replace(BYTES, layout="NCHW"), FLOATS], ids=["NHWC", "NCHW", "floats"])
@pytest.mark.parametrize("in_memory", [False, True])
def test_rotated_pictures_are_upright(
    tv_frame: FrameMaker, spec: InputSpec, rotation_deg: int, *, in_memory: bool
) -> None:
    """Turning the small picture gives what turning the large one first would have given."""
    frame = tv_frame(640, 360)
    bgr = frame.to_ndarray(format="bgr24")
    stored = (
        Picture(array=bgr, rotation_deg=rotation_deg) if in_memory else Picture(video=frame, rotation_deg=rotation_deg)
    )
    upright = Picture(array=np.ascontiguousarray(np.rot90(bgr, k=-rotation_deg // 90)))
    made, wanted = letterboxed(stored, spec), letterboxed(upright, spec)
    assert made.image_size == wanted.image_size == upright.size
    assert made.image_from_model == wanted.image_from_model
    limit = 6.0 if spec.dtype == "uint8" else 6 / 255
    assert np.abs(made.tensor.astype(np.float32) - wanted.tensor.astype(np.float32)).max() <= limit


_SIDE = st.integers(1, 5000)


@given(
    size=st.tuples(_SIDE, _SIDE),
    model=st.tuples(st.integers(32, 1280), st.integers(32, 1280)),
    placement=st.sampled_from(["centre", "top_left", "stretch"]),
)
def test_boxes_come_back_exactly(size: tuple[int, int], model: tuple[int, int], placement: str) -> None:
    """The corners of the placed picture map to the corners of the source, whatever was rounded on the way."""
    spec = InputSpec(*model, "NCHW", "float32", "rgb", placement=placement)
    where = place(size, spec)
    assert 0 <= where.left <= where.left + where.width <= model[0]
    assert 0 <= where.top <= where.top + where.height <= model[1]
    corners = np.array([[where.left, where.top, where.left + where.width, where.top + where.height]], dtype=np.float64)
    image = image_boxes_from_model(corners, where.image_from_model)
    np.testing.assert_allclose(image, [[0, 0, *size]], atol=1e-6)
    if placement == "stretch":
        assert (where.width, where.height) == model
    else:
        assert where.width == model[0] or where.height == model[1]
        ratio = min(model[0] / size[0], model[1] / size[1])
        for placed, side in ((where.width, size[0]), (where.height, size[1])):
            assert placed == 1 or abs(placed - side * ratio) <= 0.5


def test_a_drawn_box_is_found_where_the_map_says() -> None:
    """A white box on black, in odd sizes: its edges in the tensor map back to where it was drawn."""
    array = np.zeros((375, 1001, 3), dtype=np.uint8)
    array[100:200, 300:700] = 255
    made = letterboxed(Picture(array=array), replace(BYTES, pad_value=0))
    rows, columns = np.nonzero(made.tensor[0, :, :, 0] > 127)
    model_box = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], dtype=np.float32)
    image_box = image_boxes_from_model(model_box, made.image_from_model)
    np.testing.assert_allclose(image_box, [[300, 100, 700, 200]], atol=1001 / 416)


def test_odd_and_ten_bit_pictures(tv_frame: FrameMaker) -> None:
    """Odd sizes and ten-bit pictures are scaled like others."""
    frame = tv_frame(768, 576)
    plain = letterboxed(Picture(video=frame), BYTES).tensor.astype(int)
    deep = letterboxed(Picture(video=frame.reformat(format="yuv420p10le")), BYTES).tensor.astype(int)
    assert np.abs(plain - deep).mean() < 2
    odd = letterboxed(Picture(video=tv_frame(767, 575).reformat(format="yuv444p")), BYTES)
    assert odd.image_size == (767, 575)
    assert np.abs(plain - odd.tensor.astype(int)).mean() < 3


def test_threads_may_share_the_stage(tv_frame: FrameMaker) -> None:
    """Several threads on one stage, with pictures of several sizes, get what one thread gets."""
    stage = Letterbox(Options())
    stage.open(open_context(RealClock(), downstream=FLOATS))
    pictures = [Picture(video=tv_frame(320 + 32 * step, 240)) for step in range(4)]
    wanted = [stage.process(picture, frame_info()).tensor for picture in pictures]
    wrong: list[int] = []

    def work(offset: int) -> None:
        for turn in range(12):
            which = (turn + offset) % 4
            if not np.array_equal(stage.process(pictures[which], frame_info()).tensor, wanted[which]):
                wrong.append(which)

    threads = [threading.Thread(target=work, args=(offset,)) for offset in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not wrong


def test_the_stage_keeps_the_rules() -> None:
    """What every stage must do: open again, close twice, announced classes."""
    array = np.zeros((48, 64, 3), dtype=np.uint8)
    check_stage(lambda: Letterbox(Options()), [Picture(array=array)] * 3, downstream=BYTES)


def test_what_cannot_be_served_is_refused_at_open() -> None:
    """Without a detector behind it, or with bytes that should be scaled, opening fails with the reason."""
    for downstream, words in ((None, "right before a detector"), (replace(BYTES, scale=(0.5,) * 3), "uint8")):
        with pytest.raises(StageOpenError, match=words):
            Letterbox(Options()).open(open_context(RealClock(), downstream=downstream))
