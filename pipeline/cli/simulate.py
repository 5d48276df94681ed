"""`framepace simulate`: what would become of the frames, without the waiting."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from pipeline.cli.console import PlainConsole
from pipeline.clock import NS_PER_MS, NS_PER_S, RealClock
from pipeline.config.build import build
from pipeline.config.load import parse, read_yaml
from pipeline.errors import ConfigError
from pipeline.frame import Fate
from pipeline.histogram import Histogram
from pipeline.report import frames_from_books, percentiles_ms
from pipeline.simulation.arrivals import Arrival, parse_arrivals
from pipeline.simulation.distributions import Draw, parse_distribution
from pipeline.simulation.policies import POLICIES
from pipeline.simulation.recording import is_recording, read_recording
from pipeline.simulation.replay import replay
from pipeline.simulation.services import DrawnServices, RecordedServices, Services
from pipeline.simulation.world import Outcome, Shape, World
from pipeline.units import parse_duration_ns

_STAGES = ("preprocess", "detect", "track")
_DETECTOR = "detect"
_DECODE = "decode"
_DIFFERENCES_SHOWN = 10
_SHOWN = (Fate.FRESH, Fate.FORECAST, Fate.BLIND, Fate.MISSED)
_COLUMNS = ("policy", "credits", *_SHOWN, "fresh age", "result age", "busy")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was said on the command line."""

    config: Path | None
    arrivals: str
    service_times: list[str]
    lateness: str
    replay: Path | None
    deadline: str | None
    credits: int | None
    compare: bool
    duration: str
    seed: int
    as_json: bool


@dataclass(frozen=True, slots=True)
class _Line:
    """One policy's row."""

    policy: str
    credit_limit: int
    outcome: Outcome
    real_ns: int


def simulate_command(wishes: Wishes) -> int:
    """Simulate and print; return the exit code.

    Raises:
        ConfigError: something that was asked for is not understood.
    """
    console = PlainConsole()
    if wishes.replay is not None:
        return _replay(wishes.replay, console, as_json=wishes.as_json)
    shape = _shape(wishes)
    variants = [("framepace", shape.credit_limit)]
    if wishes.compare:
        variants = [("framepace", 1), ("framepace", 2), ("newest", 1), ("in-order", 1)]
    lines = [_simulated(wishes, replace(shape, credit_limit=count), policy) for policy, count in variants]
    if wishes.as_json:
        console.print_json(json.dumps([_as_data(line) for line in lines]))
    else:
        _show(console, shape, lines)
    return 0 if all(line.outcome.books.balanced for line in lines) else 1


def _simulated(wishes: Wishes, shape: Shape, policy: str) -> _Line:
    """Run one variant; each has the same chances."""
    arrivals, services, lateness = _inputs(wishes, shape)
    clock = RealClock()
    start_ns = clock.now_ns()
    world = World(shape, arrivals=arrivals, services=services, make_head=POLICIES[policy], lateness=lateness)
    outcome = world.run()
    return _Line(policy, shape.credit_limit, outcome, clock.now_ns() - start_ns)


def _shape(wishes: Wishes) -> Shape:
    """Return what the configuration and the flags above it say."""
    raw = {} if wishes.config is None else read_yaml(wishes.config)
    raw = {"source": "synthetic:", **raw, "mode": "live"}
    if wishes.deadline is not None:
        raw["deadline"] = wishes.deadline
    if wishes.config is None:
        config = parse(raw)
        shape = Shape(config.deadline, config.engine.credits, _STAGES, _DETECTOR)
    else:
        built = build(parse(raw))
        assert built.plan.detector is not None  # the check of a live graph saw to it
        names = tuple(name for name, _ in built.plan.stages)
        shape = Shape(built.settings.deadline_ns, built.settings.credit_limit, names, built.plan.detector)
    return shape if wishes.credits is None else replace(shape, credit_limit=wishes.credits)


def _inputs(wishes: Wishes, shape: Shape) -> tuple[Iterator[Arrival], Services, Draw]:
    """Return arrivals, services and lateness, each with a generator of its own.

    What one policy asks for first must not change what chance gives the others.
    """
    seed = wishes.seed
    lateness = _said("--lateness", parse_distribution, wishes.lateness, Random(f"{seed} lateness"))
    decode: Draw = lambda: 0  # noqa: E731  # replaced when the times of the decoder are given
    services: Services
    if len(wishes.service_times) == 1 and _is_recording(wishes.service_times[0]):
        services = _said("--service-times", _recorded_services, wishes.service_times[0])
    else:
        draws = dict(_said("--service-times", _stage_times, text, shape, seed) for text in wishes.service_times)
        if shape.detector not in draws:
            raise ConfigError.one("--service-times", f"says nothing of {shape.detector}; write such as 64ms")
        decode = draws.pop(_DECODE, decode)
        services = DrawnServices(shape.stages, draws, lateness=lateness)
    duration_ns = _said("--duration", parse_duration_ns, wishes.duration)
    arrivals = _said("--arrivals", parse_arrivals, wishes.arrivals, duration_ns, decode, Random(f"{seed} arrivals"))
    return arrivals, services, lateness


