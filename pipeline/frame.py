"""The counted unit and the words for what became of it.

A frame is known by its FrameInfo, which only the engine makes. It travels inside an immutable Envelope,
and leaves as exactly one Answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pipeline.errors import Outage


class Mode(StrEnum):
    """How a run treats time."""

    LIVE = "live"
    """Every frame is answered by its deadline."""
    LOSSLESS = "lossless"
    """Every frame is processed, queues block, results are reproducible."""


class CaptureClock(StrEnum):
    """Where a frame's capture time came from."""

    ARRIVAL = "arrival"
    """The moment the packet arrived here."""
    PTS = "pts"
    """The stream's own time stamps, tied to the arrival of the fastest packets."""
    V4L2 = "v4l2"
    """The camera driver's monotonic time stamp."""
    RTCP = "rtcp"
    """The sender's wall clock by RTCP sender reports."""
    FILE = "file"
    """The time stamps of a recording."""


class ProjectTo(StrEnum):
    """The moment that the boxes of a live answer are true for."""

    CAPTURE = "capture"
    """The frame was captured: they lie on its picture."""
    PUBLISH = "publish"
    """The answer is given: they lie where things will have moved to by then."""


class Status(StrEnum):
    """What an answer says about its frame."""

    FRESH = "fresh"
    """The detector's own result for this very frame, in time."""
    FORECAST = "forecast"
    """Tracks measured on earlier frames, moved to this frame's capture time."""
    BLIND = "blind"
    """Nothing valid can be said. It never means that the scene is empty."""


class Fate(StrEnum):
    """The one thing that became of a captured frame."""

    FRESH = "fresh"
    FORECAST = "forecast"
    BLIND = "blind"
    MISSED = "missed"
    """The publisher could not run before the deadline had passed; nothing was published."""
    UNDECODABLE = "undecodable"
    """The codec gave no picture."""
    ABANDONED = "abandoned"
    """Still inside when the run was stopped."""


class Reason(StrEnum):
    """Why an answer is not fresh."""

    SUPERSEDED = "superseded"
    """A newer frame took the detector."""
    WOULD_MISS = "would_miss"
    """By prediction it cannot be in time: the next frame is preferred, or it is measured for the tracks' sake only."""
    LATE = "late"
    """Its result was not ready by the deadline."""
    FAILED = "failed"
    """A stage raised on it."""
    SHED = "shed"
    """Skipped on purpose before it was decoded, or by a stage that returned None."""
    WARMING = "warming"
    """The model was not ready yet."""
    PAUSED = "paused"
    """Detection was paused by whoever controls the run."""


class Health(StrEnum):
    """How the run is doing, with hysteresis."""

    OK = "ok"
    DEGRADED = "degraded"
    BLIND = "blind"
    FAILED = "failed"


class Spent(StrEnum):
    """What time went by with."""

    WAIT = "wait"
    """In front of a stage."""
    RUN = "run"
    """Inside it."""


@dataclass(frozen=True, slots=True)
class Blame:
    """Which step of a frame's way it was that made it miss."""

    stage: str
    """A stage; `capture` for the way from the camera, `decode`, `publish` for the waking of the publisher's thread."""
    part: Spent
    took_ns: int
    usual_ns: int
    """The median of the recent frames."""


@dataclass(frozen=True, slots=True)
class FrameInfo:
    """Who a frame is and when it was captured. Only the engine makes one; no stage can lose or forge it."""

    stream_id: str
    """Name of the stream it belongs to."""
    frame_id: int
    """Counts from 0 in presentation order, without gaps, per stream."""
    pts_s: float
    """Presentation time on the stream's own time line, seconds."""
    captured_ns: int
    """When it was captured. Live: on the engine's clock. Lossless: the presentation time in ns."""
    due_ns: int | None
    """The deadline, captured_ns + limit. None in lossless mode."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """One frame on its way through the graph."""

    info: FrameInfo
    payload: object
    """What the last stage made of it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is published for one frame."""

    info: FrameInfo
    status: Status
    reason: Reason | None
    """None exactly when the status is fresh."""
    payload: object | None
    """What the last stage says of this frame (Tracks). None exactly when blind."""
    clock: CaptureClock
    """Where `info.captured_ns` came from."""
    published_ns: int | None
    """When it was handed over. None in lossless mode."""
    health: Health | None
    """The health of the run at that moment. None in lossless mode."""
    size: tuple[int, int] | None
    """Width and height of the source picture, pixels. None while no picture has been seen."""
    picture: object | None
    """The decoded picture, if a sink asked for pictures and there was one."""
    payload_at_ns: int | None = None
    """The moment that the payload is true for, if that is not the capture of the frame."""
    blame: Blame | None = None
    """What made the frame miss, if its time ran out."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Said at a steady pace while there is no frame to answer: still here, and blind. It is no answer to any frame."""

    stream_id: str
    reason: Outage
    published_ns: int
    silent_ns: int
    """How long ago the last answer was given, or the run began."""
    health: Health
