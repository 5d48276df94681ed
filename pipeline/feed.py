"""Reads the source: one ticket a sample, and a way back when a live source is lost."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.clock import NS_PER_MS, NS_PER_S, Clock, Flag
from pipeline.errors import LOSSES, Outage, SourceOpenError, StreamLost
from pipeline.frame import CaptureClock
from pipeline.intake import Intake
from pipeline.logs import about
from pipeline.stage import OpenContext, Source
from pipeline.units import format_duration

log = logging.getLogger("framepace.source")


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before a lost source is opened again."""

    first_ns: int = 250 * NS_PER_MS
    most_ns: int = 10 * NS_PER_S
    jitter: float = 0.5
    """Up to this share of a wait is left out at random: many that lost one camera must not come back as one."""
    give_up_ns: int | None = None
    """Stop trying after this; None: never."""

    def delay_ns(self, attempt: int, passed_ns: int = 0) -> int:
        """Return the wait before attempt 0, 1, 2, ...: it doubles up to the most, less the jitter.

        Args:
            attempt: how many there were.
            passed_ns: since the source went away; the last attempt is when it is time to give up.
        """
        whole_ns = min(self.first_ns << min(attempt, 16), self.most_ns)
        delay_ns = max(min(self.first_ns, whole_ns), round(whole_ns * (1 - self.jitter * random.random())))
        return delay_ns if self.give_up_ns is None else min(delay_ns, max(0, self.give_up_ns - passed_ns))

    def is_over(self, passed_ns: int) -> bool:
        """Whether the source has been away for as long as anybody is willing to wait."""
        return self.give_up_ns is not None and passed_ns >= self.give_up_ns


class Feed:
    """The capture thread's work: it never waits for anything downstream in live mode.

    Args:
        source: is opened already.
        context: for opening it again.
        deliver: takes a ticket and its payload.
        stopping: ends the loop after the present read.
        away: told when the source is lost, and why.
        backoff: how to come back.
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
        away: Callable[[Outage], None],
        backoff: Backoff,
    ) -> None:
        self._source = source
        self._context = context
        self._intake = intake
        self._clock = clock
        self._stopping = stopping
        self._deliver = deliver
        self._away = away
        self._backoff = backoff
        self._attempts = 0  # since the last sample: a source that comes back and is lost at once is not pressed
        self.reconnects = 0
        self.losses = dict.fromkeys(LOSSES, 0)
        # Lost so far in ns, and how it is lost just now and since when; one value, since other threads read it.
        self._outages: tuple[int, tuple[Outage, int] | None] = (0, None)
        self.capture_clock: CaptureClock | None = None

    @property
    def outage(self) -> Outage | None:
        """How the source is lost just now; None when it is there."""
        _, lost = self._outages
        return None if lost is None else lost[0]

    @property
    def away_ns(self) -> int:
        """How long the source was lost, all times together, the present one too."""
        away_ns, lost = self._outages
        return away_ns if lost is None else away_ns + self._clock.now_ns() - lost[1]

    def run(self) -> None:
        """Read until the source ends, or until stopped.

        Raises:
            StreamLost: the source stayed away for too long.
            Exception: whatever else the source raised.
        """
        while not self._stopping.is_set:
            try:
                sample = self._source.read()
            except StreamLost as lost:
                if self._stopping.is_set or not self._reconnect(lost):
                    return
                continue
            if sample is None:
                return
            self._attempts = 0
            self.capture_clock = sample.clock
            ticket = self._intake.take(sample, self._clock.now_ns())
            if sample.payload is not None:
                self._deliver(ticket, sample.payload)

    def _reconnect(self, lost: StreamLost) -> bool:
        """Open the source again, however long it takes; return False when stopped meanwhile, with the source closed.

        Raises:
            StreamLost: it took longer than anybody is willing to wait.
        """
        text = f"source lost ({lost.outage}: {lost.why}); reconnecting"
        log.warning(text, extra=about("source_lost", outage=lost.outage))
        self.losses[lost.outage] += 1
        self._away(lost.outage)
        self._intake.flush()
        self._close()
        since_ns = self._clock.now_ns()
        away_ns, _ = self._outages
        self._outages = away_ns, (lost.outage, since_ns)
        try:
            return self._come_back(lost, since_ns)
        finally:
            self._outages = away_ns + self._clock.now_ns() - since_ns, None

    def _come_back(self, lost: StreamLost, since_ns: int) -> bool:
        why = lost.why
        while not self._stopping.wait(self._backoff.delay_ns(self._attempts, self._clock.now_ns() - since_ns)):
            self._attempts += 1
            try:
                self._source.open(self._context)
            except (SourceOpenError, StreamLost) as error:
                is_news = str(error) != why
                why = str(error)
                fields = about("source_away", attempts=self._attempts)
                log.log(logging.WARNING if is_news else logging.INFO, "source still away: %s", error, extra=fields)
                passed_ns = self._clock.now_ns() - since_ns
                if self._backoff.is_over(passed_ns):
                    patience = format_duration(passed_ns // NS_PER_MS * NS_PER_MS)
                    raise StreamLost(f"{error}; gave up after {patience}", lost.outage) from None
                continue
            if self._stopping.is_set:  # it took so long that the run may be over, and nobody else closes it then
                self._close()
                break
            self.reconnects += 1
            away_ms = (self._clock.now_ns() - since_ns) // NS_PER_MS
            text = f"source is back after {self._attempts} attempt(s)"
            log.warning(text, extra=about("source_back", attempts=self._attempts, away_ms=away_ms))
            return True
        return False

    def _close(self) -> None:
        try:
            self._source.close()
        except Exception as error:  # what is broken may break once more; it is opened anew all the same
            log.info("the lost source could not be closed: %s", error)
