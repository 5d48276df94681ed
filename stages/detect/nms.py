"""Keeps one box per object."""

from __future__ import annotations

from typing import Any, cast

import cv2
import numpy as np

from stages.payloads import FloatArray, IntArray, LongArray

_MOST_BOXES = 3000
"""Of more boxes than this above the floor only the best are looked at: a picture full of noise must not stall us."""


def keep_best(boxes: FloatArray, scores: FloatArray, class_ids: IntArray, *, iou_threshold: float) -> LongArray:
    """Return the (K,) places of the boxes that survive per-class non-maximum suppression, best first.

    Args:
        boxes: (N, 4) x1, y1, x2, y2.
        scores: (N,)
        class_ids: (N,); boxes of different classes do not suppress each other.
        iou_threshold: a box goes when a better one of its class, itself kept, overlaps it by more than this.
    """
    order = np.argsort(-scores, kind="stable")[:_MOST_BOXES]
    if not len(order):
        return order
    corner_and_sides = boxes[order].astype(np.float64)
    corner_and_sides[:, 2:] -= corner_and_sides[:, :2]
    kept = cv2.dnn.NMSBoxesBatched(  # its stub wants lists; it takes arrays, which are faster
        cast(Any, corner_and_sides), cast(Any, scores[order]), cast(Any, class_ids[order]), -1.0, iou_threshold
    )
    # Places in `order` are ranks, so sorting them puts the best first and ties in their first order.
    return np.asarray(order[np.sort(np.asarray(kept, dtype=np.int64).ravel())])
