"""The promises of live mode under any schedule, with no thread and no waiting.

A driver steps the engine's own parts (intake, gate, publisher, estimator, ledger) in the way of `pipeline.live`, on the
hand-turned clock: one event after the other, whatever Hypothesis thinks of. The loops that wait are the engine's own
too: a wait ends the step, and the loop is entered again when the time is up or it was notified.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hypothesis import event, given, settings
from hypothesis import strategies as st

from pipeline.clock import NS_PER_MS, NS_PER_S
from pipeline.errors import LinkClosed, LinkEnded
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
class Turn:
    """Somebody turns a knob."""

    after_ns: int
    """Time since the turn before."""
    what: int | str
    """`pause`, `resume`, or another deadline in ns."""


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
    turns: list[Turn] = field(default_factory=list)


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
LIMITS_NS = st.sampled_from([20 * NS_PER_MS, 50 * NS_PER_MS, 100 * NS_PER_MS, 400 * NS_PER_MS])
TURNS = st.builds(
    Turn,
    after_ns=st.one_of(milliseconds(0, 5), milliseconds(0, 400)),
    what=st.one_of(st.sampled_from(["pause", "resume"]), LIMITS_NS),
)
SCHEDULES = st.builds(
    Schedule,
    limit_ns=LIMITS_NS,
    credits=st.integers(1, 4),
    warm_after_ns=st.one_of(st.just(0), milliseconds(0, 300)),
    arrivals=st.lists(ARRIVALS, min_size=1, max_size=30),
    services=st.lists(SERVICES, min_size=1, max_size=8),
    lateness_ns=st.one_of(
        st.just([0]), st.lists(milliseconds(0, 3), min_size=1), st.lists(milliseconds(0, 80), min_size=1)
    ),
    stop_after_ns=st.one_of(st.none(), st.none(), milliseconds(0, 1500)),
    has_stamps=st.sampled_from([True] * 5 + [False]),
    turns=st.one_of(st.just([]), st.lists(TURNS, max_size=6)),
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
        if arrival.stamp == "same" and place - 1 != swapped:
            numbers[place] = numbers[place - 1]
        elif arrival.reorder and place - 1 != swapped and arrivals[place - 1].stamp != "same":
            numbers[place - 1], numbers[place] = numbers[place], numbers[place - 1]
            swapped = place
    return [
        ((number + 1) * PERIOD_NS, decode_time * PERIOD_NS if swapped >= 0 else None)
        for number, decode_time in zip(numbers, decode_times, strict=True)
    ]


class Slept(BaseException):
    """A loop came to its wait."""

    def __init__(self, timeout_ns: int) -> None:
        super().__init__(timeout_ns)
        self.timeout_ns = timeout_ns


class StepClock(ManualClock):
    """Ends a step where a thread would wait."""

    def wait(self, condition: threading.Condition, timeout_ns: int) -> bool:
        if timeout_ns <= 0:
            return False
        raise Slept(timeout_ns)


class Bell(threading.Condition):
    """Remembers that it was notified."""

    rung = False

    def notify(self, n: int = 1) -> None:
        super().notify(n)
        self.rung = True

    def answer(self) -> bool:
        """Return whether it was notified since the last time."""
        rung, self.rung = self.rung, False
        return rung


class PerFrameLedger(Ledger):
    """Remembers each frame's fate."""

    def __init__(self) -> None:
        super().__init__()
        self.fates: dict[int, Fate] = {}

    def settle(self, frame_id: int, fate: Fate, reason: Reason | None = None, *, late: bool = False) -> None:
        super().settle(frame_id, fate, reason, late=late)
        self.fates[frame_id] = fate


