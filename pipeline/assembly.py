"""Puts the engine of a run together from its plan and its settings. No I/O, no thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.chrome import TraceFacts
from pipeline.clock import NS_PER_MS, NS_PER_S, Clock
from pipeline.feed import Backoff
from pipeline.frame import Answer, Heartbeat, Mode, ProjectTo
from pipeline.graph import Plan
from pipeline.ledger import Ledger
from pipeline.live import LiveEngine
from pipeline.lossless import LosslessEngine
from pipeline.stage import OpenContext
from pipeline.timings import Timings, TimingsFile
from pipeline.trace import MissTraces, Tracer


@dataclass(frozen=True, slots=True)
class RunSettings:
    """What a run needs to know besides its plan."""

    stream_id: str
    mode: Mode
    cores: int
    deadline_ns: int = 100 * NS_PER_MS
    """Live only: capture to answer."""
    credit_limit: int = 2
    """Live only: frames between admission and the end of detection."""
    heartbeat_ns: int = NS_PER_S // 2
    """Live only: how often to say that there is no frame to answer."""
    workers: int = 1
    """Lossless only: threads for stateless stages."""
    retry_start: bool = False
    """Live only: wait for a source that cannot be opened at the start."""
    backoff: Backoff = field(default_factory=Backoff)
    project_to: ProjectTo = ProjectTo.CAPTURE
    """Live only: the moment that answers are true for."""
    timings: Path | None = None
    """Live only: file for the record of what happened when."""
    trace_ns: int | None = None
    """How far back traces reach; None: the run is not traced."""
    trace_on_miss: Path | None = None
    """Live only: folder for traces that are made after a burst of misses; the run is traced then."""
    configuration: Mapping[str, object] = field(default_factory=dict)
    """The effective configuration as plain data, secrets masked: to be shown, and for nothing else."""


def make_engine(
    plan: Plan,
    settings: RunSettings,
    *,
    clock: Clock,
    ledger: Ledger,
    hand_over: Callable[[Answer], int | None],
    hand_beat: Callable[[Heartbeat], None],
    timings: Timings,
) -> LiveEngine | LosslessEngine:
    """Return the engine of the mode; see there for the arguments."""
    keep_pictures = any(sink.wants_pictures for _, sink in plan.sinks)
    if settings.mode is Mode.LIVE:
        return LiveEngine(
            plan,
            stream_id=settings.stream_id,
            limit_ns=settings.deadline_ns,
            credit_limit=settings.credit_limit,
            keep_pictures=keep_pictures,
            heartbeat_ns=settings.heartbeat_ns,
            clock=clock,
            ledger=ledger,
            hand_over=hand_over,
            hand_beat=hand_beat,
            timings=timings,
            project_to=settings.project_to,
        )
    return LosslessEngine(
        plan,
        stream_id=settings.stream_id,
        workers=settings.workers,
        keep_pictures=keep_pictures,
        clock=clock,
        ledger=ledger,
        hand_over=hand_over,
        timings=timings,
    )


def make_timings(plan: Plan, settings: RunSettings, clock: Clock) -> TimingsFile | None:
    """Return the record of what happens when; None when none is wanted."""
    if settings.timings is None or settings.mode is not Mode.LIVE:
        return None
    told: dict[str, object] = {
        "deadline_ns": settings.deadline_ns,
        "credits": settings.credit_limit,
        "stages": [name for name, _ in plan.stages],
        "detector": plan.detector,
    }
    return TimingsFile(settings.timings, settings=told, clock=clock)


def make_tracer(plan: Plan, settings: RunSettings, clock: Clock) -> Tracer | None:
    """Return what keeps the last seconds for traces; None when none are wanted."""
    if settings.trace_ns is None:
        return None
    decode = () if plan.decoder is None else ("decode",)
    facts = TraceFacts(
        stream=settings.stream_id,
        live=settings.mode is Mode.LIVE,
        stages=(*decode, *(name for name, _ in plan.stages)),
        sinks=tuple(name for name, _ in plan.sinks),
    )
    on_miss = None if settings.trace_on_miss is None else MissTraces(settings.trace_on_miss, settings.stream_id)
    limit_ns = settings.deadline_ns if facts.live else None
    return Tracer(facts, span_ns=settings.trace_ns, limit_ns=limit_ns, clock=clock, on_miss=on_miss)


def make_context(settings: RunSettings, clock: Clock) -> OpenContext:
    """Return what parts may know when they open."""
    return OpenContext(
        mode=settings.mode,
        stream_id=settings.stream_id,
        clock=clock,
        cores=settings.cores,
        deadline_ns=settings.deadline_ns if settings.mode is Mode.LIVE else None,
    )
