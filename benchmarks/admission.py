"""Try ways to admit pictures on simulated time: how many answers are fresh, and how old is what an answer rests on.

Usage: python benchmarks/admission.py [--seconds 150] [--json]

Each way meets the same loads with the same chances: run times that are constant, vary, have a long tail, or change by
half every few seconds; deadlines of 50 to 100 ms; a network with and without jitter; threads that wake up late. Printed
are means over the loads, and the fresh share of each. Takes some minutes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from statistics import fmean

from rich.console import Console
from rich.table import Table

from pipeline.clock import NS_PER_MS, NS_PER_S
from pipeline.estimator import Estimator
from pipeline.frame import Fate
from pipeline.histogram import Histogram
from pipeline.simulation.arrivals import parse_arrivals
from pipeline.simulation.distributions import Draw, in_turn, parse_distribution
from pipeline.simulation.policies import POLICIES
from pipeline.simulation.services import DrawnServices
from pipeline.simulation.world import Outcome, Shape, World

STAGES = ("preprocess", "detect", "track")
STEPS = "25 and 45 ms in turn"
LOADS = (
    ("64ms", 100, "30fps"),
    ("64ms", 100, "30fps+jitter:exponential:3ms"),
    ("normal:18ms,2ms", 100, "30fps"),
    ("normal:30ms,2ms", 100, "30fps"),
    ("normal:40ms,8ms", 100, "30fps"),
    ("normal:64ms,6ms", 100, "30fps"),
    ("normal:80ms,6ms", 100, "30fps"),
    ("lognormal:25ms,90ms", 100, "30fps"),
    ("lognormal:25ms,90ms", 50, "30fps"),
    ("lognormal:60ms,120ms", 100, "30fps"),
    ("lognormal:30ms,45ms", 50, "30fps"),
    ("normal:20ms,5ms", 50, "60fps"),
    ("normal:30ms,3ms", 50, "30fps+jitter:uniform:0ms,10ms"),
    (STEPS, 100, "30fps"),
    (STEPS, 60, "30fps"),
)
"""The detector's run time, the deadline in ms, and arrivals."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to admit pictures."""

    name: str
    policy: str = "framepace"
    credit_limit: int = 2
    predicted_share: float = 0.5


WAYS = (
    Way("framepace"),
    Way("framepace, 1 credit", credit_limit=1),
    Way("framepace, 3 credits", credit_limit=3),
    Way("70th percentile", predicted_share=0.7),
    Way("90th percentile", predicted_share=0.9),
    Way("newest when idle", policy="newest"),
)


def simulate(way: Way, service: str, limit_ms: int, arrivals: str, seconds: float) -> Outcome:
    """Return what becomes of one load."""
    runs = {
        "preprocess": parse_distribution("lognormal:1ms,2ms", Random(1)),
        "detect": _steps() if service == STEPS else parse_distribution(service, Random(2)),
        "track": parse_distribution("lognormal:1ms,2ms", Random(3)),
    }
    lateness = parse_distribution("lognormal:200us,3ms", Random(4))
    decode = parse_distribution("lognormal:2500us,5ms", Random(5))
    world = World(
        Shape(limit_ms * NS_PER_MS, way.credit_limit, STAGES, "detect"),
        arrivals=parse_arrivals(arrivals, round(seconds * NS_PER_S), decode, Random(6)),
        services=DrawnServices(STAGES, runs, lateness=lateness),
        make_head=POLICIES[way.policy],
        lateness=lateness,
        estimator=Estimator(predicted_share=way.predicted_share),
    )
    return world.run()


def _steps() -> Draw:
    random = Random(7)
    return in_turn([round(random.gauss(25 if number // 200 % 2 else 45, 3) * NS_PER_MS) for number in range(4000)])


def measure(way: Way, seconds: float) -> dict[str, object]:
    """Return the figures of one way."""
    outcomes = [simulate(way, *load, seconds) for load in LOADS]
    shares = [outcome.books.fates[Fate.FRESH] / outcome.books.captured for outcome in outcomes]
    return {
        "way": way.name,
        "fresh": round(fmean(shares), 4),
        "basis_age_ms": round(_mean_ms(outcome.age_basis for outcome in outcomes), 2),
        "fresh_age_ms": round(_mean_ms(outcome.age_fresh for outcome in outcomes), 2),
        "missed": sum(outcome.books.fates[Fate.MISSED] for outcome in outcomes),
        "fresh_each": " ".join(f"{share:.0%}" for share in shares),
    }


def _mean_ms(ages: Iterable[Histogram]) -> float:
    """Return the mean over the loads of the mean age."""
    return fmean(age.total_ns / max(1, age.count) for age in ages) / NS_PER_MS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=150.0, help="simulated time of each load")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [measure(way, options.seconds) for way in WAYS]
    if options.json:
        print(json.dumps(rows))
        return
    table = Table(box=None, padding=(0, 1, 0, 0))
    for column in rows[0]:
        table.add_column(
            column, justify="left" if column in ("way", "fresh_each") else "right", no_wrap=column == "way"
        )
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
