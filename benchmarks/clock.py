"""Compare capture clocks: how far are their capture times from the true ones, and what does that cost?

Usage: python benchmarks/clock.py [--seeds 3] [--record 30] [--only TEXT] [--json]

Frames with known capture times, of cameras with right and wrong time stamps on good and bad networks, are given to
StampClock and to a lower envelope of arrival minus stamp, the textbook way to find an offset between two clocks. Most
are simulated; `--record` adds frames that our own client receives from our own RTSP camera meanwhile. Columns:

    p50, p99, max   distance to the true capture time, ms
    missed          share of the frames younger than the deadline that the clock takes for older
    for             the longest time without any other frame, s: what no healthy network may make longer than 1 s
    as fresh        frames older than 100 ms that the clock takes for more than 100 ms younger than they are
    recovers        from the end of the disturbance to the last wrong frame before 5 s without one, s; wrong: by
                    more than 100 ms
    us              of this processor for each frame

Seeds are taken together: means of p50 and p99, the worst of all others.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import fmean
from typing import Protocol

import numpy as np
from clock_arrivals import Packet, Scenario, recorded, simulated
from rich.console import Console
from rich.table import Table

from pipeline.clock import NS_PER_MS, NS_PER_S
from stages.capture.stamp_clock import StampClock

DEADLINE_NS = 300 * NS_PER_MS
TOLERANCE_NS = 100 * NS_PER_MS
SETTLED_NS = 5 * NS_PER_S
"""Without a wrong frame for so long, a clock has recovered."""


class CaptureTimes(Protocol):
    """What tells the capture times of one connection."""

    def captured_ns(self, pts_ns: int | None, arrival_ns: int) -> int: ...


class LowerEnvelope:
    """Takes all that is above the lower envelope of arrival minus stamp for delay.

    The fastest packet of the last 10 s tells the offset between both clocks. It may fall at once, and rise by 2 ms a
    second. Beyond 1 s, the stamps have begun a new line; twice within 60 s, they are given up for the arrivals.
    """

    WINDOW_NS = 10 * NS_PER_S
    DRIFT = 0.002
    JUMP_NS = GAP_NS = NS_PER_S
    REPEATED_NS = 60 * NS_PER_S

    def __init__(self) -> None:
        self._window: deque[tuple[int, int]] = deque()  # (time, delay), delays rising
        self._offset_ns = self._now_ns = 0
        self._last: tuple[int, int] | None = None  # stamp, arrival
        self._broke_ns: int | None = None
        self._is_given_up = False

    def captured_ns(self, pts_ns: int | None, arrival_ns: int) -> int:
        """Return the capture time of the next frame."""
        if self._is_given_up or pts_ns is None:
            return arrival_ns
        delay_ns = arrival_ns - pts_ns
        last, self._last = self._last, (pts_ns, arrival_ns)
        step_ns, passed_ns = (0, 0) if last is None else (pts_ns - last[0], arrival_ns - last[1])
        if last is None or step_ns < -self.JUMP_NS or step_ns - passed_ns > self.JUMP_NS:
            self._window = deque([(self._now_ns, delay_ns)])
            self._offset_ns = delay_ns
        else:
            self._follow(delay_ns, arrival_ns, min(max(passed_ns, 0), self.GAP_NS))
        return arrival_ns if self._is_given_up else min(pts_ns + self._offset_ns, arrival_ns)

    def _follow(self, delay_ns: int, arrival_ns: int, passed_ns: int) -> None:
        self._now_ns += passed_ns
        while self._window and self._window[-1][1] >= delay_ns:
            self._window.pop()
        self._window.append((self._now_ns, delay_ns))
        while self._window[0][0] < self._now_ns - self.WINDOW_NS:
            self._window.popleft()
        lowest_ns = self._window[0][1]
        if lowest_ns <= self._offset_ns + self.JUMP_NS:
            self._offset_ns = min(lowest_ns, self._offset_ns + round(passed_ns * self.DRIFT))
            return
        self._is_given_up = self._broke_ns is not None and arrival_ns - self._broke_ns < self.REPEATED_NS
        self._broke_ns, self._offset_ns = arrival_ns, lowest_ns


CLOCKS: dict[str, Callable[[], CaptureTimes]] = {"envelope": LowerEnvelope, "StampClock": StampClock}


@dataclass(frozen=True, slots=True)
class Figures:
    """How a clock does in a scenario."""

    p50_ms: float
    p99_ms: float
    max_ms: float
    missed_share: float
    missed_for_s: float
    taken_for_fresh: int
    recovers_s: float | None
    """None: not before the end."""
    us_per_frame: float


def measure(make_clock: Callable[[], CaptureTimes], scenario: Scenario, seed: int) -> Figures:
    """Return what a clock makes of the frames of a scenario."""
    packets = scenario.make(seed)
    clock = make_clock()
    begin_ns = time.thread_time_ns()
    told = [clock.captured_ns(packet.pts_ns, packet.arrival_ns) for packet in packets]
    spent_ns = time.thread_time_ns() - begin_ns
    captured = np.array([packet.captured_ns for packet in packets])
    arrivals = np.array([packet.arrival_ns for packet in packets])
    ages, true_ages = arrivals - np.array(told), arrivals - captured
    errors = np.abs(ages - true_ages)
    p50, p99, most = np.percentile(errors, (50, 99, 100)) / NS_PER_MS
    in_time = true_ages <= DEADLINE_NS
    missed = in_time & (ages > DEADLINE_NS)
    as_fresh = (true_ages > TOLERANCE_NS) & (true_ages - ages > TOLERANCE_NS)
    return Figures(
        p50_ms=float(p50),
        p99_ms=float(p99),
        max_ms=float(most),
        missed_share=float(missed.sum() / max(in_time.sum(), 1)),
        missed_for_s=longest_run_s(packets, missed),
        taken_for_fresh=int(as_fresh.sum()),
        recovers_s=recovery_s(arrivals, errors > TOLERANCE_NS, round(scenario.end_s * NS_PER_S)),
        us_per_frame=spent_ns / 1000 / len(packets),
    )


def longest_run_s(packets: Sequence[Packet], missed: np.ndarray) -> float:
    """Return for how long one frame after the other was missed, each as long as it is until the next one arrives."""
    longest_ns = run_ns = 0
    for (packet, following), is_missed in zip(pairwise(packets), missed, strict=False):
        run_ns = run_ns + following.arrival_ns - packet.arrival_ns if is_missed else 0
        longest_ns = max(longest_ns, run_ns)
    return longest_ns / NS_PER_S


def recovery_s(arrivals: np.ndarray, is_wrong: np.ndarray, end_ns: int) -> float | None:
    """Return how long after the end of a disturbance the clock began to be right for a while; None: never."""
    wrong = arrivals[is_wrong & (arrivals >= end_ns)].tolist()
    if not wrong:
        return 0.0
    recovered_ns = wrong[0]
    for arrival_ns in wrong:
        if arrival_ns - recovered_ns > SETTLED_NS:
            break
        recovered_ns = arrival_ns
    return None if int(arrivals[-1]) - recovered_ns < SETTLED_NS else (recovered_ns - end_ns) / NS_PER_S


def together(figures: Sequence[Figures]) -> Figures:
    """Return the figures of all seeds as those of one."""
    recoveries = [each.recovers_s for each in figures]
    return Figures(
        p50_ms=fmean(each.p50_ms for each in figures),
        p99_ms=fmean(each.p99_ms for each in figures),
        max_ms=max(each.max_ms for each in figures),
        missed_share=max(each.missed_share for each in figures),
        missed_for_s=max(each.missed_for_s for each in figures),
        taken_for_fresh=max(each.taken_for_fresh for each in figures),
        recovers_s=None if None in recoveries else max(each or 0.0 for each in recoveries),
        us_per_frame=min(each.us_per_frame for each in figures),
    )


def shown(figures: Figures) -> list[str]:
    """Return the cells of a table."""
    return [
        f"{figures.p50_ms:.0f}",
        f"{figures.p99_ms:.0f}",
        f"{figures.max_ms:.0f}",
        f"{figures.missed_share:.0%}",
        f"{figures.missed_for_s:.1f}",
        str(figures.taken_for_fresh),
        "never" if figures.recovers_s is None else f"{figures.recovers_s:.1f}",
        f"{figures.us_per_frame:.0f}",
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--record", type=float, metavar="SECONDS", help="record our RTSP camera, too; 10 s or more")
    parser.add_argument("--only", default="", help="scenarios whose names contain this")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for scenario in [*simulated(), *(recorded(options.record) if options.record else [])]:
        if options.only in scenario.name:
            for name, make_clock in CLOCKS.items():
                figures = together([measure(make_clock, scenario, seed) for seed in range(options.seeds)])
                rows.append((scenario, name, figures))
    if options.json:
        print(json.dumps([{"scenario": row[0].name, "clock": row[1], **asdict(row[2])} for row in rows]))
        return
    table = Table(box=None, padding=(0, 1, 0, 0))
    for column in ("scenario", "clock", "p50", "p99", "max", "missed", "for", "as fresh", "recovers", "us"):
        table.add_column(column, justify="left" if column in ("scenario", "clock") else "right", no_wrap=True)
    for scenario, name, figures in rows:
        table.add_row(scenario.name, name, *shown(figures))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
