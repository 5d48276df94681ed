"""Pictures for those who look: when they are due, who makes them, and what they look like."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterator

import av
import cv2
import numpy as np
import pytest

from pipeline.clock import NS_PER_MS, NS_PER_S, RealClock
from stages.payloads import Picture
from stages.sink.serve.preview import LEAST_RATE, Preview, Schedule, Studio, Viewer, Wish, distinct, encode

_BOUND_S = 20.0
SMALL, WIDE = Wish(320, 10.0), Wish(960, 10.0)


def picture(value: int = 90, size: tuple[int, int] = (64, 48)) -> Picture:
    return Picture(array=np.full((size[1], size[0], 3), value, np.uint8))


def decoded(jpeg: bytes) -> np.ndarray:
    shown = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    return shown


def counted(schedule: Schedule, period_ms: float, frames: int) -> dict[Wish, int]:
    """How often each wish is due when frames come at a steady pace."""
    counts = dict.fromkeys(schedule.wishes, 0)
    for number in range(frames):
        for wish in schedule.due(round(number * period_ms * NS_PER_MS)):
            counts[wish] += 1
    return counts


def test_nobody_looks() -> None:
    """Nothing is ever due."""
    assert not any(Schedule().due(number * NS_PER_MS) for number in range(100))


@pytest.mark.parametrize(("rate", "count"), [(1.0, 10), (10.0, 100), (7.5, 75), (30.0, 300), (60.0, 300)])
def test_pictures_are_due_at_the_wished_rate(rate: float, count: int) -> None:
    """At 30 fps for ten seconds; never more often than there are frames."""
    schedule = Schedule()
    schedule.wishes = (Wish(320, rate),)
    assert counted(schedule, 1000 / 30, 300)[Wish(320, rate)] == pytest.approx(count, abs=1)


def test_one_rate_is_due_together() -> None:
    """Whenever viewers came, those of one rate share their pictures."""
    schedule = Schedule()
    schedule.wishes = (SMALL,)
    assert schedule.due(0) == {SMALL}
    schedule.wishes = (SMALL, WIDE)
    assert schedule.due(50 * NS_PER_MS) == set()
    assert schedule.due(100 * NS_PER_MS) == {SMALL, WIDE}
    schedule.wishes = ()
    assert schedule.due(200 * NS_PER_MS) == set()


def test_wishes_are_bounded_and_few() -> None:
    """A wish gets the next smaller of some widths, and no more than is allowed."""
    preview = Preview(8, most_rate=15, most_width_px=1280, patience_s=1)
    bounded = [preview.bounded(width_px=width, rate=99) for width in (1, 200, 640, 1000, 99_999)]
    assert bounded == [Wish(160, 15), Wish(160, 15), Wish(640, 15), Wish(960, 15), Wish(1280, 15)]
    assert preview.bounded(width_px=640, rate=1e-300).rate == LEAST_RATE
    assert distinct([SMALL, WIDE, SMALL]) == (SMALL, WIDE)


def test_pictures_go_to_those_who_wished_for_them() -> None:
    """Newest only; who comes or goes changes what is wished for."""
    preview = Preview(8, most_rate=15, most_width_px=1280, patience_s=1)
    small, wide = Viewer(SMALL), Viewer(WIDE)
    with preview.clients.having(small, "::1"), preview.clients.having(wide, "::1"):
        assert set(preview.schedule.wishes) == {SMALL, WIDE}
        preview.hand_out(frozenset([SMALL]), b"old")
        preview.hand_out(frozenset([SMALL]), b"new")
        assert (small._take(), wide._take()) == (b"new", None)
    assert preview.schedule.wishes == ()


class Desk:
    """Takes what a studio makes; can keep it from going on."""

    def __init__(self) -> None:
        self.taken: list[tuple[frozenset[Wish], bytes]] = []
        self.changed = threading.Condition()
        self.open = threading.Event()
        self.open.set()

    def take(self, wishes: frozenset[Wish], message: bytes) -> None:
        with self.changed:
            self.taken.append((wishes, message))
            self.changed.notify_all()
        assert self.open.wait(_BOUND_S)

    def wait_taken(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.taken) >= count, _BOUND_S)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def studio(desk: Desk) -> Iterator[Studio]:
    studio = Studio(quality=90, clock=RealClock(), deliver=desk.take)
    studio.start()
    yield studio
    desk.open.set()
    studio.stop()
    studio.stop()
    assert "sink serve pictures" not in [thread.name for thread in threading.enumerate()]


def test_one_picture_for_all_of_a_width(studio: Studio, desk: Desk) -> None:
    """Viewers of one width share it, whatever their rate; the record goes in front."""
    also_small = Wish(320, 5.0)
    studio.order(picture(), {"frame": 3}, frozenset([SMALL, also_small, WIDE]))
    desk.wait_taken(2)
    by_wishes = dict(desk.taken)
    assert by_wishes.keys() == {frozenset([SMALL, also_small]), frozenset([WIDE])}
    message = by_wishes[frozenset([WIDE])]
    [length] = struct.unpack("!I", message[:4])
    assert message[4 : 4 + length] == b'{"frame":3}'
    assert decoded(message[4 + length :]).shape == (48, 64, 3)  # never larger than it is
    assert studio.pictures == 2


class Torn(Picture):
    """Cannot be converted."""

    def bgr_at_most(self, width: int) -> np.ndarray:
        raise ValueError("a format that nobody knows")


def test_a_picture_that_cannot_be_made(studio: Studio, desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """It is said, and the next ones are made."""
    studio.order(Torn(array=np.zeros((48, 64, 3), np.uint8)), {"frame": 0}, frozenset([SMALL]))
    while not caplog.records:
        assert studio._thread is not None
        assert studio._thread.is_alive()
        studio._thread.join(0.01)
    studio.order(picture(), {"frame": 1}, frozenset([SMALL]))
    desk.wait_taken(1)
    assert "a format that nobody knows" in caplog.text


def test_newest_only(studio: Studio, desk: Desk) -> None:
    """While one is being made, the next ones make room for the last, which is for all who were due meanwhile."""
    desk.open.clear()
    studio.order(picture(0), {"frame": 0}, frozenset([SMALL]))
    desk.wait_taken(1)
    studio.order(picture(50), {"frame": 1}, frozenset([SMALL]))
    studio.order(picture(250), {"frame": 2}, frozenset([WIDE]))
    desk.open.set()
    desk.wait_taken(3)
    assert {wish for wishes, _ in desk.taken[1:] for wish in wishes} == {SMALL, WIDE}
    assert all(b'{"frame":2}' in message for _, message in desk.taken[1:])
    assert studio.busy_ns > 0


def test_a_studio_that_rests_can_be_stopped(studio: Studio, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rest ends with it."""
    monkeypatch.setattr("stages.sink.serve.preview._REST", 1e9)
    studio.order(picture(), {"frame": 0}, frozenset([SMALL]))
    desk.wait_taken(1)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("from_video", [False, True])
