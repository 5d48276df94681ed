"""How each family of detectors answers: which outputs it has, how they are read, what input it usually takes.

| family        | outputs                                               | boxes            | usual input              |
|---------------|-------------------------------------------------------|------------------|--------------------------|
| `yolox`       | (B, cells, 5 + classes), not decoded                  | from the cells   | BGR 0..255, top left     |
| `yolov5`      | (B, N, 5 + classes), decoded; YOLOv3, v7 too          | pixels           | RGB 0..1, centred        |
| `yolov8`      | (B, 4 + classes, N), or turned round; v9, v11 too     | pixels           | RGB 0..1, centred        |
| `end2end`     | (B, N, 6), NMS inside; YOLOv10, YOLO26 too            | pixels           | RGB 0..1, centred        |
|               | (B, N, 7): place in the batch, box, class, score      |                  |                          |
| `yolo-nas`    | boxes (B, N, 4), scores (B, N, classes)               | pixels           | RGB 0..1, top left       |
| `detr`        | logits (B, Q, classes + 1), softmax; boxes (B, Q, 4)  | 0..1             | RGB ImageNet, stretched  |
| `rf-detr`     | labels (B, Q, classes), sigmoid; dets (B, Q, 4)       | 0..1             | RGB ImageNet, stretched  |
| `rt-detr`     | labels, boxes, scores; D-FINE too                     | pixels           | RGB 0..1, stretched      |
|               | or logits (B, Q, classes), sigmoid; boxes (B, Q, 4)   | 0..1             |                          |
|               | or (B, Q, 4 + classes), as Ultralytics writes it      | 0..1             |                          |
| `torchvision` | boxes (N, 4), labels (N), scores (N), no batch axis   | pixels           | RGB 0..1, top left       |
| `tensorflow`  | detection_boxes, detection_classes, detection_scores  | y, x order, 0..1 | RGB 0..255, stretched    |

What outputs cannot show (a YOLOX that was exported with its decoding inside has the shape of one without), a sidecar
says: `family: yolov5`, with `colour`, `range` and `placement` as YOLOX has them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stages.detect.facts import FamilyName, ModelFacts, Signature, Tensor
from stages.detect.names import coco_category_names
from stages.detect.readers import (
    Array,
    Raw,
    Size,
    read_columns,
    read_finished_rows,
    read_labelled,
    read_objectness_rows,
    read_queries,
    read_query_rows,
    read_scored_boxes,
    read_tensorflow,
    read_yolox,
)

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
"""Means and deviations of ImageNet's RGB channels, 0..1, as torchvision documents them for its pretrained backbones."""
_MOST_QUERIES = 1000
_COCO_CATEGORIES = (91, 92)
"""Columns of a model that counts COCO's categories with their gaps, without and with a "no object"."""


_BOX_NAMES = frozenset({"boxes", "pred_boxes", "dets", "bboxes"})
_LOGIT_NAMES = frozenset({"logits", "pred_logits", "labels", "scores"})
"""How exporters of DETR and its kin call the two outputs that count."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a model answered for one picture."""

    arrays: Mapping[str, Array]
    """By name; without the batch axis, where there is one."""
    floor: float
    """The lowest score that matters."""
    size: Size
    """Width and height of the input, pixels."""


@dataclass(frozen=True, slots=True)
class Family:
    """One way of answering, fitted to one model."""

    name: FamilyName
    read: Callable[[Outputs], Raw]
    usual: ModelFacts
    """What the input looks like unless the model says otherwise."""
    overlapping: bool = False
    """Whether several boxes may stand for one object, so that NMS is needed."""
    batched: bool = True
    """Whether the outputs have a batch axis."""
    classes: int | None = None
    """How many classes the model knows, where its outputs show it."""
    turned: bool = False
    """`yolov8`: a row is a prediction, not an attribute."""
    shares: bool = False
    """Whether its boxes are shares of the input instead of pixels."""
    evidence: str = ""
    """By what it was recognised, for people."""


class NotThisFamily(Exception):
    """The model does not have the outputs of the family that it was said to be."""


def family_of(name: FamilyName, signature: Signature, *, names: int | None) -> Family:
    """Return a family, fitted to a model.

    Args:
        name: of the family.
        signature: of the model.
        names: how many class names are known; None if none are.

    Raises:
        NotThisFamily: the model does not have its outputs.
    """
    return _columns(signature, names) if name == "yolov8" else _MAKERS[name](signature)


def plain(name: str) -> str:
    """Return an output's name without what converters put around it: `StatefulPartitionedCall/Boxes:0` is `boxes`."""
    return name.lower().rpartition("/")[2].partition(":")[0]


def queries(signature: Signature) -> tuple[Tensor, Tensor] | None:
    """Return the logits (B, Q, classes) and the boxes (B, Q, 4) of a DETR, or None if there is no such pair.

    Their names tell where there are such, and other outputs do not matter then; else their lengths must.
    """
    three = [tensor for tensor in signature.outputs if len(tensor.shape) == 3]
    boxes = [tensor for tensor in three if plain(tensor.name) in _BOX_NAMES and tensor.shape[2] in (4, None)]
    logits = [tensor for tensor in three if plain(tensor.name) in _LOGIT_NAMES]
    if len(boxes) != 1 or len(logits) != 1:
        boxes = [tensor for tensor in three if tensor.shape[2] == 4]
        logits = [tensor for tensor in three if tensor.shape[2] not in (4, None)]
    return (logits[0], boxes[0]) if len(boxes) == len(logits) == 1 else None


