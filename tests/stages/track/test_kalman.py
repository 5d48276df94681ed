"""The filter of all boxes at once against one written with plain matrices, and its laws about time."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.track import kalman
from stages.track.kalman import ACCELERATION_DENSITY, BIRTH_VELOCITY_STD, MAX_AGILITY, MEASUREMENT_STD, Motion

_WALKER = np.array([[100.0, 200.0, 40.0, 80.0]])


class MatrixFilter:
    """The same model for one box, by the book: an 8-state filter with F, Q, H, R and an inverse (Kalman 1960)."""

    def __init__(self, measured: np.ndarray) -> None:
        self.height = measured[3]
        self.agility = 1.0
        self.x = np.concatenate([measured, np.zeros(4)])
        self.P = np.diag(
            np.concatenate([(MEASUREMENT_STD * self.height) ** 2, (BIRTH_VELOCITY_STD * self.height) ** 2])
        )

    def predict(self, dt: float) -> None:
        one = np.eye(4)
        f = np.block([[one, dt * one], [0 * one, one]])
        density = np.diag(ACCELERATION_DENSITY) * self.agility * self.height**2
        q = np.block([[density * dt**3 / 3, density * dt**2 / 2], [density * dt**2 / 2, density * dt]])
        self.x = f @ self.x
        self.P = f @ self.P @ f.T + q

    def correct(self, measured: np.ndarray) -> None:
        h = np.hstack([np.eye(4), np.zeros((4, 4))])
        r = np.diag((MEASUREMENT_STD * self.height) ** 2)
        y = measured - h @ self.x
        s = h @ self.P @ h.T + r
        k = self.P @ h.T @ np.linalg.inv(s)
        self.x = self.x + k @ y
        self.P = (np.eye(8) - k @ h) @ self.P
        excess = min((y[0] ** 2 / s[0, 0] + y[1] ** 2 / s[1, 1]) / 2 - 1, kalman.MAX_EXCESS)
        self.agility = min(max(self.agility * np.exp(kalman.AGILITY_RATE * excess), 1), MAX_AGILITY)
        self.height = measured[3]


def assert_same(motion: Motion, row: int, plain: MatrixFilter) -> None:
    """Every number of one row is that of the matrix filter, and the matrix says nothing that the row leaves out."""
    assert motion.position[row] == pytest.approx(plain.x[:4], rel=1e-9)
    assert motion.velocity[row] == pytest.approx(plain.x[4:], rel=1e-9, abs=1e-9)
    covariance = np.block(
        [
            [np.diag(motion.position_var[row]), np.diag(motion.covariance[row])],
            [np.diag(motion.covariance[row]), np.diag(motion.velocity_var[row])],
        ]
    )
    assert covariance == pytest.approx(plain.P, rel=1e-7, abs=1e-7)
    assert motion.agility[row, 0] == pytest.approx(plain.agility)


def test_equals_a_filter_written_with_matrices() -> None:
    """Five boxes, thirty irregular steps, one of them with a jump: every state, variance and agility agrees."""
    random = np.random.default_rng(7)
    measured = np.column_stack([random.uniform(0, 700, (5, 2)), random.uniform(10, 200, (5, 2))])
    motion = kalman.started(measured)
    plain = [MatrixFilter(row) for row in measured]
    for step in range(30):
        dt = random.uniform(0.01, 0.7)
        measured = np.maximum(measured + random.normal(0, 6, (5, 4)) + (80 if step == 20 else 0), 3)
        motion = kalman.corrected(kalman.predicted(motion, dt), measured)
        for row, one in enumerate(plain):
            one.predict(dt)
            one.correct(measured[row])
            assert_same(motion, row, one)
    assert motion.agility.max() > 1  # the agility was part of the comparison


@given(st.floats(0, 3), st.floats(0, 1))
def test_two_steps_are_one(dt_s: float, share: float) -> None:
    """Predicting over any split of a time span gives what one step gives."""
    motion = kalman.corrected(kalman.predicted(kalman.started(_WALKER, 5.0), 0.2), _WALKER + np.array([9, 2, 1, -1]))
    whole = kalman.predicted(motion, dt_s)
    first = kalman.predicted(motion, dt_s * share)
    both = kalman.predicted(first, dt_s * (1 - share))
    for field in fields(Motion):
        assert getattr(both, field.name) == pytest.approx(getattr(whole, field.name), rel=1e-9)


def test_no_time_changes_nothing() -> None:
    """A prediction over 0 seconds is the state itself."""
    motion = kalman.started(_WALKER)
    same = kalman.predicted(motion, 0.0)
    for field in fields(Motion):
        assert np.array_equal(getattr(same, field.name), getattr(motion, field.name))


def test_a_start_knows_the_place_and_not_the_velocity() -> None:
    """A box seen once stands where it was measured, at rest, as uncertain as the detector and the prior say."""
    motion = kalman.started(_WALKER)
    assert motion.position.tolist() == _WALKER.tolist()
    assert motion.velocity.tolist() == [[0, 0, 0, 0]]
    assert np.sqrt(motion.position_var[0]) == pytest.approx([4, 4, 4, 4])  # 1/20 of 80 px
    assert np.sqrt(motion.velocity_var[0]) == pytest.approx([240, 240, 40, 40])


def test_the_second_measurement_decides_the_velocity() -> None:
    """After two boxes the velocity is nearly what they say, not the prior's 0."""
    motion = kalman.predicted(kalman.started(_WALKER), 0.5)
    motion = kalman.corrected(motion, _WALKER + np.array([50, 0, 0, 0]))
    assert motion.velocity[0, 0] == pytest.approx(100, rel=0.02)
    assert motion.velocity[0, 1:].tolist() == [0, 0, 0]


