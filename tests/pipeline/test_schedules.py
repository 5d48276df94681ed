"""The promises of live mode under any schedule, with no thread and no waiting.

A driver steps the engine's own parts (intake, gate, publisher, estimator, ledger) in the way of `pipeline.live`, on the
hand-turned clock: one event after the other, whatever Hypothesis thinks of.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import event, given, settings
from hypothesis import strategies as st

from pipeline.clock import NS_PER_MS, NS_PER_S
from pipeline.errors import LinkEnded
from pipeline.estimator import Estimator
from pipeline.frame import Answer, CaptureClock, Envelope, Fate, FrameInfo, Reason, Status
from pipeline.gate import Gate
from pipeline.intake import Intake, Registered
from pipeline.ledger import Ledger
from pipeline.publisher import Publisher
from pipeline.stage import Sample
from pipeline.testing import ManualClock, Snapshot

HORIZON_NS = 300 * NS_PER_MS
PERIOD_NS = 33 * NS_PER_MS


@dataclass(frozen=True)
class Arrival:
    """One packet."""

    gap_ns: int
    """Time since the packet before."""
    lag_ns: int
    """How long before its arrival it was captured."""
    reorder: bool
    """Whether it is presented before its predecessor, as a B-frame."""
    broken: bool
    shed: bool
    """Whether its packet found the decoder's queue full."""
    stamp: str
    """`new`, `same` as the one before, or `restart`: the source was lost and counts from 0 again."""
    decode_ns: int


@dataclass(frozen=True)
class Service:
    """What happens to the next frame that is admitted."""

    pre_ns: int
    run_ns: int
    post_ns: int
    outcome: str
    """`good`, `raises` or `skips`."""


@dataclass(frozen=True)
class Schedule:
    """All that can happen."""

    limit_ns: int
    credits: int
    warm_after_ns: int
    arrivals: list[Arrival]
    services: list[Service]
    lateness_ns: list[int]
    """How late the publisher's thread runs after each of its alarms, in turn."""
    stop_after_ns: int | None
    has_stamps: bool = True


def milliseconds(low: float, high: float) -> st.SearchStrategy[int]:
    return st.integers(round(low * NS_PER_MS), round(high * NS_PER_MS))


def regular(period_ms: int, *, decode_ns: int = 0) -> Arrival:
    return Arrival(period_ms * NS_PER_MS, 0, reorder=False, broken=False, shed=False, stamp="new", decode_ns=decode_ns)


ARRIVALS = st.builds(
    Arrival,
    gap_ns=st.one_of(st.just(33 * NS_PER_MS), milliseconds(0, 5), milliseconds(0, 120), milliseconds(300, 900)),
    lag_ns=st.one_of(st.just(0), milliseconds(0, 30)),
    reorder=st.sampled_from([False] * 5 + [True]),
    broken=st.sampled_from([False] * 7 + [True]),
    shed=st.sampled_from([False] * 9 + [True]),
    stamp=st.sampled_from(["new"] * 12 + ["same", "restart"]),
    decode_ns=milliseconds(0, 12),
)
SERVICES = st.builds(
    Service,
    pre_ns=milliseconds(0, 6),
    run_ns=st.one_of(milliseconds(1, 40), milliseconds(1, 400)),
    post_ns=milliseconds(0, 4),
    outcome=st.sampled_from(["good"] * 8 + ["raises", "skips"]),
)
SCHEDULES = st.builds(
    Schedule,
    limit_ns=st.sampled_from([20 * NS_PER_MS, 50 * NS_PER_MS, 100 * NS_PER_MS, 400 * NS_PER_MS]),
    credits=st.integers(1, 3),
    warm_after_ns=st.one_of(st.just(0), milliseconds(0, 300)),
    arrivals=st.lists(ARRIVALS, min_size=1, max_size=30),
    services=st.lists(SERVICES, min_size=1, max_size=8),
    lateness_ns=st.one_of(
        st.just([0]), st.lists(milliseconds(0, 3), min_size=1), st.lists(milliseconds(0, 80), min_size=1)
    ),
    stop_after_ns=st.one_of(st.none(), milliseconds(0, 1500)),
    has_stamps=st.sampled_from([True] * 5 + [False]),
)


