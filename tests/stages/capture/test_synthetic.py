"""The synthetic source: numbered pictures with known boxes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.clock import NS_PER_MS, NS_PER_S
from pipeline.frame import CaptureClock, Mode
from pipeline.stage import Sample
from pipeline.testing import open_context
from stages.capture.synthetic import (
    SyntheticOptions,
    SyntheticSource,
    read_frame_number,
    true_boxes,
    write_frame_number,
)
from stages.payloads import Picture


def source(**options: object) -> SyntheticSource:
    return SyntheticSource(SyntheticOptions.model_validate(options))


def picture_of(sample: Sample) -> Picture:
    assert isinstance(sample.payload, Picture)
    return sample.payload


def test_a_short_form_sets_the_options() -> None:
    """`synthetic:` alone is a finite recording; a query changes what it says."""
    assert SyntheticOptions.model_validate(SyntheticSource.options_from_spec("")) == SyntheticOptions()
    spec = "?fps=25&frames=10&size=320x240&pace=pts&objects=2"
    options = SyntheticOptions.model_validate(SyntheticSource.options_from_spec(spec))
    assert (options.fps, options.frames, options.width, options.height) == (25, 10, 320, 240)
    assert (options.pace, options.objects) == ("pts", 2)
    assert SyntheticOptions.model_validate(SyntheticSource.options_from_spec("frames=none")).frames is None


@pytest.mark.parametrize("spec", ["?size=wide", "?size=64", "rubbish"])
def test_a_wrong_short_form_is_refused(spec: str) -> None:
    """What is not understood says so, as a ValueError."""
    with pytest.raises(ValueError):
        SyntheticSource.options_from_spec(spec)


def test_pictures_are_numbered_and_timed(read_all) -> None:  # type: ignore[no-untyped-def]
    """The number in the pixels and the presentation time both count the frames, without drift at odd rates."""
    reader = source(frames=61, fps=60000 / 1001, width=320, height=240)
    samples = read_all(reader)
    assert [read_frame_number(picture_of(sample).bgr()) for sample in samples] == list(range(61))
    assert samples[60].pts_ns == round(60 * 1001 / 60000 * NS_PER_S)
    assert {sample.clock for sample in samples} == {CaptureClock.FILE}
    assert (reader.live, reader.total_frames) == (False, 61)


def test_two_runs_are_the_same(read_all) -> None:  # type: ignore[no-untyped-def]
    """Pictures and truth depend on nothing but the options; reading again after open starts from the beginning."""
    reader = source(frames=4)
    first, second = read_all(reader), read_all(reader)
    assert len(first) == len(second) == 4
    for one, other in zip(first, second, strict=True):
        assert np.array_equal(picture_of(one).bgr(), picture_of(other).bgr())
        assert np.array_equal(picture_of(one).truth.boxes, picture_of(other).truth.boxes)


def test_boxes_are_drawn_where_the_truth_says(read_all) -> None:  # type: ignore[no-untyped-def]
    """The pixels that differ from a picture without objects are those inside the true boxes."""
    for with_boxes, without in zip(
        read_all(source(frames=30, objects=3)), read_all(source(frames=30, objects=0)), strict=True
    ):
        truth = picture_of(with_boxes).truth
        assert truth is not None
        assert truth.image_size == picture_of(with_boxes).size
        inside = np.zeros((480, 640), dtype=bool)
        for left, top, right, bottom in np.rint(truth.boxes).astype(int):
            assert 0 <= left < right <= 640
            assert 8 <= top < bottom <= 480
            inside[top:bottom, left:right] = True
        differs = np.any(picture_of(with_boxes).bgr() != picture_of(without).bgr(), axis=2)
        assert np.array_equal(differs, inside)


def test_objects_move_at_the_speed_asked_for() -> None:
    """Between two bounces a box moves speed / fps pixels a frame; it keeps its size and stays inside."""
    options = SyntheticOptions(objects=4, speed=90.0, fps=30.0)
    boxes = np.stack([true_boxes(options, number) for number in range(600)])
    sizes = boxes[:, :, 2:] - boxes[:, :, :2]
    np.testing.assert_allclose(sizes, np.broadcast_to(sizes[0], sizes.shape), atol=1e-3)
    steps = np.linalg.norm(np.diff(boxes[:, :, :2], axis=0), axis=2)
    assert np.median(steps) == pytest.approx(3.0, abs=1e-3)
    assert steps.max() <= 3.0 + 1e-3


def test_a_paced_source_is_a_camera(clock) -> None:  # type: ignore[no-untyped-def]
    """Each picture comes at its time, and was captured then."""
    reader = source(frames=5, fps=50, pace="pts")
    assert reader.live
    reader.open(open_context(clock, mode=Mode.LIVE))
    begin_ns = clock.now
    captured = []
    while (sample := reader.read()) is not None:
        assert sample.captured_ns == clock.now
        captured.append(sample.captured_ns - begin_ns)
    assert captured == [number * 20 * NS_PER_MS for number in range(5)]
    reader.close()


def test_another_pace_and_live_mode(read_all, clock) -> None:  # type: ignore[no-untyped-def]
    """A rate in pace overrides fps; live mode paces even if nobody asked."""
    begin_ns = clock.now
    read_all(source(frames=11, fps=30, pace=100.0), mode=Mode.LIVE)
    assert clock.now - begin_ns == 100 * NS_PER_MS
    read_all(source(frames=11, fps=50), mode=Mode.LIVE)
    assert clock.now - begin_ns == 300 * NS_PER_MS


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"frames": 10, "max_frames": 4}, 4),
        ({"frames": None, "max_frames": 4}, 4),
        ({"frames": None, "fps": 20, "duration": "500ms"}, 10),
        ({"frames": 3, "fps": 20, "duration": "500ms"}, 3),
    ],
)
def test_the_nearest_limit_ends_it(read_all, options: dict[str, object], count: int) -> None:  # type: ignore[no-untyped-def]
    """Frames, duration and max_frames: whichever is reached first."""
    assert len(read_all(source(**options))) == count


def test_an_endless_source_goes_on(read_all) -> None:  # type: ignore[no-untyped-def]
    """Without a limit it never ends, and knows no total."""
    reader = source(frames=None, width=64, height=64)
    assert reader.total_frames is None
    assert len(read_all(reader, at_most=500)) == 500


@given(number=st.integers(0, 2**32 - 1), width=st.integers(64, 700))
def test_every_number_can_be_read_back(number: int, width: int) -> None:
    """The number strip holds 32 bits at any width."""
    array = np.full((32, width, 3), 90, dtype=np.uint8)
    write_frame_number(array, number)
    assert read_frame_number(array) == number


@given(number=st.integers(0, 2**32 - 1))
def test_the_number_survives_scaling_and_compression(number: int) -> None:
    """Half the size and a JPEG of middling quality do not change the number."""
    array = np.full((480, 640, 3), 90, dtype=np.uint8)
    write_frame_number(array, number)
    _, packed = cv2.imencode(".jpg", array, [cv2.IMWRITE_JPEG_QUALITY, 70])
    unpacked = cv2.imdecode(packed, cv2.IMREAD_COLOR)
    assert read_frame_number(np.asarray(unpacked, dtype=np.uint8)) == number
    half = cv2.resize(array, (320, 240), interpolation=cv2.INTER_AREA)
    assert read_frame_number(np.asarray(half, dtype=np.uint8)) == number