def _said(flag: str, understand: Callable[..., _T], *arguments: object) -> _T:
    """Return what a flag says; what is not understood is a problem with the flag."""
    try:
        return understand(*arguments)
    except OSError as error:
        raise ConfigError.one(flag, f"{error.filename}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError.one(flag, str(error)) from error


def _is_recording(text: str) -> bool:
    path = Path(text)
    return path.is_file() and is_recording(path)


def _recorded_services(text: str) -> Services:
    return RecordedServices(read_recording(Path(text)))


def _stage_times(text: str, shape: Shape, seed: int) -> tuple[str, Draw]:
    """Return the stage and its run times from `STAGE=DISTRIBUTION`, or the detector's."""
    name, equals, rest = text.partition("=")
    if not equals:
        name, rest = shape.detector, text
    known = (_DECODE, *shape.stages)
    if name not in known:
        raise ValueError(f"{name!r} is no stage; there are {', '.join(known)}")
    return name, parse_distribution(rest, Random(f"{seed} {name}"))


def _show(console: Console, shape: Shape, lines: list[_Line]) -> None:
    """Print a row for each policy."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for column in _COLUMNS:
        table.add_column(column, justify="left" if column == "policy" else "right", no_wrap=True)
    for line in lines:
        table.add_row(*_cells(line))
    simulated_s = lines[0].outcome.simulated_ns / NS_PER_S
    real_s = sum(line.real_ns for line in lines) / len(lines) / NS_PER_S
    console.print(
        f"{simulated_s:.0f} s at a deadline of {shape.limit_ns / NS_PER_MS:g} ms; ages in ms, p50 / p99 / max"
    )
    console.print(table)
    for line in lines:
        reasons = ", ".join(f"{reason} {count}" for reason, count in line.outcome.books.reasons.items() if count)
        console.print(f"{line.policy} {line.credit_limit}, not fresh because: {reasons or '-'}", style="dim")
    console.print(f"{simulated_s / real_s:.0f} times faster than life: {real_s:.1f} s a policy", style="dim")


def _cells(line: _Line) -> list[str]:
    outcome = line.outcome
    books = outcome.books
    shares = [f"{books.fates[fate] / books.captured:.1%}" for fate in _SHOWN] if books.captured else ["-"] * len(_SHOWN)
    return [
        line.policy,
        str(line.credit_limit),
        *shares,
        _spread(outcome.age_fresh),
        _spread(outcome.age_results),
        f"{outcome.busy_ns / max(1, outcome.simulated_ns):.0%}",
    ]


def _spread(ages: Histogram) -> str:
    if not ages.count:
        return "-"
    spread = percentiles_ms(ages)
    return f"{spread.p50:.0f} / {spread.p99:.0f}"


def _as_data(line: _Line) -> dict[str, object]:
    outcome = line.outcome
    return {
        "policy": line.policy,
        "credits": line.credit_limit,
        "frames": frames_from_books(outcome.books).model_dump(),
        "reasons": {reason.value: count for reason, count in outcome.books.reasons.items()},
        "balanced": outcome.books.balanced,
        "age_ms": {"fresh": _percentiles(outcome.age_fresh), "all": _percentiles(outcome.age_all)},
        "result_age_ms": _percentiles(outcome.age_results),
        "basis_age_ms": _percentiles(outcome.age_basis),
        "detector_busy": round(outcome.busy_ns / max(1, outcome.simulated_ns), 4),
        "simulated_s": round(outcome.simulated_ns / NS_PER_S, 3),
        "real_s": round(line.real_ns / NS_PER_S, 3),
    }


def _percentiles(ages: Histogram) -> dict[str, float] | None:
    return percentiles_ms(ages).model_dump() if ages.count else None


def _replay(file: Path, console: Console, *, as_json: bool) -> int:
    """Play a record again and print how many decisions were the same."""
    replayed = _said("--replay", lambda: replay(read_recording(file)))
    same = replayed.compared - len(replayed.different)
    if as_json:
        found = [{"frame": frame_id, "recorded": was, "replayed": is_} for frame_id, was, is_ in replayed.different]
        console.print_json(json.dumps({"compared": replayed.compared, "same": same, "different": found}))
        return 0
    share = same / replayed.compared if replayed.compared else 0.0
    console.print(f"{same} of {replayed.compared} frames ({share:.2%}) have the same answer as in the recorded run")
    for frame_id, was, is_ in replayed.different[:_DIFFERENCES_SHOWN]:
        console.print(f"  frame {frame_id}: was {was}, is {is_}")
    if len(replayed.different) > _DIFFERENCES_SHOWN:
        console.print(f"  and {len(replayed.different) - _DIFFERENCES_SHOWN} more")
    return 0
