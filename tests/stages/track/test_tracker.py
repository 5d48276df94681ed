"""The tracker: association over true times, births and deaths, ids, and what it does with bad input."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.stage import Forecaster
from pipeline.testing import check_stage, frame_info
from stages.payloads import Detections, Picture, Tracks
from stages.track.snapshot import Snapshot
from stages.track.tracker import Tracker, TrackerOptions

_MS = 1_000_000
Row = tuple[float, ...]
Make = Callable[..., Detections]


def tracker(**options: object) -> Tracker:
    return Tracker(TrackerOptions.model_validate(options))


def step(stage: Tracker, payload: Detections, at_ms: float, number: int = 0) -> Snapshot:
    return stage.process(payload, frame_info(number, captured_ns=round(at_ms * _MS)))


def shown(state: Snapshot, after_ms: int = 0) -> Tracks:
    tracks = state.forecast(state.measured_ns + after_ms * _MS)
    assert tracks is not None
    return tracks


def ids(state: Snapshot) -> list[int]:
    return sorted(shown(state).track_ids.tolist())


def walker(at_ms: float, *, score: float = 0.9, speed: float = 60.0, left: float = 100.0, class_id: int = 0) -> Row:
    """A person 40 x 80 px who walks to the right, speed in px/s."""
    x = left + speed * at_ms / 1000
    return (x, 200, x + 40, 280, score, class_id)


def test_keeps_to_what_every_stage_keeps_to(detections: Make) -> None:
    """The shared check of stages passes, and what comes out is a Forecaster of its frame."""
    frames = [detections([walker(number * 1000 / 30), (300, 100, 340, 200, 0.8, 1)]) for number in range(5)]
    outputs = check_stage(tracker, frames)
    for number, output in enumerate(outputs):
        assert isinstance(output, Forecaster)
        assert output.measured_ns == frame_info(number).captured_ns
        assert output.forecast(output.measured_ns) is not None


def test_the_first_track_is_number_one(detections: Make) -> None:
    """Ids count from 1 and stay with their objects, whatever the order of the boxes."""
    stage = tracker()
    first = step(stage, detections([walker(0), walker(0, left=400)]), 0)
    assert shown(first).track_ids.tolist() == [1, 2]
    second = shown(step(stage, detections([walker(100, left=400), walker(100)]), 100))
    by_id = dict(zip(second.track_ids.tolist(), second.boxes[:, 0].tolist(), strict=True))
    assert by_id == pytest.approx({1: 106, 2: 406}, abs=3)


def test_the_class_names_and_the_size_are_those_of_the_frame(detections: Make) -> None:
    """A picture that changes its size is followed on: the id stays, the new size counts."""
    stage = tracker()
    step(stage, detections([walker(0)], size=(768, 576)), 0)
    tracks = shown(step(stage, detections([walker(40)], size=(320, 240)), 40))
    assert tracks.image_size == (320, 240)
    assert tracks.class_names == ("person", "car")
    assert tracks.track_ids.tolist() == [1]
    gone = shown(step(stage, detections([walker(80)], size=(50, 50)), 80))
    assert len(gone) == 0  # beyond the edge of the new picture


def followed(times_ms: list[float], detections: Make) -> Snapshot:
    """What is known of the walker after it was seen at these times."""
    stage = tracker()
    return [step(stage, detections([walker(at_ms)]), at_ms) for at_ms in times_ms][-1]


@settings(deadline=None, max_examples=40)
@given(gaps=st.lists(st.integers(10, 500), min_size=8, max_size=25))
def test_irregular_times_end_where_regular_ones_do(gaps: list[int]) -> None:
    """A steady walker observed at any times ends at its place with its velocity, as when seen 25 times a second."""

    def detections(rows: list[Row]) -> Detections:
        boxes = np.array([row[:4] for row in rows], np.float32)
        return Detections(boxes, np.array([0.9], np.float32), np.zeros(1, np.int32), ("person",), (2000, 576))

    times = np.cumsum([0, *gaps])
    end_ms = int(times[-1])
    irregular = shown(followed([float(at_ms) for at_ms in times], detections), 300)
    regular = shown(followed([*np.arange(0, end_ms, 40.0), end_ms], detections), 300)
    assert irregular.track_ids.tolist() == regular.track_ids.tolist() == [1]
    truth = np.array([walker(end_ms + 300)[:4]])
    # The prior of rest has faded to a few per cent of the velocity after eight boxes, whatever their times.
    assert irregular.boxes == pytest.approx(truth, abs=2.5)
    assert regular.boxes == pytest.approx(truth, abs=2.5)
    assert irregular.velocities == pytest.approx(np.array([[60, 0, 60, 0]]), abs=8)


def test_a_velocity_is_per_second_at_any_rate(detections: Make) -> None:
    """The same walk seen 5 or 60 times a second has the same velocity in px/s."""
    slow = shown(followed([number * 200.0 for number in range(11)], detections))
    fast = shown(followed([number * 1000 / 60 for number in range(121)], detections))
    assert slow.velocities == pytest.approx(np.array([[60, 0, 60, 0]]), abs=2)
    assert fast.velocities == pytest.approx(slow.velocities, abs=2)


@pytest.mark.parametrize("fps", [5, 10, 30, 60])
@pytest.mark.parametrize(("lost_ms", "same"), [(2900, True), (3100, False)])
def test_a_track_lives_for_seconds_not_frames(*, detections: Make, fps: int, lost_ms: int, same: bool) -> None:
    """An object unseen for less than max_lost comes back under its id, for longer under a new one, at any rate."""
    stage = tracker(max_lost="3s")
    still = walker(0)
    period_ms = 1000 / fps
    for number in range(fps):
        step(stage, detections([still]), number * period_ms)
    seen_ms = (fps - 1) * period_ms
    at_ms = seen_ms + period_ms
    while at_ms < seen_ms + lost_ms - period_ms / 2:
        assert ids(step(stage, detections(), at_ms)) == []  # what the newest frame did not see is not shown
        at_ms += period_ms
    assert ids(step(stage, detections([still]), seen_ms + lost_ms)) == ([1] if same else [2])


@pytest.mark.parametrize(("again_ms", "expected"), [(450, [1]), (550, [])])
def test_a_doubtful_start_needs_a_second_look_in_time(detections: Make, again_ms: int, expected: list[int]) -> None:
    """A box below sure_score is shown when it is seen again within half a second; later it is a new doubtful start."""
    stage = tracker()
    assert ids(step(stage, detections([walker(0, score=0.4, speed=0)]), 0)) == []
    assert ids(step(stage, detections([walker(0, score=0.4, speed=0)]), again_ms)) == expected


def test_a_sure_start_is_shown_at_once(detections: Make) -> None:
    """A box from sure_score up is shown on its first frame, at rest."""
    tracks = shown(step(tracker(), detections([walker(0, score=0.5)]), 0))
    assert tracks.track_ids.tolist() == [1]
    assert tracks.velocities.tolist() == [[0, 0, 0, 0]]


def test_a_low_score_never_starts_a_track(detections: Make) -> None:
    """Doubtful boxes alone, over any number of frames, are nobody; nor do they use up ids."""
    stage = tracker()
    for number in range(10):
        assert ids(step(stage, detections([walker(number * 40, score=0.29)]), number * 40)) == []
    assert ids(step(stage, detections([walker(400)]), 400)) == [1]


def test_a_low_score_keeps_a_track_alive(detections: Make) -> None:
    """A track measured by doubtful boxes only is shown, moves on, keeps its id, and carries the low score."""
    stage = tracker(max_lost="200ms")
    for number in range(10):
        step(stage, detections([walker(number * 40)]), number * 40)
    for number in range(10, 30):
        state = step(stage, detections([walker(number * 40, score=0.15)]), number * 40)
    tracks = shown(state)
    assert tracks.track_ids.tolist() == [1]
    assert tracks.scores.tolist() == pytest.approx([0.15])
    assert tracks.boxes[0, 0] == pytest.approx(walker(29 * 40)[0], abs=1)


def test_below_the_low_score_is_nothing(detections: Make) -> None:
    """A box under low_score does not measure a track."""
    stage = tracker()
    step(stage, detections([walker(0)]), 0)
    assert ids(step(stage, detections([walker(40, score=0.09)]), 40)) == []


def test_the_confident_box_goes_first(detections: Make) -> None:
    """A doubtful box that lies better does not take the track from a confident one, and starts none."""
    stage = tracker()
    step(stage, detections([(100, 200, 140, 280, 0.9)]), 0)
    tracks = shown(step(stage, detections([(100, 200, 140, 280, 0.2), (108, 200, 148, 280, 0.9)]), 40))
    assert tracks.track_ids.tolist() == [1]
    assert tracks.scores.tolist() == pytest.approx([0.9])


def test_a_class_in_doubt_is_one_object(detections: Make) -> None:
    """A detector that takes one object for a car and a truck by turns has one track, of the class that it says more."""
    stage = tracker()
    classes = []
    for number in range(60):
        is_car = number % 3 != 1
        row = walker(number * 40, score=0.8 if is_car else 0.7, class_id=int(is_car))
        tracks = shown(step(stage, detections([row]), number * 40))
        assert tracks.track_ids.tolist() == [1]
        classes += tracks.class_ids.tolist()
    assert classes[3:] == [1] * 57


def test_a_class_that_was_wrong_for_long_is_given_up(detections: Make) -> None:
    """After some ten detections of another one."""
    stage = tracker()
    for number in range(200):
        tracks = shown(step(stage, detections([walker(number * 40, class_id=int(number >= 180))]), number * 40))
    assert tracks.track_ids.tolist() == [1]
    assert tracks.class_ids.tolist() == [1]


def test_classes_do_not_mix(detections: Make) -> None:
    """Two objects of different classes in one place keep their ids, even if one of them is missed for a while."""
    stage = tracker()
    bicycle = (96, 235, 146, 285, 0.8, 1)
    for at_ms in range(0, 400, 40):
        both = step(stage, detections([walker(0), bicycle]), at_ms)
    assert dict(zip(shown(both).track_ids.tolist(), shown(both).class_ids.tolist(), strict=True)) == {1: 0, 2: 1}
    for at_ms in range(400, 800, 40):
        assert ids(step(stage, detections([bicycle]), at_ms)) == [2]
    assert ids(step(stage, detections([walker(0), bicycle]), 800)) == [1, 2]


@pytest.mark.parametrize("direction", [(1, 0), (-1, 0), (0, 1), (0, -1)], ids=str)
@pytest.mark.parametrize("share", [0.2, 0.4, 0.55])
@pytest.mark.parametrize("every", [1, 3])
def test_what_starts_suddenly_keeps_its_id(
    detections: Make, direction: tuple[int, int], share: float, every: int
) -> None:
    """An object that stood for two seconds and then moves by a share of its width a frame is still seen as itself.

    Every frame is seen, or every third, between which it moves as far.
    """
    stage = tracker()
    side, at = 60, np.array([2000.0, 2000.0])
    for number in range(0, 90 * every, every):
        if number >= 60 * every:
            at = at + np.array(direction) * side * share
        box = (*(at - side / 2), *(at + side / 2), 0.9)
        assert ids(step(stage, detections([box], size=(4000, 4000)), number * 1000 / 30)) == [1]


def test_a_camera_that_pans_keeps_everything(detections: Make) -> None:
    """Many things that stood for long all move at once, by less than half of what lies between them."""
    stage = tracker()
    for number in range(90):
        shift = 22 * max(number - 60, 0)
        boxes = [(x + shift, y, x + shift + 60, y + 120, 0.9) for x in range(0, 900, 150) for y in (100, 500)]
        state = step(stage, detections(boxes, size=(1920, 1080)), number * 1000 / 30)
    assert ids(state) == list(range(1, 13))


def test_two_walkers_cross_and_keep_their_ids(detections: Make) -> None:
    """Two people who walk through each other, hidden from the detector while they meet, come out as themselves."""
    stage = tracker()
    for number in range(60):
        at_ms = number * 1000 / 15
        right, left = walker(at_ms, left=100, speed=100), walker(at_ms, left=440, speed=-100)
        hidden = abs(right[0] - left[0]) < 30
        state = step(stage, detections([right] if hidden else [left, right]), at_ms)
    tracks = shown(state)
    velocity = dict(zip(tracks.track_ids.tolist(), tracks.velocities[:, 0].tolist(), strict=True))
    assert velocity == pytest.approx({1: -100, 2: 100}, rel=0.1)


def test_a_walker_who_leaves_the_picture_leaves_the_forecast(detections: Make) -> None:
    """The forecast loses a track at the moment at which its last edge leaves the picture."""
    stage = tracker()
    for number in range(20):
        state = step(stage, detections([walker(number * 50, left=620, speed=120)]), number * 50)
    left = shown(state).boxes[0, 0]  # about 734 of 768
    assert len(shown(state, round((768 - left) / 120 * 1000) - 15)) == 1
    assert len(shown(state, round((768 - left) / 120 * 1000) + 15)) == 0


_WILD = [
    (float("nan"), 0, 10, 10, 0.9),
    (0, 0, float("inf"), 10, 0.9),
    (float("-inf"), float("-inf"), float("inf"), float("inf"), 0.9),
    (0, 0, 3e38, 3e38, 0.9),
    (-3e38, -3e38, 3e38, 3e38, 0.9),
    (0, 0, 2e6, 10, 0.9),
    (10, 10, 20, 20, float("nan")),
]


@pytest.mark.parametrize("wild", _WILD)
def test_garbage_is_ignored(detections: Make, wild: Row) -> None:
    """A box that is not finite or absurdly far away starts nothing, measures nothing and disturbs nobody."""
    stage = tracker()
    for number in range(4):
        state = step(stage, detections([wild, walker(number * 40)]), number * 40)
    tracks = shown(state, 100)
    assert tracks.track_ids.tolist() == [1]
    assert np.isfinite(tracks.boxes).all()
    assert tracks.boxes[0, 0] == pytest.approx(walker(220)[0], abs=3)


def test_a_box_inside_out_is_a_point(detections: Make) -> None:
    """A box that is inside out has sides of length 0 and gives finite tracks."""
    stage = tracker()
    for number in range(3):
        state = step(stage, detections([(200, 280, 100, 200, 0.9)]), number * 40)
        for tracks in (shown(state), shown(state, 400)):
            assert (tracks.boxes[:, 2:] >= tracks.boxes[:, :2]).all()
            assert np.isfinite(tracks.position_std).all()


def test_no_boxes_is_a_measurement(detections: Make) -> None:
    """An empty frame says that the scene is empty; it is not silence."""
    stage = tracker()
    step(stage, detections([walker(0)]), 0)
    state = step(stage, detections(), 40)
    assert state.measured_ns == 40 * _MS
    assert len(shown(state, 400)) == 0


@pytest.mark.parametrize("back_ms", [0, 1, 40, 3_600_000])
def test_time_that_stands_still_or_goes_back_is_survived(detections: Make, back_ms: int) -> None:
    """A repeated or earlier capture time is taken as if no time had passed; tracks go on from there."""
    stage = tracker()
    for number in range(10):
        state = step(stage, detections([walker(number * 40)]), 10_000_000 + number * 40)
    known = ids(state)
    for number in range(9, 20):
        at_ms = 10_000_000 + number * 40 - back_ms
        state = step(stage, detections([walker(number * 40)]), at_ms)
        assert state.measured_ns == at_ms * _MS
        assert ids(state) == known
        assert np.isfinite(shown(state, 100).boxes).all()


def test_a_snapshot_stays_as_it_was(detections: Make) -> None:
    """Later frames, and a caller who writes over the boxes it handed in, change nothing in a snapshot."""
    stage = tracker()
    step(stage, detections([walker(0)]), 0)
    frame = detections([walker(40)])
    state = step(stage, frame, 40)
    before = repr(shown(state, 200))
    frame.boxes[:] = 0
    frame.scores[:] = 0
    frame.class_ids[:] = 1
    for number in range(2, 20):
        step(stage, detections([walker(number * 40, speed=-300), walker(0, left=500)]), number * 40)
    assert repr(shown(state, 200)) == before


_ROWS = st.lists(
    st.tuples(
        st.integers(0, 6).map(lambda place: place * 30.0),
        st.sampled_from([0.05, 0.2, 0.35, 0.9]),
        st.integers(0, 1),
    ),
    max_size=6,
)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(_ROWS, st.sampled_from([20, 100, 400, 2000])), max_size=25))
def test_ids_are_unique_and_never_used_again(frames: list[tuple[list[tuple[float, float, int]], int]]) -> None:
    """Over any detections: no id twice in a frame, none again after its track has died; a class that was seen."""
    stage = tracker(max_lost="1s")
    at_ms = 0
    last_shown: dict[int, int] = {}
    classes: set[int] = set()
    for rows, gap_ms in frames:
        at_ms += gap_ms
        boxes = np.array([(left, 10, left + 40, 90) for left, _, _ in rows], np.float32).reshape(-1, 4)
        scores = np.array([score for _, score, _ in rows], np.float32)
        class_ids = np.array([class_id for _, _, class_id in rows], np.int32)
        state = step(stage, Detections(boxes, scores, class_ids, (), (768, 576)), at_ms)
        assert ids(state) == sorted(set(ids(state)))
        tracks = shown(state)
        classes |= set(class_ids.tolist())
        for track_id, class_id in zip(tracks.track_ids.tolist(), tracks.class_ids.tolist(), strict=True):
            assert track_id >= 1
            assert class_id in classes
            assert at_ms - last_shown.get(track_id, at_ms) <= 1000
            last_shown[track_id] = at_ms


@pytest.mark.parametrize(
    "options",
    [{"min_score": 1.2}, {"horizon": "-1s"}, {"horizon": 500}, {"max_lost": "soon"}, {"colour": 1}, {"min_iou": "x"}],
)
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    """Shares beyond 0..1, times without a unit and unknown names are errors."""
    with pytest.raises(ValidationError):
        TrackerOptions.model_validate(options)


def test_tuning(detections: Make) -> None:
    """Other scores hold from the next frame on; the tracks stay."""
    stage = tracker()
    step(stage, detections([walker(0)]), 0)
    stage.tune(stage.options.model_copy(update={"min_score": 0.95, "low_score": 0.8}))
    assert stage.options.min_score == 0.95
    state = step(stage, detections([walker(33), walker(33, left=400)]), 33)
    assert ids(state) == [1]  # kept alive by what starts no track any more
    stage.tune(stage.options.model_copy(update={"low_score": 0.92}))
    assert ids(step(stage, detections([walker(66)]), 66)) == []


def test_the_horizon_is_an_option(detections: Make) -> None:
    """Forecasts end at the horizon that was asked for."""
    state = step(tracker(horizon="50ms"), detections([walker(0)]), 0)
    assert state.forecast(50 * _MS) is not None
    assert state.forecast(50 * _MS + 1) is None


def textured(x: int) -> Picture:
    """A picture 768 x 576 with a spotted patch, 40 x 80 px, at (x, 200)."""
    spots = np.random.default_rng(3).integers(0, 255, (20, 10, 3), dtype=np.uint8)
    pixels = np.full((576, 768, 3), 100, np.uint8)
    pixels[200:280, x : x + 40] = np.repeat(np.repeat(spots, 4, axis=0), 4, axis=1)
    return Picture(array=pixels)


@pytest.mark.parametrize(("follow", "same"), [(True, True), (False, False)])
def test_a_track_is_looked_for_where_the_pictures_show_it_went(*, detections: Make, follow: bool, same: bool) -> None:
    """An object that starts to run while the detector works is found again by the pictures, and lost without them."""
    stage = tracker(follow=follow, min_iou=0.3)
    for at_ms in (0, 100):
        state = step(stage, detections([walker(0)]), at_ms)
    assert ids(state) == [1]
    shown(state, 50)  # asks
    for number, x in enumerate((100, 112, 124, 136)):
        info = frame_info(number, captured_ns=(100 + 40 * number) * _MS)
        assert stage.would_watch(info) is follow
        stage.watch(textured(x), info)
    assert (ids(step(stage, detections([walker(0, left=136)]), 220)) == [1]) is same


def test_pictures_are_not_asked_for_by_measuring(detections: Make) -> None:
    """A run in which every frame is measured in time has no use for the pictures."""
    stage = tracker()
    for at_ms in (0, 40, 80):
        shown(step(stage, detections([walker(at_ms)]), at_ms))
    assert not stage.would_watch(frame_info(3, captured_ns=120 * _MS))
