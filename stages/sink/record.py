"""The result record: what one answer looks like as JSON, schema `framepace/1`."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, RootModel
from pydantic.config import JsonDict

from pipeline.clock import NS_PER_MS, NS_PER_S
from pipeline.errors import Outage
from pipeline.frame import Answer, Blame, CaptureClock, Health, Heartbeat, Reason, Spent, Status
from stages.payloads import FloatArray, Tracks, class_name

SCHEMA: Literal["framepace/1"] = "framepace/1"

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def _left_out(schema: JsonDict) -> None:
    """Say in the JSON Schema that a field is left out, never null, where it does not apply."""
    choices = schema.pop("anyOf")
    assert isinstance(choices, list)
    assert isinstance(choices[0], dict)
    del schema["default"]
    schema.update(choices[0])


class _Record(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, validate_by_name=True, validate_by_alias=True
    )


Corners = Annotated[list[float], Field(min_length=4, max_length=4)]


class TrackRecord(_Record):
    """One object followed over time, at the capture time of the frame, or at `boxes_at_s`."""

    id: int = Field(description="Number of the track; unique in its stream, never used again.")
    class_id: int = Field(description="Class number of the model.")
    class_name: str = Field(alias="class", description="Name of the class; `class N` where the model does not name it.")
    score: float = Field(ge=0, le=1, description="Confidence of the last measurement, 0 to 1, to 0.0001.")
    box: Corners = Field(description="x1, y1, x2, y2 in source-picture pixels, to 0.01; may reach beyond the picture.")
    velocity: Corners = Field(
        description="Of the four numbers of `box`, pixels per second: at another time it is box + velocity * dt."
    )
    measured_age_ms: float = Field(
        description="From the capture of the frame on which it was last measured to that of this one, milliseconds."
    )


class BlameRecord(_Record):
    """The step of a frame's way that made it miss its deadline."""

    stage: str = Field(
        description="A stage; `capture` for the way from the camera, `decode`, `publish` for the publisher's waking up."
    )
    part: Spent = Field(description="wait: in front of it. run: inside it.")
    took_ms: float = Field(description="How long it took, so far if it was not over; what is usual if not reached.")
    usual_ms: float = Field(description="What it usually takes, by the recent frames.")


class ResultRecord(_Record):
    """The answer for one frame. Times are seconds of the monotonic clock, to 1 microsecond."""

    schema_name: Literal["framepace/1"] = Field(alias="schema", description="Name and version of this format.")
    stream: str = Field(description="Name of the stream that the frame belongs to.")
    frame: int = Field(ge=0, description="Number of the frame in its stream, from 0, in presentation order.")
    pts_s: float = Field(description="Presentation time on the stream's own time line, seconds.")
    captured_s: float | None = Field(
        None, json_schema_extra=_left_out, description="When the frame was captured. Live only."
    )
    clock: CaptureClock = Field(description="Where the capture time comes from.")
    status: Status = Field(
        description="fresh: measured on this frame. forecast: earlier measurements, moved to this frame's time. "
        "blind: nothing can be said, which never means that the scene is empty."
    )
    reason: Reason | None = Field(description="Why the answer is not fresh; null exactly when it is.")
    due_s: float | None = Field(None, json_schema_extra=_left_out, description="The frame's deadline. Live only.")
    published_s: float | None = Field(
        None, json_schema_extra=_left_out, description="When the answer was given, never after due_s. Live only."
    )
    age_ms: float | None = Field(
        None, json_schema_extra=_left_out, description="From capture to answer, milliseconds. Live only."
    )
    boxes_at_s: float | None = Field(
        None, json_schema_extra=_left_out,
        description="The moment that the boxes are true for. Left out when that is the capture.",
    )  # fmt: skip
    health: Health | None = Field(
        None, json_schema_extra=_left_out, description="How the run was doing at that moment. Live only."
    )
    width: int | None = Field(description="Width of the source picture, pixels; null until one has been seen.")
    height: int | None = Field(description="Height of the source picture, pixels; null until one has been seen.")
    tracks: list[TrackRecord] = Field(description="What is in the picture; empty when blind.")
    blame: BlameRecord | None = Field(
        None, json_schema_extra=_left_out,
        description="What made it late. Live only, with the reasons late and would_miss, where it is known.",
    )  # fmt: skip
    gap: int | None = Field(
        None, ge=1, json_schema_extra=_left_out,
        description="Frames right before this one that have no record at this reader. Left out when there are none.",
    )  # fmt: skip


class HeartbeatRecord(_Record):
    """Live only, while there is no frame to answer, because the camera is away for example: nothing can be said."""

    schema_name: Literal["framepace/1"] = Field(alias="schema", description="Name and version of this format.")
    stream: str = Field(description="Name of the stream.")
    frame: None = Field(description="Null: this is no answer to any frame, and counts as none.")
    status: Literal[Status.BLIND] = Field(description="Nothing can be said, which never means that the scene is empty.")
    reason: Outage = Field(
        description="ended, error, silent, frozen: how the source was lost. silent also before it counts as lost. "
        "undecodable: frames come, but no picture can be made of them. "
        "missed: frames come, but cannot be answered in time."
    )
    published_s: float = Field(description="When this was said, seconds of the monotonic clock.")
    silent_ms: float = Field(description="How long ago the last answer was given, or the run began, milliseconds.")
    health: Health = Field(description="How the run was doing at that moment.")
    tracks: Annotated[list[TrackRecord], Field(max_length=0)] = Field(description="Always empty.")


