"""When answers can be relied on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pipeline.clock import NS_PER_S
from pipeline.frame import Answer, Health, Status
from pipeline.testing import ManualClock
from stages.sink.serve.readiness import Readiness, Watch

Make = Callable[..., Answer]


def test_before_the_first_answer() -> None:
    """Nothing is known yet, whatever the health says."""
    watch = Watch(ManualClock(), within_ns=NS_PER_S)
    assert watch.judge(Health.OK) == Readiness(False, Health.OK, "there was no fresh answer yet")


def test_a_fresh_answer_counts_for_its_time(make_answer: Make) -> None:
    """Then it is too old, until the next fresh one: forecasts do not make a run that can be relied on."""
    clock = ManualClock(5 * NS_PER_S)
    watch = Watch(clock, within_ns=2 * NS_PER_S)
    watch.note(make_answer(0))
    assert watch.judge(Health.OK) == Readiness(True, Health.OK, None)
    clock.advance(2 * NS_PER_S)
    assert watch.judge(Health.OK).ready
    clock.advance(NS_PER_S)
    watch.note(make_answer(1, status=Status.BLIND))
    watch.note(make_answer(2, status=Status.FORECAST))
    judged = watch.judge(Health.OK)
    assert not judged.ready
    assert judged.reason == "the last fresh answer was given 3.0 s ago"
    watch.note(make_answer(3))
    assert watch.judge(Health.OK).ready


@pytest.mark.parametrize(
    ("health", "ready"),
    [(Health.OK, True), (Health.DEGRADED, True), (Health.BLIND, False), (Health.FAILED, False), (None, True)],
)
def test_the_health_counts_too(make_answer: Make, *, health: Health | None, ready: bool) -> None:
    """A run that is blind or failed is not ready; one that has no health, as it is not live, may be."""
    watch = Watch(ManualClock(), within_ns=NS_PER_S)
    watch.note(make_answer(0))
    judged = watch.judge(health)
    assert judged.ready is ready
    assert judged.reason == (None if ready else f"the health is {health.value}" if health else None)
