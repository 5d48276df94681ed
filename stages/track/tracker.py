"""Follows objects over time: two-stage association by score over a constant-velocity Kalman filter.

The association is that of ByteTrack (Zhang et al., ECCV 2022): first the confident boxes find their tracks, then the
doubtful boxes, mostly half-hidden objects, may keep a track alive but never start one. All times are capture times,
so that frames may come at any rate and any of them may be missing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.frame import FrameInfo
from pipeline.stage import Forecaster, Options, Stage
from pipeline.units import Duration
from stages.boxes import BoxArray, xyxy_from_cxcywh
from stages.payloads import Detections, Picture
from stages.track import kalman
from stages.track.association import IndexArray, overlaps, paired
from stages.track.follow import Follower
from stages.track.kalman import DoubleArray
from stages.track.lag import Lag
from stages.track.population import Population, born, judged, nobody
from stages.track.snapshot import Snapshot, moved

UNCONFIRMED_LOST_NS = 500_000_000
"""A track that was seen once only, without confidence, and not again for this long is taken for a false alarm."""
SAME_OBJECT_IOU = 0.6
"""Boxes of different classes that overlap by more are the same object; a rider and the bicycle overlap by less."""
MAX_COORDINATE_PX = 1e6
"""Boxes beyond are taken for garbage, like those that are not finite."""


class TrackerOptions(Options):
    """Settings of the tracker."""

    min_score: float = Field(default=0.3, ge=0, le=1)
    """Boxes from this score up start tracks, and are associated first."""
    low_score: float = Field(default=0.1, ge=0, le=1)
    """Boxes from this score up to min_score may keep a track alive; those below are ignored."""
    sure_score: float = Field(default=0.5, ge=0, le=1)
    """A new track from this score up is shown at once, one below when it is measured a second time."""
    min_iou: float = Field(default=0.1, ge=0, le=1)
    """Least overlap of a confident box with the forecast of its track."""
    min_iou_low: float = Field(default=0.5, ge=0, le=1)
    """The same for a doubtful box."""
    horizon: Duration = 500_000_000
    """How long after a measured frame a forecast is still said."""
    max_lost: Duration = 3_000_000_000
    """How long a track that is not measured is kept, unseen, to be found again under its id."""
    follow: bool = True
    """Whether forecasts follow what is seen in the pictures since (live); else they go by velocity alone."""


class Tracker(Stage):
    """Detections in, a Snapshot of the tracks that this frame measured out.

    Keeps between frames: all tracks measured within `max_lost`, the next id (from 1, never used twice), and the time
    of the last frame. A frame that is not newer than the last one is taken as if no time had passed between them:
    recordings are joined and cameras restarted. No boxes is a measurement too: the scene is empty. Boxes that are not
    finite or absurdly far away are ignored. The picture may change its size at any time. In a live run it also sees the
    pictures while forecasts are wanted, and remembers how they moved: tracks are looked for, and forecasts made, where
    what is seen in them went.

    A track that the newest measured frame did not see is not shown, though kept: showing it for 200 ms longer costs
    2 to 13 points of MOTA on a clip at 7 to 30 fps, and gains nothing in HOTA.
    """

    accepts = Detections
    watches = Picture
    produces = Forecaster
    options_type = TrackerOptions
    tunable = frozenset({"min_score", "low_score", "sure_score"})

    def __init__(self, options: TrackerOptions) -> None:
        self._options = options
        self._tuned = options  # in force from the next frame on
        self._tracks = nobody()
        self._next_id = 1
        self._last_ns: int | None = None
        self._lag = Lag()
        self._follower = Follower(options.horizon) if options.follow else None

    @property
    def options(self) -> TrackerOptions:
        return self._tuned

    def tune(self, options: Options) -> None:
        """Take other scores. Nothing comes from below the score down to which the detector reports boxes."""
        assert isinstance(options, TrackerOptions)
        self._tuned = options

    def would_watch(self, info: FrameInfo) -> bool:
        return self._follower is not None and self._follower.is_asked(info.captured_ns)

    def watch(self, payload: object, info: FrameInfo) -> None:
        """See a picture, whether or not it will be measured."""
        assert isinstance(payload, Picture)
        if self._follower is not None:
            self._follower.see(payload, info.captured_ns)

    def process(self, payload: object, info: FrameInfo) -> Snapshot:
        """Associate the detections of one frame and return what is known after it."""
        assert isinstance(payload, Detections)
        at_ns = info.captured_ns
        if self._last_ns is not None and at_ns < self._last_ns:
            self._begin_anew_at(at_ns, self._last_ns)
        self._options = self._tuned
        seen = self._step(payload, at_ns)
        self._last_ns = at_ns
        return Snapshot(
            measured_ns=at_ns,
            population=seen.take(seen.confirmed),
            horizon_ns=self._options.horizon,
            class_names=payload.class_names,
            image_size=payload.image_size,
            follower=self._follower,
        )

    def _begin_anew_at(self, at_ns: int, last_ns: int) -> None:
        """Go on with the same tracks on a time line that has gone back from `last_ns`."""
        measured_ns = self._tracks.measured_ns - (last_ns - at_ns)
        self._tracks = replace(self._tracks, measured_ns=measured_ns)
        self._last_ns = at_ns

    def _step(self, detections: Detections, at_ns: int) -> Population:
        """Bring the tracks to a new frame; return those that it measured.

        Where a track is looked for follows the pictures, its motion does not: what they show may be another object that
        covers it, and a track that is lost must go on as it went.
        """
        tracks = self._tracks.take(self._alive(at_ns))
        last_ns = at_ns if self._last_ns is None else self._last_ns
        waiting = moved(tracks.motion, last_ns, at_ns)
        visible = tracks.measured_ns == last_ns
        followed = moved(tracks.motion, last_ns, at_ns, self._follower, visible=visible)
        detections = _usable(detections)
        boxes = detections.boxes.astype(np.float64)
        high, low = self._split(detections.scores)
        rows, columns = self._associated(
            overlaps(xyxy_from_cxcywh(followed.position), boxes),
            overlaps(tracks.boxes, boxes) * visible[:, None],
            tracks.class_ids[:, None] == detections.class_ids[None, :],
            high,
            low,
        )
        measured = _cxcywh(boxes)
        found = waiting.take(rows)
        self._lag.learn(found, measured[columns])
        class_ids, votes = judged(
            tracks.class_ids[rows],
            tracks.class_votes[rows],
            detections.class_ids[columns],
            detections.scores[columns],
        )
        known = replace(
            tracks.take(rows),
            motion=kalman.corrected(found, measured[columns]),
            class_ids=class_ids,
            class_votes=votes,
            scores=detections.scores[columns],
            boxes=boxes[columns],
            measured_ns=np.full(len(rows), at_ns, dtype=np.int64),
            confirmed=np.ones(len(rows), dtype=np.bool_),
        )
        new = np.setdiff1d(high, columns)
        seen = known.concatenate(self._born(measured[new], detections, new, at_ns))
        unseen = np.setdiff1d(np.arange(len(tracks)), rows)
        self._tracks = seen.concatenate(replace(tracks, motion=waiting).take(unseen))
        self._next_id += len(new)
        return replace(seen, motion=self._lag.caught_up(seen.motion))

    def _alive(self, at_ns: int) -> NDArray[np.bool_]:
        """Return which tracks are still worth looking for."""
        max_lost = self._options.max_lost
        limit_ns = np.where(self._tracks.confirmed, max_lost, min(max_lost, UNCONFIRMED_LOST_NS))
        return np.asarray(at_ns - self._tracks.measured_ns <= limit_ns)

    def _split(self, scores: NDArray[np.float32]) -> tuple[IndexArray, IndexArray]:
        """Return the confident and the doubtful detections."""
        confident = scores >= self._options.min_score
        doubtful = ~confident & (scores >= self._options.low_score)
        return np.flatnonzero(confident), np.flatnonzero(doubtful)

    def _associated(
        self, forecast: BoxArray, last: BoxArray, same_class: NDArray[np.bool_], high: IndexArray, low: IndexArray
    ) -> tuple[IndexArray, IndexArray]:
        """Return which track (row) was measured by which detection (column).

        Each step takes what the ones before have left: confident detections where tracks are forecast; then where they
        were in the frame before, for what starts, stops or turns, or when the camera does; then those of another class
        that lie where the track is forecast, whose class is in doubt; then doubtful detections.

        Args:
            forecast: (N, M) overlaps of the boxes with where the tracks are forecast.
            last: (N, M) overlaps with where they were in the frame before; 0 if it did not show them.
            same_class: (N, M)
            high: confident detections.
            low: doubtful detections.
        """
        steps = (
            (forecast * same_class, high, self._options.min_iou),
            (last * same_class, high, self._options.min_iou),
            (forecast, high, SAME_OBJECT_IOU),
            (forecast * same_class, low, self._options.min_iou_low),
        )
        rows = columns = np.zeros(0, dtype=np.intp)
        for similarity, candidates, threshold in steps:
            free = np.setdiff1d(np.arange(len(forecast)), rows)
            left = np.setdiff1d(candidates, columns)
            if not len(free) or not len(left):
                continue
            found_rows, found_columns = paired(similarity[np.ix_(free, left)], threshold)
            rows = np.concatenate([rows, free[found_rows]])
            columns = np.concatenate([columns, left[found_columns]])
        return rows, columns

    def _born(self, measured: DoubleArray, detections: Detections, new: IndexArray, at_ns: int) -> Population:
        """Return new tracks, as agile as those around them (geometric mean), since one scene moves in one manner."""
        agility = self._tracks.motion.agility
        return born(
            measured,
            first_id=self._next_id,
            class_ids=detections.class_ids[new],
            scores=detections.scores[new],
            at_ns=at_ns,
            confirmed=detections.scores[new] >= self._options.sure_score,
            agility=float(np.exp(np.log(agility).mean())) if len(agility) else 1.0,
        )


def _usable(detections: Detections) -> Detections:
    """Return the detections without the boxes that are not finite or absurdly far away."""
    usable = (np.abs(detections.boxes) <= MAX_COORDINATE_PX).all(axis=1)
    return replace(
        detections,
        boxes=detections.boxes[usable],
        scores=detections.scores[usable],
        class_ids=detections.class_ids[usable],
    )


def _cxcywh(boxes: DoubleArray) -> DoubleArray:
    """Return centre x, centre y, width, height of corner boxes; a box that is inside out has sides of length 0."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    return np.concatenate([centre, np.maximum(boxes[:, 2:] - boxes[:, :2], 0)], axis=1)
