"""Compares what was said with what was there, by the libraries that the benchmarks are scored with.

Average precision is that of COCO, by faster-coco-eval; HOTA (Luiten et al., IJCV 2020), CLEAR MOT and identity scores
are those of trackeval.
"""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from pipeline.errors import ConfigError
from stages.boxes import iou_matrix
from stages.evaluate.truth import Objects

_NEEDS = "needs packages that are not installed: pip install 'framepace[eval]'"


@dataclass(frozen=True, slots=True)
class Scores:
    """Shares from 0 to 1; those of tracks are None where the truth has no identities."""

    ap: float
    """Mean over IoU thresholds .50 to .95."""
    ap50: float
    ap75: float
    hota: float | None
    det_a: float | None
    ass_a: float | None
    mota: float | None
    idf1: float | None

    def as_data(self) -> dict[str, float | None]:
        """Return the scores by name, to 0.0001."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: None if value is None else round(value, 4) for name, value in values.items()}


def score(said: Sequence[Objects], truth: Sequence[Objects], *, identities: bool = True) -> Scores:
    """Score what was said of each frame against what was there.

    Args:
        said: one a frame.
        truth: one a frame.
        identities: whether the truth knows who is who.

    Raises:
        ConfigError: the libraries are not installed.
    """
    precision = average_precision(said, truth)
    tracking = _tracking(said, truth) if identities else dict.fromkeys(("hota", "det_a", "ass_a", "mota", "idf1"))
    return Scores(*precision, **tracking)


def check_installed(*, identities: bool) -> None:
    """Do what takes time only after this.

    Raises:
        ConfigError: a library that `score` needs is not installed.
    """
    _library("faster_coco_eval")
    if identities:
        _library("trackeval.metrics")


def _library(name: str) -> Any:
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # trackeval prints
            return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError.one("framepace eval", _NEEDS) from error


def average_precision(said: Sequence[Objects], truth: Sequence[Objects]) -> tuple[float, float, float]:
    """Return AP over the thresholds .50 to .95, at .50 and at .75; 0 where nothing was said at all.

    Raises:
        ConfigError: the library is not installed.
    """
    library = _library("faster_coco_eval")
    found = [
        {"image_id": place, "category_id": int(class_id), "bbox": _xywh(box), "score": float(score_)}
        for place, objects in enumerate(said)
        for box, class_id, score_ in zip(objects.boxes, objects.class_ids, objects.scores, strict=True)
    ]
    if not found:
        return 0.0, 0.0, 0.0
    there = library.COCO(_coco(truth))
    evaluation = library.COCOeval_faster(there, there.loadRes(found), iouType="bbox", print_function=_mute)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    ap, ap50, ap75 = (max(0.0, float(value)) for value in evaluation.stats[:3])
    return ap, ap50, ap75


def _coco(truth: Sequence[Objects]) -> dict[str, Any]:
    class_ids = sorted({int(class_id) for objects in truth for class_id in objects.class_ids})
    annotations = [
        {
            "image_id": place,
            "category_id": int(class_id),
            "bbox": (box_xywh := _xywh(box)),
            "area": box_xywh[2] * box_xywh[3],
            "iscrowd": 0,
        }
        for place, objects in enumerate(truth)
        for box, class_id in zip(objects.boxes, objects.class_ids, strict=True)
    ]
    return {
        "images": [{"id": place} for place in range(len(truth))],
        "categories": [{"id": class_id, "name": str(class_id)} for class_id in class_ids],
        "annotations": [{"id": number, **annotation} for number, annotation in enumerate(annotations, 1)],
    }


def _xywh(box: np.ndarray[Any, np.dtype[np.float64]]) -> list[float]:
    return [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]


def _mute(*_: object) -> None:
    pass


def _tracking(said: Sequence[Objects], truth: Sequence[Objects]) -> dict[str, float]:
    metrics = _library("trackeval.metrics")
    with contextlib.redirect_stdout(io.StringIO()):
        hota, clear, identity = metrics.HOTA(), metrics.CLEAR(), metrics.Identity()
    data = _sequence(said, truth)
    of_hota = hota.eval_sequence(data)
    return {
        "hota": float(of_hota["HOTA"].mean()),
        "det_a": float(of_hota["DetA"].mean()),
        "ass_a": float(of_hota["AssA"].mean()),
        "mota": float(clear.eval_sequence(data)["MOTA"]),
        "idf1": float(identity.eval_sequence(data)["IDF1"]),
    }


def _sequence(said: Sequence[Objects], truth: Sequence[Objects]) -> dict[str, Any]:
    """Return what trackeval's metrics take: ids from 0 without gaps, and how alike any two boxes of a frame are."""
    there, found = _renumbered(truth), _renumbered(said)
    return {
        "num_timesteps": len(truth),
        "num_gt_ids": 1 + max((int(ids.max(initial=-1)) for ids in there), default=-1),
        "num_tracker_ids": 1 + max((int(ids.max(initial=-1)) for ids in found), default=-1),
        "num_gt_dets": sum(map(len, truth)),
        "num_tracker_dets": sum(map(len, said)),
        "gt_ids": there,
        "tracker_ids": found,
        "similarity_scores": [_similarity(right, objects) for right, objects in zip(truth, said, strict=True)],
    }


def _renumbered(frames: Sequence[Objects]) -> list[np.ndarray[Any, np.dtype[np.int64]]]:
    known = sorted({int(object_id) for objects in frames for object_id in objects.object_ids})
    return [np.searchsorted(known, objects.object_ids).astype(np.int64) for objects in frames]


def _similarity(right: Objects, objects: Objects) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return IoU, and 0 between objects of different classes."""
    same = right.class_ids[:, None] == objects.class_ids[None, :]
    return np.asarray(iou_matrix(right.boxes, objects.boxes) * same)