def test_pictures_are_upright_and_no_wider(
    tv_frame: Callable[[int, int], av.VideoFrame], *, from_video: bool, rotation: int
) -> None:
    """Scaled as a whole, by the width that a viewer sees; the same as scaling the upright picture."""
    video = tv_frame(640, 360)
    array = video.to_ndarray(format="bgr24")
    source = Picture(video=video, rotation_deg=rotation) if from_video else Picture(array=array, rotation_deg=rotation)
    shown = decoded(encode(source, 160, quality=95))
    whole = source.bgr()
    assert shown.shape[:2] == (round(160 * whole.shape[0] / whole.shape[1]), 160)
    expected = cv2.resize(whole, (shown.shape[1], shown.shape[0]), interpolation=cv2.INTER_AREA)
    assert np.abs(shown.astype(int) - expected).mean() < 4
    assert source.bgr_at_most(5000).shape == whole.shape


def test_after_a_silence() -> None:
    """The next frame is due at once, and what was not due meanwhile is not made up for."""
    schedule = Schedule()
    schedule.wishes = (SMALL,)
    assert schedule.due(NS_PER_S)
    assert not schedule.due(NS_PER_S + 70 * NS_PER_MS)
    assert schedule.due(9 * NS_PER_S)
    assert not schedule.due(9 * NS_PER_S + 70 * NS_PER_MS)


def test_jitter_costs_no_pictures() -> None:
    """At the camera's own rate every frame is shown, though each comes up to 6 ms early or late."""
    schedule = Schedule()
    schedule.wishes = (Wish(320, 30.0),)
    times_ms = [number * 1000 / 30 + (-6 if number % 2 else 6) for number in range(1, 100)]
    assert all(schedule.due(round(time_ms * NS_PER_MS)) for time_ms in times_ms)
