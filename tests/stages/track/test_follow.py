"""What pictures show of how boxes move."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest

from stages.payloads import Picture
from stages.track.follow import IDLE_NS, LEAST_PX, STEPS_MOST, Follower

_MS = 1_000_000
_SIZE = (320, 240)
_RANDOM = np.random.default_rng(3)
_GROUND = _RANDOM.integers(90, 110, (240, 320, 3), dtype=np.uint8)
_COARSE = _RANDOM.integers(0, 255, (20, 10, 3), dtype=np.uint8)
_WALKER = np.repeat(np.repeat(_COARSE, 4, axis=0), 4, axis=1)  # 40 wide, 80 high, with spots that can be followed


def picture(x: int, y: int, *, size: tuple[int, int] = _SIZE, turned_deg: int = 0) -> Picture:
    """The walker with its upper left corner at (x, y)."""
    pixels = _GROUND[: size[1], : size[0]].copy()
    pixels[y : y + 80, x : x + 40] = _WALKER
    upright = np.ascontiguousarray(np.rot90(pixels, k=turned_deg // 90))  # as it is stored, if it is to be turned
    return Picture(array=upright, rotation_deg=turned_deg)


def box(x: float, y: float) -> np.ndarray:
    return np.array([[x, y, x + 40, y + 80]], dtype=np.float64)


def follower_that_saw(places: Sequence[tuple[int, int]], *, turned_deg: int = 0) -> Follower:
    """A follower that saw the walker at these places, 30 ms apart from 0 on; remembers 300 ms."""
    follower = Follower(300 * _MS)
    for number, (x, y) in enumerate(places):
        follower.see(picture(x, y, turned_deg=turned_deg), number * 30 * _MS)
    return follower


@pytest.mark.parametrize("turned_deg", [0, 90, 180])
def test_a_box_goes_with_what_is_in_it(turned_deg: int) -> None:
    """Over three pictures the way of the box is that of the walker, however the camera is turned."""
    follower = follower_that_saw([(100, 60), (106, 62), (112, 64), (118, 66)], turned_deg=turned_deg)
    ways, reached_ns = follower.ways(box(100, 60), 0, 90 * _MS)
    assert ways == pytest.approx(np.array([[18, 6]]), abs=1.5)
    assert reached_ns == 90 * _MS


def test_pictures_of_the_future_do_not_count() -> None:
    """What is known ends with the last picture that is not newer than the moment asked about."""
    follower = follower_that_saw([(100, 60), (106, 60), (112, 60), (118, 60)])
    ways, reached_ns = follower.ways(box(100, 60), 0, 70 * _MS)
    assert ways == pytest.approx(np.array([[12, 0]]), abs=1.5)
    assert reached_ns == 60 * _MS


@pytest.mark.parametrize(("from_ns", "to_ns"), [(10 * _MS, 90 * _MS), (0, 20 * _MS), (90 * _MS, 200 * _MS)])
def test_nothing_is_known(from_ns: int, to_ns: int) -> None:
    """From a moment without a picture, or to one before the next picture, no way is known."""
    ways, reached_ns = follower_that_saw([(100, 60), (106, 60), (112, 60), (118, 60)]).ways(
        box(100, 60), from_ns, to_ns
    )
    assert ways.tolist() == [[0, 0]]
    assert reached_ns == from_ns


def test_a_picture_left_out_is_bridged() -> None:
    """When one was not shown, the step goes from the one before it to the one after it."""
    follower = Follower(300 * _MS)
    follower.see(picture(100, 60), 0)
    follower.see(picture(108, 60), 60 * _MS)
    ways, reached_ns = follower.ways(box(100, 60), 0, 60 * _MS)
    assert ways == pytest.approx(np.array([[8, 0]]), abs=1.5)
    assert reached_ns == 60 * _MS


@pytest.mark.parametrize(
    ("second", "at_ns"),
    [
        (picture(106, 60, size=(300, 200)), 30 * _MS),  # of another size
        (picture(106, 60), 301 * _MS),  # too long after
        (picture(106, 60), 0),  # at the same time
        (picture(106, 60), -5 * _MS),  # before it
    ],
)
def test_pictures_that_have_nothing_to_do_with_each_other(second: Picture, at_ns: int) -> None:
    """Between them no way is known."""
    follower = Follower(300 * _MS)
    follower.see(picture(100, 60), 0)
    follower.see(second, at_ns)
    assert follower.ways(box(100, 60), 0, max(at_ns, 0))[1] == 0


def test_it_forgets() -> None:
    """Steps older than its memory are gone, so that it does not grow."""
    follower = follower_that_saw([(100 + number % 5, 60) for number in range(40)])
    assert follower.ways(box(100, 60), 0, 39 * 30 * _MS)[1] == 0
    assert follower.ways(box(100, 60), 30 * 30 * _MS, 39 * 30 * _MS)[1] == 39 * 30 * _MS


def test_no_boxes() -> None:
    """Nothing has no way."""
    follower = follower_that_saw([(100, 60), (106, 60)])
    assert follower.ways(np.zeros((0, 4)), 0, 30 * _MS)[0].shape == (0, 2)


def test_boxes_outside_the_picture() -> None:
    """Points beyond the edge are read at the edge, not past the end of the flow."""
    follower = follower_that_saw([(100, 60), (106, 60)])
    ways, _ = follower.ways(np.array([[-500.0, -500, -400, -300], [900, 900, 1000, 1100]]), 0, 30 * _MS)
    assert np.isfinite(ways).all()


def test_pictures_are_of_use_while_somebody_asks() -> None:
    """Nobody has asked: no use. Then for two seconds after the newest time asked about."""
    follower = Follower(300 * _MS)
    assert not follower.is_asked(0)
    follower.ask(1_000 * _MS)
    follower.ask(500 * _MS)
    assert follower.is_asked(1_000 * _MS + IDLE_NS)
    assert not follower.is_asked(1_000 * _MS + IDLE_NS + 1)


def test_memory_has_a_bound() -> None:
    """However long a forecast may be: what is too long ago for it is not known any more, what is newer is."""
    follower = Follower(10**12)
    for number in range(STEPS_MOST + 2):
        follower.see(picture(100, 60), number * 30 * _MS)
    end_ns = (STEPS_MOST + 1) * 30 * _MS
    assert follower.ways(box(100, 60), 0, end_ns)[1] == 0
    assert follower.ways(box(100, 60), 30 * _MS, end_ns)[1] == end_ns


def test_memory_of_a_large_picture() -> None:
    """What is kept of a step between two pictures is small, however large they are."""
    follower = Follower(10**12)
    tracemalloc.start()
    try:
        for number in range(12):
            follower.see(Picture(array=np.zeros((1080, 1920, 3), np.uint8)), number * 30 * _MS)
            if number == 1:
                before, _ = tracemalloc.get_traced_memory()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / 10 < 200_000


@pytest.mark.parametrize("size", [(8, 8), (13, 13), (100, 7), (100, 16), (640, 2), (1920, 60), (1, 1)])
def test_pictures_that_are_too_small(size: tuple[int, int]) -> None:
    """OpenCV can compare none of them, and some would end the process: no way is known. So for flat large ones."""
    follower = Follower(300 * _MS)
    for number in range(3):
        follower.see(Picture(array=np.zeros((size[1], size[0], 3), np.uint8)), number * 30 * _MS)
    assert follower.ways(np.array([[0.0, 0, 1, 1]]), 0, 60 * _MS)[1] == 0


@pytest.mark.parametrize("size", [(LEAST_PX, LEAST_PX), (100, LEAST_PX), (640, LEAST_PX), (LEAST_PX, 640)])
def test_the_smallest_pictures_that_are_compared(size: tuple[int, int]) -> None:
    """However flat, or narrow."""
    follower = Follower(300 * _MS)
    for number in range(3):
        follower.see(Picture(array=np.zeros((size[1], size[0], 3), np.uint8)), number * 30 * _MS)
    assert follower.ways(np.array([[0.0, 0, 1, 1]]), 0, 60 * _MS)[1] == 60 * _MS
