"""Live runs on simulated time: one event after the other, on the engine's own policy code.

What is simulated are the camera, the decoder, the run times of the stages and how late threads run that are woken.
Admission, estimator, publisher and ledger are those of a live run. That work on one thread slows another down is not
simulated, except as far as the run times that are given say so.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from pipeline.clock import NS_PER_MS, NS_PER_S, Clock
from pipeline.errors import LinkEnded
from pipeline.estimator import Estimator
from pipeline.frame import Answer, CaptureClock, Envelope, FrameInfo, Reason
from pipeline.histogram import Histogram
from pipeline.ledger import Books, Ledger
from pipeline.limits import Limits
from pipeline.publisher import Publisher
from pipeline.simulation.arrivals import Arrival
from pipeline.simulation.policies import Head, Setting
from pipeline.simulation.services import Service, Services
from pipeline.timings import Event

HORIZON_NS = 500 * NS_PER_MS
"""How far tracks are moved: the tracker's default."""
_STREAM = "simulated"


class SimulatedClock(Clock):
    """Stands still while something happens."""

    def __init__(self) -> None:
        self.current_ns = 0

    def now_ns(self) -> int:
        return self.current_ns

    def wait(self, condition: threading.Condition, timeout_ns: int) -> bool:
        return False  # nothing waits here: events come one after the other


@dataclass(frozen=True, slots=True)
class Shape:
    """The settings of a run that decisions depend on."""

    limit_ns: int
    credit_limit: int
    stages: tuple[str, ...]
    detector: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a simulated run."""

    books: Books
    age_fresh: Histogram
    age_all: Histogram
    age_results: Histogram
    """From capture to the end of the last stage, of every frame that was measured, in time or not."""
    age_basis: Histogram
    """From the capture of the frame that an answer rests on to its publishing."""
    busy_ns: int
    """The detector's run times, all together."""
    simulated_ns: int


@dataclass(frozen=True, slots=True)
class _Measured:
    """A forecaster that knows nothing but when it was measured."""

    measured_ns: int

    def forecast(self, at_ns: int) -> object | None:
        return self.measured_ns if at_ns - self.measured_ns <= HORIZON_NS else None


