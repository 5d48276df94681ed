"""Durations that vary, as people write them: `64ms`, `normal:64ms,5ms`, or a file with one number a line."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from random import Random

from pipeline.clock import NS_PER_MS
from pipeline.units import parse_duration_ns

Draw = Callable[[], int]
"""Gives the next duration, nanoseconds, never negative."""

SYNTAX = "64ms, normal:MEAN,SD, lognormal:MEDIAN,P99, uniform:LOW,HIGH, exponential:MEAN, or a file (ms, one a line)"
_Z99 = 2.3263
"""The standard normal distribution stays below this in 99 % of the cases."""


def parse_distribution(text: str, random: Random) -> Draw:
    """Return what draws durations as the text says.

    Args:
        text: see SYNTAX.
        random: where chance comes from.

    Raises:
        ValueError: the text is not understood, or the file cannot be read.
    """
    kind, colon, rest = text.partition(":")
    if colon and kind in _SHAPES:
        count, make = _SHAPES[kind]
        values = [parse_duration_ns(part) for part in rest.split(",")]
        if len(values) != count:
            raise ValueError(f"{text!r}: {kind} takes {count} duration(s)")
        return make(values, random)
    try:
        fixed_ns = parse_duration_ns(text)
    except ValueError:
        path = Path(text)
        if not path.is_file():
            raise ValueError(f"{text!r} is neither a duration nor a file; write {SYNTAX}") from None
        return in_turn(read_durations(path))
    return lambda: fixed_ns


def in_turn(values: Sequence[int]) -> Draw:
    """Return what gives the values one after the other, for ever."""
    return cycle(values).__next__


def read_durations(path: Path) -> list[int]:
    """Return the durations of a file with one number of milliseconds a line, ns.

    Raises:
        ValueError: naming the line that is not a number.
    """
    values = []
    for place, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            value_ms = float(line)
        except ValueError:
            value_ms = math.nan
        if not 0 <= value_ms < math.inf:
            raise ValueError(f"{path}:{place}: {line.strip()[:40]!r} is not a number of milliseconds")
        values.append(round(value_ms * NS_PER_MS))
    if not values:
        raise ValueError(f"{path}: holds no durations; one number of milliseconds a line would be right")
    return values


def _normal(values: list[int], random: Random) -> Draw:
    mean_ns, deviation_ns = values
    return lambda: max(0, round(random.gauss(mean_ns, deviation_ns)))


def _lognormal(values: list[int], random: Random) -> Draw:
    median_ns, high_ns = values
    if not 0 < median_ns <= high_ns:
        raise ValueError("lognormal takes a median above 0 and a 99th percentile that is not below it")
    location, scale = math.log(median_ns), math.log(high_ns / median_ns) / _Z99
    return lambda: round(random.lognormvariate(location, scale))


def _uniform(values: list[int], random: Random) -> Draw:
    low_ns, high_ns = values
    if low_ns > high_ns:
        raise ValueError("uniform takes the lower bound first")
    return lambda: random.randint(low_ns, high_ns)


def _exponential(values: list[int], random: Random) -> Draw:
    if values[0] <= 0:
        raise ValueError("exponential takes a mean above 0")
    return lambda: round(random.expovariate(1 / values[0]))


_SHAPES: dict[str, tuple[int, Callable[[list[int], Random], Draw]]] = {
    "normal": (2, _normal),
    "lognormal": (2, _lognormal),
    "uniform": (2, _uniform),
    "exponential": (1, _exponential),
}
