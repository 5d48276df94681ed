"""Sees every picture, and says where boxes have gone since an earlier one.

Between two results of the detector pictures keep coming. Dense optical flow from each to the next (DIS, Kroeger et al.,
ECCV 2016, at its fastest setting) carries boxes along with what is seen in them, where their velocity could only carry
them straight on. It costs 3 ms a picture on one core, so pictures are looked at only while somebody asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.clock import NS_PER_S
from stages.boxes import BoxArray
from stages.payloads import ByteArray, FloatArray, Picture

MOST_PX = 640
"""Longer side of the pictures that are compared. With 384 px the forecasts of walkers of 80 px score AP50 3 points
lower, with 768 px 1 point higher for 1.4 times the work (benchmarks/forecast.py with other values here)."""
FOUND_AT = 4
"""The flow is found for blocks of so many pixels by as many (the preset's finest scale) and kept like that: what DIS
returns for each pixel is between them."""
LEAST_PX = 32
"""Shorter side of the pictures that are compared: eight pixels, which DIS matches at a time, at its finest scale. With
less it raises, or ends the process when pictures are much wider than high, such as 100 by 16 (OpenCV 5.0)."""
IDLE_NS = 2 * NS_PER_S
"""When nobody has asked for so long, pictures are of no use."""
STEPS_MOST = 60
"""Steps kept at the most, 0.15 MB each: two seconds at 30 fps, however long a forecast may be."""
_NEVER_NS = -(1 << 62)
_ACROSS = np.linspace(0.3, 0.7, 5)
_DOWN = np.linspace(0.15, 0.75, 7)
_POINTS = np.stack(np.meshgrid(_ACROSS, _DOWN), axis=-1).reshape(-1, 2)
"""Where in a box the flow is read, as shares of its sides: inside, so that most points lie on the object. The median of
them is not disturbed by those that do not."""


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    at_ns: int
    size: tuple[int, int]
    grey: ByteArray


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """From one picture to the next."""

    from_ns: int
    to_ns: int
    flow: FloatArray
    """(H, W, 2) where each block of the picture went, x and y, source-picture pixels."""
    block: tuple[float, float]
    """Width and height of a block, source-picture pixels."""


class Follower:
    """Remembers how pictures moved; one thread tells it, any may ask.

    Args:
        memory_ns: how long a step between two pictures is kept, if there are not too many.
    """

    def __init__(self, memory_ns: int) -> None:
        self._memory_ns = memory_ns
        self._compare = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._before: _Seen | None = None
        self._steps: tuple[_Step, ...] = ()  # replaced as a whole, since other threads read it; without gaps
        self._asked_ns = _NEVER_NS

    def is_asked(self, at_ns: int) -> bool:
        """Return whether somebody asked of late, so that the picture of this capture time is of use."""
        return at_ns - self._asked_ns <= IDLE_NS

    def ask(self, at_ns: int) -> None:
        """Say that forecasts are wanted for this time, so that the next pictures are of use."""
        self._asked_ns = max(self._asked_ns, at_ns)

    def see(self, picture: Picture, at_ns: int) -> None:
        """Take the next picture; of one that is too small nothing is known."""
        before, seen = self._before, _Seen(at_ns, picture.size, _small(picture))
        self._before = seen
        if before is None or not self._are_comparable(before, seen):
            self._steps = ()
            return
        flow: Any = self._compare.calc(before.grey, seen.grey, None)  # type: ignore[call-overload]  # None: make one
        step = _step(before.at_ns, seen, flow)
        kept = [kept for kept in self._steps[1 - STEPS_MOST :] if at_ns - kept.from_ns <= self._memory_ns]
        self._steps = (*kept, step)

    def _are_comparable(self, before: _Seen, seen: _Seen) -> bool:
        is_next = before.size == seen.size and 0 < seen.at_ns - before.at_ns <= self._memory_ns
        return is_next and min(seen.grey.shape) >= LEAST_PX

    def ways(self, boxes: BoxArray, from_ns: int, to_ns: int) -> tuple[NDArray[np.float64], int]:
        """Return by how much boxes were carried along, and up to which moment that is known.

        Args:
            boxes: (N, 4) x1, y1, x2, y2 in source-picture pixels, on the picture that was captured at `from_ns`.
            from_ns: capture time of that picture.
            to_ns: the moment that is asked about; pictures captured later are not looked at.

        Returns:
            (N, 2) in x and y, source-picture pixels, and a time: `from_ns` where nothing is known.
        """
        ways = np.zeros((len(boxes), 2))
        reached_ns = from_ns
        for step in self._steps:
            if step.from_ns == reached_ns and step.to_ns <= to_ns:
                ways += _carried(boxes + np.tile(ways, 2), step)
                reached_ns = step.to_ns
        return ways, reached_ns


def _small(picture: Picture) -> ByteArray:
    width, height = picture.size
    share = min(1.0, MOST_PX / max(width, height))
    return picture.grey(max(1, round(width * share)), max(1, round(height * share)))


def _step(from_ns: int, seen: _Seen, flow: FloatArray) -> _Step:
    """Return what is kept of the flow to a picture, (H, W, 2) in pixels of the small one: a sixteenth of it."""
    height, width = seen.grey.shape
    rows, columns = max(1, round(height / FOUND_AT)), max(1, round(width / FOUND_AT))
    blocks = cv2.resize(flow, (columns, rows), interpolation=cv2.INTER_AREA).reshape(rows, columns, 2)
    scale = np.array([seen.size[0] / width, seen.size[1] / height], np.float32)
    return _Step(from_ns, seen.at_ns, blocks * scale, (seen.size[0] / columns, seen.size[1] / rows))


def _carried(boxes: BoxArray, step: _Step) -> NDArray[np.float64]:
    """Return (N, 2) by how much each box went with what is seen in it."""
    if not len(boxes):
        return np.zeros((0, 2))
    sides = boxes[:, None, 2:] - boxes[:, None, :2]
    points = (boxes[:, None, :2] + sides * _POINTS) / step.block
    height, width = step.flow.shape[:2]
    columns = np.clip(points[..., 0].astype(np.intp), 0, width - 1)
    rows = np.clip(points[..., 1].astype(np.intp), 0, height - 1)
    return np.asarray(np.median(step.flow[rows, columns], axis=1), dtype=np.float64)