class World:
    """One simulated run.

    Args:
        shape: deadline, credits and stages.
        arrivals: when pictures come, in order.
        services: how long the stages take.
        make_head: what stands in front of the detector.
        lateness: how late the thread runs that asks for pictures, after an event; how late the publisher's runs, after
            its alarm, both in ns.
        warmed_ns: when the stages are ready.
        ended_ns: when the engine learns that nothing more comes; as soon as the last picture is there, if absent.
        ledger: keeps the books.
        estimator: predicts the stages.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        arrivals: Iterator[Arrival],
        services: Services,
        make_head: Callable[[Setting], Head],
        lateness: Callable[[], int] = lambda: 0,
        warmed_ns: int = 0,
        ended_ns: int | None = None,
        ledger: Ledger | None = None,
        estimator: Estimator | None = None,
    ) -> None:
        self.shape = shape
        self._arrivals = arrivals
        self._services = services
        self._lateness = lateness
        self._warmed_ns = warmed_ns
        self._ended_ns = ended_ns
        self._limits = Limits(shape.limit_ns)
        self.clock = SimulatedClock()
        self._ledger = ledger or Ledger()
        self.estimator = estimator or Estimator()
        self.publisher = Publisher(
            limit_ns=shape.limit_ns, clock=self.clock, ledger=self._ledger, hand_over=self._handed_over
        )
        self.head = make_head(
            Setting(
                clock=self.clock,
                estimator=self.estimator,
                stages=shape.stages,
                detector=shape.detector,
                credit_limit=shape.credit_limit,
                margin_ns=lambda: self.publisher.margin_ns,
                refuse=self.publisher.refuse,
            )
        )
        self._future: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._frame_ids = itertools.count()
        self._free_ns = [0] * len(shape.stages)  # when each stage is through with what it has
        self._last_ready_ns = 0
        self._is_taking = True  # the first stage's thread waits for a picture
        self._asks = itertools.count(1)
        self._next_ask = (0, 1 << 62)  # number and time; what has another number is out of date
        self._alarm_ns = 1 << 62
        self._age_results = Histogram()
        self._age_basis = Histogram()
        self._busy_ns = 0

    def run(self) -> Outcome:
        """Let everything happen, and return what became of it."""
        self._arrive_next()
        self.at(self._warmed_ns, self._warmed)
        start_ns = self._future[0][0]
        while self._future:
            when_ns, _, happen = heapq.heappop(self._future)
            self.clock.current_ns = max(self.clock.current_ns, when_ns)
            happen()
        self._ledger.abandon_open()
        return Outcome(
            books=self._ledger.books(),
            age_fresh=self.publisher.age_fresh,
            age_all=self.publisher.age_all,
            age_results=self._age_results,
            age_basis=self._age_basis,
            busy_ns=self._busy_ns,
            simulated_ns=self.clock.current_ns - start_ns,
        )

    def at(self, when_ns: int, happen: Callable[[], None]) -> None:
        """Let something happen at a time."""
        heapq.heappush(self._future, (when_ns, next(self._order), happen))

    def change_limit(self, limit_ns: int) -> None:
        """Give frames another deadline that are captured from now on."""
        self._limits.change(limit_ns, self.clock.current_ns)
        self.publisher.change_limit(limit_ns)

    # What a replay does in its own way

    def hand_over(self, answer: Answer) -> int | None:
        """Take an answer; return when that was, None when it was not in time any more."""
        return self.clock.current_ns

    def wake_lateness_ns(self, alarm_ns: int) -> int:
        """Return how long after an alarm the publisher's thread runs."""
        return self._lateness()

    def look(self) -> None:
        """Wake the first stage's thread, since something changed for it."""
        if self._is_taking:
            self._ask_at(self.clock.current_ns + self._lateness())

    def look_on(self) -> None:
        """Let the first stage's thread, which is awake, look into the mailbox."""
        self.ask()

    def look_again(self, wake_ns: int) -> None:
        """Let the first stage's thread look into the mailbox when the policy asked for it."""
        self._ask_at(max(wake_ns, self.clock.current_ns) + self._lateness())

    # Camera and decoder

    def _arrive_next(self) -> None:
        arrival = next(self._arrivals, None)
        if arrival is None:
            self.at(max(self._last_ready_ns, self.clock.current_ns, self._ended_ns or 0), self._source_ended)
        else:
            self.at(arrival.registered_ns, partial(self._arrive, arrival))

    def _arrive(self, arrival: Arrival) -> None:
        captured_ns = arrival.captured_ns
        info = FrameInfo(
            _STREAM,
            next(self._frame_ids),
            captured_ns / NS_PER_S,
            captured_ns,
            captured_ns + self._limits.of(captured_ns),
        )
        self.publisher.register(info, CaptureClock.PTS)
        if arrival.ready_ns is not None:
            self._last_ready_ns = max(self._last_ready_ns, arrival.ready_ns)
            self.at(arrival.ready_ns, partial(self._ready, Envelope(info, None)))
        elif arrival.lost is not None:
            self.at(arrival.lost_ns, partial(self._lost, info.frame_id, arrival.lost))
        self._set_alarm()
        self._arrive_next()

    def _ready(self, envelope: Envelope) -> None:
        self.head.offer(envelope)
        self.look()

    def _lost(self, frame_id: int, event: Event) -> None:
        if event is Event.SHED:
            self.publisher.refuse(frame_id, Reason.SHED)
        else:
            self.publisher.undecodable(frame_id)

    def _source_ended(self) -> None:
        self.head.end()
        self.publisher.drain()
        self.look()

    def _warmed(self) -> None:
        self.publisher.warmed()
        self.head.warmed()
        self.look()

    # The stages' threads

    def _ask_at(self, when_ns: int) -> None:
        if when_ns < self._next_ask[1]:
            self._next_ask = (next(self._asks), when_ns)
            self.at(when_ns, partial(self._ask, self._next_ask[0]))

    def _ask(self, number: int) -> None:
        if number == self._next_ask[0]:
            self._next_ask = (0, 1 << 62)
            self.ask()

    def ask(self) -> None:
        """Let the first stage's thread ask for a picture, if it has nothing else to do."""
        if not self._is_taking:
            return
        try:
            envelope, wake_ns = self.head.try_take()
        except LinkEnded:
            self._is_taking = False
            return
        if envelope is not None:
            self._is_taking = False
            self.publisher.admitted(envelope.info.frame_id)
            self._begin(envelope.info, self._services.of(envelope.info.frame_id), 0)
        elif wake_ns is not None:
            self.look_again(wake_ns)

    def _begin(self, info: FrameInfo, service: Service, place: int) -> None:
        start_ns = max(self.clock.current_ns + service.gaps_ns[place], self._free_ns[place])
        self._free_ns[place] = start_ns + service.runs_ns[place]
        if self.shape.stages[place] == self.shape.detector:
            self.at(start_ns, self.head.detector_started)
        self.at(self._free_ns[place], partial(self._end, info, service, place))

    def _end(self, info: FrameInfo, service: Service, place: int) -> None:
        name, run_ns = self.shape.stages[place], service.runs_ns[place]
        self.estimator.observe(name, run_ns)
        if name == self.shape.detector:
            self._busy_ns += run_ns
            self.head.detector_finished(info.frame_id)
        if place + 1 < len(service.runs_ns):
            self._begin(info, service, place + 1)
        else:
            self.at(self.clock.current_ns + service.gaps_ns[-1], partial(self._leave, info, service.outcome))
        if place == 0:
            self._is_taking = True
            self.look_on()
        else:
            self.look()

    def _leave(self, info: FrameInfo, outcome: Event) -> None:
        if outcome is Event.MEASURED:
            self._age_results.add(self.clock.current_ns - info.captured_ns)
            self.publisher.measured(info, _Measured(info.captured_ns))
        else:
            self.publisher.refuse(info.frame_id, Reason.FAILED if outcome is Event.FAILED else Reason.SHED)
            self.head.release(info.frame_id)
            self.look()

    # The publisher's thread

    def _handed_over(self, answer: Answer) -> int | None:
        if isinstance(answer.payload, int) and answer.published_ns is not None:
            self._age_basis.add(answer.published_ns - answer.payload)
        return self.hand_over(answer)

    def _set_alarm(self) -> None:
        """Wake the publisher's thread for the head of the line, if that is earlier than it meant to wake up."""
        due_ns = self.publisher.alarm_due_ns()
        if due_ns is not None and due_ns < self._alarm_ns:
            self._alarm_ns = due_ns
            self.at(max(due_ns, self.clock.current_ns) + self.wake_lateness_ns(due_ns), partial(self._wake, due_ns))

    def _wake(self, alarm_ns: int) -> None:
        if alarm_ns != self._alarm_ns:
            return
        self._alarm_ns = 1 << 62
        self.publisher.woken(alarm_ns)
        self.publisher.publish_due()
        self._set_alarm()
