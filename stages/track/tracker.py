"""Follows objects over time: two-stage association by score over a constant-velocity Kalman filter.

The association is that of ByteTrack (Zhang et al., ECCV 2022): first the confident boxes find their tracks, then the
doubtful boxes, mostly half-hidden objects, may keep a track alive but never start one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pydantic import Field

from pipeline.frame import FrameInfo
from pipeline.stage import Forecaster, Options, Stage
from pipeline.units import Duration
from stages.boxes import xyxy_from_cxcywh
from stages.payloads import Detections
from stages.track import kalman
from stages.track.association import paired, similarity_matrix
from stages.track.kalman import DoubleArray
from stages.track.population import born, nobody
from stages.track.snapshot import Snapshot


class TrackerOptions(Options):
    """Settings of the tracker."""

    min_score: float = Field(default=0.3, ge=0, le=1)
    """Boxes from this score up start tracks and are associated first."""
    low_score: float = Field(default=0.1, ge=0, le=1)
    """Boxes from this score up to min_score may keep a track alive; those below are ignored."""
    horizon: Duration = 500_000_000
    """How long after a measurement a forecast is still said."""
    max_lost: Duration = 3_000_000_000
    """How long a track that is not measured is kept to be found again."""
    coast: Duration = 0
    """How long a track that the newest measured frame did not see is still shown."""
    min_iou: float = Field(default=0.2, ge=0, le=1)
    """Least overlap of a confident box with the forecast of its track."""
    min_iou_low: float = Field(default=0.5, ge=0, le=1)
    """The same for a doubtful box."""


class Tracker(Stage):
    """Detections in, a Snapshot of all tracks out.

    Keeps between frames: all tracks seen within `max_lost`, the next id, and the time of the last frame. A frame that
    is not newer than the last one raises ValueError and changes nothing. Detections without boxes are a measurement:
    the scene is empty. Boxes with numbers that are not finite are ignored.
    """

    accepts = Detections
    produces = Forecaster
    options_type = TrackerOptions

    def __init__(self, options: TrackerOptions) -> None:
        self._options = options
        self._tracks = nobody()
        self._next_id = 1
        self._last_ns: int | None = None

    def process(self, payload: object, info: FrameInfo) -> Snapshot:
        """Associate the detections of one frame and return what is known after it.

        Raises:
            ValueError: the frame is not newer than the last one.
        """
        assert isinstance(payload, Detections)
        at_ns = info.captured_ns
        if self._last_ns is not None and at_ns <= self._last_ns:
            raise ValueError(
                f"frame {info.frame_id} at {at_ns} ns is not newer than the last one at {self._last_ns} ns"
            )
        options = self._options
        tracks = self._tracks.take(at_ns - self._tracks.measured_ns <= options.max_lost)
        moved = tracks.motion_at(at_ns)
        boxes = payload.boxes.astype(np.float64)
        usable = np.isfinite(boxes).all(axis=1)
        high = np.flatnonzero(usable & (payload.scores >= options.min_score))
        low = np.flatnonzero(usable & (payload.scores >= options.low_score) & (payload.scores < options.min_score))
        similarity = similarity_matrix(xyxy_from_cxcywh(moved.position), boxes, tracks.class_ids, payload.class_ids)
        rows, columns = paired(similarity[:, high], options.min_iou)
        columns = high[columns]
        free = np.setdiff1d(np.arange(len(tracks)), rows)
        low_rows, low_columns = paired(similarity[np.ix_(free, low)], options.min_iou_low)
        rows = np.concatenate([rows, free[low_rows]])
        columns = np.concatenate([columns, low[low_columns]])
        measured = _cxcywh(boxes)
        updated = tracks.take(rows)
        updated = replace(
            updated,
            motion=kalman.corrected(moved.take(rows), measured[columns]),
            scores=payload.scores[columns].astype(np.float32),
            measured_ns=np.full(len(rows), at_ns, dtype=np.int64),
            confirmed=np.ones(len(rows), dtype=np.bool_),
        )
        missed = tracks.take(np.setdiff1d(np.arange(len(tracks)), rows))
        new = np.setdiff1d(high, columns)
        fresh = born(
            measured[new],
            first_id=self._next_id,
            class_ids=payload.class_ids[new].astype(np.int32),
            scores=payload.scores[new].astype(np.float32),
            at_ns=at_ns,
            confirmed=np.ones(len(new), dtype=np.bool_),
        )
        self._tracks = updated.concatenate(missed).concatenate(fresh)
        self._next_id += len(new)
        self._last_ns = at_ns
        shown = self._tracks.take(at_ns - self._tracks.measured_ns <= options.coast)
        return Snapshot(
            measured_ns=at_ns,
            population=shown,
            horizon_ns=options.horizon,
            class_names=payload.class_names,
            image_size=payload.image_size,
        )


def _cxcywh(boxes: DoubleArray) -> DoubleArray:
    """Return centre x, centre y, width, height of corner boxes; a box that is inside out has sides of length 0."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    return np.concatenate([centre, np.maximum(boxes[:, 2:] - boxes[:, :2], 0)], axis=1)
