"""Readers by themselves: floors, and arithmetic that must hold for any numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.detect.readers import read_objectness_rows, read_queries, read_yolox, yolox_cells


@given(st.integers(1, 40), st.integers(1, 40))
def test_yolox_cells(columns: int, lines: int) -> None:
    """As many predictions as the grids of stride 8, 16 and 32 have cells; on whole multiples that is 21 per 32x32."""
    assert yolox_cells((32 * columns, 32 * lines)) == 21 * columns * lines


def test_yolox_grid() -> None:
    """Zeros stand for a box of one cell at the cell's corner, line by line, from the fine grid to the coarse."""
    rows = np.zeros((42, 6), dtype=np.float32)
    rows[:, 4:] = 1
    raw = read_yolox(rows, 0.5, (64, 32))
    corners = [(8 * place % 64, 8 * (place // 8), 8) for place in range(32)]
    corners += [(16 * place % 64, 16 * (place // 4), 16) for place in range(8)] + [(0, 0, 32), (32, 0, 32)]
    expected = [(x - side / 2, y - side / 2, x + side / 2, y + side / 2) for x, y, side in corners]
    np.testing.assert_allclose(raw.boxes, expected)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_score_is_objectness_times_best_class(rows: list[tuple[float, float, float]]) -> None:
    """The early look at the objectness leaves out no box that reaches the floor."""
    values = np.array([[5, 5, 2, 2, *row] for row in rows], dtype=np.float32)
    raw = read_objectness_rows(values, 0.25)
    scores = values[:, 4] * values[:, 5:].max(axis=1)
    np.testing.assert_array_equal(raw.scores, scores[scores >= 0.25])
    np.testing.assert_array_equal(raw.class_ids, values[scores >= 0.25, 5:].argmax(axis=1))


@pytest.mark.parametrize("softmax", [True, False])
def test_huge_logits(*, softmax: bool) -> None:
    """Logits beyond what exp can take saturate at 0 and 1, without a warning."""
    logits = np.array([[1e4, -1e4, -1e4], [-1e4, 1e4, -1e4], [-1e4, -1e4, 1e4]], dtype=np.float32)
    raw = read_queries(logits, np.full((3, 4), 0.5, np.float32), 0.5, (100, 50), softmax=softmax)
    assert raw.scores.tolist() == [1.0] * (2 if softmax else 3)
    assert raw.class_ids.tolist() == [0, 1] + [2] * (not softmax)
    np.testing.assert_allclose(raw.boxes[0], [25, 12.5, 75, 37.5])
