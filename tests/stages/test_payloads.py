"""Pictures that are converted when asked, and names of classes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import av
import numpy as np
import pytest

from stages.payloads import Picture, class_name

_WIDTH, _HEIGHT = 322, 242


def video_frame(pixel_format: str) -> av.VideoFrame:
    """A picture whose four quarters are blue, green, red and grey."""
    pixels = np.zeros((_HEIGHT, _WIDTH, 3), dtype=np.uint8)
    pixels[: _HEIGHT // 2, : _WIDTH // 2] = (220, 20, 20)
    pixels[: _HEIGHT // 2, _WIDTH // 2 :] = (20, 220, 20)
    pixels[_HEIGHT // 2 :, : _WIDTH // 2] = (20, 20, 220)
    pixels[_HEIGHT // 2 :, _WIDTH // 2 :] = (120, 120, 120)
    return av.VideoFrame.from_ndarray(pixels, format="bgr24").reformat(format=pixel_format)


def quarters(pixels: np.ndarray) -> list[list[int]]:
    """The colours in the middles of the quarters, row by row."""
    height, width = pixels.shape[:2]
    places = [(height // 4, width // 4), (height // 4, 3 * width // 4), (3 * height // 4, width // 4)]
    return [pixels[place].tolist() for place in [*places, (3 * height // 4, 3 * width // 4)]]


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuvj420p", "nv12", "yuv420p10le", "gray", "bgr24"])
def test_pixels_of_any_format(pixel_format: str) -> None:
    """Whatever the decoder gives comes out as BGR, uint8, contiguous."""
    pixels = Picture(video=video_frame(pixel_format)).bgr()
    assert pixels.shape == (_HEIGHT, _WIDTH, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    if pixel_format != "gray":
        expected = [[220, 20, 20], [20, 220, 20], [20, 20, 220], [120, 120, 120]]
        assert quarters(pixels) == pytest.approx(np.array(expected), abs=12)


@pytest.mark.parametrize("made_in_memory", [True, False])
@pytest.mark.parametrize("rotation_deg", [0, 90, 180, 270])
def test_a_turned_picture_stands_upright(*, made_in_memory: bool, rotation_deg: int) -> None:
    """A picture to be turned clockwise by an angle comes out as if turned in steps of 90 degrees by hand."""
    video = video_frame("bgr24")
    array = video.to_ndarray()
    picture = (
        Picture(array=array, rotation_deg=rotation_deg)
        if made_in_memory
        else Picture(video=video, rotation_deg=rotation_deg)
    )
    expected = array
    for _ in range(rotation_deg // 90):
        expected = expected[::-1].transpose(1, 0, 2)  # one turn clockwise: the bottom row becomes the left column
    pixels = picture.bgr()
    assert np.array_equal(pixels, expected)
    assert pixels.flags.c_contiguous
    assert picture.size == (pixels.shape[1], pixels.shape[0])
    assert picture.stored_size == (_WIDTH, _HEIGHT)


@pytest.mark.parametrize("made_in_memory", [False, True])
@pytest.mark.parametrize(("rotation_deg", "shape"), [(0, (120, 160)), (90, (213, 160)), (270, (213, 160))])
def test_a_small_picture(*, made_in_memory: bool, rotation_deg: int, shape: tuple[int, int]) -> None:
    """At most so wide as a viewer sees it, upright and whole; a picture that is small enough stays as it is."""
    video = video_frame("yuv420p")
    whole = (
        Picture(array=video.to_ndarray(format="bgr24"), rotation_deg=rotation_deg)
        if made_in_memory
        else Picture(video=video, rotation_deg=rotation_deg)
    )
    small = whole.bgr_at_most(160)
    assert (small.shape, small.dtype) == ((*shape, 3), np.uint8)
    assert small.flags.c_contiguous
    assert np.abs(np.array(quarters(small)) - quarters(whole.bgr())).max() < 8
    assert np.array_equal(whole.bgr_at_most(5000), whole.bgr())


@pytest.mark.parametrize("both", [True, False])
def test_a_picture_comes_from_one_place(*, both: bool) -> None:
    """A picture has a video frame or an array, not both and not neither."""
    frame = video_frame("bgr24")
    with pytest.raises(ValueError, match="either"):
        Picture(video=frame, array=frame.to_ndarray()) if both else Picture()


def test_two_threads_may_convert_one_picture(tv_frame: Callable[[int, int], av.VideoFrame]) -> None:
    """Two sinks that convert the same picture at the same time get the same pixels."""
    for _ in range(20):
        picture = Picture(video=tv_frame(640, 360))
        start = threading.Barrier(2, timeout=10)

        def convert(picture: Picture = picture, start: threading.Barrier = start) -> np.ndarray:
            start.wait()
            return picture.bgr()

        with ThreadPoolExecutor(2) as threads:
            one, other = (future.result(10) for future in [threads.submit(convert) for _ in range(2)])
        assert np.array_equal(one, other)
        assert np.array_equal(one, picture.bgr())


@pytest.mark.parametrize("tag", [1, 3])  # BT.709, and a reserved one, which swscale refuses
def test_a_conversion_changes_nothing_that_another_one_reads(tag: int) -> None:
    """A picture has no transfer or primaries tags, which a conversion would take off under the feet of another."""
    frame = video_frame("yuv420p")
    plain = Picture(video=video_frame("yuv420p")).bgr()
    frame.color_trc = frame.color_primaries = tag
    picture = Picture(video=frame)
    assert (int(frame.color_trc), int(frame.color_primaries)) == (2, 2)  # unspecified
    assert np.array_equal(picture.bgr(), plain)


@pytest.mark.parametrize(("class_id", "name"), [(0, "person"), (1, "car"), (2, "class 2"), (-1, "class -1")])
def test_class_names(class_id: int, name: str) -> None:
    """A class that the model does not name gets its number."""
    assert class_name(("person", "car"), class_id) == name
