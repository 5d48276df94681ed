"""What is said of a later moment, from one snapshot alone."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.boxes import BoxArray
from stages.payloads import Tracks
from stages.track import kalman
from stages.track.follow import Follower
from stages.track.population import Population
from stages.track.snapshot import Snapshot

_MS = 1_000_000
_AT = 10_000 * _MS


def snapshot(
    boxes: list[tuple[float, float, float, float]],
    velocities: list[tuple[float, float, float, float]],
    *,
    size: tuple[int, int] = (640, 480),
) -> Snapshot:
    """Tracks with cx, cy, w, h in px, and their velocities in px/s, all measured at _AT; horizon 500 ms."""
    motion = kalman.started(np.array(boxes, np.float64).reshape(-1, 4))
    still = {field.name: getattr(motion, field.name) for field in fields(motion)}
    motion = kalman.Motion(**{**still, "velocity": np.array(velocities, np.float64).reshape(-1, 4)})
    count = len(boxes)
    population = Population(
        motion=motion,
        track_ids=np.arange(1, count + 1, dtype=np.int64),
        class_ids=np.arange(count, dtype=np.int32) % 2,
        class_votes=np.ones(count, np.float32),
        scores=np.linspace(0.9, 0.5, count, dtype=np.float32),
        boxes=np.zeros((count, 4)),
        born_ns=np.full(count, _AT, np.int64),
        measured_ns=np.full(count, _AT, np.int64),
        confirmed=np.ones(count, np.bool_),
    )
    return Snapshot(_AT, population, 500 * _MS, ("person", "car"), size)


class Seeing(Follower):
    """Saw every box go the same way, in a time that counts from the measurement."""

    def __init__(self, way: np.ndarray, span_ns: int) -> None:
        super().__init__(500 * _MS)
        self._way = way
        self._span_ns = span_ns

    def ways(self, boxes: BoxArray, from_ns: int, to_ns: int) -> tuple[np.ndarray, int]:
        return np.repeat(self._way, len(boxes), axis=0), from_ns + self._span_ns


def forecast(state: Snapshot, after_ms: int) -> Tracks:
    tracks = state.forecast(_AT + after_ms * _MS)
    assert tracks is not None
    return tracks


def test_the_moment_itself_is_what_was_measured() -> None:
    """A forecast for the measured frame is the measured state, field by field."""
    tracks = forecast(snapshot([(100, 200, 40, 80), (300, 100, 20, 20)], [(10, 0, 0, 0), (0, 5, 2, -2)]), 0)
    assert tracks.boxes.tolist() == [[80, 160, 120, 240], [290, 90, 310, 110]]
    assert tracks.track_ids.tolist() == [1, 2]
    assert tracks.class_ids.tolist() == [0, 1]
    assert tracks.scores.tolist() == pytest.approx([0.9, 0.5])
    assert tracks.measured_ns.tolist() == [_AT, _AT]
    assert tracks.velocities.tolist() == [[10, 0, 10, 0], [-1, 6, 1, 4]]  # of the corners
    assert tracks.position_std.tolist() == pytest.approx([4, 1])  # 1/20 of the height
    assert tracks.class_names == ("person", "car")
    assert tracks.image_size == (640, 480)


def test_the_announced_types() -> None:
    """Arrays have the types that Tracks announces, also when there are none."""
    kinds = [np.float32, np.float32, np.int32, np.int64, np.float32, np.int64, np.float32]
    for state in (snapshot([(100, 200, 40, 80)], [(1, 1, 0, 0)]), snapshot([], [])):
        tracks = forecast(state, 100)
        arrays = [getattr(tracks, field.name) for field in fields(Tracks)][: len(kinds)]
        assert [array.dtype for array in arrays] == kinds
        assert tracks.boxes.shape == tracks.velocities.shape == (len(tracks), 4)


@given(st.integers(0, 500))
def test_boxes_move_by_their_velocities(after_ms: int) -> None:
    """Each corner moves by its own velocity times the time, and velocities stay."""
    state = snapshot([(300, 200, 40, 80)], [(100, -60, 8, 4)])
    now, later = forecast(state, 0), forecast(state, after_ms)
    assert later.boxes == pytest.approx(now.boxes + now.velocities * (after_ms / 1000), abs=1e-3)
    assert np.array_equal(later.velocities, now.velocities)
    assert later.measured_ns.tolist() == [_AT]


def test_uncertainty_grows() -> None:
    """The further the forecast, the larger the standard deviation of the centre."""
    state = snapshot([(300, 200, 40, 80)], [(0, 0, 0, 0)])
    stds = [forecast(state, after_ms).position_std.item() for after_ms in (0, 50, 100, 250, 500)]
    assert stds == sorted(set(stds))


def test_the_horizon_is_the_last_moment() -> None:
    """Exactly at the horizon there is a forecast, a nanosecond later there is none."""
    state = snapshot([(300, 200, 40, 80)], [(0, 0, 0, 0)])
    assert state.forecast(_AT + 500 * _MS) is not None
    assert state.forecast(_AT + 500 * _MS + 1) is None


def test_an_empty_scene_is_no_silence() -> None:
    """Nothing seen gives no tracks within the horizon, and nothing at all beyond it."""
    state = snapshot([], [])
    assert len(forecast(state, 400)) == 0
    assert state.forecast(_AT + 501 * _MS) is None


def test_before_the_measurement_tracks_are_where_they_were_measured() -> None:
    """Where a time line goes back, nothing is known of the time between; no age is negative."""
    state = snapshot([(320, 240, 40, 80)], [(100, 0, 0, 0)])
    tracks = state.forecast(_AT - 500 * _MS)
    measured = state.forecast(_AT)
    assert tracks is not None
    assert measured is not None
    assert tracks.boxes.tolist() == measured.boxes.tolist()
    assert tracks.measured_ns.tolist() == [_AT - 500 * _MS]


@pytest.mark.parametrize(
    ("centre", "velocity", "gone_ms"),
    [
        ((630, 240), (100, 0), 301),  # right: its left edge at 610 passes 640
        ((10, 240), (-100, 0), 301),  # left: its right edge at 30 passes 0
        ((320, 10), (0, -100), 301),  # top
        ((320, 470), (0, 100), 301),  # bottom
    ],
)
def test_who_leaves_the_picture_leaves_the_forecast(
    centre: tuple[float, float], velocity: tuple[float, float], gone_ms: int
) -> None:
    """A track is shown while it touches the picture, and not after its last edge has left."""
    state = snapshot([(*centre, 40, 40), (320, 240, 40, 40)], [(*velocity, 0, 0), (0, 0, 0, 0)])
    assert forecast(state, gone_ms - 2).track_ids.tolist() == [1, 2]
    assert forecast(state, gone_ms).track_ids.tolist() == [2]


def test_a_shrinking_box_ends_as_a_point() -> None:
    """Sides that would become negative are 0: no box is inside out."""
    tracks = forecast(snapshot([(300, 200, 10, 10)], [(0, 0, -100, -100)]), 500)
    assert tracks.boxes.tolist() == [[300, 200, 300, 200]]


def test_nobody_can_change_it() -> None:
    """The arrays of a forecast are read-only, the snapshot is frozen, and asking twice gives equal answers."""
    state = snapshot([(100, 200, 40, 80)], [(10, 0, 0, 0)])
    first = forecast(state, 100)
    for field in fields(Tracks):
        array = getattr(first, field.name)
        if isinstance(array, np.ndarray):
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0
    with pytest.raises(FrozenInstanceError):
        state.measured_ns = 0  # type: ignore[misc]
    forecast(state, 400)
    assert np.array_equal(forecast(state, 100).boxes, first.boxes)


def test_forecasts_go_with_the_pictures() -> None:
    """Up to the newest picture a box goes with what is seen in it, from there on at that speed."""
    state = replace(snapshot([(300, 200, 40, 80)], [(0, 0, 0, 0)]), follower=Seeing(np.array([[6.0, -3.0]]), 30 * _MS))
    assert forecast(state, 60).boxes - forecast(state, 0).boxes == pytest.approx(np.array([[12, -6, 12, -6]]), abs=1e-3)
    assert forecast(state, 60).velocities == pytest.approx(np.array([[200, -100, 200, -100]]), abs=1e-3)


def test_forecasts_without_a_picture_since() -> None:
    """Where no picture has come since, velocities alone count."""
    state = replace(snapshot([(300, 200, 40, 80)], [(100, 0, 0, 0)]), follower=Seeing(np.array([[0.0, 0.0]]), 0))
    assert forecast(state, 60).boxes - forecast(state, 0).boxes == pytest.approx(np.array([[6, 0, 6, 0]]), abs=1e-3)


def test_forecasts_ask_for_pictures() -> None:
    """Only a forecast of another moment does; the measured state itself needs none."""
    follower = Seeing(np.array([[0.0, 0.0]]), 0)
    state = replace(snapshot([(300, 200, 40, 80)], [(0, 0, 0, 0)]), follower=follower)
    forecast(state, 0)
    assert not follower.is_asked(_AT)
    forecast(state, 60)
    assert follower.is_asked(_AT)