def stamped(schedule: Schedule) -> list[tuple[int | None, int | None]]:
    """Return the presentation and decode time of each packet.

    A B-frame comes between two others: it is presented before its predecessor, never before its own decoding.
    """
    arrivals = schedule.arrivals
    if not schedule.has_stamps:
        return [(None, None)] * len(arrivals)
    start, swapped = 0, -1
    numbers: list[int] = []
    decode_times: list[int] = []
    for place, arrival in enumerate(arrivals):
        if arrival.stamp == "restart":
            start = place
        decode_times.append(place - start)
        numbers.append(place - start)
        if place == start:
            continue
        if arrival.stamp == "same":
            numbers[place] = numbers[place - 1]
        elif arrival.reorder and place - 1 != swapped and arrivals[place - 1].stamp != "same":
            numbers[place - 1], numbers[place] = numbers[place], numbers[place - 1]
            swapped = place
    return [
        ((number + 1) * PERIOD_NS, decode_time * PERIOD_NS if swapped >= 0 else None)
        for number, decode_time in zip(numbers, decode_times, strict=True)
    ]


@dataclass
class World:
    """The engine's parts, the future, and what was published."""

    schedule: Schedule
    clock: ManualClock = field(default_factory=lambda: ManualClock(NS_PER_S))
    answers: list[Answer] = field(default_factory=list)
    idle_with_work: int = 0
    """How often the detector was free and a picture there, and nothing was going to happen."""

    def __post_init__(self) -> None:
        schedule = self.schedule
        self.ledger = Ledger()
        self.estimator = Estimator()
        self.publisher = Publisher(
            limit_ns=schedule.limit_ns, clock=self.clock, ledger=self.ledger, hand_over=self.answers.append
        )
        self.intake = Intake("test", limit_ns=schedule.limit_ns, register=self._register)
        self.gate = Gate(
            clock=self.clock,
            estimator=self.estimator,
            before=("pre",),
            detector="detect",
            after=("post",),
            credit_limit=schedule.credits,
            margin_ns=lambda: self.publisher.margin_ns,
            refuse=self.publisher.refuse,
        )
        self._future: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._services = itertools.cycle(schedule.services)
        self._lateness = itertools.cycle(schedule.lateness_ns)
        self._stage_free_ns = {"pre": 0, "detect": 0, "post": 0}
        self._decoder_free_ns = 0
        self._inside: list[tuple[int, int]] = []
        self._decoding = self.generation = 0
        self.generations: list[int] = []  # of each frame
        self._alarm_ns: int | None = None
        self._over = False

    def at(self, when_ns: int, work: Callable[[], None]) -> None:
        heapq.heappush(self._future, (max(when_ns, self.clock.now_ns()), next(self._order), work))

    def run(self) -> None:
        start_ns = self.clock.now_ns()
        self.at(start_ns + self.schedule.warm_after_ns, self._warmed)
        self._plan_arrivals(start_ns)
        if self.schedule.stop_after_ns is not None:
            self.at(start_ns + self.schedule.stop_after_ns, self._stop)
        while self._future and not self._over:
            when_ns, _, work = heapq.heappop(self._future)
            self.clock.advance(when_ns - self.clock.now_ns())
            work()
            if not self._over:
                self._look_around()
        self.publisher.stop()
        self.ledger.abandon_open()

    def _plan_arrivals(self, start_ns: int) -> None:
        when_ns = start_ns
        for arrival, (pts_ns, dts_ns) in zip(self.schedule.arrivals, stamped(self.schedule), strict=True):
            when_ns += arrival.gap_ns
            sample = Sample(None, pts_ns, dts_ns, when_ns - arrival.lag_ns, CaptureClock.PTS)
            self.at(when_ns, functools.partial(self._arrive, sample, arrival))
        self.at(when_ns, self._source_ended)

    def _arrive(self, sample: Sample, arrival: Arrival) -> None:
        if arrival.stamp == "restart":
            self.intake.flush()
            self.generation += 1
        ticket = self.intake.take(sample, self.clock.now_ns())
        if arrival.shed:
            info = self.intake.withdraw(ticket)
            if info is not None:
                self.publisher.refuse(info.frame_id, Reason.SHED)
            return
        self._decoder_free_ns = max(self._decoder_free_ns, self.clock.now_ns()) + arrival.decode_ns
        self.at(self._decoder_free_ns, functools.partial(self._decode, sample, arrival, ticket, self.generation))

    def _decode(self, sample: Sample, arrival: Arrival, ticket: int, generation: int) -> None:
        """Keep pictures back until no earlier one can come, as codecs do."""
        if generation != self._decoding:
            self._empty_decoder()
            self._decoding = generation
        order_ns = ticket if sample.pts_ns is None else sample.pts_ns
        if not arrival.broken:
            heapq.heappush(self._inside, (order_ns, ticket))
        bound_ns = order_ns if sample.dts_ns is None else sample.dts_ns
        self._empty_decoder(bound_ns)

    def _empty_decoder(self, bound_ns: float = math.inf) -> None:
        while self._inside and self._inside[0][0] <= bound_ns:
            self._emerge(heapq.heappop(self._inside)[1])

    def _emerge(self, ticket: int) -> None:
        emerged = self.intake.emerged(ticket)
        for lost in emerged.lost:
            self.publisher.undecodable(lost.frame_id)
        if emerged.info is not None:
            self.gate.offer(Envelope(emerged.info, "picture"))

    def _source_ended(self) -> None:
        self.at(self._decoder_free_ns, self._pictures_ended)

    def _pictures_ended(self) -> None:
        self._empty_decoder()
        for lost in self.intake.rest():
            self.publisher.undecodable(lost.frame_id)
        self.gate.end()
        self.publisher.drain()

    def _register(self, registered: Registered) -> None:
        self.generations.append(self.generation)
        self.publisher.register(registered.info, registered.clock)
        if registered.withdrawn:
            self.publisher.refuse(registered.info.frame_id, Reason.SHED)

    def _warmed(self) -> None:
        self.publisher.warmed()
        self.gate.warmed()

    def _stop(self) -> None:
        self.gate.close()
        self._over = True

    def _look_around(self) -> None:
        """Do what the threads that wait would do now: take from the gate, set the publisher's alarm."""
        try:
            envelope, wake_ns = self.gate.try_take()
        except LinkEnded:
            envelope, wake_ns = None, None
        if envelope is not None:
            self._admitted(envelope.info)
        elif wake_ns is not None:
            self.at(wake_ns, lambda: None)
        elif self.gate._newest is not None and self.gate._warm and not self.gate._in_flight:
            self.idle_with_work += 1
        self._set_alarm()

    def _admitted(self, info: FrameInfo) -> None:
        service = next(self._services)
        done_ns = self.clock.now_ns()
        for name, run_ns in (("pre", service.pre_ns), ("detect", service.run_ns), ("post", service.post_ns)):
            begin_ns = max(done_ns, self._stage_free_ns[name])
            done_ns = self._stage_free_ns[name] = begin_ns + run_ns
            self.at(done_ns, lambda name=name, run_ns=run_ns: self.estimator.observe(name, run_ns))
            if name == "detect":
                self.at(begin_ns, self.gate.detector_started)
                self.at(done_ns, lambda: self.gate.detector_finished(info.frame_id))
        self.at(done_ns, lambda: self._finished(info, service.outcome))

    def _finished(self, info: FrameInfo, outcome: str) -> None:
        if outcome == "good":
            self.publisher.measured(info, Snapshot(info.captured_ns, info.frame_id, HORIZON_NS))
        else:
            self.publisher.refuse(info.frame_id, Reason.FAILED if outcome == "raises" else Reason.SHED)

    def _set_alarm(self) -> None:
        wake_ns = self.publisher.publish_due()
        if wake_ns is not None and (self._alarm_ns is None or wake_ns < self._alarm_ns):
            self._alarm_ns = wake_ns
            self.at(wake_ns + next(self._lateness), self._alarm)

    def _alarm(self) -> None:
        self._alarm_ns = None
        self.publisher.publish_due()


