"""Writes the report of a run from what its parts counted."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Sequence
from pathlib import Path

from pipeline.clock import NS_PER_MS, NS_PER_S, Clock, process_cpu_ns
from pipeline.controls import Controls
from pipeline.delivery import Delivery
from pipeline.feed import Feed
from pipeline.frame import Mode, Reason
from pipeline.graph import Plan
from pipeline.ledger import Ledger
from pipeline.live import LiveEngine
from pipeline.lossless import LosslessEngine
from pipeline.report import Ages, ChangeReport, DetectorReport, Report, SourceReport, frames_from_books, percentiles_ms
from pipeline.trace import Tracer


class Reporter:
    """Notes when things happened, and makes a report at any time.

    Args:
        plan: whose detector describes itself.
        stream_id: name of the stream.
        controls: know what was changed.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        stream_id: str,
        controls: Controls,
        clock: Clock,
        ledger: Ledger,
        engine: LiveEngine | LosslessEngine,
        feed: Feed,
        deliveries: Sequence[Delivery],
        tracer: Tracer | None = None,
    ) -> None:
        self._plan = plan
        self._stream_id = stream_id
        self._controls = controls
        self._clock = clock
        self._ledger = ledger
        self._engine = engine
        self._feed = feed
        self._deliveries = deliveries
        self._tracer = tracer
        self._ready_ns: int | None = None
        self._first_answer_ns: int | None = None
        self.started()

    def started(self) -> None:
        """Note that the run begins to open its parts."""
        self._started_ns = self._clock.now_ns()
        self._started_cpu_ns = process_cpu_ns()

    def ready(self) -> None:
        """Note that every part is open."""
        self._ready_ns = self._clock.now_ns()

    def answered(self) -> None:
        """Note an answer; only the first one counts."""
        if self._first_answer_ns is None:
            self._first_answer_ns = self._clock.now_ns()

    def report(self, *, stuck: Sequence[str], failure: BaseException | None) -> Report:
        """Return the report so far.

        Args:
            stuck: names of threads that had to be left behind.
            failure: what ended the run early.
        """
        books = self._ledger.books()
        engine = self._engine
        live = engine if isinstance(engine, LiveEngine) else None
        fresh, every = live.publisher.ages() if live else (None, None)
        changes, changes_left_out = self._controls.changes()
        return Report(
            stream=self._stream_id,
            mode=Mode.LIVE if live else Mode.LOSSLESS,
            deadline_ms=live.limit_ns / NS_PER_MS if live else None,
            frames=frames_from_books(books),
            reasons={reason: books.reasons[reason] for reason in Reason},
            published_late=books.published_late,
            balanced=books.balanced,
            age_ms=Ages(
                fresh=percentiles_ms(fresh) if fresh and fresh.count else None,
                all=percentiles_ms(every) if every and every.count else None,
            ),
            stages={name: used.times() for name, used in engine.statistics.items()},
            queues=engine.queues(),
            sinks={delivery.name: delivery.report() for delivery in self._deliveries},
            detector=self._detector(),
            source=self._source(live),
            blames=live.blames.top() if live else [],
            traces=self._tracer.report() if self._tracer is not None else None,
            health=live.publisher.health.state if live else None,
            margin_ms=round(live.publisher.margin_ns / NS_PER_MS, 3) if live else None,
            ready_s=None if self._ready_ns is None else self._seconds_to(self._ready_ns),
            first_answer_s=None if self._first_answer_ns is None else self._seconds_to(self._first_answer_ns),
            changes=[
                ChangeReport(
                    at_s=self._seconds_to(change.at_ns),
                    name=change.name,
                    before=change.before,
                    after=change.after,
                    by=change.by,
                )
                for change in changes
            ],
            changes_left_out=changes_left_out,
            stopped_by=self._controls.stopped_by,
            stuck=list(stuck),
            failure=None if failure is None else f"{type(failure).__name__}: {failure}",
            duration_s=self._seconds_to(self._clock.now_ns()),
            cpu_s=round((process_cpu_ns() - self._started_cpu_ns) / NS_PER_S, 3),
            peak_rss_mib=peak_rss_mib(),
        )

    def _seconds_to(self, at_ns: int) -> float:
        return round((at_ns - self._started_ns) / NS_PER_S, 3)

    def _source(self, live: LiveEngine | None) -> SourceReport:
        return SourceReport(
            reconnects=self._feed.reconnects,
            losses=self._feed.losses,
            away=self._feed.outage,
            away_s=round(self._feed.away_ns / NS_PER_S, 3),
            heartbeats=live.publisher.heartbeats if live else 0,
            details=self._plan.source.describe(),
            clock=self._feed.capture_clock,
        )

    def _detector(self) -> DetectorReport | None:
        name = self._plan.detector
        if name is None:
            return None
        facts = dict(self._plan.stages)[name].describe()
        return DetectorReport(
            model=str(facts.get("model", name)),
            family=str(facts.get("family", "")),
            evidence=str(facts.get("evidence", "")),
            provider=str(facts.get("provider", "")),
            input=str(facts.get("input", "")),
            runs=self._engine.statistics[name].items,
        )


def peak_rss_mib() -> float:
    """Return the most memory that this process has had at once, MiB.

    From the process's own status where there is one: getrusage counts what its parent had when it was started, too.
    """
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with contextlib.suppress(OSError, ValueError):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        peak_kib = next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), peak_kib)
    return round(peak_kib / 1024, 1)
