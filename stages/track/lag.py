"""Learns how far tracks lag behind what was measured, and so how much of it to believe at once.

The filter's noise is chosen for any detector. Behind a better one its estimates lag: part of what a measurement said
beyond them was the object's, not noise. That shows at the next measurement, since the noise of one picture says nothing
of the next, but what was the object's comes again. For a filter that is right, innovations have nothing to do with the
residuals before them (Mehra, On the identification of variances and adaptive Kalman filtering, 1970); here their
regression, over all tracks of a scene, is the share of the residual to give back.

Only what is shown is corrected. The filter itself goes on as before, for with less noise it would believe in sharper
turns, and tracks that are lost would go astray.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stages.track.kalman import DoubleArray, Motion, innovations

_MEMORY = 0.995
"""What each further measurement leaves of the weight of the earlier ones: some 200 count, a few seconds of a scene."""
_PRIOR = 4.0
"""Weight of the belief that there is no lag: that of some 20 usual measurements."""
MOST_SHARE = 0.7
"""Objects that turn or brake leave the same mark, by their velocity. With no bound, scenes of cars lose a point or two
of HOTA (benchmarks/tracker.py); with 0.7 to 1 walkers score the same."""


class Lag:
    """The shares of residuals that belong to the objects of a scene: one for centres, one for widths and heights."""

    def __init__(self) -> None:
        self._together = np.zeros(4)  # sums over measurements, in units of the innovation's variance
        self._alone = np.zeros(4)

    def learn(self, motion: Motion, measured: DoubleArray) -> None:
        """Learn from the next measurement of every box.

        Args:
            motion: N boxes, predicted to the time of the measurement.
            measured: (N, 4) cx, cy, w, h, px.
        """
        innovation, variance = innovations(motion, measured)
        kept = _MEMORY ** len(motion)
        self._together = self._together * kept + (innovation * motion.residual / variance).sum(axis=0)
        self._alone = self._alone * kept + (motion.residual**2 / variance).sum(axis=0)

    @property
    def shares(self) -> DoubleArray:
        """(4,) for cx, cy, w, h, each 0..MOST_SHARE."""
        together, alone = (sums.reshape(2, 2).sum(axis=1) for sums in (self._together, self._alone))
        return np.repeat(np.clip(together / (alone + _PRIOR), 0, MOST_SHARE), 2)

    def caught_up(self, motion: Motion) -> Motion:
        """Return the motion of boxes that were just measured without their lag."""
        return replace(motion, position=motion.position + self.shares * motion.residual)
