"""Pairings against brute force, and what may be paired at all."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stages.track.association import MARGIN, overlaps, paired

_SHAPE = st.tuples(st.integers(0, 4), st.integers(0, 4))
_SIMILARITY = _SHAPE.flatmap(lambda shape: arrays(np.float64, shape, elements=st.floats(0, 1)))


def best_gain(similarity: np.ndarray, threshold: float) -> float:
    """The largest sum of similarity - threshold over all one-to-one pairings of pairs above the threshold."""
    rows, columns = similarity.shape
    best = 0.0
    for count in range(1, min(rows, columns) + 1):
        for some_rows in combinations(range(rows), count):
            for some_columns in permutations(range(columns), count):
                values = [similarity[pair] for pair in zip(some_rows, some_columns, strict=True)]
                if all(value > threshold for value in values):
                    best = max(best, sum(value - threshold for value in values))
    return best


@given(_SIMILARITY, st.floats(0, 1))
def test_no_pairing_is_better(similarity: np.ndarray, threshold: float) -> None:
    """The pairing is one to one, above the threshold, and as good as the best of all pairings."""
    rows, columns = paired(similarity, threshold)
    assert len(set(rows.tolist())) == len(rows) == len(columns) == len(set(columns.tolist()))
    assert rows.tolist() == sorted(rows.tolist())
    values = similarity[rows, columns]
    assert (values > threshold).all()
    assert (values - threshold).sum() == pytest.approx(best_gain(similarity, threshold), abs=1e-12)


def test_the_threshold_itself_is_not_enough() -> None:
    """A pair exactly at the threshold is no pair."""
    rows, columns = paired(np.array([[0.5]]), 0.5)
    assert (rows.tolist(), columns.tolist()) == ([], [])


def test_a_poor_pair_displaces_no_good_one() -> None:
    """Two pairs just below the threshold do not break up one good pair, though their sum is larger."""
    similarity = np.array([[0.7, 0.49], [0.49, 0.0]])
    rows, columns = paired(similarity, 0.5)
    assert (rows.tolist(), columns.tolist()) == ([0], [0])


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_nothing_to_pair(shape: tuple[int, int]) -> None:
    """No tracks or no detections give no pairs."""
    rows, columns = paired(np.zeros(shape), 0.1)
    assert len(rows) == len(columns) == 0


def test_boxes_are_compared_after_growing() -> None:
    """Neighbours that are less than two margins apart still overlap; those further apart do not."""
    one = np.array([[0.0, 0, 100, 100]])
    near, far = 100 + 200 * MARGIN - 1, 100 + 200 * MARGIN + 1
    others = np.array([[near, 0, near + 100, 100], [far, 0, far + 100, 100]])
    similarity = overlaps(one, others)
    grown = 100 * (1 + 2 * MARGIN)
    assert similarity[0, 0] == pytest.approx(1 * grown / (2 * grown**2 - grown))
    assert similarity[0, 1] == 0
