"""Reads what models answer, one function per way of answering.

Every reader takes the arrays of one picture and the lowest score that matters, and returns the boxes that reach it in
model-input pixels. Scores that are not numbers raise ArithmeticError: a model that broke down is not an empty scene.
Boxes are handed on as they are, also where they are not numbers.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.boxes import xyxy_from_cxcywh
from stages.payloads import FloatArray, IntArray

Array = NDArray[np.generic]
Size = tuple[int, int]
"""Width and height of the model input, pixels."""

YOLOX_STRIDES = (8, 16, 32)
"""Model pixels per cell of the three grids (Ge et al., YOLOX, arXiv:2107.08430; FPN levels P3 to P5)."""


@dataclass(frozen=True, slots=True)
class Raw:
    """What a model said about one picture, in no particular order."""

    boxes: FloatArray
    """(N, 4) x1, y1, x2, y2 in model-input pixels."""
    scores: FloatArray
    """(N,)"""
    class_ids: IntArray
    """(N,) as the model counts."""


def read_objectness_rows(rows: Array, floor: float) -> Raw:
    """YOLOv3, YOLOv5: (N, 5 + classes) of cx, cy, w, h in pixels, objectness, class scores, all between 0 and 1."""
    values = _floats(rows)
    chosen, scores, class_ids = _by_objectness(values, floor)
    return Raw(_corners(values[chosen, :4]), scores, class_ids)


def read_yolox(rows: Array, floor: float, size: Size) -> Raw:
    """YOLOX: (N, 5 + classes) as above, but centres in cells from each cell, and logarithms of sides in cells.

    YOLOX paper, section 2.1; rows run over the grids from fine to coarse, each line by line.
    """
    values = _floats(rows)
    cells, strides = _yolox_grid(size)
    if len(values) != len(cells):
        raise ArithmeticError(f"the model gave {len(values)} predictions, not the {len(cells)} of YOLOX at this size")
    chosen, scores, class_ids = _by_objectness(values, floor)
    centres = (values[chosen, :2] + cells[chosen]) * strides[chosen]
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and so no box
        sides = np.exp(values[chosen, 2:4]) * strides[chosen]
    return Raw(_corners(np.concatenate([centres, sides], axis=1)), scores, class_ids)


def yolox_cells(size: Size) -> int:
    """Return how many predictions YOLOX makes: one a cell. The YOLOs with anchors make three."""
    return sum(math.ceil(size[0] / stride) * math.ceil(size[1] / stride) for stride in YOLOX_STRIDES)


def read_columns(columns: Array, floor: float) -> Raw:
    """YOLOv8, v9, v11: (4 + classes, N) of cx, cy, w, h in pixels and class scores between 0 and 1; no objectness."""
    values = _floats(columns)
    chosen = _above(values[4:].max(axis=0), floor)
    scores, class_ids = _best(values[4:, chosen].T)
    return Raw(_corners(values[:4, chosen].T), scores, class_ids)


def read_finished_rows(rows: Array, floor: float) -> Raw:
    """NMS inside: (N, 6) of x1, y1, x2, y2 in pixels, score, class; or (N, 7) as YOLOv7 has it, with class, score.

    The seven begin with the place in the batch.
    """
    values = _floats(rows)
    if values.shape[1] == 7:
        values = values[:, [1, 2, 3, 4, 6, 5]]
    chosen = values[_above(values[:, 4], floor)]
    return Raw(chosen[:, :4], chosen[:, 4], chosen[:, 5].astype(np.int32))


def read_queries(logits: Array, boxes: Array, floor: float, size: Size, *, softmax: bool) -> Raw:
    """DETR and its kin: logits (Q, classes), boxes (Q, 4) of cx, cy, w, h between 0 and 1.

    Args:
        softmax: the classes exclude each other and the last one is "no object" (Carion et al., arXiv:2005.12872,
            section 3); else each class has a sigmoid of its own (Deformable DETR, arXiv:2010.04159, and what followed).
    """
    values = _floats(logits)
    best, class_ids = _best(_softmax(values)[:, :-1] if softmax else _sigmoid(values))
    chosen = _above(best, floor)
    in_pixels = _corners(_floats(boxes)[chosen]) * np.array([*size, *size], dtype=np.float32)
    return Raw(in_pixels, best[chosen], class_ids[chosen])


def read_query_rows(rows: Array, floor: float, size: Size) -> Raw:
    """RT-DETR as Ultralytics exports it: (Q, 4 + classes) of cx, cy, w, h between 0 and 1, and scores."""
    values = _floats(rows)
    best, class_ids = _best(values[:, 4:])
    chosen = _above(best, floor)
    in_pixels = _corners(values[chosen, :4]) * np.array([*size, *size], dtype=np.float32)
    return Raw(in_pixels, best[chosen], class_ids[chosen])


def read_scored_boxes(scores: Array, boxes: Array, floor: float) -> Raw:
    """YOLO-NAS: scores (N, classes), boxes (N, 4) x1, y1, x2, y2 in pixels."""
    best, class_ids = _best(_floats(scores))
    chosen = _above(best, floor)
    return Raw(_floats(boxes)[chosen], best[chosen], class_ids[chosen])


def read_labelled(boxes: Array, scores: Array, labels: Array, floor: float) -> Raw:
    """Finished results in three arrays: boxes (N, 4) x1, y1, x2, y2 in pixels, scores (N,), labels (N,)."""
    values = _floats(scores)
    chosen = _above(values, floor)
    return Raw(_floats(boxes)[chosen], values[chosen], np.asarray(labels)[chosen].astype(np.int32))


def read_tensorflow(boxes: Array, scores: Array, classes: Array, floor: float, size: Size) -> Raw:
    """TensorFlow: as above, but boxes are y1, x1, y2, x2 between 0 and 1."""
    width, height = size
    in_pixels = _floats(boxes)[:, [1, 0, 3, 2]] * np.array([width, height, width, height], dtype=np.float32)
    return read_labelled(in_pixels, scores, classes, floor)


def _by_objectness(rows: FloatArray, floor: float) -> tuple[NDArray[np.int64], FloatArray, IntArray]:
    """Return the places of the rows that reach the floor, their scores (objectness x best class) and classes.

    A score cannot exceed its objectness, so most rows are out before their classes are looked at.
    """
    likely = _above(rows[:, 4], floor)
    best, class_ids = _best(rows[likely, 5:])
    scores = best * rows[likely, 4]
    chosen = _above(scores, floor)
    return likely[chosen], scores[chosen], class_ids[chosen]


def _above(scores: FloatArray, floor: float) -> NDArray[np.int64]:
    """Return the places of the scores that reach the floor; raise ArithmeticError if any is not a number."""
    if np.isnan(scores).any():
        raise ArithmeticError("the model gave scores that are not numbers")
    return np.flatnonzero(scores >= floor)


def _best(scores: FloatArray) -> tuple[FloatArray, IntArray]:
    """Return each row's greatest score and its class."""
    class_ids = scores.argmax(axis=1)
    return scores[np.arange(len(scores)), class_ids], class_ids.astype(np.int32)


def _corners(boxes: FloatArray) -> FloatArray:
    return np.asarray(xyxy_from_cxcywh(boxes), dtype=np.float32)


def _floats(array: Array) -> FloatArray:
    return np.asarray(array, dtype=np.float32)


def _sigmoid(logits: FloatArray) -> FloatArray:
    # By tanh: it saturates where exp would overflow.
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), dtype=np.float32)


def _softmax(logits: FloatArray) -> FloatArray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)


@functools.lru_cache(maxsize=8)
def _yolox_grid(size: Size) -> tuple[FloatArray, FloatArray]:
    """Return column and row (N, 2) and stride (N, 1) of every prediction."""
    grids, strides = [], []
    for stride in YOLOX_STRIDES:
        columns, rows = math.ceil(size[0] / stride), math.ceil(size[1] / stride)
        x, y = np.meshgrid(np.arange(columns), np.arange(rows))
        grids.append(np.stack([x.ravel(), y.ravel()], axis=1))
        strides.append(np.full((rows * columns, 1), stride))
    return np.concatenate(grids).astype(np.float32), np.concatenate(strides).astype(np.float32)