@dataclass
class World:
    """The engine's parts, the future, and what was published."""

    schedule: Schedule
    clock: StepClock = field(default_factory=lambda: StepClock(NS_PER_S))
    answers: list[Answer] = field(default_factory=list)
    idle_with_work: int = 0
    """How often the detector was free and a picture there, and it was not for the sake of the next one."""
    registered: dict[int, tuple[FrameInfo, int]] = field(default_factory=dict)
    """Each frame, and when it was registered."""
    outcomes: dict[int, str] = field(default_factory=dict)
    """What the stages made of each frame that came out of them."""
    sleeps: list[tuple[int, int]] = field(default_factory=list)
    """When the publisher's thread should have run, and when it did."""
    least_margin_ns: int = NS_PER_S
    warm_ns: int | None = None
    admitted_ns: dict[int, int] = field(default_factory=dict)
    admitted_while_paused: int = 0
    limits: list[tuple[int, int]] = field(default_factory=list)
    """Since when which limit holds."""
    pauses: list[tuple[int, bool]] = field(default_factory=list)
    """Since when it is paused, or not."""

    def __post_init__(self) -> None:
        schedule = self.schedule
        self.ledger = PerFrameLedger()
        self.estimator = Estimator()
        self.publisher = Publisher(
            limit_ns=schedule.limit_ns, clock=self.clock, ledger=self.ledger, hand_over=self.take
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
        self.publisher._changed = self._line_changed = Bell()
        self.gate._changed = self._gate_changed = Bell()
        self._future: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._services = itertools.cycle(schedule.services)
        self._lateness = itertools.cycle(schedule.lateness_ns)
        self._detector_free_ns = self._last_stage_free_ns = 0
        self._decoder_free_ns = 0
        self._inside: list[tuple[int, int]] = []
        self._decoding = self.generation = 0
        self.generations: list[int] = []  # of each frame
        self._naps = itertools.count()
        self._taker_nap: int | None = None  # None: awake, busy or over
        self._publisher_nap: int | None = None
        self.answers_at_stop: int | None = None
        self.limits.append((0, schedule.limit_ns))
        self.pauses.append((0, False))

    def take(self, answer: Answer) -> int:
        """As the sinks do."""
        self.answers.append(answer)
        return self.clock.now_ns()

    def at(self, when_ns: int, work: Callable[[], None]) -> None:
        heapq.heappush(self._future, (max(when_ns, self.clock.now_ns()), next(self._order), work))

    def run(self) -> None:
        start_ns = self.clock.now_ns()
        self.at(start_ns, self._publish)
        self.at(start_ns, self._take)
        self.at(start_ns + self.schedule.warm_after_ns, self._warmed)
        self._plan_arrivals(start_ns)
        self._plan_turns(start_ns)
        if self.schedule.stop_after_ns is not None:
            self.at(start_ns + self.schedule.stop_after_ns, self._stop)
        while self._future:
            when_ns, _, work = heapq.heappop(self._future)
            self.clock.advance(when_ns - self.clock.now_ns())
            try:
                work()
                self._hear()
            except LinkClosed:
                assert self.answers_at_stop is not None

    def _plan_arrivals(self, start_ns: int) -> None:
        when_ns = start_ns
        for arrival, (pts_ns, dts_ns) in zip(self.schedule.arrivals, stamped(self.schedule), strict=True):
            when_ns += arrival.gap_ns
            sample = Sample(b"", pts_ns, dts_ns, when_ns - arrival.lag_ns, CaptureClock.PTS)
            self.at(when_ns, functools.partial(self._arrive, sample, arrival))
        self.at(when_ns, self._source_ended)

    def _plan_turns(self, start_ns: int) -> None:
        when_ns = start_ns
        for turn in self.schedule.turns:
            when_ns += turn.after_ns
            self.at(when_ns, functools.partial(self._turn, turn.what))

    def _turn(self, what: int | str) -> None:
        now_ns = self.clock.now_ns()
        if isinstance(what, int):
            self.publisher.change_limit(what)
            self.intake.change_limit(what, now_ns)
            self.limits.append((now_ns, what))
            return
        self.pauses.append((now_ns, what == "pause"))
        if what == "pause":
            self.gate.pause()
            self.publisher.pause()
        else:
            self.publisher.resume()
            self.gate.resume()

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
        self.registered[registered.info.frame_id] = (registered.info, self.clock.now_ns())
        self.publisher.register(registered.info, registered.clock)
        if registered.withdrawn:
            self.publisher.refuse(registered.info.frame_id, Reason.SHED)

    def _warmed(self) -> None:
        self.warm_ns = self.clock.now_ns()
        self.publisher.warmed()
        self.gate.warmed()

    def _stop(self) -> None:
        """Stop as the run does; threads that are left behind still finish what they are in."""
        self.gate.close()
        self.publisher.stop()
        self.ledger.abandon_open()
        self.answers_at_stop = len(self.answers)

    def _hear(self) -> None:
        """Wake the loops that were notified."""
        if self._gate_changed.answer() and self._taker_nap is not None:
            self._take()
        if self._line_changed.answer() and self._publisher_nap is not None:
            self._wake_publisher(timed=False)
        gate = self.gate
        if self._taker_nap is not None and gate._newest is not None and gate._warm and not gate._in_flight:
            self.idle_with_work += not gate._newest_would_miss and not gate.paused

    def _take(self) -> None:
        """Let the first stage's thread ask for the next picture."""
        self._taker_nap = None
        try:
            envelope, _ = self.gate.wait_take()
        except Slept as slept:
            self._taker_nap = next(self._naps)
            if self._future:  # else nothing will ever change
                self.at(self.clock.now_ns() + slept.timeout_ns, functools.partial(self._taken_again, self._taker_nap))
        except LinkEnded:
            return
        else:
            self._admitted(envelope.info)

    def _taken_again(self, nap: int) -> None:
        if nap == self._taker_nap:
            self._take()

    def _admitted(self, info: FrameInfo) -> None:
        self.publisher.admitted(info.frame_id)
        self.admitted_ns[info.frame_id] = self.clock.now_ns()
        self.admitted_while_paused += self.gate.paused
        service = next(self._services)
        ready_ns = self.clock.now_ns() + service.pre_ns
        begin_ns = max(ready_ns, self._detector_free_ns)
        measured_ns = self._detector_free_ns = begin_ns + service.run_ns
        done_ns = self._last_stage_free_ns = max(measured_ns, self._last_stage_free_ns) + service.post_ns
        self.at(ready_ns, lambda: self.estimator.observe("pre", service.pre_ns))
        self.at(ready_ns, self._take)
        self.at(begin_ns, self.gate.detector_started)
        self.at(measured_ns, lambda: self.estimator.observe("detect", service.run_ns))
        self.at(measured_ns, lambda: self.gate.detector_finished(info.frame_id))
        self.at(done_ns, lambda: self.estimator.observe("post", service.post_ns))
        self.at(done_ns, lambda: self._finished(info, service.outcome))

    def _finished(self, info: FrameInfo, outcome: str) -> None:
        self.outcomes[info.frame_id] = outcome
        if outcome == "good":
            self.publisher.measured(info, Snapshot(info.captured_ns, info.frame_id, HORIZON_NS))
        else:
            self.publisher.refuse(info.frame_id, Reason.FAILED if outcome == "raises" else Reason.SHED)

    def _publish(self) -> None:
        """Let the publisher's thread run, until it waits."""
        try:
            self.publisher.run()
        except Slept as slept:
            self._publisher_nap = next(self._naps)
            idle = slept.timeout_ns >= NS_PER_S
            if not idle or self._future:
                wake = functools.partial(self._time_is_up, self._publisher_nap, timed=not idle)
                self.at(self.clock.now_ns() + slept.timeout_ns, wake)
        self.least_margin_ns = min(self.least_margin_ns, self.publisher.margin_ns)

    def _time_is_up(self, nap: int, *, timed: bool) -> None:
        if nap == self._publisher_nap:
            self._wake_publisher(timed=timed)

    def _wake_publisher(self, *, timed: bool) -> None:
        """The operating system takes its time to run the thread."""
        self._publisher_nap = None
        wake_ns = self.clock.now_ns()
        runs_ns = wake_ns + next(self._lateness)
        self.sleeps.append((wake_ns, runs_ns))
        if timed:
            self.at(runs_ns, lambda: self.publisher.woken(wake_ns))
        self.at(runs_ns, self._publish)


@settings(max_examples=1500, deadline=None)
@given(SCHEDULES)
def test_the_promises_hold(schedule: Schedule) -> None:
    """Books balance, order holds, nothing is late, everything that is not fresh says why."""
    world = World(schedule)
    world.run()
    books = world.ledger.books()
    assert books.balanced
    assert books.published_late == 0
    assert world.idle_with_work == 0
    if schedule.stop_after_ns is None:
        assert books.captured == len(schedule.arrivals)
        assert books.fates[Fate.ABANDONED] == 0
    else:
        assert books.captured <= len(schedule.arrivals)
        assert world.answers_at_stop == len(world.answers)
    frame_ids = [answer.info.frame_id for answer in world.answers]
    assert frame_ids == sorted(set(frame_ids))
    presented = [(world.generations[answer.info.frame_id], answer.info.pts_s) for answer in world.answers]
    assert presented == sorted(presented)
    for answer in world.answers:
        check_answer(world, answer)
    for info, _ in world.registered.values():
        assert info.due_ns - info.captured_ns in limits_at(world, info.captured_ns)
    assert world.admitted_while_paused == 0
    for frame_id, fate in world.ledger.fates.items():
        if fate is Fate.MISSED:
            check_missed(world, frame_id)
    event(f"fates {sorted(fate for fate, count in books.fates.items() if count)}")


def check_answer(world: World, answer: Answer) -> None:
    """One answer keeps what its status, its reason and its deadline promise."""
    info, outcome = answer.info, world.outcomes.get(answer.info.frame_id)
    assert answer.published_ns is not None
    assert info.due_ns is not None
    assert answer.published_ns <= info.due_ns
    assert (answer.reason is None) == (answer.status is Status.FRESH)
    if answer.reason is Reason.FAILED:
        assert outcome == "raises"
    if outcome is not None and outcome != "good":  # it may have been answered before, and then says why at that time
        assert answer.status is not Status.FRESH
    if answer.reason is Reason.PAUSED:
        assert was_paused(world, world.registered[info.frame_id][1], answer.published_ns)
        # One that still lay there when the pause was over is measured for the tracks' sake, after its answer.
        assert world.admitted_ns.get(info.frame_id, answer.published_ns) >= answer.published_ns
    if answer.reason is Reason.WARMING:
        assert world.warm_ns is None or world.registered[info.frame_id][1] <= world.warm_ns
    if answer.status is Status.BLIND:
        assert answer.payload is None
        return
    assert isinstance(answer.payload, tuple)
    measured_id, age_ns = answer.payload
    assert world.outcomes[measured_id] == "good"
    assert 0 <= age_ns <= HORIZON_NS
    if answer.status is Status.FRESH:
        assert (measured_id, age_ns) == (info.frame_id, 0)
    else:
        assert measured_id < info.frame_id
        assert age_ns == info.captured_ns - world.registered[measured_id][0].captured_ns


def limits_at(world: World, captured_ns: int) -> set[int]:
    """The limit that was in force when a frame was captured; several, if it was changed at that very moment."""
    before = [limit_ns for since_ns, limit_ns in world.limits if since_ns < captured_ns]
    return {*before[-1:], *(limit_ns for since_ns, limit_ns in world.limits if since_ns == captured_ns)}


def was_paused(world: World, since_ns: int, until_ns: int) -> bool:
    """Whether it was paused at any moment between the two."""
    ends_ns = [at_ns for at_ns, _ in world.pauses[1:]] + [until_ns]
    spans = [(at_ns, end_ns) for (at_ns, paused), end_ns in zip(world.pauses, ends_ns, strict=True) if paused]
    return any(at_ns <= until_ns and since_ns <= end_ns for at_ns, end_ns in spans)


def check_missed(world: World, frame_id: int) -> None:
    """A frame was missed because it came too late to be answered, or the publisher's thread did not run in time."""
    info, registered_ns = world.registered[frame_id]
    assert info.due_ns is not None
    if registered_ns > info.due_ns:
        return
    late_ns = [runs_ns - wake_ns for wake_ns, runs_ns in world.sleeps if wake_ns <= info.due_ns < runs_ns]
    assert late_ns
    if registered_ns <= info.due_ns - (info.due_ns - info.captured_ns) // 3:  # the margin is never more
        assert max(late_ns) > world.least_margin_ns


@settings(max_examples=500, deadline=None)
@given(SCHEDULES)
def test_nothing_is_missed_by_a_publisher_that_wakes_in_time(schedule: Schedule) -> None:
    """Without lateness every frame that was registered before its deadline has an answer or had no picture."""
    world = World(replace(schedule, lateness_ns=[0]))
    world.run()
    for frame_id, fate in world.ledger.fates.items():
        info, registered_ns = world.registered[frame_id]
        assert info.due_ns is not None
        assert fate is not Fate.MISSED or registered_ns > info.due_ns


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
