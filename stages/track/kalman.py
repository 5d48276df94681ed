"""A constant-velocity Kalman filter for boxes, all tracks at once.

A box is four independent filters (centre x, centre y, width, height) of two states each (position in px, velocity in
px/s), so that a 2 by 2 covariance is three numbers and no matrix is ever inverted. Motion between measurements is
white-noise acceleration in continuous time (Bar-Shalom, Li, Kirubarajan, Estimation with Applications to Tracking and
Navigation, 2001, section 6.2.1): predicting over any split of a time span gives what one step gives.

Noise is proportional to the box height, as in DeepSORT (Wojke et al., 2017), so that it means the same for near and
far objects and for any picture size. How sharply an object turns and brakes is not known beforehand (a walker, a car,
a clip with wrong time stamps), so every track learns it: its `agility` grows while measurements lie further from their
forecasts than the forecasts admit, and falls while they lie nearer (innovation-based adaptive estimation, Mehra 1970).

The figures below were chosen with benchmarks/tracker.py, on a plateau common to all its scenes and frame rates.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

DoubleArray = NDArray[np.float64]

MEASUREMENT_STD = np.array([0.05, 0.05, 0.05, 0.05])
"""Detector noise of cx, cy, w, h in box heights; DeepSORT's 1/20."""
BIRTH_VELOCITY_STD = np.array([3.0, 3.0, 0.5, 0.5])
"""What is known of the velocity of an object seen once, box heights per second. A walker does 1, a car seen from the
side 10: wide enough that the second measurement decides, not the prior."""
ACCELERATION_DENSITY = np.array([0.03, 0.03, 0.0012, 0.0012])
"""Spectral density of the acceleration noise at agility 1, box heights squared per second cubed: within one second a
centre's velocity wanders by the root, 0.17 heights per second, as a walker's does."""
MAX_AGILITY = 60.0
"""Largest factor on ACCELERATION_DENSITY; the least is 1."""
AGILITY_RATE = 0.2
"""Share of a normalised innovation's excess that goes into the logarithm of the agility, per measurement."""
MAX_EXCESS = 3.0
"""No single measurement counts for more: one bad box, or a swap in a crowd, is not a change of manner."""
MIN_HEIGHT_PX = 1.0
"""Noise of a flat box is that of one this high: never zero, so that no division is by zero."""


CARRIED_STD = 0.1
"""Noise of the way that pictures show, box heights."""
MOST_STDS = 3.0
MOST_HEIGHTS = 0.25
"""Pictures are believed up to so many standard deviations of the motion's own forecast and so many box heights from it.
Further away they show what covers the object, or another scene after a cut."""


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """Where N boxes are and how they move, all at one moment."""

    position: DoubleArray
    """(N, 4) cx, cy, w, h, px."""
    velocity: DoubleArray
    """(N, 4) px/s."""
    position_var: DoubleArray
    """(N, 4) px^2."""
    covariance: DoubleArray
    """(N, 4) between position and velocity, px^2/s."""
    velocity_var: DoubleArray
    """(N, 4) px^2/s^2."""
    height: DoubleArray
    """(N, 1) box height that the noise is proportional to, px; of the last measurement."""
    agility: DoubleArray
    """(N, 1) factor on ACCELERATION_DENSITY, 1..MAX_AGILITY."""
    residual: DoubleArray
    """(N, 4) by how much the last measurement lay beyond the position after it, px."""

    def __len__(self) -> int:
        return len(self.height)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Motion:
        """Return the chosen rows."""
        return Motion(*(getattr(self, field.name)[rows] for field in fields(Motion)))

    def concatenate(self, other: Motion) -> Motion:
        """Return these rows, then the other's."""
        return Motion(*(np.concatenate([getattr(self, f.name), getattr(other, f.name)]) for f in fields(Motion)))


def started(measured: DoubleArray, agility: float = 1.0) -> Motion:
    """Return the motion of boxes that were seen once.

    Args:
        measured: (N, 4) cx, cy, w, h, px.
        agility: what they are taken to have, 1..MAX_AGILITY.

    Returns:
        Velocity 0 px/s with a wide prior.
    """
    height = np.maximum(measured[:, 3:4], MIN_HEIGHT_PX)
    zeros = np.zeros_like(measured)
    return Motion(
        position=measured,
        velocity=zeros,
        position_var=(MEASUREMENT_STD * height) ** 2,
        covariance=zeros,
        velocity_var=(BIRTH_VELOCITY_STD * height) ** 2,
        height=height,
        agility=np.full_like(height, agility),
        residual=zeros,
    )