class AnyRecord(RootModel[ResultRecord | HeartbeatRecord]):
    """What a reader finds in a line or a message; `frame` tells the two apart."""


def record_from_heartbeat(heartbeat: Heartbeat) -> dict[str, object]:
    """Return the record of a heartbeat as plain data, in the order of HeartbeatRecord."""
    return {
        "schema": SCHEMA,
        "stream": heartbeat.stream_id,
        "frame": None,
        "status": Status.BLIND.value,
        "reason": heartbeat.reason.value,
        "published_s": _seconds(heartbeat.published_ns),
        "silent_ms": _milliseconds(heartbeat.silent_ns),
        "health": heartbeat.health.value,
        "tracks": [],
    }


def line_from_heartbeat(heartbeat: Heartbeat) -> str:
    """Return the record as compact JSON without a line break."""
    return _encode(record_from_heartbeat(heartbeat))


def record_from_answer(answer: Answer, *, gap: int = 0) -> dict[str, object]:
    """Return the record of an answer as plain data, in the order of ResultRecord.

    Args:
        answer: its payload is Tracks, or None when blind.
        gap: frames before this one without a record at this reader.

    Raises:
        ValueError: a track has a number that is not finite.
    """
    info = answer.info
    live = info.due_ns is not None
    width, height = answer.size or (None, None)
    record: dict[str, object] = {
        "schema": SCHEMA,
        "stream": info.stream_id,
        "frame": info.frame_id,
        "pts_s": round(info.pts_s, 6),
    }
    if live:
        record["captured_s"] = _seconds(info.captured_ns)
    record["clock"] = answer.clock.value
    record["status"] = answer.status.value
    record["reason"] = None if answer.reason is None else answer.reason.value
    if info.due_ns is not None and answer.published_ns is not None and answer.health is not None:
        record["due_s"] = _seconds(info.due_ns)
        record["published_s"] = _seconds(answer.published_ns)
        record["age_ms"] = _milliseconds(answer.published_ns - info.captured_ns)
        if answer.payload_at_ns is not None:
            record["boxes_at_s"] = _seconds(answer.payload_at_ns)
        record["health"] = answer.health.value
    record["width"] = width
    record["height"] = height
    record["tracks"] = track_records(answer)
    if answer.blame is not None:
        record["blame"] = _blame_record(answer.blame)
    if gap:
        record["gap"] = gap
    return record


def line_from_answer(answer: Answer, *, gap: int = 0) -> str:
    """Return the record as compact JSON without a line break.

    Raises:
        ValueError: a number is not finite, which JSON cannot say.
    """
    return _encode(record_from_answer(answer, gap=gap))


def line_with_gap(line: str, gap: int) -> str:
    """Return a line that was made without a gap as it would be with one."""
    return f'{line[:-1]},"gap":{gap}}}' if gap else line


def track_records(answer: Answer) -> list[dict[str, object]]:
    """Return the tracks of an answer as plain data; none when it is blind.

    Raises:
        ValueError: a number is not finite.
    """
    tracks = answer.payload
    if tracks is None:
        return []
    assert isinstance(tracks, Tracks)
    boxes = _rounded(tracks.boxes, 2, answer)
    velocities = _rounded(tracks.velocities, 2, answer)
    scores = _rounded(tracks.scores, 4, answer)
    captured_ns = answer.info.captured_ns
    return [
        {
            "id": track_id,
            "class_id": class_id,
            "class": class_name(tracks.class_names, class_id),
            "score": score,
            "box": box,
            "velocity": velocity,
            "measured_age_ms": _milliseconds(captured_ns - measured_ns),
        }
        for track_id, class_id, score, box, velocity, measured_ns in zip(
            tracks.track_ids.tolist(),
            tracks.class_ids.tolist(),
            scores,
            boxes,
            velocities,
            tracks.measured_ns.tolist(),
            strict=True,
        )
    ]


def _blame_record(blame: Blame) -> dict[str, object]:
    return {
        "stage": blame.stage,
        "part": blame.part.value,
        "took_ms": _milliseconds(blame.took_ns),
        "usual_ms": _milliseconds(blame.usual_ns),
    }


def _rounded(values: FloatArray, digits: int, answer: Answer) -> list[object]:
    """Return the values rounded, as (nested) lists."""
    exact = values.astype(np.float64)  # rounded in float32, 0.07 would come out as 0.07000000029802322
    if not np.isfinite(exact).all():
        raise ValueError(f"frame {answer.info.frame_id} has a track with a number that is not finite")
    rounded: list[object] = (exact.round(digits) + 0.0).tolist()  # + 0.0 makes -0.0 a plain 0.0
    return rounded


def _seconds(time_ns: int) -> float:
    return round(time_ns / NS_PER_S, 6)


def _milliseconds(duration_ns: int) -> float:
    return round(duration_ns / NS_PER_MS, 3)
