"""Box maths against loops written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.boxes import areas, clip, image_boxes_from_model, iou_matrix, xyxy_from_cxcywh

_COORDINATE = st.floats(-1000, 1000, width=32)
_BOX = st.tuples(_COORDINATE, _COORDINATE, _COORDINATE, _COORDINATE)
_BOXES = st.lists(_BOX, max_size=5)


def array(rows: list[tuple[float, ...]]) -> np.ndarray:
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def iou(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    """Intersection over union of two boxes, with scalars."""

    def area(box: tuple[float, ...]) -> float:
        return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])

    both = (
        max(first[0], second[0]),
        max(first[1], second[1]),
        min(first[2], second[2]),
        min(first[3], second[3]),
    )
    union = area(first) + area(second) - area(both)
    return area(both) / union if union > 0 else 0.0


@pytest.mark.parametrize(
    ("box", "area"),
    [
        ((0, 0, 4, 5), 20),  # plain
        ((-4, -5, 0, 0), 20),  # outside the picture
        ((4, 0, 0, 5), 0),  # inside out in x
        ((4, 5, 0, 0), 0),  # inside out in both: not 20
        ((3, 3, 3, 9), 0),  # a line
    ],
)
def test_area(box: tuple[float, ...], area: float) -> None:
    """A box that is inside out or flat has no area."""
    assert areas(array([box])).tolist() == [area]


@given(_BOXES, _BOXES)
def test_iou_is_that_of_each_pair(first: list[tuple[float, ...]], second: list[tuple[float, ...]]) -> None:
    """The matrix has the overlap of every pair, in 0..1, also of boxes inside out and of none at all."""
    matrix = iou_matrix(array(first), array(second))
    assert matrix.shape == (len(first), len(second))
    for row, one in enumerate(first):
        for column, other in enumerate(second):
            assert matrix[row, column] == pytest.approx(iou(one, other), abs=1e-9)


def test_iou_of_a_box_with_itself_is_one() -> None:
    """A box overlaps itself fully, a neighbour that touches it not at all, and one half over it by a third."""
    boxes = array([(0, 0, 10, 10), (10, 0, 20, 10), (5, 0, 15, 10)])
    assert iou_matrix(boxes, boxes) == pytest.approx(np.array([[1, 0, 1 / 3], [0, 1, 1 / 3], [1 / 3, 1 / 3, 1]]))


def test_clip_keeps_the_type_and_cuts_to_the_picture() -> None:
    """Boxes end at the picture's edges, and float32 stays float32."""
    boxes = np.array([[-5, -6, 700, 500], [10, 20, 30, 40]], dtype=np.float32)
    cut = clip(boxes, 640, 480)
    assert cut.tolist() == [[0, 0, 640, 480], [10, 20, 30, 40]]
    assert cut.dtype == np.float32


def test_corners_of_centre_boxes() -> None:
    """Centre and size become corners."""
    assert xyxy_from_cxcywh(array([(10, 20, 4, 6)])).tolist() == [[8, 17, 12, 23]]


def test_boxes_of_the_model_land_in_the_picture() -> None:
    """Each axis has its own scale, then its own shift, and float32 stays float32."""
    boxes = np.array([[1, 2, 3, 4]], dtype=np.float32)
    image = image_boxes_from_model(boxes, (2.0, 3.0, 100.0, -50.0))
    assert image.tolist() == [[102, -44, 106, -38]]
    assert image.dtype == np.float32