@settings(max_examples=1500, deadline=None)
@given(SCHEDULES)
def test_the_promises_hold(schedule: Schedule) -> None:
    """Books balance, order holds, nothing is late, everything that is not fresh says why."""
    world = World(schedule)
    world.run()
    books = world.ledger.books()
    assert books.balanced
    assert books.captured <= len(schedule.arrivals)
    assert books.published_late == 0
    assert world.idle_with_work == 0
    if schedule.stop_after_ns is None:
        assert books.captured == len(schedule.arrivals)
        assert books.fates[Fate.ABANDONED] == 0
    frame_ids = [answer.info.frame_id for answer in world.answers]
    assert frame_ids == sorted(set(frame_ids))
    presented = [(world.generations[answer.info.frame_id], answer.info.pts_s) for answer in world.answers]
    assert presented == sorted(presented)
    measured = {}
    for answer in world.answers:
        check_answer(answer, measured)
    event(f"fates {sorted(fate for fate, count in books.fates.items() if count)}")


def check_answer(answer: Answer, measured: dict[int, int]) -> None:
    info = answer.info
    assert answer.published_ns is not None
    assert info.due_ns is not None
    assert answer.published_ns <= info.due_ns
    assert (answer.reason is None) == (answer.status is Status.FRESH)
    if answer.status is Status.BLIND:
        assert answer.payload is None
        return
    assert isinstance(answer.payload, tuple)
    frame_id, age_ns = answer.payload
    assert 0 <= age_ns <= HORIZON_NS
    if answer.status is Status.FRESH:
        assert (frame_id, age_ns) == (info.frame_id, 0)
        measured[frame_id] = info.captured_ns
    else:
        assert frame_id != info.frame_id or age_ns == 0


