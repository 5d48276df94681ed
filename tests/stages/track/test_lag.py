"""How far tracks lag behind what was measured."""

from __future__ import annotations

import numpy as np
import pytest

from stages.track.kalman import corrected, predicted, started
from stages.track.lag import MOST_SHARE, Lag

_PERIOD_S = 0.1
_HEIGHT_PX = 100.0


def watched(noise_px: float, wander_px: float, *, frames: int = 300, objects: int = 5) -> tuple[Lag, float, float]:
    """Follow objects that wander in x, measured with noise; return also the mean errors, caught up and not."""
    random = np.random.default_rng(7)
    lag = Lag()
    truth = np.tile([300.0, 200.0, 40.0, _HEIGHT_PX], (objects, 1))
    motion = started(truth.copy())
    shown, plain = [], []
    for _ in range(frames):
        truth[:, 0] += random.normal(0, wander_px, objects)
        measured = truth + random.normal(0, noise_px, truth.shape)
        motion = predicted(motion, _PERIOD_S)
        lag.learn(motion, measured)
        motion = corrected(motion, measured)
        shown.append(np.abs(lag.caught_up(motion).position - truth)[:, 0].mean())
        plain.append(np.abs(motion.position - truth)[:, 0].mean())
    return lag, float(np.mean(shown[50:])), float(np.mean(plain[50:]))


def test_at_first_there_is_no_lag() -> None:
    """Tracks are shown where the filter has them."""
    motion = corrected(predicted(started(np.array([[10.0, 10, 5, 20]])), 0.1), np.array([[12.0, 10, 5, 20]]))
    lag = Lag()
    assert lag.shares.tolist() == [0, 0, 0, 0]
    assert lag.caught_up(motion).position.tolist() == motion.position.tolist()


def test_a_good_detector_is_believed() -> None:
    """Where it is better than the filter takes it to be, and objects go as they like, tracks are shown near to it."""
    lag, shown, plain = watched(noise_px=0.5, wander_px=3)
    assert lag.shares[0] == pytest.approx(MOST_SHARE, abs=0.1)
    assert shown < 0.7 * plain


def test_noise_is_not_believed() -> None:
    """Where measurements are noise around what stands still, tracks stay where the filter has them."""
    lag, shown, plain = watched(noise_px=10, wander_px=0)
    assert lag.shares.max() < 0.05
    assert shown == pytest.approx(plain, rel=0.05)


def test_centres_and_sides_differ() -> None:
    """Objects that wander, but do not change their size, are followed closely in place only; both ways alike."""
    lag, _, _ = watched(noise_px=1, wander_px=4)
    shares = lag.shares
    assert shares[0] == shares[1] > 0.3
    assert shares[2] == shares[3] < 0.1


def test_nothing_is_learnt_from_nobody() -> None:
    """A frame without tracks changes nothing."""
    lag, _, _ = watched(noise_px=0.5, wander_px=3, frames=60)
    before = lag.shares.tolist()
    nobody = started(np.zeros((0, 4)))
    lag.learn(nobody, np.zeros((0, 4)))
    assert lag.shares.tolist() == before
    assert len(lag.caught_up(nobody)) == 0
