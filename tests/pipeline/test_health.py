"""One word, with hysteresis."""

from __future__ import annotations

import pytest

from pipeline.clock import NS_PER_MS
from pipeline.frame import Health, Reason, Status
from pipeline.health import HealthMonitor

PERIOD_NS = 33 * NS_PER_MS


class Feeder:
    """Feeds a monitor with answers, one period apart."""

    def __init__(self) -> None:
        self.monitor = HealthMonitor()
        self.now_ns = 0

    def feed(self, status: Status, count: int = 1, reason: Reason | None = None) -> list[Health]:
        seen = []
        for _ in range(count):
            self.now_ns += PERIOD_NS
            seen.append(self.monitor.observe(status, reason, self.now_ns))
        return seen


def test_it_starts_blind_and_the_first_word_counts() -> None:
    """Before the model is warm it is blind; the first measured frame is believed at once."""
    feeder = Feeder()
    assert feeder.monitor.state is Health.BLIND
    assert set(feeder.feed(Status.BLIND, 10, Reason.WARMING)) == {Health.BLIND}
    assert feeder.feed(Status.FRESH) == [Health.OK]


def test_worse_is_believed_after_a_moment_and_better_after_a_second() -> None:
    """A blind spell shows after about half the window and 0.2 s; recovery takes longer than the fall."""
    feeder = Feeder()
    feeder.feed(Status.FRESH, 90)
    falling = feeder.feed(Status.BLIND, 90, Reason.LATE)
    assert falling[0] is Health.OK
    assert falling[-1] is Health.BLIND
    fall = falling.index(Health.BLIND)
    rising = feeder.feed(Status.FRESH, 120)
    assert rising[0] is Health.BLIND
    assert rising[-1] is Health.OK
    assert rising.index(Health.OK) > fall


def test_single_bad_answers_do_not_flicker() -> None:
    """One forecast in four is still ok, and stays so."""
    feeder = Feeder()
    feeder.feed(Status.FRESH, 30)
    for _ in range(50):
        assert set(feeder.feed(Status.FRESH, 3)) == {Health.OK}
        assert feeder.feed(Status.FORECAST, 1, Reason.SUPERSEDED) == [Health.OK]


def test_mostly_forecasts_is_degraded_and_a_raising_stage_failed() -> None:
    """The words mean what they say."""
    feeder = Feeder()
    feeder.feed(Status.FRESH, 5)
    assert feeder.feed(Status.FORECAST, 120, Reason.SUPERSEDED)[-1] is Health.DEGRADED
    assert feeder.feed(Status.FORECAST, 120, Reason.FAILED)[-1] is Health.FAILED


def test_frames_that_are_missed_are_blindness(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is said of them; when it is half of them, that is said."""
    feeder = Feeder()
    feeder.feed(Status.FRESH, 90)
    for number in range(1, 70):
        feeder.monitor.missed(feeder.now_ns + number * PERIOD_NS)
    assert feeder.monitor.state is Health.BLIND
    assert "health is blind, was ok (missed)" in caplog.text