def predicted(motion: Motion, dt_s: float) -> Motion:
    """Return the motion after a time without measurements.

    Args:
        motion: N boxes.
        dt_s: seconds, at least 0.
    """
    noise = ACCELERATION_DENSITY * motion.agility * motion.height**2
    velocity_noise = noise * dt_s
    return Motion(
        position=motion.position + motion.velocity * dt_s,
        velocity=motion.velocity,
        position_var=motion.position_var
        + dt_s * (2 * motion.covariance + dt_s * (motion.velocity_var + velocity_noise / 3)),
        covariance=motion.covariance + dt_s * (motion.velocity_var + velocity_noise / 2),
        velocity_var=motion.velocity_var + velocity_noise,
        height=motion.height,
        agility=motion.agility,
        residual=motion.residual,
    )


def carried(motion: Motion, dt_s: float, ways: DoubleArray) -> Motion:
    """Return the motion after a time in which pictures showed how far the centres went, where that can be believed.

    Their velocity is then that of the way. The others go on by themselves.

    Args:
        motion: N boxes.
        dt_s: seconds, above 0.
        ways: (N, 2) in x and y, px.
    """
    moved = predicted(motion, dt_s)
    centres = motion.position[:, :2] + ways
    admitted = MOST_STDS * np.sqrt(moved.position_var[:, :2]) + MOST_HEIGHTS * motion.height
    is_seen = np.zeros(motion.position.shape, dtype=np.bool_)
    is_seen[:, :2] = (np.abs(centres - moved.position[:, :2]) <= admitted).all(axis=1, keepdims=True)
    way = np.concatenate([ways, np.zeros_like(ways)], axis=1)
    way_var = (CARRIED_STD * motion.height) ** 2
    return replace(
        moved,
        position=np.where(is_seen, motion.position + way, moved.position),
        velocity=np.where(is_seen, way / dt_s, moved.velocity),
        position_var=np.where(is_seen, motion.position_var + way_var, moved.position_var),
        covariance=np.where(is_seen, 0, moved.covariance),
        velocity_var=np.where(is_seen, way_var / dt_s**2, moved.velocity_var),
    )


def innovations(motion: Motion, measured: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
    """Return by how much measurements lie beyond their forecasts, (N, 4) px, and the variance of that, (N, 4) px^2.

    Args:
        motion: N boxes, predicted to the time of the measurement.
        measured: (N, 4) cx, cy, w, h, px.
    """
    return measured - motion.position, motion.position_var + _measured_var(motion)


def corrected(motion: Motion, measured: DoubleArray) -> Motion:
    """Return the motion after a measurement of every box.

    Args:
        motion: N boxes, predicted to the time of the measurement.
        measured: (N, 4) cx, cy, w, h, px.
    """
    innovation, innovation_var = innovations(motion, measured)
    velocity_gain = motion.covariance / innovation_var
    kept = _measured_var(motion) / innovation_var
    residual = kept * innovation
    return Motion(
        position=measured - residual,
        velocity=motion.velocity + velocity_gain * innovation,
        position_var=motion.position_var * kept,
        covariance=motion.covariance * kept,
        velocity_var=motion.velocity_var - velocity_gain * motion.covariance,
        height=np.maximum(measured[:, 3:4], MIN_HEIGHT_PX),
        agility=_learned(motion.agility, innovation[:, :2] ** 2 / innovation_var[:, :2]),
        residual=residual,
    )


def _measured_var(motion: Motion) -> DoubleArray:
    return np.asarray((MEASUREMENT_STD * motion.height) ** 2)


def _learned(agility: DoubleArray, normalised: DoubleArray) -> DoubleArray:
    """Return the (N, 1) agility after squared innovations of cx and cy, (N, 2), in units of their variance.

    Their mean is 1 when the agility is right.
    """
    excess = np.minimum(normalised.mean(axis=1, keepdims=True) - 1, MAX_EXCESS)
    return np.asarray(np.clip(agility * np.exp(AGILITY_RATE * excess), 1, MAX_AGILITY))
