"""What was measured, as data: what `framepace bench --json` prints."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.report import Percentiles


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Machine(_Frozen):
    """Where it was measured."""

    processor: str
    cores: int = Field(description="That this process may use.")
    python: str
    framepace: str


class EngineFigures(_Frozen):
    """The engine alone: stages that do nothing, no pictures."""

    flat_out_us: float = Field(description="Processor time of a frame, everything as fast as it can.")
    paced_us: float = Field(description="Processor time of a frame at 30 fps.")
    age_ms: Percentiles = Field(description="From capture to answer at 30 fps.")
    frames: int = Field(description="Of the run at 30 fps.")


class DecodeFigures(_Frozen):
    """Decoding of one clip, and nothing else."""

    clip: str
    live_fps: float = Field(description="As in live runs: no picture is held back.")
    live_ms: Percentiles = Field(description="Of one picture, as in live runs.")
    recorded_fps: float = Field(description="As in lossless runs: frame threads.")


class DetectorFigures(_Frozen):
    """One model at one size, alone on the machine, with the threads that it gets in live runs."""

    name: str = Field(description="As --model takes it.")
    provider: str
    input: str
    preprocess_ms: Percentiles
    detect_ms: Percentiles
    fps: float = Field(description="Frames a second that the detector could do, one after the other.")


class TrackerFigures(_Frozen):
    """The tracker with boxes that move."""

    boxes: int
    process_ms: Percentiles
    forecast_ms: Percentiles


class LiveFigures(_Frozen):
    """One live run of the whole program in a process of its own."""

    model: str
    fps: float
    deadline_ms: float
    frames: int
    warming: int = Field(description="Frames that came before the model was ready; not in the shares.")
    fresh_share: float
    forecast_share: float
    missed: int
    published_late: int
    age_ms: Percentiles | None = Field(description="Of fresh answers; null if there were none.")
    cores: float = Field(description="Processor cores in use, on average.")
    peak_rss_mib: float


class LoadFigures(_Frozen):
    """A live run at a multiple of what the detector can do."""

    load: float
    live: LiveFigures


class Verdict(_Frozen):
    """Whether a camera of that rate can be answered by that deadline."""

    fps: float
    deadline_ms: float
    holds: bool
    live: LiveFigures = Field(description="The run that it rests on.")
    sentence: str


class Figures(_Frozen):
    """Everything."""

    figures_schema: Literal["framepace/bench/1"] = Field(default="framepace/bench/1", alias="schema")
    machine: Machine
    quick: bool
    engine: EngineFigures
    decode: list[DecodeFigures]
    detectors: list[DetectorFigures]
    tracker: TrackerFigures
    loads: list[LoadFigures]
    verdicts: list[Verdict]
    summary: list[str] = Field(description="What it means, in sentences.")
    duration_s: float

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)
