"""Which detection belongs to which track: the best one-to-one pairing above a threshold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from stages.boxes import BoxArray, iou_matrix

IndexArray = NDArray[np.intp]


MARGIN = 0.1
"""Boxes are compared after growing by this share of their sides on every side: an object that moved by more than its
width, or whose forecast is a little off, still overlaps itself (Yang et al., Hard to Track Objects, WACV 2023)."""


def similarity_matrix(
    first: BoxArray, second: BoxArray, first_classes: NDArray[np.int32], second_classes: NDArray[np.int32]
) -> BoxArray:
    """Return the (N, M) IoU of every pair of boxes grown by MARGIN, 0 between different classes."""
    same_class = first_classes[:, None] == second_classes[None, :]
    return np.asarray(iou_matrix(_grown(first), _grown(second)) * same_class)


def paired(similarity: BoxArray, threshold: float) -> tuple[IndexArray, IndexArray]:
    """Return rows and columns of the one-to-one pairing with the largest sum of `similarity - threshold`.

    Pairs that are not above the threshold never take part, so that a poor pair cannot displace a good one.

    Args:
        similarity: (N, M), larger is better.
        threshold: exclusive lower bound.

    Returns:
        Two (K,) arrays, K <= min(N, M), rows ascending.
    """
    gain = np.maximum(similarity - threshold, 0)
    rows, columns = linear_sum_assignment(gain, maximize=True)
    good = gain[rows, columns] > 0
    return rows[good], columns[good]


def _grown(boxes: BoxArray) -> BoxArray:
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0) * MARGIN
    return np.concatenate([boxes[:, :2] - sides, boxes[:, 2:] + sides], axis=1)
