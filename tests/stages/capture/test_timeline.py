"""The time line of a recording that is played as a camera: any order, any gap, any repeat of its stamps."""

from __future__ import annotations

import logging
import threading
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.clock import NS_PER_MS, NS_PER_S, Clock
from stages.capture.reading import true_rate
from stages.capture.selection import Chosen
from stages.capture.timeline import PacedTimeline, Stamps, Times


class SkippingClock(Clock):
    """Time stands still except during a wait, which it skips."""

    def __init__(self) -> None:
        self.now = 0

    def now_ns(self) -> int:
        return self.now

    def wait(self, condition: threading.Condition, timeout_ns: int) -> bool:
        self.now += timeout_ns
        return False


PERIOD_NS = 40 * NS_PER_MS


def played(stamps_ns: list[int], *, fps: float | None = None, rate: int = 25) -> tuple[list[Times], SkippingClock]:
    clock = SkippingClock()
    timeline = PacedTimeline("clip", Fraction(rate), clock, fps=fps)
    all_times = []
    for at_ns in stamps_ns:
        times = timeline.times(Stamps(at_ns, None, clock.now))
        assert times is not None
        all_times.append(times)
    return all_times, clock


@given(steps_ns=st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=50))
def test_no_stamps_make_it_wait_long_or_go_back(steps_ns: list[int]) -> None:
    """Each frame is captured no earlier than the one before, and at most ten seconds later."""
    stamps_ns = [0]
    for step_ns in steps_ns:
        stamps_ns.append(stamps_ns[-1] + step_ns)
    all_times, clock = played(stamps_ns)
    captured = [times.captured_ns for times in all_times]
    for earlier_ns, later_ns in pairwise(captured):
        assert earlier_ns is not None
        assert later_ns is not None
        assert 0 <= later_ns - earlier_ns <= 10 * NS_PER_S
    assert captured[-1] == clock.now


@pytest.mark.parametrize("jump_ns", [-3600 * NS_PER_S, 3600 * NS_PER_S, 95_443 * NS_PER_S])
def test_a_jump_is_passed_over_and_said_once(jump_ns: int, caplog: pytest.LogCaptureFixture) -> None:
    """Joined recordings and restarted encoders are played on, frame by frame."""
    stamps_ns = [number * PERIOD_NS + number // 10 * jump_ns for number in range(30)]
    with caplog.at_level(logging.WARNING):
        all_times, _ = played(stamps_ns)
    captured = [times.captured_ns or 0 for times in all_times]
    assert {later - earlier for earlier, later in pairwise(captured)} == {PERIOD_NS}
    assert len(caplog.records) == 1
    assert "clip: its time stamps jump" in caplog.text


def test_a_short_gap_is_played_as_it_is() -> None:
    """A camera that recorded nothing for a while is silent for that while."""
    all_times, _ = played([0, PERIOD_NS, PERIOD_NS + 5 * NS_PER_S])
    assert (all_times[2].captured_ns or 0) - (all_times[1].captured_ns or 0) == 5 * NS_PER_S


class FakePacket:
    """A packet with nothing but a time stamp in milliseconds."""

    time_base = Fraction(1, 1000)

    def __init__(self, dts: int) -> None:
        self.pts = self.dts = dts


@pytest.mark.parametrize(
    ("stamps", "said", "true"),
    [
        ([number * 100 for number in range(40)], 90_000, 10),
        ([number * 100 for number in range(40)], 20, 10),
        ([number * 100 for number in range(40)], None, 10),
        ([number * 100 + (3_600_000 if number > 20 else 0) for number in range(40)], 180_000, 10),
        ([number * 33 for number in range(40)], 30, 30),
        ([0, 100], 25, 25),
        ([0] * 40, 25, 25),
    ],
)
def test_the_rate_is_that_of_the_stamps(stamps: list[int], said: int | None, true: int) -> None:
    """What a container says of its rate holds only where its stamps agree; no packet is lost on the way."""
    packets = [Chosen(FakePacket(at), ()) for at in stamps]  # type: ignore[arg-type]
    rate, whole = true_rate(iter(packets), None if said is None else Fraction(said))
    assert rate == true
    assert list(whole) == packets
