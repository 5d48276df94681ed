"""What the tracker knew after one frame, and where everything is at any later moment."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.clock import NS_PER_S
from stages.boxes import xyxy_from_cxcywh
from stages.payloads import Tracks
from stages.track import kalman
from stages.track.follow import Follower
from stages.track.kalman import DoubleArray, Motion
from stages.track.population import Population


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """The tracks after one measured frame. Immutable; with a follower, `forecast` knows more as pictures come."""

    measured_ns: int
    """Capture time of the frame."""
    population: Population
    """The tracks that an answer shows, with their motion at measured_ns."""
    horizon_ns: int
    """How long after measured_ns a forecast is still said."""
    class_names: tuple[str, ...]
    image_size: tuple[int, int]
    follower: Follower | None = field(default=None, repr=False)
    """Knows the pictures since; None: tracks are moved by their velocities alone."""

    def forecast(self, at_ns: int) -> Tracks | None:
        """Return the tracks moved to another time: with the pictures up to then, the rest of the way by velocity.

        Tracks that no longer touch the picture are left out. A track seen only once holds still.

        Args:
            at_ns: capture time of the frame that is asked about; before the measurement, time lines went back and
                nothing is known of the time between: the tracks are where they were measured.

        Returns:
            Tracks with read-only arrays, length 0 when the scene is empty; None beyond the horizon.
        """
        asked_ns, at_ns = at_ns, max(at_ns, self.measured_ns)
        if at_ns - self.measured_ns > self.horizon_ns:
            return None
        if self.follower is not None and at_ns > self.measured_ns:
            self.follower.ask(at_ns)
        motion = moved(self.population.motion, self.measured_ns, at_ns, self.follower)
        boxes = _corner_boxes(motion.position)
        rows = np.flatnonzero(_touch(boxes, self.image_size))
        population = self.population
        tracks = Tracks(
            boxes=boxes[rows].astype(np.float32),
            scores=population.scores[rows],
            class_ids=population.class_ids[rows],
            track_ids=population.track_ids[rows],
            velocities=xyxy_from_cxcywh(motion.velocity[rows]).astype(np.float32),
            measured_ns=np.minimum(population.measured_ns[rows], asked_ns),
            position_std=np.sqrt(motion.position_var[rows, :2].mean(axis=1)).astype(np.float32),
            class_names=self.class_names,
            image_size=self.image_size,
        )
        for array in (
            tracks.boxes,
            tracks.scores,
            tracks.class_ids,
            tracks.track_ids,
            tracks.velocities,
            tracks.measured_ns,
            tracks.position_std,
        ):
            array.setflags(write=False)
        return tracks


def moved(
    motion: Motion,
    from_ns: int,
    at_ns: int,
    follower: Follower | None = None,
    *,
    visible: NDArray[np.bool_] | None = None,
) -> Motion:
    """Return the motion at a later moment: carried along with the pictures up to then, the rest of the way by itself.

    Args:
        motion: at `from_ns`.
        from_ns: capture time of a picture.
        at_ns: not before it.
        follower: knows the pictures since; None: nobody does.
        visible: (N,) which boxes are on that picture; the others, mostly behind something that moves otherwise, go by
            themselves. None: all of them.
    """
    if follower is not None and at_ns > from_ns and len(motion):
        ways, reached_ns = follower.ways(_corner_boxes(motion.position), from_ns, at_ns)
        if visible is not None:
            ways = np.where(visible[:, None], ways, np.nan)  # not to be believed
        if reached_ns > from_ns:
            motion = kalman.carried(motion, (reached_ns - from_ns) / NS_PER_S, ways)
            from_ns = reached_ns
    return kalman.predicted(motion, (at_ns - from_ns) / NS_PER_S)


def _corner_boxes(position: DoubleArray) -> DoubleArray:
    """Return x1, y1, x2, y2 of cx, cy, w, h; sides that were forecast to vanish have length 0."""
    sides = np.maximum(position[:, 2:], 0)
    return np.concatenate([position[:, :2] - sides / 2, position[:, :2] + sides / 2], axis=1)


def _touch(boxes: DoubleArray, image_size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which boxes have any point inside the picture."""
    inside = (boxes[:, 2:] > 0) & (boxes[:, :2] < np.array(image_size))
    return np.asarray(inside.all(axis=1))
