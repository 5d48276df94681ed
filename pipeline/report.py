"""The summary of a run, as data: what `--report FILE` holds and `framepace schema report` describes."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from pipeline.clock import NS_PER_MS
from pipeline.errors import Outage
from pipeline.frame import CaptureClock, Fate, Health, Mode, Reason, Spent
from pipeline.histogram import Histogram
from pipeline.ledger import Books


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Percentiles(_Frozen):
    """Spread of a duration."""

    p50: float
    p95: float
    p99: float
    max: float


class Frames(_Frozen):
    """What became of every captured frame."""

    captured: int
    fresh: int
    forecast: int
    blind: int
    missed: int
    undecodable: int
    abandoned: int


class Ages(_Frozen):
    """Capture to publishing; null where there was no such answer, and in lossless mode."""

    fresh: Percentiles | None
    all: Percentiles | None


class StageTimes(_Frozen):
    """One stage: how long frames waited for it and how long it worked on them."""

    wait_ms: Percentiles
    run_ms: Percentiles
    items: int
    failed: int
    cpu_s: float = Field(description="Processor time of the stage's own threads, seconds; without library threads.")


class Queue(_Frozen):
    """One link."""

    capacity: int
    peak: int
    dropped: int


class SinkReport(_Frozen):
    """One sink."""

    written: int
    late: int = Field(default=0, description="Live: answers that it took after their deadline, since it was busy.")
    wait_ms: Percentiles | None = Field(default=None, description="Live: from handing over to taking.")
    skipped: int = Field(description="Answers that it never got because it was too slow.")
    failed: str | None = Field(description="Why it stopped early; null if it did not.")
    details: dict[str, int] = Field(description="Counters of the sink itself, such as clients.")


class BlameReport(_Frozen):
    """One step that made frames miss: in a stage (run), or in front of it (wait)."""

    stage: str = Field(
        description="A stage; `capture` for the way from the camera, `decode`, `publish` for the publisher's waking up."
    )
    part: Spent
    frames: int = Field(description="How many frames missed because of it.")
    typical_ms: float = Field(description="What it usually takes, by the recent frames, mean over those that missed.")
    excess_ms: float = Field(description="How much longer it took, mean over those that missed.")


class TracesReport(_Frozen):
    """Traces that were written because frames were missed."""

    written: int
    failed: int = Field(description="How many could not be written.")


class DetectorReport(_Frozen):
    """The detector."""

    model: str
    family: str = Field(default="", description="How its outputs are read.")
    evidence: str = Field(default="", description="By what that was recognised.")
    provider: str
    input: str
    runs: int


class SourceReport(_Frozen):
    """The source."""

    reconnects: int
    losses: dict[Outage, int] = Field(description="How often it was lost, by what became of it.")
    away: Outage | None = Field(description="How it is lost just now; null when it is there.")
    away_s: float = Field(description="How long it was lost, all times together, the present one too.")
    heartbeats: int = Field(description="How often it was said that there is no frame to answer.")
    details: dict[str, int | str] = Field(description="Facts and counters of the source itself, such as lost packets.")
    clock: CaptureClock | None = Field(description="Where capture times came from, of the last frame.")


class ChangeReport(_Frozen):
    """One setting that was changed while the run went on."""

    at_s: float = Field(description="When, from the start of the run.")
    name: str
    before: JsonValue
    after: JsonValue
    by: str | None = Field(default=None, description="The address of the client that asked for it, if one did.")


class Report(_Frozen):
    """The summary of one run of one stream."""

    report_schema: Literal["framepace/report/1"] = Field(default="framepace/report/1", alias="schema")
    stream: str
    mode: Mode
    deadline_ms: float | None
    frames: Frames
    reasons: dict[Reason, int]
    published_late: int
    balanced: bool
    age_ms: Ages
    stages: dict[str, StageTimes]
    queues: dict[str, Queue]
    sinks: dict[str, SinkReport]
    detector: DetectorReport | None
    source: SourceReport
    blames: list[BlameReport] = Field(description="What made frames miss their deadline, the most frequent first.")
    traces: TracesReport | None = Field(description="Null when misses are not traced.")
    health: Health | None
    margin_ms: float | None = Field(description="How long before its deadline a frame was answered at the latest.")
    ready_s: float | None = Field(description="From the start of the run to when source, model and sinks were open.")
    first_answer_s: float | None = Field(description="From the start of the run to the first answer.")
    changes: list[ChangeReport] = Field(description="Settings that were changed while it ran, the last hundred.")
    changes_left_out: int = Field(description="How many changes there were before those.")
    stopped_by: str | None = Field(
        default=None, description="The address of the client that ended the run, if one did."
    )
    stuck: list[str] = Field(description="Threads that did not stop in time and were left behind.")
    failure: str | None = Field(description="What ended the run early; null if it came to its end or was stopped.")
    duration_s: float
    cpu_s: float
    peak_rss_mib: float

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)


def percentiles_ms(histogram: Histogram) -> Percentiles:
    """Return the usual percentiles in milliseconds, rounded to a microsecond."""

    def at(share: float) -> float:
        return round(histogram.percentile_ns(share) / NS_PER_MS, 3)

    return Percentiles(p50=at(0.5), p95=at(0.95), p99=at(0.99), max=at(1.0))


def frames_from_books(books: Books) -> Frames:
    """Return the frame counts of a ledger."""
    return Frames(captured=books.captured, **{fate.value: books.fates[fate] for fate in Fate})