def _named(signature: Signature, *wanted: str) -> list[str]:
    """Return the full names of the outputs that people call so."""
    by_plain = {plain(tensor.name): tensor.name for tensor in signature.outputs}
    if not set(wanted) <= by_plain.keys():
        raise NotThisFamily
    return [by_plain[name] for name in wanted]


def _first(signature: Signature) -> Tensor:
    """Return the first output; detectors with several heads list the joined one first."""
    if not signature.outputs or len(signature.outputs[0].shape) != 3:
        raise NotThisFamily
    return signature.outputs[0]


def _yolov5(signature: Signature) -> Family:
    output = _first(signature)
    return Family(
        "yolov5",
        lambda out: read_objectness_rows(out.arrays[output.name], out.floor),
        _facts(range="0..1"),
        overlapping=True,
        classes=_less(output.shape[2], 5),
    )


def _yolox(signature: Signature) -> Family:
    output = _first(signature)
    return Family(
        "yolox",
        lambda out: read_yolox(out.arrays[output.name], out.floor, out.size),
        _facts(range="0..255", colour="bgr", placement="top_left"),
        overlapping=True,
        classes=_less(output.shape[2], 5),
    )


def _columns(signature: Signature, names: int | None) -> Family:
    output = _first(signature)
    _, rows, columns = output.shape
    if names is not None and names + 4 in (rows, columns):
        turned = rows != names + 4
    else:
        turned = rows is None or (columns is not None and columns < rows)

    def read(out: Outputs) -> Raw:
        values = out.arrays[output.name]
        return read_columns(values.T if turned else values, out.floor)

    classes = _less(columns if turned else rows, 4)
    return Family("yolov8", read, _facts(range="0..1"), overlapping=True, classes=classes, turned=turned)


def _end2end(signature: Signature) -> Family:
    output = _first(signature)
    if output.shape[2] not in (6, 7, None):
        raise NotThisFamily
    return Family("end2end", lambda out: read_finished_rows(out.arrays[output.name], out.floor), _facts(range="0..1"))


def _yolo_nas(signature: Signature) -> Family:
    found = queries(signature)
    if found is None:
        raise NotThisFamily
    scores, boxes = found
    return Family(
        "yolo-nas",
        lambda out: read_scored_boxes(out.arrays[scores.name], out.arrays[boxes.name], out.floor),
        _facts(range="0..1", placement="top_left"),
        overlapping=True,
        classes=scores.shape[2],
    )


def _transformer(signature: Signature, name: FamilyName, usual: ModelFacts, *, softmax: bool = False) -> Family:
    """Return a family with logits and boxes per query."""
    found = queries(signature)
    if found is None:
        raise NotThisFamily
    logits, boxes = found
    coco = {"names": coco_category_names()} if logits.shape[2] in _COCO_CATEGORIES else {}
    return Family(
        name,
        lambda out: read_queries(out.arrays[logits.name], out.arrays[boxes.name], out.floor, out.size, softmax=softmax),
        usual.model_copy(update=coco),
        classes=_less(logits.shape[2], int(softmax)),
    )


def _detr(signature: Signature) -> Family:
    return _transformer(signature, "detr", _imagenet(), softmax=True)


def _rf_detr(signature: Signature) -> Family:
    return _transformer(signature, "rf-detr", _imagenet())


def _rt_detr(signature: Signature) -> Family:
    usual = _facts(range="0..1", placement="stretch")
    try:
        return Family("rt-detr", _labelled(signature), usual)
    except NotThisFamily:
        pass
    if len(signature.outputs) > 1:
        return _transformer(signature, "rt-detr", usual)
    output = _first(signature)
    if output.shape[1] is not None and output.shape[1] > _MOST_QUERIES:
        raise NotThisFamily
    return Family(
        "rt-detr",
        lambda out: read_query_rows(out.arrays[output.name], out.floor, out.size),
        usual,
        classes=_less(output.shape[2], 4),
    )


def _torchvision(signature: Signature) -> Family:
    usual = _facts(range="0..1", placement="top_left", pad=0, names=coco_category_names())
    return Family("torchvision", _labelled(signature), usual, batched=False)


def _labelled(signature: Signature) -> Callable[[Outputs], Raw]:
    boxes, scores, labels = _named(signature, "boxes", "scores", "labels")
    return lambda out: read_labelled(out.arrays[boxes], out.arrays[scores], out.arrays[labels], out.floor)


def _tensorflow(signature: Signature) -> Family:
    boxes, scores, classes = _named(signature, "detection_boxes", "detection_scores", "detection_classes")
    count = next((tensor.name for tensor in signature.outputs if plain(tensor.name) == "num_detections"), None)

    def read(out: Outputs) -> Raw:
        arrays = out.arrays
        found = slice(None if count is None else int(arrays[count].item()))
        return read_tensorflow(arrays[boxes][found], arrays[scores][found], arrays[classes][found], out.floor, out.size)

    return Family("tensorflow", read, _facts(range="0..255", placement="stretch", names=coco_category_names()))


def _less(size: int | None, other: int) -> int | None:
    return None if size is None else size - other


def _facts(**facts: Any) -> ModelFacts:
    return ModelFacts(**{"colour": "rgb", "pad": 114, "placement": "centre", **facts})


def _imagenet() -> ModelFacts:
    return _facts(range="0..1", placement="stretch", mean=_IMAGENET_MEAN, std=_IMAGENET_STD)


_MAKERS: dict[FamilyName, Callable[[Signature], Family]] = {
    "yolox": _yolox,
    "yolov5": _yolov5,
    "end2end": _end2end,
    "yolo-nas": _yolo_nas,
    "detr": _detr,
    "rf-detr": _rf_detr,
    "rt-detr": _rt_detr,
    "torchvision": _torchvision,
    "tensorflow": _tensorflow,
}
