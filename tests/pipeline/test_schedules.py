"""The promises of live mode under any schedule, with no thread and no waiting.

A driver steps the engine's own parts (intake, gate, publisher, estimator, ledger) in the way of `pipeline.live`, on the
hand-turned clock: one event after the other, whatever Hypothesis thinks of.
"""

from __future__ import annotations

import heapq
import itertools
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


def milliseconds(low: float, high: float) -> st.SearchStrategy[int]:
    return st.integers(round(low * NS_PER_MS), round(high * NS_PER_MS))


ARRIVALS = st.builds(
    Arrival,
    gap_ns=st.one_of(st.just(33 * NS_PER_MS), milliseconds(0, 5), milliseconds(0, 120), milliseconds(300, 900)),
    lag_ns=st.one_of(st.just(0), milliseconds(0, 30)),
    reorder=st.sampled_from([False] * 5 + [True]),
    broken=st.sampled_from([False] * 7 + [True]),
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
)


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
        self._alarm_ns: int | None = None
        self._over = False

    # Events

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
        when_ns, stamps = start_ns, list(range(len(self.schedule.arrivals)))
        for place, arrival in enumerate(self.schedule.arrivals):
            # One B-frame between two others: presented before its predecessor, never before its own decoding.
            if arrival.reorder and place and stamps[place - 1] == place - 1:
                stamps[place - 1], stamps[place] = stamps[place], stamps[place - 1]
        has_reorder = stamps != sorted(stamps)
        for place, arrival in enumerate(self.schedule.arrivals):
            when_ns += arrival.gap_ns
            pts_ns = (stamps[place] + 1) * 33 * NS_PER_MS
            dts_ns = place * 33 * NS_PER_MS if has_reorder else None
            sample = Sample(place, pts_ns, dts_ns, when_ns - arrival.lag_ns, CaptureClock.PTS)
            self.at(when_ns, lambda sample=sample, arrival=arrival: self._arrive(sample, arrival))
        self.at(when_ns, self._source_ended)

    def _arrive(self, sample: Sample, arrival: Arrival) -> None:
        ticket = self.intake.take(sample, self.clock.now_ns())
        self._decoder_free_ns = max(self._decoder_free_ns, self.clock.now_ns()) + arrival.decode_ns
        self.at(self._decoder_free_ns, lambda: self._decode(sample, arrival, ticket))

    def _decode(self, sample: Sample, arrival: Arrival, ticket: int) -> None:
        """Keep pictures back until no earlier one can come, as codecs do."""
        assert sample.pts_ns is not None
        if not arrival.broken:
            heapq.heappush(self._inside, (sample.pts_ns, ticket))
        bound_ns = sample.pts_ns if sample.dts_ns is None else sample.dts_ns
        while self._inside and self._inside[0][0] <= bound_ns:
            self._emerge(heapq.heappop(self._inside)[1])

    def _emerge(self, ticket: int) -> None:
        emerged = self.intake.emerged(ticket)
        for lost in emerged.lost:
            self.publisher.undecodable(lost.frame_id)
        if emerged.info is not None:
            self.publisher.decoded(emerged.info.frame_id, size=(64, 48), picture=None)
            self.gate.offer(Envelope(emerged.info, "picture"))

    def _source_ended(self) -> None:
        self.at(self._decoder_free_ns, self._pictures_ended)

    def _pictures_ended(self) -> None:
        while self._inside:
            self._emerge(heapq.heappop(self._inside)[1])
        for lost in self.intake.rest():
            self.publisher.undecodable(lost.frame_id)
        self.gate.end()
        self.publisher.drain()

    def _register(self, registered: Registered) -> None:
        self.publisher.register(registered.info, registered.clock)

    def _warmed(self) -> None:
        self.publisher.warmed()
        self.gate.warmed()

    def _stop(self) -> None:
        self.gate.close()
        self._over = True

    # The gate's reader and the stages

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

    # The publisher's timer

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
    assert [answer.info.pts_s for answer in world.answers] == sorted(answer.info.pts_s for answer in world.answers)
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
    reorders = any(arrival.reorder for arrival in schedule.arrivals)
    lags = max(arrival.lag_ns for arrival in schedule.arrivals)
    if not reorders and lags < schedule.limit_ns:
        assert books.fates[Fate.MISSED] == 0


@settings(max_examples=300, deadline=None)
@given(period_ms=st.integers(10, 60), run_ms=st.floats(0.5, 0.85), limit=st.sampled_from([100, 200]))
def test_a_detector_that_is_fast_enough_gives_fresh_answers_only(period_ms: int, run_ms: float, limit: int) -> None:
    """With regular frames and a detector within the period, every frame is fresh."""
    arrivals = [Arrival(period_ms * NS_PER_MS, 0, False, False, NS_PER_MS)] * 30
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
    arrivals = [Arrival(period_ms * NS_PER_MS, 0, False, False, 0)] * 60
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
