"""When pictures come: at a rate, with a jitter or stalls of the network, by chance, or as they were recorded."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from pipeline.clock import NS_PER_S
from pipeline.simulation.distributions import Draw, parse_distribution
from pipeline.simulation.recording import Recording, read_recording
from pipeline.timings import Event
from pipeline.units import parse_duration_ns

SYNTAX = "30fps, 30fps+jitter:5ms, 30fps+stall:EVERY,LENGTH, poisson:30fps, or a file of --record-timings"
Delay = Callable[[int], int]
"""How long after its capture (ns) a packet comes, in ns."""
_RATE = re.compile(r"(poisson:)?(\d+(?:\.\d*)?)fps")


@dataclass(frozen=True, slots=True)
class Arrival:
    """One frame; times in ns."""

    captured_ns: int
    registered_ns: int
    """When the engine learnt of it."""
    ready_ns: int | None
    """When its picture was decoded; None: never."""
    lost: Event | None = None
    """`undecodable` or `shed`, at `lost_ns`."""
    lost_ns: int = 0


def parse_arrivals(text: str, duration_ns: int, decode: Draw, random: Random) -> Iterator[Arrival]:
    """Return the arrivals that a text describes, in order.

    Args:
        text: see SYNTAX.
        duration_ns: for how long pictures come; a record has its own.
        decode: how long the decoder takes for each.
        random: where chance comes from.

    Raises:
        ValueError: the text is not understood, or the file cannot be read.
    """
    rate, *changes = text.split("+")
    match = _RATE.fullmatch(rate)
    if match is None or not float(match[2]):
        path = Path(text)
        if not path.is_file():
            raise ValueError(f"{text!r} is neither a rate nor a file; write {SYNTAX}")
        return _from_the_start(recorded_arrivals(read_recording(path)))
    period_ns = NS_PER_S / float(match[2])
    captures = _by_chance(period_ns, random) if match[1] else _regular(period_ns)
    delays = [_delay(change, random) for change in changes]
    return _arrive(captures, delays, decode, duration_ns)


def recorded_arrivals(recording: Recording) -> Iterator[Arrival]:
    """Return the arrivals of a recorded run."""
    frames = sorted(recording.frames.values(), key=lambda frame: frame.frame_id)
    return (
        Arrival(frame.captured_ns, frame.registered_ns, frame.ready_ns, frame.lost, frame.lost_ns) for frame in frames
    )


def _delay(text: str, random: Random) -> Delay:
    kind, _, rest = text.partition(":")
    if kind == "jitter":
        draw = parse_distribution(rest, random)
        return lambda _: draw()
    if kind == "stall":
        durations = [parse_duration_ns(part) for part in rest.split(",")]
        if len(durations) == 2 and durations[0] > durations[1]:
            return functools.partial(_stalled_ns, *durations)
        raise ValueError(f"{text!r}: stall takes how often and, shorter than that, how long, such as stall:10s,1s")
    raise ValueError(f"{text!r} is no way to come late; write jitter:DURATION or stall:EVERY,LENGTH")


def _stalled_ns(every_ns: int, length_ns: int, captured_ns: int) -> int:
    """Return how long a packet waits when nothing comes through for a while and then all at once."""
    return max(0, length_ns - captured_ns % every_ns) if captured_ns >= every_ns else 0


def _from_the_start(arrivals: Iterator[Arrival]) -> Iterator[Arrival]:
    """Let the first frame come at 0."""
    start_ns: int | None = None
    for arrival in arrivals:
        start_ns = arrival.registered_ns if start_ns is None else start_ns
        yield Arrival(
            arrival.captured_ns - start_ns,
            arrival.registered_ns - start_ns,
            None if arrival.ready_ns is None else arrival.ready_ns - start_ns,
            arrival.lost,
            arrival.lost_ns - start_ns,
        )


def _regular(period_ns: float) -> Iterator[int]:
    number = 0
    while True:
        yield round(number * period_ns)
        number += 1


def _by_chance(period_ns: float, random: Random) -> Iterator[int]:
    at_ns = 0.0
    while True:
        yield round(at_ns)
        at_ns += random.expovariate(1 / period_ns)


def _arrive(captures: Iterator[int], delays: list[Delay], decode: Draw, duration_ns: int) -> Iterator[Arrival]:
    arrived_ns = decoder_free_ns = 0
    for captured_ns in captures:
        if captured_ns >= duration_ns:
            return
        late_ns = sum(delay(captured_ns) for delay in delays)
        arrived_ns = max(arrived_ns, captured_ns + late_ns)  # packets do not overtake each other
        decoder_free_ns = max(decoder_free_ns, arrived_ns) + decode()
        yield Arrival(captured_ns, arrived_ns, decoder_free_ns)
