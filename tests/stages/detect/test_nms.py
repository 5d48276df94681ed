"""Non-maximum suppression against the plain definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.detect.nms import keep_best

Box = tuple[int, int, int, int]


def overlap(first: Box, second: Box) -> float:
    """Intersection over union of two boxes, x1, y1, x2, y2."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    both = max(0, width) * max(0, height)
    area_first, area_second = ((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return both / (area_first + area_second - both)


def plain_nms(boxes: list[Box], scores: list[float], class_ids: list[int], threshold: float) -> list[int]:
    """Best first, drop what overlaps a kept one of its class by more than the threshold; ties in their first order."""
    kept: list[int] = []
    for place in sorted(range(len(boxes)), key=lambda place: -scores[place]):
        if all(
            class_ids[place] != class_ids[other] or overlap(boxes[place], boxes[other]) <= threshold for other in kept
        ):
            kept.append(place)
    return kept


@st.composite
def a_box(draw: st.DrawFn) -> Box:
    """A box with whole sides of at least one pixel, on so small a picture that many overlap."""
    x, y = draw(st.integers(0, 12)), draw(st.integers(0, 12))
    return x, y, x + draw(st.integers(1, 12)), y + draw(st.integers(1, 12))


# Thresholds that no ratio of such small areas hits exactly: at equality single and double precision may differ.
@given(
    st.lists(st.tuples(a_box(), st.integers(1, 20), st.integers(0, 2)), max_size=25),
    st.sampled_from([0.30001, 0.50001, 0.70001, 0.99999]),
)
def test_equals_the_definition(found: list[tuple[Box, int, int]], threshold: float) -> None:
    """Whatever the boxes, scores (with ties) and classes: the same boxes stay, in the same order."""
    boxes = [box for box, _, _ in found]
    scores = [score / 20 for _, score, _ in found]
    class_ids = [class_id for _, _, class_id in found]
    kept = keep_best(
        np.array(boxes, dtype=np.float32).reshape(-1, 4),
        np.array(scores, dtype=np.float32),
        np.array(class_ids, dtype=np.int32),
        iou_threshold=threshold,
    )
    assert kept.tolist() == plain_nms(boxes, scores, class_ids, threshold)


def test_equal_overlap_stays() -> None:
    """A box goes when it overlaps by more than the threshold, not at the threshold."""
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 5]], dtype=np.float32)  # IoU exactly 0.5
    both = keep_best(boxes, np.array([0.9, 0.8], np.float32), np.zeros(2, np.int32), iou_threshold=0.5)
    one = keep_best(boxes, np.array([0.9, 0.8], np.float32), np.zeros(2, np.int32), iou_threshold=0.49)
    assert (both.tolist(), one.tolist()) == ([0, 1], [0])


def test_a_picture_full_of_noise_is_cut_short() -> None:
    """Of very many boxes only the 3000 best are looked at."""
    count = 4000
    x = np.arange(count, dtype=np.float32) * 10
    boxes = np.stack([x, np.zeros_like(x), x + 5, np.full_like(x, 5)], axis=1)
    scores = np.linspace(0.1, 0.9, count, dtype=np.float32)
    kept = keep_best(boxes, scores, np.zeros(count, np.int32), iou_threshold=0.5)
    assert kept.tolist() == list(range(count - 1, count - 3001, -1))


@pytest.mark.parametrize("count", [0, 1])
def test_few_boxes(count: int) -> None:
    """No box gives no place; a single one stays."""
    kept = keep_best(
        np.tile(np.array([[1, 2, 3, 4]], np.float32), (count, 1)),
        np.ones(count, np.float32),
        np.zeros(count, np.int32),
        iou_threshold=0.5,
    )
    assert kept.tolist() == list(range(count))
