"""Simulated runs."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.clock import NS_PER_MS, NS_PER_S
from pipeline.frame import Fate, Reason
from pipeline.simulation.arrivals import Arrival, parse_arrivals
from pipeline.simulation.policies import POLICIES
from pipeline.simulation.services import DrawnServices, Service, Services
from pipeline.simulation.world import Outcome, Shape, World
from pipeline.timings import Event

STAGES = ("preprocess", "detect", "track")


def simulate(
    service_ms: float,
    *,
    arrivals: str = "30fps",
    policy: str = "framepace",
    limit_ms: int = 100,
    credit_limit: int = 2,
    lateness_ms: float = 0,
    seconds: int = 20,
) -> Outcome:
    services = DrawnServices(STAGES, {"detect": lambda: round(service_ms * NS_PER_MS)}, lateness=lambda: 0)
    world = World(
        Shape(limit_ms * NS_PER_MS, credit_limit, STAGES, "detect"),
        arrivals=parse_arrivals(arrivals, seconds * NS_PER_S, lambda: 0, Random(3)),
        services=services,
        make_head=POLICIES[policy],
        lateness=lambda: round(lateness_ms * NS_PER_MS),
    )
    return world.run()


def test_a_fast_detector_is_fresh_for_every_frame() -> None:
    """And the answers are as old as the detector is slow."""
    outcome = simulate(10)
    assert outcome.books.balanced
    assert outcome.books.fates[Fate.FRESH] == outcome.books.captured == 600
    assert outcome.age_fresh.percentile_ns(1.0) == 10 * NS_PER_MS


@pytest.mark.parametrize("overload", [2, 5, 10])
def test_the_age_is_the_same_at_any_load(overload: int) -> None:
    """A frame out of so many is fresh; what is detected is never older than a period when it begins."""
    service_ms = 30
    outcome = simulate(service_ms, arrivals=f"{overload * 1000 / service_ms:.3f}fps")
    books = outcome.books
    assert books.balanced
    assert books.fates[Fate.FRESH] / books.captured == pytest.approx(1 / overload, rel=0.1)
    assert outcome.age_fresh.percentile_ns(0.99) < (service_ms + 1.1 * service_ms / overload) * NS_PER_MS


def test_a_detector_slower_than_the_deadline_gives_forecasts() -> None:
    """It still runs, all of the time."""
    outcome = simulate(150)
    assert outcome.books.fates[Fate.FRESH] == 0
    assert outcome.books.fates[Fate.FORECAST] > 0.95 * outcome.books.captured
    assert outcome.busy_ns / outcome.simulated_ns > 0.95


def test_a_plain_loop_falls_behind() -> None:
    """Its results get older and older; framepace's do not."""
    plain, own = simulate(64, policy="in-order"), simulate(64)
    assert plain.age_results.percentile_ns(1.0) > 5 * NS_PER_S
    assert own.age_results.percentile_ns(1.0) < 130 * NS_PER_MS
    assert plain.books.balanced


def test_the_newest_picture_alone_is_older() -> None:
    """A loop with the newest picture takes one that has waited; admission waits for the next."""
    assert simulate(64, policy="newest").age_fresh.percentile_ns(0.5) > simulate(64).age_fresh.percentile_ns(0.5)


def test_late_threads_miss_frames_and_this_is_counted() -> None:
    """A publisher that always runs 60 ms after its alarm is too late for what is not ready."""
    outcome = simulate(150, lateness_ms=60)
    assert outcome.books.balanced
    assert outcome.books.fates[Fate.MISSED] > 0
    assert outcome.books.published_late == 0


def test_the_same_chances_give_the_same_run() -> None:
    """Nothing else decides."""
    first, second = (simulate(40, arrivals="poisson:30fps") for _ in range(2))
    assert first.books == second.books
    assert first.age_all.total_ns == second.age_all.total_ns


class _Fixed(Services):
    def __init__(self, services: list[Service]) -> None:
        self._services = services

    def of(self, frame_id: int) -> Service:
        return self._services[frame_id % len(self._services)]


def lasting(low_ms: int, high_ms: int) -> st.SearchStrategy[int]:
    return st.integers(low_ms * NS_PER_MS, high_ms * NS_PER_MS)


SERVICES = st.builds(
    Service,
    gaps_ns=st.tuples(lasting(0, 3), lasting(0, 3), lasting(0, 3), lasting(0, 3)),
    runs_ns=st.tuples(lasting(0, 5), lasting(1, 300), lasting(0, 5)),
    outcome=st.just(Event.MEASURED),
)
FAILING = st.builds(
    Service,
    gaps_ns=st.tuples(lasting(0, 3), lasting(0, 3), lasting(0, 3)),
    runs_ns=st.one_of(st.tuples(lasting(0, 5)), st.tuples(lasting(0, 5), lasting(1, 90))),
    outcome=st.sampled_from([Event.FAILED, Event.SKIPPED]),
)
GAPS = st.tuples(lasting(0, 120), lasting(0, 20), lasting(0, 20), st.sampled_from([None, None, None, *Event]))


@settings(max_examples=300, deadline=None)
@given(
    gaps=st.lists(GAPS, min_size=1, max_size=25),
    services=st.lists(st.one_of(SERVICES, SERVICES, FAILING), min_size=1, max_size=6),
    policy=st.sampled_from(sorted(POLICIES)),
    lateness_ns=lasting(0, 40),
    credit_limit=st.integers(1, 4),
)
def test_books_balance_whatever_happens(
    gaps: list[tuple[int, int, int, Event | None]],
    services: list[Service],
    policy: str,
    lateness_ns: int,
    credit_limit: int,
) -> None:
    """Every frame has one fate, nothing is late, and all that was asked for is over at the end."""
    arrivals, now_ns, ready_ns = [], 0, 0
    for gap_ns, lag_ns, decode_ns, lost in gaps:
        now_ns += gap_ns
        ready_ns = max(ready_ns, now_ns) + decode_ns
        if lost in (Event.UNDECODABLE, Event.SHED):
            arrivals.append(Arrival(now_ns - lag_ns, now_ns, None, lost, now_ns + decode_ns))
        else:
            arrivals.append(Arrival(now_ns - lag_ns, now_ns, ready_ns))
    world = World(
        Shape(100 * NS_PER_MS, credit_limit, STAGES, "detect"),
        arrivals=iter(arrivals),
        services=_Fixed(services),
        make_head=POLICIES[policy],
        lateness=lambda: lateness_ns,
    )
    books = world.run().books
    assert books.balanced
    assert books.captured == len(gaps)
    assert books.published_late == 0
    assert books.fates[Fate.ABANDONED] == 0
    assert books.reasons[Reason.WARMING] == 0
