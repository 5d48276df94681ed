"""A source with bad days."""

from __future__ import annotations

import itertools

import pytest
from pydantic import ValidationError

from pipeline.clock import NS_PER_MS, NS_PER_S, Clock, RealClock
from pipeline.errors import StreamLost
from pipeline.stage import Sample
from pipeline.testing import open_context
from stages.capture.synthetic import read_frame_number
from stages.chaos.source import ChaosSource, ChaosSourceOptions
from stages.payloads import Picture


class SteppingClock(RealClock):
    """Each wait takes as long as it may, at once; each look at the time takes a millisecond."""

    def __init__(self) -> None:
        self.time_ns = 0
        self.waits: list[int] = []

    def now_ns(self) -> int:
        self.time_ns += NS_PER_MS
        return self.time_ns

    def wait(self, condition: object, timeout_ns: int) -> bool:
        self.waits.append(timeout_ns)
        self.time_ns += max(0, timeout_ns)
        return False


def source(*, frames: int = 100, **trouble: object) -> ChaosSource:
    of = {"kind": "synthetic", "frames": frames, "width": 320, "height": 240}
    return ChaosSource(ChaosSourceOptions.model_validate({"of": of, **trouble}))


def samples(one: ChaosSource, clock: Clock | None = None) -> list[Sample]:
    one.open(open_context(clock or SteppingClock()))
    found = []
    while (sample := one.read()) is not None:
        found.append(sample)
    one.close()
    return found


def read_on(one: ChaosSource) -> None:
    """Read until the end, or until something is raised."""
    while one.read() is not None:
        pass


def numbers(found: list[Sample]) -> list[int]:
    pictures = [sample.payload for sample in found]
    return [read_frame_number(picture.bgr()) for picture in pictures if isinstance(picture, Picture)]


def test_no_trouble_changes_nothing() -> None:
    """Without trouble the samples are those of the wrapped source."""
    found = samples(source())
    assert numbers(found) == list(range(100))
    assert [sample.pts_ns for sample in found] == [round(n * NS_PER_S / 30) for n in range(100)]


def test_it_looks_like_what_it_wraps() -> None:
    """Payloads, stages, liveness and length are those of the wrapped source."""
    one = source()
    assert one.produces is Picture
    assert one.default_stages == ("synthetic_detect", "track")
    assert not one.live
    assert one.total_frames == 100


def test_loss_is_the_same_for_the_same_seed() -> None:
    """About the asked share is gone, in order, and a seed repeats it."""
    kept = numbers(samples(source(loss=0.3)))
    assert kept == numbers(samples(source(loss=0.3)))
    assert kept != numbers(samples(source(loss=0.3, seed=1)))
    assert kept == sorted(kept)
    assert 55 < len(kept) < 85


def test_jitter_delays_every_sample() -> None:
    """Each sample waits for less than the asked time."""
    clock = SteppingClock()
    assert len(samples(source(jitter="20ms"), clock)) == 100
    assert len(clock.waits) >= 90
    assert max(clock.waits) < 20 * NS_PER_MS
    assert max(clock.waits) > 15 * NS_PER_MS


def test_bursts_lose_nothing() -> None:
    """Held samples come at once, in order."""
    assert numbers(samples(source(burst_every=10, burst_size=5))) == list(range(100))


def test_stamps_repeat_and_go_back() -> None:
    """Some stamps are those of the frame before, some lie before it."""
    stamps = [sample.pts_ns or 0 for sample in samples(source(same_stamp=0.1, backward_stamp=0.1))]
    steps = [later - earlier for earlier, later in itertools.pairwise(stamps)]
    assert steps.count(0) > 3
    assert sum(step < 0 for step in steps) > 3


def test_silence_becomes_a_loss() -> None:
    """Silence longer than stall_timeout is a lost source; after opening again it goes on."""
    one = source(freeze_every="100ms", freeze_for="3s", stall_timeout="2s")
    clock = SteppingClock()
    one.open(open_context(clock))
    with pytest.raises(StreamLost, match="nothing came for 2 s"):
        read_on(one)
    one.close()
    one.open(open_context(clock))
    assert one.read() is not None


def test_the_connection_breaks() -> None:
    """A break comes when it is due, not before."""
    one = source(lost_every="50ms")
    clock = SteppingClock()
    one.open(open_context(clock))
    with pytest.raises(StreamLost, match="broke"):
        read_on(one)
    assert clock.time_ns >= 50 * NS_PER_MS


def test_it_breaks_so_often_and_not_more() -> None:
    """After the last break asked for, the source goes on to its end."""
    one = source(lost_every="50ms", lost_most=2)
    clock = SteppingClock()
    for _ in range(2):
        one.open(open_context(clock))
        with pytest.raises(StreamLost):
            read_on(one)
        one.close()
    one.open(open_context(clock))
    read_on(one)


@pytest.mark.parametrize(
    ("of", "said"),
    [
        ({"kind": "sinthetic"}, "did you mean synthetic"),
        ({"kind": "synthetic", "frame": 3}, r"of\.frame: unknown key, did you mean frames"),
        ({"kind": "video", "url": "webcam:x"}, "webcam"),
    ],
)
def test_what_it_wraps_is_checked(of: dict[str, object], said: str) -> None:
    """A wrong inner source is a problem of the configuration."""
    with pytest.raises(ValidationError, match=said):
        ChaosSourceOptions.model_validate({"of": of})
