"""One execution of a plan: opens it, owns every thread, stops it within a stated time, and reports.

Stopping, in this order (2 s at the most, whatever is stuck):
1. The stop flag is set; capture ends after its present read.
2. Gate, links and publisher are closed; every thread that waits wakes up.
3. Threads get WORK_STOP_NS to finish what they are in; one that does not is left behind and named.
4. Frames still inside are settled as abandoned.
5. Sinks, and the record of the timings, write what is queued for them and close, within SINK_STOP_NS; then their
   queues are closed too.
6. Source, decoder and stages whose threads ended are closed, on a thread of their own, within CLOSE_NS.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Iterable

from pipeline.assembly import RunSettings, make_context, make_engine, make_timings, make_tracer
from pipeline.clock import NS_PER_MS, NS_PER_S, Clock, Flag, RealClock
from pipeline.controls import Controls
from pipeline.delivery import Delivery
from pipeline.errors import LinkClosed, StageFailed
from pipeline.feed import Feed
from pipeline.frame import Answer, Heartbeat, Mode
from pipeline.graph import Plan
from pipeline.ledger import Ledger
from pipeline.logs import about
from pipeline.lossless import LosslessEngine
from pipeline.observe import Observer
from pipeline.observing import RunView
from pipeline.opening import OpenParts
from pipeline.report import Report
from pipeline.reporting import Reporter
from pipeline.stage import Part
from pipeline.timings import fanned
from pipeline.worker import Worker

log = logging.getLogger("framepace.run")

WORK_STOP_NS = 900 * NS_PER_MS
SINK_STOP_NS = 500 * NS_PER_MS
CLOSE_NS = 250 * NS_PER_MS
_POLL_NS = 20 * NS_PER_MS
_TICK_NS = NS_PER_S // 4


class Run:
    """One execution of a plan. Use: `start()`, then `wait()` until it is over, then `finish()`.

    Args:
        plan: a checked graph whose parts are not open.
        settings: the rest.
        clock: real, or turned by hand.
        on_answer: called with every answer before the sinks get it, one at a time; must not wait. An answer that no
            sink could have in time after all is counted as missed, and was told all the same.
    """

    def __init__(
        self,
        plan: Plan,
        settings: RunSettings,
        *,
        clock: Clock | None = None,
        on_answer: Callable[[Answer], None] | None = None,
    ) -> None:
        self._plan = plan
        self._settings = settings
        self._clock = clock or RealClock()
        self._on_answer = on_answer
        self._ledger = Ledger()
        self._stopping = Flag(self._clock)
        timings = make_timings(plan, settings, self._clock)
        self._tracer = make_tracer(plan, settings, self._clock)
        watching = self._tracer if settings.trace_on_miss is not None else None
        self._recorders = [recorder for recorder in (timings, watching) if recorder is not None]  # with a thread each
        self._deliveries = [
            Delivery(name, sink, mode=settings.mode, clock=self._clock, timings=self._tracer)
            for name, sink in plan.sinks
        ]
        self._engine = make_engine(
            plan,
            settings,
            clock=self._clock,
            ledger=self._ledger,
            hand_over=self._hand_over,
            hand_beat=self._hand_beat,
            timings=fanned(timings, self._tracer),
        )
        self._controls = Controls(plan, self._engine, self._clock)
        context = make_context(settings, self._clock)
        self._feed = Feed(
            source=plan.source,
            context=context,
            intake=self._engine.intake,
            clock=self._clock,
            stopping=self._stopping,
            deliver=self._engine.deliver,
            away=self._engine.source_away,
            backoff=settings.backoff,
        )
        self._parts = OpenParts(
            plan,
            context,
            retry=settings.backoff if settings.retry_start else None,
            stopping=self._stopping,
            start_thread=self._thread,
        )
        self._workers: dict[threading.Thread, tuple[Part, ...]] = {}  # what each thread uses
        self._sink_threads: list[threading.Thread] = []  # each closes its sink
        self._recorder_threads: list[threading.Thread] = []
        self._failure: BaseException | None = None
        self._failure_lock = threading.Lock()  # the first failure wins
        self._stuck: list[str] = []
        self._reporter = Reporter(
            plan,
            stream_id=settings.stream_id,
            controls=self._controls,
            clock=self._clock,
            ledger=self._ledger,
            engine=self._engine,
            feed=self._feed,
            deliveries=self._deliveries,
            tracer=self._tracer,
        )
        self._started = False
        self._final: Report | None = None

    # Life cycle

    def start(self, *, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Open stages, source and sinks, and start every thread; once only.

        Args:
            cancelled: asked while the source is waited for; when it says yes, the run is over before it began.

        Raises:
            OpenError: of the first part that could not be opened; whatever was opened is closed again.
            RuntimeError: it was started before.
        """
        if self._started:
            raise RuntimeError("a run can be started once; make another one")
        self._started = True
        self._reporter.started()
        try:
            for recorder in self._recorders:
                recorder.open()
                self._recorder_threads.append(self._thread(recorder.name, recorder.run))
            self._attach_observers()
            opener = self._parts.open_all(cancelled)
        except BaseException:
            self._stopping.set()  # also a source that is still waited for
            self._parts.close()
            for recorder in self._recorders:
                recorder.close()
            raise
        if self._stopping.is_set:
            self._workers[opener] = ()
            return
        self._reporter.ready()
        for delivery in self._deliveries:
            self._sink_threads.append(self._thread(delivery.name, delivery.run))
        capture = Worker("capture", self._capture, (self._plan.source,))
        for worker in [*self._engine.workers(), capture]:
            thread = self._thread(worker.name, functools.partial(self._guarded, worker))
            self._workers[thread] = worker.parts

    def stop(self) -> None:
        """Ask the run to end; returns at once, may be called from any thread and from a signal handler's thread."""
        self._stopping.set()

    def wait(self, timeout_ns: int) -> bool:
        """Wait until the run is over (all answered, failed, unheard, or stop was asked), or the time is up."""
        end_ns = self._clock.now_ns() + timeout_ns
        while True:
            if self._stopping.is_set or self._is_over() or self._is_unheard():
                return True
            rest_ns = end_ns - self._clock.now_ns()
            if rest_ns <= 0:
                return False
            self._stopping.wait(min(_POLL_NS, rest_ns))

    def _is_over(self) -> bool:
        """Whether everything was answered; in lossless mode, also written."""
        if self._alive(self._workers):
            return False
        if self._settings.mode is Mode.LIVE:
            return True
        self._end_deliveries()
        return not self._alive(self._sink_threads)

    def _is_unheard(self) -> bool:
        """Whether there were sinks and all of them have failed: nobody gets an answer any more."""
        if not self._deliveries or any(delivery.failure is None for delivery in self._deliveries):
            return False
        log.error("no sink is left; the run ends", extra=about("no_sink_left"))
        return True

    def finish(self) -> Report:
        """Stop what still runs, as the module's list says, and return the final report; idempotent.

        The failure that ended the run early, if one did, is in `failure`.
        """
        if self._final is None:
            self._shut_down()
            self._final = self.report()
        return self._final

    def join(self) -> Report:
        """Wait for the end, however long it takes, and finish.

        Raises:
            Exception: the first that ended the run early.
        """
        while not self.wait(_TICK_NS):
            pass
        report = self.finish()
        if self._failure is not None:
            raise self._failure
        return report

    @property
    def failure(self) -> BaseException | None:
        """The first error that a thread raised, or in lossless mode that a stage raised on a frame."""
        return self._failure or self._stage_failure()

    @property
    def stuck(self) -> tuple[str, ...]:
        """Names of threads that had to be left behind."""
        return tuple(self._stuck)

    # Opening

    def _attach_observers(self) -> None:
        view = RunView(
            self._engine,
            controls=self._controls,
            configuration=self._settings.configuration,
            report=self.report,
            stop=self.stop,
            trace=None if self._tracer is None else self._tracer.trace,
        )
        for _, sink in self._plan.sinks:
            if isinstance(sink, Observer):
                sink.attach(view)

    # Running

    def _thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=work, name=f"framepace {name}", daemon=True)
        thread.start()
        return thread

    def _guarded(self, worker: Worker) -> None:
        """Run a thread's work; what it raises is kept, ends the run, and comes out of join()."""
        try:
            worker.work()
        except BaseException as error:
            self._keep(error)
            log.debug("thread %s failed", worker.name, exc_info=True)
            self.stop()

    def _keep(self, error: BaseException) -> None:
        with self._failure_lock:
            if self._failure is None and not self._stopping.is_set:
                self._failure = error

    def _capture(self) -> None:
        """Capture until the end. A source that raises has ended too: what it gave before is still answered."""
        try:
            self._feed.run()
        except LinkClosed:
            return
        except Exception as error:  # of the source; it comes out of join()
            self._keep(error)
        if not self._stopping.is_set:
            self._engine.source_ended()

    def _hand_over(self, answer: Answer) -> int | None:
        """Give an answer to all sinks; return when the last one had it, None when it was too late for all of them.

        A sink for which it was too late, while another one has it, has skipped it. Sinks that failed do not count.
        """
        if self._on_answer is not None:
            self._on_answer(answer)
        working = [delivery for delivery in self._deliveries if delivery.failure is None]
        offered = {delivery: delivery.offer(answer) for delivery in working}  # live: drops the oldest, waits for nobody
        given = [given_ns for given_ns in offered.values() if given_ns is not None]
        if working and not given:
            return None
        for delivery in self._deliveries:
            if offered.get(delivery) is None:
                delivery.skip(answer)
        self._reporter.answered()
        return max(given, default=self._clock.now_ns())

    def _hand_beat(self, heartbeat: Heartbeat) -> None:
        for delivery in self._deliveries:
            delivery.offer(heartbeat)

    # Stopping

    def _shut_down(self) -> None:
        self._stopping.set()
        self._plan.source.interrupt()
        self._engine.close()
        busy = self._join(self._workers, WORK_STOP_NS // 2)
        if busy and self._settings.mode is Mode.LOSSLESS:
            for delivery in self._deliveries:  # the publisher may wait for a sink that does not go on
                delivery.give_way()
        busy = self._join(self._workers, WORK_STOP_NS // 2)
        self._engine.intake.flush()  # what was read and had no id yet was captured, too
        self._ledger.abandon_open()
        self._end_deliveries()
        for recorder in self._recorders:
            recorder.close()
        writers = [*self._sink_threads, *self._recorder_threads]
        self._join(writers, SINK_STOP_NS)
        for delivery in self._deliveries:
            delivery.close()
        busy += self._join(writers, CLOSE_NS)
        in_use = [part for thread in busy for part in self._workers.get(thread, ())]
        if self._sink_threads:  # they close their sinks themselves
            in_use += [sink for _, sink in self._plan.sinks]
        closer = self._thread("close", functools.partial(self._parts.close, except_for=in_use))
        busy += self._join([closer], CLOSE_NS)
        self._stuck = [thread.name for thread in busy]

    def _end_deliveries(self) -> None:
        for delivery in self._deliveries:
            delivery.link.end()

    def _join(self, threads: Iterable[threading.Thread], timeout_ns: int) -> list[threading.Thread]:
        """Wait for threads within a shared bound; return those still alive."""
        end_ns = self._clock.now_ns() + timeout_ns
        threads = list(threads)
        for thread in threads:
            thread.join(max(0.0, (end_ns - self._clock.now_ns()) / NS_PER_S))
        return self._alive(threads)

    @staticmethod
    def _alive(threads: Iterable[threading.Thread]) -> list[threading.Thread]:
        return [thread for thread in threads if thread.is_alive()]

    # Reporting

    def _stage_failure(self) -> StageFailed | None:
        return self._engine.first_failure if isinstance(self._engine, LosslessEngine) else None

    def report(self) -> Report:
        """Return the report so far; final after finish()."""
        return self._final or self._reporter.report(stuck=self._stuck, failure=self.failure)

    def trace(self) -> bytes | None:
        """Return the trace of the last seconds, Chrome JSON; None when the run is not traced."""
        return None if self._tracer is None else self._tracer.trace(over=self._final is not None)
