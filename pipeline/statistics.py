"""What each stage did, counted as it runs."""

from __future__ import annotations

import threading

from pipeline.clock import NS_PER_S
from pipeline.histogram import Histogram
from pipeline.link import LinkStatistics
from pipeline.observe import StageMeasures
from pipeline.report import Queue, StageTimes, percentiles_ms


class StageStatistics:
    """Waits and run times of one stage; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards all fields
        self._wait = Histogram()
        self._run = Histogram()
        self._failed = 0
        self._cpu_ns = 0

    def add(self, *, wait_ns: int, run_ns: int, cpu_ns: int = 0, failed: bool = False) -> None:
        """Count one frame."""
        with self._lock:
            self._wait.add(wait_ns)
            self._run.add(run_ns)
            self._cpu_ns += cpu_ns
            self._failed += failed

    @property
    def items(self) -> int:
        """How many frames were worked on."""
        return self._run.count

    @property
    def failed(self) -> int:
        """How many of them raised."""
        return self._failed

    def times(self) -> StageTimes:
        """Return the report's part."""
        with self._lock:
            return StageTimes(
                wait_ms=percentiles_ms(self._wait),
                run_ms=percentiles_ms(self._run),
                items=self._run.count,
                failed=self._failed,
                cpu_s=round(self._cpu_ns / NS_PER_S, 3),
            )

    def measures(self) -> StageMeasures:
        """Return copies of the distributions."""
        with self._lock:
            return StageMeasures(self._wait.copy(), self._run.copy())


def queue_report(used: LinkStatistics) -> Queue:
    """Return the report's part for one link."""
    return Queue(capacity=used.capacity, peak=used.peak, dropped=used.dropped)
