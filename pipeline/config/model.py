"""What a configuration file may say."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from pipeline.clock import NS_PER_MS, NS_PER_S
from pipeline.controls import LEAST_DEADLINE_NS, MOST_DEADLINE_NS
from pipeline.frame import ProjectTo
from pipeline.shown import printable_name
from pipeline.units import Duration


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Name = Annotated[str, AfterValidator(printable_name)]
"""Of a stream or a part: it stands in results, on terminals and in spreadsheets."""


class PartConfig(BaseModel):
    """A source, decoder, stage or sink: its kind, and the options of that kind beside it."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: str = Field(description="A registered kind, or `module:Class`.")
    name: Name | None = Field(default=None, description="How reports call it; the kind if absent.")

    @property
    def options(self) -> dict[str, object]:
        """The options as written, not validated yet."""
        return dict(self.model_extra or {})


class EngineConfig(_Section):
    """Settings of the engine that few need."""

    credits: Annotated[int, Field(ge=1, le=8)] = Field(
        default=2, description="Live: frames that may be between admission and the end of detection."
    )
    workers: Annotated[int, Field(ge=1, le=64)] | None = Field(
        default=None, description="Lossless: threads for stateless stages; as many as cores if absent."
    )
    heartbeat: Annotated[Duration, Field(ge=50 * NS_PER_MS)] = Field(
        default=500 * NS_PER_MS, description="Live: how often to say `blind` while there is no frame to answer."
    )
    reconnect_first: Duration = Field(default=250 * NS_PER_MS, description="Wait before the first reconnect.")
    reconnect_most: Duration = Field(default=10 * NS_PER_S, description="The longest wait between reconnects.")


class RunConfig(_Section):
    """One stream: where pictures come from, what is done with them, where answers go."""

    source: str | PartConfig = Field(description="What `framepace run` takes as SOURCE, or a mapping with `kind`.")
    stream: Annotated[Name, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")] = Field(
        default="cam0", description="Name of the stream in every result."
    )
    mode: Literal["auto", "live", "lossless"] = Field(
        default="auto", description="`auto`: live for cameras and paced files, lossless for recordings."
    )
    deadline: Annotated[Duration, Field(ge=LEAST_DEADLINE_NS, le=MOST_DEADLINE_NS)] = Field(
        default=100 * NS_PER_MS, description="Live: capture to answer; 5ms to 1m."
    )
    retry_start: bool = Field(default=False, description="Live: wait for a source that is not there at the start.")
    give_up_after: Annotated[Duration, Field(gt=0)] | None = Field(
        default=None, description="Live: end the run when the source is away for so long; never if absent."
    )
    project_to: ProjectTo = Field(
        default=ProjectTo.CAPTURE,
        description="Live: boxes lie where things were at `capture`, or where they will have moved to at `publish`.",
    )
    decode: PartConfig | None = Field(default=None, description="The decoder; chosen by the source if absent.")
    stages: list[str | PartConfig] | None = Field(
        default=None, description="The steps in order; preprocess, detect, track if absent."
    )
    sinks: list[str | PartConfig] = Field(default_factory=list, description="Where answers go.")
    serve: str | dict[str, object] | None = Field(
        default=None, description="HOST:PORT of the page, or a mapping with the options of the sink kind `serve`."
    )
    engine: EngineConfig = Field(default_factory=EngineConfig)
    report: str | None = Field(default=None, description="File for the report, JSON.")
    record_timings: str | None = Field(
        default=None, description="Live: file for what happened when, to be played again by `framepace simulate`."
    )
    trace: str | None = Field(
        default=None, description="File for a trace of the last seconds of the run, to be opened in Perfetto."
    )
    trace_seconds: Annotated[float, Field(ge=1, le=600)] | None = Field(
        default=None,
        description="How far back traces reach, 30 if absent; alone, traces can be asked for while it runs.",
    )
    trace_on_miss: str | None = Field(
        default=None, description="Live: folder for traces that are made when several frames in a row are missed."
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="Log lines on standard error: for people, or one JSON object a line."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="warning", description="The least that is logged; `quiet` leaves errors only."
    )
    quiet: bool = Field(default=False, description="Print errors only.")
