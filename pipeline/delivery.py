"""Brings answers to one sink: its own bounded queue, its own thread, its own failures."""

from __future__ import annotations

import logging
import threading

from pipeline.clock import Clock
from pipeline.errors import LinkClosed, LinkEnded
from pipeline.frame import Answer, Heartbeat, Mode
from pipeline.histogram import Histogram
from pipeline.link import Link, Policy, held_bytes
from pipeline.logs import Complaints, about
from pipeline.report import SinkReport, percentiles_ms
from pipeline.stage import Sink
from pipeline.timings import Event, Timings

log = logging.getLogger("framepace.sink")

_CAPACITY = 256
_CAPACITY_WITH_PICTURES = 32
"""Answers that a slow sink may lag behind; fewer where pictures are so large that they would fill the memory."""


def _weight(item: Answer | Heartbeat) -> int:
    return held_bytes(item.picture) if isinstance(item, Answer) else 0


class Delivery:
    """The way of the answers to one sink.

    Live: a full queue drops its oldest answer, and the reader sees the gap. Lossless: it blocks.
    A sink that raises is closed and reported; its queue is emptied from then on, so that nobody waits for it.
    """

    def __init__(self, name: str, sink: Sink, *, mode: Mode, clock: Clock, timings: Timings | None = None) -> None:
        self.name = name
        self.sink = sink
        self._clock = clock
        self._complaints = Complaints(log, clock)
        self._timings = timings or Timings()
        self.link: Link[Answer | Heartbeat] = Link(
            f"publish -> {name}",
            capacity=_CAPACITY_WITH_PICTURES if sink.wants_pictures else _CAPACITY,
            policy=Policy.DROP_OLDEST if mode is Mode.LIVE else Policy.BLOCK,
            clock=clock,
            on_drop=self.skip,
            weigh=_weight,
        )
        self._last_frame = -1
        self._lock = threading.Lock()  # guards _skipped (answers are dropped at both ends of the queue) and _waits
        self._written = 0
        self._late = 0
        self._waits = Histogram()
        self._skipped = 0
        self._failure: str | None = None
        self._details: dict[str, int] = {}

    @property
    def failure(self) -> str | None:
        """Why the sink stopped early; None if it did not."""
        return self._failure

    def offer(self, answer: Answer | Heartbeat) -> int | None:
        """Hand an answer or a heartbeat over, an answer only until its deadline; on the publisher's thread.

        A queue that was shut, because its sink would not go on while the run was being stopped, counts a skip.

        Returns:
            When it was done; None: it would have been too late. What that means for the frame is the caller's to say.
        """
        due_ns = answer.info.due_ns if isinstance(answer, Answer) else None
        try:
            return self.link.wait_put(answer, by_ns=due_ns)
        except LinkClosed:
            self.skip(answer)
            return self._clock.now_ns() if due_ns is None else min(due_ns, self._clock.now_ns())

    def skip(self, answer: Answer | Heartbeat) -> None:
        """Count an answer that the sink will never get; heartbeats are no answers."""
        with self._lock:
            self._skipped += isinstance(answer, Answer)

    def give_way(self) -> None:
        """Let nobody wait for this sink any more: a full queue takes nothing from now on."""
        if self.link.is_full:
            self.link.end()

    def close(self) -> None:
        """Shut the queue; what the sink did not get to counts as skipped."""
        for left in self.link.close():
            self.skip(left)

    def run(self) -> None:
        """Write until the link ends or is closed, then close the sink. Runs on the sink's thread."""
        try:
            self._begin()
            while True:
                answer, waited_ns = self.link.wait_get()
                if self._failure is None:
                    self._write(answer, waited_ns)
                else:
                    self.skip(answer)
        except (LinkEnded, LinkClosed):
            pass
        finally:
            self._close()

    def report(self) -> SinkReport:
        """Return the report's part."""
        with self._lock:
            waits = self._waits.copy()
        return SinkReport(
            written=self._written,
            late=self._late,
            wait_ms=percentiles_ms(waits) if waits.count else None,
            skipped=self._skipped,
            failed=self._failure,
            details=self._details if self._failure is not None else self._statistics(),
        )

    def _begin(self) -> None:
        try:
            self.sink.begin()
        except BaseException as error:  # as in _write
            self._fail(error)

    def _write(self, answer: Answer | Heartbeat, waited_ns: int) -> None:
        try:
            if isinstance(answer, Heartbeat):
                self.sink.beat(answer)
                return
            frame_id = answer.info.frame_id
            start_ns = self._clock.now_ns()
            self.sink.write(answer, gap=frame_id - self._last_frame - 1)
            self._timings.note(Event.WRITTEN, start_ns, frame_id, self.name, self._clock.now_ns() - start_ns)
        except BaseException as error:  # a sink may fail in any way, sys.exit too, and must not take others along
            self.skip(answer)
            self._fail(error)
            return
        self._last_frame = frame_id
        self._written += 1
        due_ns = answer.info.due_ns
        if due_ns is not None:
            self._late += start_ns > due_ns
            with self._lock:
                self._waits.add(waited_ns)

    def _fail(self, error: BaseException) -> None:
        text = str(error)
        self._failure = text if text and isinstance(error, OSError) else f"{type(error).__name__}: {text}"
        self._details = self._statistics()
        text = f"{self.name} failed and is closed; the run goes on: {self._failure}"
        log.error(text, extra=about("sink_failed", sink=self.name))
        self._close()

    def _close(self) -> None:
        try:
            self.sink.close()
        except BaseException as error:  # closing a broken sink may fail again; the first failure counts
            if self._failure is None:
                self._failure = f"could not be closed: {error}"
                log.error("%s could not be closed: %s", self.name, error)

    def _statistics(self) -> dict[str, int]:
        try:
            return self.sink.statistics()
        except Exception as error:  # counters must not end the delivery, nor the making of a report
            self._complaints.warn("", f"{self.name} has no statistics: {error}", event="sink_silent", sink=self.name)
            return {}
