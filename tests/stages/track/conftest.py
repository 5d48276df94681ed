"""Detections that the tests of tracking make up."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from stages.payloads import Detections

DetectionsMaker = Callable[..., Detections]


@pytest.fixture
def detections() -> DetectionsMaker:
    """A function that makes Detections of (x1, y1, x2, y2, score) or (..., score, class_id) rows."""

    def make(rows: Sequence[tuple[float, ...]] = (), *, size: tuple[int, int] = (768, 576)) -> Detections:
        return Detections(
            boxes=np.array([row[:4] for row in rows], np.float32).reshape(-1, 4),
            scores=np.array([row[4] for row in rows], np.float32),
            class_ids=np.array([row[5] if len(row) > 5 else 0 for row in rows], np.int32),
            class_names=("person", "car"),
            image_size=size,
        )

    return make
