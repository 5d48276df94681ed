"""Pure box maths on (N, 4) arrays of x1, y1, x2, y2."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BoxArray = NDArray[np.floating]


def areas(boxes: BoxArray) -> BoxArray:
    """Return the (N,) areas; a box that is inside out has area 0."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return np.asarray(sides[:, 0] * sides[:, 1])


def iou_matrix(first: BoxArray, second: BoxArray) -> BoxArray:
    """Return the (N, M) intersection over union of every pair; 0 where both areas are 0."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    sides = np.maximum(high - low, 0)
    overlap = sides[..., 0] * sides[..., 1]
    union = areas(first)[:, None] + areas(second)[None, :] - overlap
    return np.asarray(np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0))


def clip(boxes: BoxArray, width_px: float, height_px: float) -> BoxArray:
    """Return the boxes cut to the picture, 0..width and 0..height."""
    return np.clip(boxes, 0, np.array([width_px, height_px, width_px, height_px], dtype=boxes.dtype))


def xyxy_from_cxcywh(boxes: BoxArray) -> BoxArray:
    """Return corner boxes from (N, 4) centre x, centre y, width, height."""
    half = boxes[:, 2:] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)


def image_boxes_from_model(boxes: BoxArray, image_from_model: tuple[float, float, float, float]) -> BoxArray:
    """Return boxes in source-picture pixels from boxes in model-input pixels."""
    scale_x, scale_y, shift_x, shift_y = image_from_model
    scale = np.array([scale_x, scale_y, scale_x, scale_y], dtype=boxes.dtype)
    shift = np.array([shift_x, shift_y, shift_x, shift_y], dtype=boxes.dtype)
    return np.asarray(boxes * scale + shift)
