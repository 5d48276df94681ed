"""What the tracker knew after one frame, and where everything is at any later moment."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.clock import NS_PER_S
from stages.boxes import xyxy_from_cxcywh
from stages.payloads import Tracks
from stages.track.follow import Follower
from stages.track.kalman import DoubleArray, Motion
from stages.track.population import Population

MOST_STDS = 3.0
MOST_HEIGHTS = 0.25
"""Pictures are believed up to so many standard deviations of the motion's forecast and so many box heights from it."""


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """The tracks after one measured frame. Immutable; with a follower, `forecast` knows more as pictures come."""

    measured_ns: int
    """Capture time of the frame."""
    population: Population
    """The tracks that an answer shows, motion at each one's own last measurement."""
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
            at_ns: capture time of the frame that is asked about.

        Returns:
            Tracks with read-only arrays, length 0 when the scene is empty; None beyond the horizon.

        Raises:
            ValueError: at_ns is before the measurement.
        """
        if at_ns < self.measured_ns:
            raise ValueError(f"at_ns {at_ns} is before the measurement at {self.measured_ns}")
        if at_ns - self.measured_ns > self.horizon_ns:
            return None
        motion = self._followed(at_ns)
        boxes = _corner_boxes(motion.position)
        rows = np.flatnonzero(_touch(boxes, self.image_size))
        population = self.population
        tracks = Tracks(
            boxes=boxes[rows].astype(np.float32),
            scores=population.scores[rows],
            class_ids=population.class_ids[rows],
            track_ids=population.track_ids[rows],
            velocities=xyxy_from_cxcywh(motion.velocity[rows]).astype(np.float32),
            measured_ns=population.measured_ns[rows],
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

    def _followed(self, at_ns: int) -> Motion:
        """Return the motion at a time, centres carried along with the pictures where that can be believed.

        The velocity is then that of the way so far. A track whose pictures say something that its own motion does not
        admit is moved by its motion: it was covered, or the picture changed at a cut.
        """
        motion = self.population.motion_at(at_ns)
        if self.follower is None or at_ns == self.measured_ns or not len(motion):
            return motion
        measured = self.population.motion_at(self.measured_ns).position
        shifts, reached_ns = self.follower.shifts(_corner_boxes(measured), self.measured_ns, at_ns)
        if reached_ns == self.measured_ns:
            return motion
        velocity = shifts * (NS_PER_S / (reached_ns - self.measured_ns))
        centres = measured[:, :2] + velocity * ((at_ns - self.measured_ns) / NS_PER_S)
        admitted = MOST_STDS * np.sqrt(motion.position_var[:, :2]) + MOST_HEIGHTS * motion.height
        is_good = (np.abs(centres - motion.position[:, :2]) <= admitted).all(axis=1, keepdims=True)
        position, speed = motion.position.copy(), motion.velocity.copy()
        position[:, :2] = np.where(is_good, centres, position[:, :2])
        speed[:, :2] = np.where(is_good, velocity, speed[:, :2])
        return replace(motion, position=position, velocity=speed)


def _corner_boxes(position: DoubleArray) -> DoubleArray:
    """Return x1, y1, x2, y2 of cx, cy, w, h; sides that were forecast to vanish have length 0."""
    sides = np.maximum(position[:, 2:], 0)
    return np.concatenate([position[:, :2] - sides / 2, position[:, :2] + sides / 2], axis=1)


def _touch(boxes: DoubleArray, image_size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which boxes have any point inside the picture."""
    inside = (boxes[:, 2:] > 0) & (boxes[:, :2] < np.array(image_size))
    return np.asarray(inside.all(axis=1))