def test_size_does_not_matter() -> None:
    """A scene twice as large gives motion twice as large: noise is in box heights, not in pixels."""
    small = large = None
    for step in range(6):
        measured = _WALKER + np.array([[7.0 * step, (-1.0) ** step, 0, 0]])
        dt = 0.1
        small = kalman.started(measured) if small is None else kalman.corrected(kalman.predicted(small, dt), measured)
        measured = 2 * measured
        large = kalman.started(measured) if large is None else kalman.corrected(kalman.predicted(large, dt), measured)
    assert small is not None
    assert large is not None
    assert large.position == pytest.approx(2 * small.position)
    assert large.velocity == pytest.approx(2 * small.velocity)
    assert large.agility == pytest.approx(small.agility)


def drive(sideways: list[float]) -> Motion:
    """Follow a box that goes right at 60 px/s and is shifted sideways, ten times a second."""
    motion = kalman.started(_WALKER)
    for step, shift in enumerate(sideways, 1):
        measured = _WALKER + np.array([[6.0 * step, shift, 0, 0]])
        motion = kalman.corrected(kalman.predicted(motion, 0.1), measured)
    return motion


def test_agility_is_learned_and_forgotten() -> None:
    """Sharp turns raise the agility, within its bounds; going straight brings it back to the least."""
    zigzag = [40.0 * (step % 4 in (1, 2)) for step in range(40)]
    assert drive([0.0] * 40).agility.item() == 1
    assert drive(zigzag).agility.item() == MAX_AGILITY
    assert drive([*zigzag, *[40.0] * 60]).agility.item() == 1


def test_one_bad_box_is_no_change_of_manner() -> None:
    """A single box far off moves the agility by no more than its greatest step."""
    motion = drive([0.0] * 20)
    astray = kalman.corrected(kalman.predicted(motion, 0.1), motion.position + 5000)
    step = np.exp(kalman.AGILITY_RATE * kalman.MAX_EXCESS)
    assert astray.agility.item() == pytest.approx(motion.agility.item() * step)


def test_a_flat_box_is_no_division_by_zero() -> None:
    """A box without a height has the noise of one that is a pixel high."""
    flat = np.array([[10.0, 10.0, 0.0, 0.0]])
    motion = kalman.corrected(kalman.predicted(kalman.started(flat), 0.0), flat)
    for field in fields(Motion):
        assert np.isfinite(getattr(motion, field.name)).all()
    assert motion.position_var.min() > 0


def test_variances_stay_positive() -> None:
    """A thousand exact measurements in a thousand tiny steps leave no variance at or below zero."""
    motion = kalman.started(_WALKER)
    for _ in range(1000):
        motion = kalman.corrected(kalman.predicted(motion, 1e-4), _WALKER)
    assert motion.position_var.min() > 0
    assert motion.velocity_var.min() > 0
    assert (motion.covariance**2 < motion.position_var * motion.velocity_var).all()


def test_rows_are_independent() -> None:
    """Taking and joining rows gives what each row gives alone."""
    boxes = np.vstack([_WALKER, _WALKER + 30])
    both = kalman.predicted(kalman.started(boxes), 0.4)
    one = kalman.predicted(kalman.started(boxes[:1]), 0.4)
    other = kalman.predicted(kalman.started(boxes[1:]), 0.4)
    joined = one.concatenate(other)
    for field in fields(Motion):
        assert np.array_equal(getattr(joined, field.name), getattr(both, field.name))
        assert np.array_equal(getattr(both.take(np.array([1])), field.name), getattr(other, field.name))
    assert len(joined) == 2


def test_pictures_carry_centres() -> None:
    """A way that the motion admits is believed: the centre goes it, its velocity is that of the way, the sides stay."""
    motion = kalman.started(_WALKER)
    carried = kalman.carried(motion, 0.1, np.array([[8.0, -3.0]]))
    assert carried.position - motion.position == pytest.approx(np.array([[8, -3, 0, 0]]))
    assert carried.velocity == pytest.approx(np.array([[80, -30, 0, 0]]))
    assert (carried.position_var[:, :2] > motion.position_var[:, :2]).all()


@pytest.mark.parametrize("way", [(900.0, 0.0), (0.0, -900.0), (np.nan, np.nan)])
def test_pictures_that_cannot_be_believed(way: tuple[float, float]) -> None:
    """Of a way that the motion does not admit, or that is not known, nothing is taken: the box goes by itself."""
    motion = kalman.started(_WALKER)
    carried = kalman.carried(motion, 0.1, np.array([way]))
    plain = kalman.predicted(motion, 0.1)
    for field in fields(Motion):
        assert np.array_equal(getattr(carried, field.name), getattr(plain, field.name))
