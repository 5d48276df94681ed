"""Answers that the tests of sinks make up."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from pipeline.frame import Answer, CaptureClock, FrameInfo, Health, Mode, Reason, Status
from pipeline.stage import OpenContext
from pipeline.testing import ManualClock, open_context
from stages.payloads import Picture, Tracks

_MS = 1_000_000
CAPTURED_NS = 81_234_567_891_234

AnswerMaker = Callable[..., Answer]
TracksMaker = Callable[..., Tracks]


@pytest.fixture
def live_context() -> OpenContext:
    return open_context(ManualClock(), mode=Mode.LIVE)


@pytest.fixture
def lossless_context() -> OpenContext:
    return open_context(ManualClock(), mode=Mode.LOSSLESS)


@pytest.fixture
def make_tracks() -> TracksMaker:
    """A function that makes Tracks of (x1, y1, x2, y2) rows: ids from 7, classes 0, 1, 2, ..., scores .83, .73, ..."""

    def make(
        boxes: Sequence[Sequence[float]] = ((10.0, 20.0, 50.0, 100.0),),
        *,
        captured_ns: int = CAPTURED_NS,
        measured_age_ns: int = 0,
        size: tuple[int, int] = (768, 576),
    ) -> Tracks:
        count = len(boxes)
        return Tracks(
            boxes=np.array(boxes, np.float32).reshape(-1, 4),
            scores=np.array([0.83 - 0.1 * row for row in range(count)], np.float32),
            class_ids=np.arange(count, dtype=np.int32),
            track_ids=np.arange(7, 7 + count, dtype=np.int64),
            velocities=np.tile(np.array([12.345, -0.001, 12.345, -3.0], np.float32), (count, 1)),
            measured_ns=np.full(count, captured_ns - measured_age_ns, np.int64),
            position_std=np.full(count, 2.0, np.float32),
            class_names=("person", "car"),
            image_size=size,
        )

    return make


@pytest.fixture
def make_answer(make_tracks: TracksMaker) -> AnswerMaker:
    """A function that makes an answer: by default fresh, live, with one track, 30 fps, given 61.3 ms after capture."""

    def make(
        frame_id: int = 0,
        *,
        status: Status = Status.FRESH,
        reason: Reason | None = None,
        tracks: Tracks | None = None,
        live: bool = True,
        pts_s: float | None = None,
        size: tuple[int, int] | None = (768, 576),
        picture: np.ndarray | None = None,
        age_ns: int = 61_300_000,
    ) -> Answer:
        at_s = frame_id / 30 if pts_s is None else pts_s
        captured_ns = CAPTURED_NS if live else round(at_s * 1e9)
        payload = make_tracks(captured_ns=captured_ns) if tracks is None else tracks
        if status is not Status.FRESH and reason is None:
            reason = Reason.LATE
        return Answer(
            info=FrameInfo("cam0", frame_id, at_s, captured_ns, captured_ns + 100 * _MS if live else None),
            status=status,
            reason=reason,
            payload=None if status is Status.BLIND else payload,
            clock=CaptureClock.PTS if live else CaptureClock.FILE,
            published_ns=captured_ns + age_ns if live else None,
            health=Health.OK if live else None,
            size=size,
            picture=None if picture is None else Picture(array=picture),
        )

    return make
