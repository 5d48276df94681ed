"""Reads the source: one ticket a sample, and a way back when a live source is lost."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.clock import NS_PER_MS, NS_PER_S, Clock, Flag
from pipeline.errors import SourceOpenError, StreamLost
from pipeline.frame import CaptureClock
from pipeline.intake import Intake
from pipeline.stage import OpenContext, Source

log = logging.getLogger("framepace.source")


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before a lost source is opened again."""

    first_ns: int = 250 * NS_PER_MS
    most_ns: int = 10 * NS_PER_S

    def delay_ns(self, attempt: int) -> int:
        """Return the wait before attempt 0, 1, 2, ...: it doubles up to the most."""
        return min(self.first_ns << min(attempt, 16), self.most_ns)


class Feed:
    """The capture thread's work: it never waits for anything downstream in live mode.

    Args:
        source: is opened already.
        context: for opening it again.
        deliver: takes a ticket and its payload.
        stopping: ends the loop after the present read.
    """

    def __init__(
        self,
        *,
        source: Source,
        context: OpenContext,
        intake: Intake,
        clock: Clock,
        stopping: Flag,
        deliver: Callable[[int, object], None],
        backoff: Backoff,
    ) -> None:
        self._source = source
        self._context = context
        self._intake = intake
        self._clock = clock
        self._stopping = stopping
        self._deliver = deliver
        self._backoff = backoff
        self._attempts = 0  # since the last sample: a source that comes back and is lost at once is not pressed
        self.reconnects = 0
        self.capture_clock: CaptureClock | None = None

    def run(self) -> None:
        """Read until the source ends, or until stopped.

        Raises:
            Exception: whatever else than StreamLost the source raised.
        """
        while not self._stopping.is_set:
            try:
                sample = self._source.read()
            except StreamLost as lost:
                if not self._reconnect(lost.why):
                    return
                continue
            if sample is None:
                return
            self._attempts = 0
            self.capture_clock = sample.clock
            ticket = self._intake.take(sample, self._clock.now_ns())
            self._deliver(ticket, sample.payload)

    def _reconnect(self, why: str) -> bool:
        """Open the source again, however long it takes; return False when stopped meanwhile, with the source closed."""
        log.warning("source lost (%s); reconnecting", why)
        self._intake.flush()
        self._close()
        while not self._stopping.wait(self._backoff.delay_ns(self._attempts)):
            self._attempts += 1
            try:
                self._source.open(self._context)
            except (SourceOpenError, StreamLost) as error:
                log.info("source still away: %s", error)
                continue
            if self._stopping.is_set:  # it took so long that the run may be over, and nobody else closes it then
                self._close()
                break
            self.reconnects += 1
            log.warning("source is back after %d attempt(s)", self._attempts)
            return True
        return False

    def _close(self) -> None:
        try:
            self._source.close()
        except Exception as error:  # what is broken may break once more; it is opened anew all the same
            log.info("the lost source could not be closed: %s", error)