@settings(max_examples=500, deadline=None)
@given(SCHEDULES)
def test_nothing_is_missed_by_a_publisher_that_wakes_in_time(schedule: Schedule) -> None:
    """`missed` is only for an operating system that did not run us: without lateness there is none, except for
    frames that came when their deadline was over."""
    punctual = Schedule(**{**schedule.__dict__, "lateness_ns": [0]})
    world = World(punctual)
    world.run()
    books = world.ledger.books()
    lag_ns = max(arrival.lag_ns for arrival in schedule.arrivals)
    if not any(arrival.reorder for arrival in schedule.arrivals) and lag_ns < schedule.limit_ns:
        assert books.fates[Fate.MISSED] == 0


@settings(max_examples=300, deadline=None)
@given(period_ms=st.integers(10, 60), run_ms=st.floats(0.5, 0.85), limit=st.sampled_from([100, 200]))
def test_a_detector_that_is_fast_enough_gives_fresh_answers_only(period_ms: int, run_ms: float, limit: int) -> None:
    """With regular frames and a detector within the period, every frame is fresh."""
    arrivals = [regular(period_ms, decode_ns=NS_PER_MS)] * 30
    service = Service(NS_PER_MS // 2, round(run_ms * period_ms * NS_PER_MS), NS_PER_MS // 2, "good")
    world = World(Schedule(limit * NS_PER_MS, 2, 0, arrivals, [service], [0], None))
    world.run()
    assert world.ledger.books().fates[Fate.FRESH] == 30


@settings(max_examples=300, deadline=None)
@given(overload=st.floats(1.2, 10), period_ms=st.integers(8, 40))
def test_age_does_not_grow_with_the_load(overload: float, period_ms: int) -> None:
    """However slow the detector is, what it works on is at most about one period old when it starts."""
    run_ns = round(overload * period_ms * NS_PER_MS)
    limit_ns = 3 * run_ns + 100 * NS_PER_MS
    arrivals = [regular(period_ms)] * 60
    world = World(Schedule(limit_ns, 2, 0, arrivals, [Service(0, run_ns, 0, "good")], [0], None))
    world.run()
    ages = [
        answer.published_ns - answer.info.captured_ns
        for answer in world.answers
        if answer.status is Status.FRESH and answer.published_ns is not None
    ]
    assert len(ages) >= 60 / (overload + 1) - 1
    # The very last frame waits for the detector, since no newer one comes.
    assert max(ages[:-1]) <= run_ns + 2 * period_ms * NS_PER_MS + NS_PER_MS
