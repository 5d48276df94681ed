"""Which detection belongs to which track: the best one-to-one pairing above a threshold."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from importlib.machinery import PathFinder
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.boxes import BoxArray, iou_matrix

IndexArray = NDArray[np.intp]


MARGIN = 0.1
"""Boxes are compared after growing by this share of their sides on every side: an object that moved by more than its
width, or whose forecast is a little off, still overlaps itself (Yang et al., Hard to Track Objects, WACV 2023)."""


def overlaps(first: BoxArray, second: BoxArray) -> BoxArray:
    """Return the (N, M) IoU of every pair of boxes grown by MARGIN."""
    return np.asarray(iou_matrix(_grown(first), _grown(second)))


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
    rows, columns = _linear_sum_assignment(gain, maximize=True)
    good = gain[rows, columns] > 0
    return rows[good], columns[good]


def _grown(boxes: BoxArray) -> BoxArray:
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0) * MARGIN
    return np.concatenate([boxes[:, :2] - sides, boxes[:, 2:] + sides], axis=1)


def _solver() -> Callable[..., tuple[IndexArray, IndexArray]]:
    """Return scipy.optimize.linear_sum_assignment, by itself.

    It needs numpy only. The package around it takes 0.28 s to import, a third of what the program takes to its first
    answer. Where a scipy keeps the function elsewhere, the package is imported.
    """
    try:
        scipy = importlib.util.find_spec("scipy")
        folders = [str(Path(folder) / "optimize") for folder in scipy.submodule_search_locations or ()] if scipy else []
        found = PathFinder.find_spec("scipy.optimize._lsap", folders)
        if found is not None and found.loader is not None:
            module = importlib.util.module_from_spec(found)
            found.loader.exec_module(module)
            solver: Callable[..., tuple[IndexArray, IndexArray]] = module.linear_sum_assignment
            return solver
    except (ImportError, AttributeError):
        pass
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment


_linear_sum_assignment = _solver()
