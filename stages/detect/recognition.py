"""Recognises a model's family from the number, names and shapes of its outputs and from its metadata."""

from __future__ import annotations

from pipeline.errors import StageOpenError
from stages.detect.facts import FamilyName, ModelFacts, Signature
from stages.detect.families import Family, NotThisFamily, family_of, plain, queries
from stages.detect.readers import yolox_cells

UNDERSTOOD = (
    "YOLOX or YOLOv3/v5 (B, N, 5 + classes), YOLOv8/v11 (B, 4 + classes, N), NMS inside (B, N, 6), "
    "DETR style (logits and boxes; or labels, boxes, scores), torchvision (boxes, labels, scores), "
    "TensorFlow (detection_boxes, detection_classes, detection_scores)"
)
_MOST_FINISHED = 1000
"""A model with its NMS inside gives 100 to 300 rows; one without gives thousands."""
_COCO_WITH_BOX = 84
"""Four numbers for the box and COCO's 80 classes."""
_DETR_COCO_COLUMNS = 92
"""COCO's category ids from 0 to 90, and "no object"."""


def recognise(signature: Signature, facts: ModelFacts, model: str) -> Family:
    """Return the family of a model: the one that `facts` names, else the one that its outputs show.

    Raises:
        StageOpenError: it is none of those understood, or may be several; lists its outputs.
    """
    task = signature.metadata.get("task", "detect")  # Ultralytics: segment, pose, obb and classify are laid out alike
    if task != "detect":
        raise StageOpenError(model, f"is a model for the task {task!r}; framepace understands detect")
    names = len(facts.names) if facts.names else None
    guesses = [facts.family] if facts.family is not None else guess(signature, names)
    listed = "; ".join(str(tensor) for tensor in signature.outputs)
    if len(guesses) > 1:
        how = "say which with the option `family`, or in a YAML file beside the model"
        raise StageOpenError(model, f"its outputs may be those of {' or '.join(guesses)}: {listed}; {how}")
    if not guesses:
        shown = f"; it names {names} classes" if names else ""
        raise StageOpenError(model, f"its outputs are not understood: {listed}{shown}. Understood: {UNDERSTOOD}")
    try:
        return family_of(guesses[0], signature, names=names)
    except NotThisFamily:
        raise StageOpenError(model, f"does not have the outputs of the family {guesses[0]}: {listed}") from None


def guess(signature: Signature, names: int | None) -> list[FamilyName]:
    """Return every family that the outputs may be of.

    Args:
        signature: of the model.
        names: how many class names are known; None if none are.
    """
    found = {plain(tensor.name): tensor for tensor in signature.outputs}
    if {"detection_boxes", "detection_scores", "detection_classes"} <= found.keys():
        return ["tensorflow"]
    if {"boxes", "scores", "labels"} <= found.keys():
        return ["rt-detr"] if len(found["boxes"].shape) == 3 else ["torchvision"]
    if len(signature.outputs) == 1:
        return _guess_single(signature, names)
    pair = queries(signature)
    if pair is None:
        return []
    if found.keys() == {"dets", "labels"}:
        return ["rf-detr"]
    columns = pair[0].shape[2]
    with_no_object = columns == _DETR_COCO_COLUMNS if names is None else columns == names + 1
    return ["detr"] if with_no_object else ["rt-detr"]


def _guess_single(signature: Signature, names: int | None) -> list[FamilyName]:
    shape = signature.outputs[0].shape
    if len(shape) != 3:
        return []
    _, rows, columns = shape
    finished = signature.metadata.get("end2end") == "True" or (rows is not None and rows <= _MOST_FINISHED)
    if columns == 6 and finished:
        return ["end2end"]
    guesses: list[FamilyName] = []
    if columns == 6 and rows is None:
        guesses.append("end2end")
    if columns is not None and columns > 5 and _fits(rows, columns, names):
        guesses += _guess_rows(signature, rows, columns, names)
    if rows is not None and rows > 4 and _fits(columns, rows, names) and names in (None, rows - 4):
        guesses.append("yolov8")
    return guesses


def _fits(predictions: int | None, attributes: int, names: int | None) -> bool:
    """Whether two axes can be predictions and attributes: the names tell, else there are more predictions."""
    return predictions is None or predictions > attributes or (names is not None and attributes - names in (4, 5))


def _guess_rows(signature: Signature, rows: int | None, columns: int, names: int | None) -> list[FamilyName]:
    """Return the families of (B, rows, columns) with a prediction in each row."""
    # Without names, 84 columns are far more likely COCO's 80 classes than 79 others behind an objectness.
    if columns == (_COCO_WITH_BOX if names is None else names + 4):
        return ["yolov8"]
    if names is not None and columns != names + 5:
        return []
    width, height = signature.fixed_size
    if rows is not None and width and height:
        return ["yolox"] if rows == yolox_cells((width, height)) else ["yolov5"]
    # Free axes. Exporters of YOLOv5 write names and stride into the metadata, the one of YOLOX writes nothing.
    return ["yolov5"] if {"names", "stride"} <= signature.metadata.keys() else ["yolov5", "yolox"]
