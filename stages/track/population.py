"""All tracks of one stream as a struct of arrays; every change makes a new one."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from stages.boxes import xyxy_from_cxcywh
from stages.payloads import FloatArray, IntArray, LongArray
from stages.track import kalman
from stages.track.kalman import DoubleArray, Motion

Rows = NDArray[np.intp] | NDArray[np.bool_]


MOST_VOTES = 5.0
"""So that a class which was wrong for long is given up within some ten detections of the right one."""


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """N tracks, with their motion at the newest measured frame, whether or not it saw them."""

    motion: Motion
    track_ids: LongArray
    """(N,)"""
    class_ids: IntArray
    """(N,) the likeliest class of each."""
    class_votes: FloatArray
    """(N,) how much more speaks for that class than for others: scores summed up, at most MOST_VOTES."""
    scores: FloatArray
    """(N,) of the last measurement."""
    boxes: DoubleArray
    """(N, 4) of the last measurement, x1, y1, x2, y2, px."""
    born_ns: LongArray
    """(N,) capture time of the first measurement."""
    measured_ns: LongArray
    """(N,) capture time of the last measurement."""
    confirmed: NDArray[np.bool_]
    """(N,) whether the track was measured often enough to be believed."""

    def __len__(self) -> int:
        return len(self.track_ids)

    def take(self, rows: Rows) -> Population:
        """Return the chosen rows."""
        arrays = {f.name: getattr(self, f.name)[rows] for f in fields(Population) if f.name != "motion"}
        return Population(motion=self.motion.take(rows), **arrays)

    def concatenate(self, other: Population) -> Population:
        """Return these rows, then the other's."""
        arrays = {
            f.name: np.concatenate([getattr(self, f.name), getattr(other, f.name)])
            for f in fields(Population)
            if f.name != "motion"
        }
        return Population(motion=self.motion.concatenate(other.motion), **arrays)


def born(
    measured: DoubleArray,
    *,
    first_id: int,
    class_ids: IntArray,
    scores: FloatArray,
    at_ns: int,
    confirmed: NDArray[np.bool_],
    agility: float = 1.0,
) -> Population:
    """Return new tracks with the ids first_id, first_id + 1, ...

    Args:
        measured: (N, 4) cx, cy, w, h, px.
        first_id: id of the first row.
        class_ids: (N,)
        scores: (N,)
        at_ns: capture time of the frame.
        confirmed: (N,) which of them are believed at once.
        agility: of their motion, see kalman.
    """
    count = len(measured)
    return Population(
        motion=kalman.started(measured, agility),
        track_ids=np.arange(first_id, first_id + count, dtype=np.int64),
        class_ids=class_ids,
        class_votes=scores.astype(np.float32),
        scores=scores,
        boxes=np.asarray(xyxy_from_cxcywh(measured), dtype=np.float64),
        born_ns=np.full(count, at_ns, dtype=np.int64),
        measured_ns=np.full(count, at_ns, dtype=np.int64),
        confirmed=confirmed,
    )


def judged(
    class_ids: IntArray, votes: FloatArray, seen_ids: IntArray, scores: FloatArray
) -> tuple[IntArray, FloatArray]:
    """Return the likeliest class of each track and its votes, after one more detection of each.

    A detection of the same class adds its score, one of another takes it away; below 0, that becomes the likeliest.

    Args:
        class_ids: (N,) the likeliest classes so far.
        votes: (N,) theirs.
        seen_ids: (N,) classes of the detections.
        scores: (N,) of the detections.
    """
    after = np.where(seen_ids == class_ids, votes + scores, votes - scores)
    return (
        np.where(after < 0, seen_ids, class_ids).astype(np.int32),
        np.minimum(np.abs(after), MOST_VOTES).astype(np.float32),
    )


def nobody() -> Population:
    """Return no tracks."""
    return born(
        np.zeros((0, 4)),
        first_id=1,
        class_ids=np.zeros(0, dtype=np.int32),
        scores=np.zeros(0, dtype=np.float32),
        at_ns=0,
        confirmed=np.zeros(0, dtype=np.bool_),
    )
