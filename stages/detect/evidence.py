"""What the first answers of a model show: the lengths of free axes, and the values of boxes and scores.

The first picture is plain grey. Detectors without NMS answer for every place of it all the same, so that their values
tell pixels from shares of the picture, and scores from what would still have to become one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from stages.detect.facts import Signature
from stages.detect.readers import Array
from stages.payloads import FloatArray

Answers = Mapping[str, Array]
"""By the name of the output, with all axes."""

_MOST_SHARE = 1.5
"""Corners and sides that are shares of the picture stay below; in pixels, boxes are larger."""
_LEAST_DECODED = 50.0
"""Rows with a number beyond this are decoded: centres relative to a cell and logarithms of sides are small."""
_MOST_SCORE = 1.001


def filled(signature: Signature, answers: Answers) -> Signature:
    """Return the signature with the lengths that free axes of the outputs took; an axis of no length stays free."""
    outputs = []
    for tensor in signature.outputs:
        shape = np.shape(answers[tensor.name])
        if len(shape) == len(tensor.shape) or not tensor.shape:
            given = tensor.shape or (None,) * len(shape)
            known = tuple(size or length or None for size, length in zip(given, shape, strict=True))
            tensor = replace(tensor, shape=known)
        outputs.append(tensor)
    return replace(signature, outputs=tuple(outputs))


def are_shares(boxes: Array) -> bool:
    """Whether boxes (N, 4), of which some are not empty, are in shares of the picture rather than in pixels."""
    greatest = _greatest(boxes)
    return 0 < greatest <= _MOST_SHARE


def are_decoded(boxes: Array) -> bool:
    """Whether boxes (N, 4) of cx, cy, w, h are finished, not relative to their cells."""
    return _greatest(boxes) > _LEAST_DECODED


def are_scores(values: Array) -> bool:
    """Whether numbers are scores as they are; logits go below 0."""
    finite = _finite(values)
    return bool(finite.size) and float(finite.min()) >= 0 and float(finite.max()) <= _MOST_SCORE


def are_whole(values: Array) -> bool:
    """Whether numbers count something: a class or a place in the batch."""
    finite = _finite(values)
    return bool((finite == np.round(finite)).all())


def _greatest(values: Array) -> float:
    finite = _finite(values)
    return float(np.abs(finite).max()) if finite.size else 0.0


def _finite(values: Array) -> FloatArray:
    floats = np.asarray(values, dtype=np.float32)
    return floats[np.isfinite(floats)]
