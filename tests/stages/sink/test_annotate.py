"""What can be seen on a picture: fresh, forecast and blind, and whose box is whose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from pipeline.frame import Answer, Health, Reason, Status
from stages.payloads import Tracks
from stages.sink.annotate import annotate, banner_height, banner_text, colour_of

Make = Callable[..., Answer]
MakeTracks = Callable[..., Tracks]

_GREY = 90
_BOX = (200, 150, 400, 350)
_SIZES = [(768, 576), (1280, 720), (320, 240)]


def grey(size: tuple[int, int]) -> np.ndarray:
    return np.full((size[1], size[0], 3), _GREY, np.uint8)


def drawn(answer: Answer, size: tuple[int, int] = (768, 576)) -> np.ndarray:
    picture = grey(size)
    annotate(picture, answer)
    return picture


def share(pixels: np.ndarray, colour: tuple[int, ...]) -> float:
    """The share of the pixels that have this colour."""
    return float((pixels == np.array(colour)).all(axis=-1).mean())


def edges(picture: np.ndarray) -> list[np.ndarray]:
    """The pixels on the right, bottom and left edges of _BOX; the top has the label."""
    x1, y1, x2, y2 = _BOX
    return [picture[y1 + 8 : y2 - 8, x2], picture[y2, x1 + 8 : x2 - 8], picture[y1 + 8 : y2 - 8, x1]]


@pytest.mark.parametrize("size", [(768, 576), (1280, 720)])
def test_a_fresh_box_is_solid(make_answer: Make, make_tracks: MakeTracks, size: tuple[int, int]) -> None:
    """Every pixel of the edges has the colour of the track."""
    picture = drawn(make_answer(0, tracks=make_tracks([_BOX])), size)
    assert [share(edge, colour_of(7)) for edge in edges(picture)] == [1, 1, 1]


@pytest.mark.parametrize("size", [(768, 576), (1280, 720)])
def test_a_forecast_box_is_dashed(make_answer: Make, make_tracks: MakeTracks, size: tuple[int, int]) -> None:
    """The edges have the colour of the track and gaps in it."""
    picture = drawn(make_answer(0, status=Status.FORECAST, tracks=make_tracks([_BOX])), size)
    for edge in edges(picture):
        assert 0.5 < share(edge, colour_of(7)) < 0.9
        assert share(edge, (_GREY,) * 3) > 0.1


@pytest.mark.parametrize("size", _SIZES)
def test_blind_has_a_frame_and_no_boxes(make_answer: Make, size: tuple[int, int]) -> None:
    """All four edges of the picture are red, and nothing is drawn inside."""
    picture = drawn(make_answer(0, status=Status.BLIND), size)
    red = (40, 40, 215)
    assert picture[-1, 0].tolist() == list(red)
    assert share(picture[-1], red) == share(picture[banner_height(picture) :, 0], red) == 1
    assert share(picture[banner_height(picture) :, -1], red) == 1
    assert share(picture[banner_height(picture) + 10 : -10, 10:-10], (_GREY,) * 3) == 1


@pytest.mark.parametrize("size", _SIZES)
def test_the_status_can_be_told_by_colour_alone(make_answer: Make, size: tuple[int, int]) -> None:
    """The top left corner is green, orange or red, and a good part of the banner is."""
    corners = {}
    for status in Status:
        picture = drawn(make_answer(0, status=status), size)
        corners[status] = tuple(picture[2, 2].tolist())
        high = banner_height(picture)
        assert share(picture[:high, : 2 * high], corners[status]) > 0.5
    for one in Status:
        for other in set(Status) - {one}:
            assert max(abs(a - b) for a, b in zip(corners[one], corners[other], strict=True)) > 100


@pytest.mark.parametrize("size", _SIZES)
def test_the_status_is_written_out(make_answer: Make, size: tuple[int, int]) -> None:
    """There is text of high contrast on the status colour, and white text beside it."""
    for status in Status:
        picture = drawn(make_answer(0, status=status), size)[: banner_height(grey(size))].astype(int)
        colour = picture[2, 2]
        patch = (picture == colour).all(axis=-1)
        right = int(np.flatnonzero(patch.any(axis=0)).max())
        contrast = np.abs(picture[4:-4, 4 : right - 4].sum(axis=-1) - colour.sum())
        assert (contrast > 200).mean() > 0.05
        assert (picture[:, right + 1 :].min(axis=-1) > 150).sum() > 50


def test_the_rest_of_the_picture_is_left_alone(make_answer: Make, make_tracks: MakeTracks) -> None:
    """Nothing is drawn inside a box or far from it."""
    picture = drawn(make_answer(0, tracks=make_tracks([_BOX])))
    x1, y1, x2, y2 = _BOX
    assert share(picture[y1 + 5 : y2 - 5, x1 + 5 : x2 - 5], (_GREY,) * 3) == 1
    assert share(picture[y2 + 5 :], (_GREY,) * 3) == 1


def test_a_label_at_the_top_is_below_the_banner(make_answer: Make, make_tracks: MakeTracks) -> None:
    """A box that reaches under the banner keeps its label in view, and leaves none on the banner."""
    high = banner_height(grey((768, 576)))
    picture = drawn(make_answer(0, tracks=make_tracks([(200, 0, 400, 300)])))
    assert share(picture[high + 1 : high + 15, 205:260], colour_of(7)) > 0.4
    assert share(picture[:high], colour_of(7)) == 0


def test_a_label_at_the_side_is_inside(make_answer: Make, make_tracks: MakeTracks) -> None:
    """The label of a box at the right edge is moved left until all of it can be read."""
    inside = drawn(make_answer(0, tracks=make_tracks([(300, 200, 360, 300)])))
    at_edge = drawn(make_answer(0, tracks=make_tracks([(740, 200, 800, 300)])))
    area = (inside[180:200] == np.array(colour_of(7))).all(axis=-1).sum()
    assert (at_edge[180:200] == np.array(colour_of(7))).all(axis=-1).sum() == pytest.approx(area, rel=0.05)


def test_colours_belong_to_ids() -> None:
    """A track keeps its colour, and the next few numbers look different and are bright."""
    assert colour_of(7) == colour_of(7)
    for track_id in range(1, 200):
        assert max(colour_of(track_id)) > 200
        for other in range(track_id + 1, track_id + 4):
            assert sum(abs(a - b) for a, b in zip(colour_of(track_id), colour_of(other), strict=True)) > 80
    assert len(colour_of(2**62)) == 3


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({}, ("FRESH", "frame 12   age 61 ms   health ok")),
        ({"live": False}, ("FRESH", "frame 12   0.40 s")),
        ({"status": Status.BLIND, "live": False}, ("BLIND", "frame 12   0.40 s   would miss")),
    ],
)
def test_the_words_of_the_banner(make_answer: Make, answer: dict[str, object], text: tuple[str, str]) -> None:
    """Status, frame, age (live) or time (lossless), reason, health."""
    reason = Reason.WOULD_MISS if "status" in answer else None
    assert banner_text(make_answer(12, reason=reason, **answer)) == text


def test_a_forecast_says_when_it_was_measured(make_answer: Make, make_tracks: MakeTracks) -> None:
    """The banner of a forecast has the age of its newest measurement, where it has any track."""
    tracks = make_tracks(measured_age_ns=200_000_000)
    answer = replace(make_answer(3, status=Status.FORECAST, tracks=tracks), health=Health.DEGRADED)
    assert banner_text(answer)[1] == "frame 3   age 61 ms   measured 200 ms before   late   health degraded"
    empty = replace(answer, payload=make_tracks([]))
    assert banner_text(empty)[1] == "frame 3   age 61 ms   late   health degraded"


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 200), (200, 7), (16, 16), (64, 48), (4000, 20)])
def test_tiny_pictures(make_answer: Make, make_tracks: MakeTracks, status: Status, size: tuple[int, int]) -> None:
    """Pictures of any size can be drawn on, and show the colour of the status."""
    tracks = make_tracks([(0, 0, 5, 5), (-100, -100, 500, 500)])
    picture = drawn(make_answer(0, status=status, tracks=tracks), size)
    assert picture.shape == (size[1], size[0], 3)
    assert not np.array_equal(picture, grey(size))


@pytest.mark.parametrize("status", [Status.FRESH, Status.FORECAST])
@pytest.mark.parametrize(
    "box",
    [
        (float("nan"),) * 4,
        (float("-inf"), float("-inf"), float("inf"), float("inf")),
        (-3e38, -3e38, 3e38, 3e38),
        (1e9, 1e9, 2e9, 2e9),
        (700, 550, 600, 500),  # inside out
        (300, 300, 300, 300),  # a point
        (0, 0, 768, 576),
    ],
)
def test_wild_boxes(make_answer: Make, make_tracks: MakeTracks, status: Status, box: tuple[float, ...]) -> None:
    """Any box is drawn as far as it can be, in bounded time, and the one beside it as ever."""
    picture = drawn(make_answer(0, status=status, tracks=make_tracks([_BOX, box])))
    assert share(edges(picture)[1], colour_of(7)) > 0.5


def test_any_class_name_can_be_written(make_answer: Make, make_tracks: MakeTracks) -> None:
    """Names in any script, endless ones and empty ones do not break the picture."""
    for name in ("Fußgänger", "歩行者", "", "x" * 5000, "two\nlines\0"):
        picture = drawn(make_answer(0, tracks=replace(make_tracks([_BOX]), class_names=(name,))))
        assert share(edges(picture)[1], colour_of(7)) == 1


def test_the_same_answer_gives_the_same_pixels(make_answer: Make) -> None:
    """Drawing has no memory and no chance in it."""
    for status in Status:
        assert np.array_equal(drawn(make_answer(5, status=status)), drawn(make_answer(5, status=status)))
