"""Brings answers to one sink: its own bounded queue, its own thread, its own failures."""

from __future__ import annotations

import logging

from pipeline.clock import Clock
from pipeline.errors import LinkClosed, LinkEnded
from pipeline.frame import Answer, Mode
from pipeline.link import Link, Policy
from pipeline.report import SinkReport
from pipeline.stage import Sink

log = logging.getLogger("framepace.sink")

_CAPACITY = 256
_CAPACITY_WITH_PICTURES = 32
"""Answers that a slow sink may lag behind; with a picture each is some megabytes."""


class Delivery:
    """The way of the answers to one sink.

    Live: a full queue drops its oldest answer, and the reader sees the gap. Lossless: it blocks.
    A sink that raises is closed and reported; its queue is emptied from then on, so that nobody waits for it.
    """

    def __init__(self, name: str, sink: Sink, *, mode: Mode, clock: Clock) -> None:
        self.name = name
        self.sink = sink
        self._capacity = _CAPACITY_WITH_PICTURES if sink.wants_pictures else _CAPACITY
        self.link: Link[Answer] = Link(
            f"publish -> {name}",
            capacity=self._capacity,
            policy=Policy.DROP_OLDEST if mode is Mode.LIVE else Policy.BLOCK,
            clock=clock,
        )
        self._last_frame = -1
        self._written = 0
        self._skipped_after_failure = 0
        self._skipped_after_end = 0
        self._failure: str | None = None
        self._details: dict[str, int] = {}

    @property
    def failure(self) -> str | None:
        """Why the sink stopped early; None if it did not."""
        return self._failure

    def offer(self, answer: Answer) -> None:
        """Hand an answer over; on the publisher's thread.

        A queue that was shut, because its sink would not go on while the run was being stopped, counts a skip.
        """
        try:
            self.link.wait_put(answer)
        except LinkClosed:
            self._skipped_after_end += 1

    def give_way(self) -> None:
        """Let nobody wait for this sink any more: a full queue takes nothing from now on."""
        if len(self.link) >= self._capacity:
            self.link.end()

    def close(self) -> None:
        """Shut the queue; what the sink did not get to counts as skipped."""
        self._skipped_after_end += len(self.link.close())

    def run(self) -> None:
        """Write until the link ends or is closed, then close the sink. Runs on the sink's thread."""
        try:
            self._begin()
            while True:
                answer, _ = self.link.wait_get()
                if self._failure is None:
                    self._write(answer)
                else:
                    self._skipped_after_failure += 1
        except (LinkEnded, LinkClosed):
            pass
        finally:
            self._close()

    def report(self) -> SinkReport:
        """Return the report's part."""
        return SinkReport(
            written=self._written,
            skipped=self.link.statistics().dropped + self._skipped_after_failure + self._skipped_after_end,
            failed=self._failure,
            details=self._details if self._failure is not None else self._statistics(),
        )

    def _begin(self) -> None:
        try:
            self.sink.begin()
        except BaseException as error:  # as in _write
            self._fail(error)

    def _write(self, answer: Answer) -> None:
        frame_id = answer.info.frame_id
        try:
            self.sink.write(answer, gap=frame_id - self._last_frame - 1)
        except BaseException as error:  # a sink may fail in any way, sys.exit too, and must not take others along
            self._skipped_after_failure += 1
            self._fail(error)
            return
        self._last_frame = frame_id
        self._written += 1

    def _fail(self, error: BaseException) -> None:
        text = str(error)
        self._failure = text if text and isinstance(error, OSError) else f"{type(error).__name__}: {text}"
        self._details = self._statistics()
        log.error("%s failed and is closed; the run goes on: %s", self.name, self._failure)
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
            log.warning("%s has no statistics: %s", self.name, error)
            return {}
