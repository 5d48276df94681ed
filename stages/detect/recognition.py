"""Recognises a model's family by all that is known: metadata, names and shapes of outputs, and the first answers.

What stays in doubt is refused: a model that is read wrongly sees nothing, and that would look like an empty scene.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipeline.errors import StageOpenError
from stages.detect.evidence import Answers, are_decoded, are_scores, are_shares, are_whole
from stages.detect.facts import FamilyName, ModelFacts, Signature
from stages.detect.families import Family, NotThisFamily, family_of, plain, queries
from stages.detect.readers import Array, yolox_cells

UNDERSTOOD = (
    "YOLOX or YOLOv3/v5 (B, N, 5 + classes), YOLOv8/v11 (B, 4 + classes, N), NMS inside (B, N, 6 or 7), "
    "DETR style (logits and boxes; labels, boxes, scores; or B, Q, 4 + classes), torchvision (boxes, labels, scores), "
    "TensorFlow (detection_boxes, detection_classes, detection_scores)"
)
_DETECTION = frozenset({"", "detect", "detection", "object detection"})
"""How exporters call the task."""
_MOST_FINISHED = 1000
"""A model with its NMS inside, or with queries, gives 100 to 300 rows; one without gives thousands."""
_COCO_WITH_BOX = 84
"""Four numbers for the box and COCO's 80 classes."""
_DETR_COCO_COLUMNS = 92
"""COCO's category ids from 0 to 90, and "no object"."""
_SCORES_FROM = {"yolov8": 4, "yolov5": 4, "yolox": 4}
"""The first attribute that is a score."""


def recognise(signature: Signature, facts: ModelFacts, model: str, answers: Answers | None = None) -> Family:
    """Return the family of a model: the one that `facts` names, else the one that all else shows.

    Args:
        signature: of the model, with the lengths that its axes took in the first answers.
        facts: everything that is said about it.
        model: its name, for messages.
        answers: its first ones; None: it has not run.

    Raises:
        StageOpenError: it is none of those understood, or may be several, or its answers contradict what is said of it;
            tells what was seen and what to write where.
    """
    if answers is not None and not _are_as_declared(signature, answers):
        answers = None
    task = signature.metadata.get("task", "detect")  # Ultralytics: segment, pose, obb and classify are laid out alike
    if facts.family is None and task.lower().replace("-", " ").replace("_", " ").strip() not in _DETECTION:
        raise StageOpenError(model, f"is a model for the task {task!r}; framepace understands detect")
    names = len(facts.names) if facts.names else None
    guesses = [facts.family] if facts.family is not None else guess(signature, names, answers)
    listed = "; ".join(str(tensor) for tensor in signature.outputs)
    if len(guesses) > 1:
        how = "say which with the option `family`, or with `family: ...` in a YAML file beside the model"
        raise StageOpenError(model, f"its outputs may be those of {' or '.join(guesses)}: {listed}; {how}")
    if not guesses:
        shown = f"; it names {names} classes" if names else ""
        raise StageOpenError(model, f"its outputs are not understood: {listed}{shown}. Understood: {UNDERSTOOD}")
    try:
        family = family_of(guesses[0], signature, names=names)
    except NotThisFamily:
        raise StageOpenError(model, f"does not have the outputs of the family {guesses[0]}: {listed}") from None
    told = "said by its file, its metadata or the user" if facts.family is not None else f"outputs {listed}"
    _check_names(family, names, listed, model)
    return replace(_checked(family, signature, answers, model), evidence=told)


def _are_as_declared(signature: Signature, answers: Answers) -> bool:
    """Whether answers with three axes have as many, and as many columns, as the model declares."""
    return all(
        np.ndim(answers[tensor.name]) == 3 and tensor.shape[2] in (None, np.shape(answers[tensor.name])[2])
        for tensor in signature.outputs
        if len(tensor.shape) == 3
    )


def _check_names(family: Family, names: int | None, listed: str, model: str) -> None:
    """Refuse a model of which fewer classes are named than it has: what is read as the others may be no classes."""
    if family.name in _SCORES_FROM and names is not None and family.classes not in (None, names):
        seen = f"read as {family.name}, its outputs have {family.classes} classes, and {names} are named: {listed}"
        raise StageOpenError(model, f"{seen}; give as many names, or another `family` (masks and points are not read)")


def _checked(family: Family, signature: Signature, answers: Answers | None, model: str) -> Family:
    """Return the family as the first answers show it; refuse what they contradict."""
    if answers is None or family.name not in _SCORES_FROM:
        return family
    rows = _rows(answers[signature.outputs[0].name], turned=family.name == "yolov8" and not family.turned)
    if rows is None:
        return family
    scores = rows[:, _SCORES_FROM[family.name] :]
    if not are_scores(scores) and scores.size:
        least, most = float(scores.min()), float(scores.max())
        if least < 0 or most > 1:  # not a number: that is told when it happens
            seen = f"read as {family.name}, its scores go from {least:.3g} to {most:.3g}, not from 0 to 1"
            raise StageOpenError(model, f"{seen}; export it with its sigmoid, or say another `family`")
    shares = family.name != "yolox" and are_shares(rows[:, :4])
    if family.name == "yolox" and are_decoded(rows[:, :4]):
        seen = "its rows look like YOLOX's, but hold finished boxes"
        how = "write `family: yolov5`, with `colour`, `range` and `placement` as it was trained, into its YAML file"
        raise StageOpenError(model, f"{seen}; {how}")
    return replace(family, shares=shares)


def _rows(answer: Array, *, turned: bool) -> Array | None:
    """Return (N, attributes) of the answer for one picture."""
    if answer.ndim != 3 or not len(answer):
        return None
    rows: Array = answer[0].T if turned else answer[0]
    return rows


def guess(signature: Signature, names: int | None, answers: Answers | None = None) -> list[FamilyName]:
    """Return every family that the outputs may be of.

    Args:
        signature: of the model.
        names: how many class names are known; None if none are.
        answers: its first ones; None: it has not run.
    """
    found = {plain(tensor.name): tensor for tensor in signature.outputs}
    if {"detection_boxes", "detection_scores", "detection_classes"} <= found.keys():
        return ["tensorflow"]
    if {"boxes", "scores", "labels"} <= found.keys():
        return ["rt-detr"] if len(found["boxes"].shape) == 3 else ["torchvision"]
    if len(signature.outputs) == 1:
        return _guess_single(signature, names, answers)
    pair = queries(signature)
    if pair is None:
        return []
    if {"dets", "labels"} <= found.keys():
        return ["rf-detr"]
    logits = answers[pair[0].name] if answers is not None else None
    if logits is not None and logits.shape[1] > _MOST_FINISHED and are_scores(logits):
        return ["yolo-nas"]
    columns = pair[0].shape[2]
    with_no_object = columns == _DETR_COCO_COLUMNS if names is None else columns == names + 1
    return ["detr"] if with_no_object else ["rt-detr"]


def _guess_single(signature: Signature, names: int | None, answers: Answers | None) -> list[FamilyName]:
    output = signature.outputs[0]
    if len(output.shape) != 3:
        return []
    _, rows, columns = output.shape
    answer = None if answers is None else _rows(answers[output.name], turned=False)
    end2end = signature.metadata.get("end2end") == "True"
    if columns == 6 and end2end:
        return ["end2end"]
    if columns is not None and columns > 5 and rows in _grids(signature) and names in (None, columns - 5, columns - 4):
        return _guess_grid_rows(signature, rows, columns, names, answer)
    few = rows is not None and rows <= _MOST_FINISHED
    if columns == 6 and few:
        return ["end2end"]
    if columns == 7 and (few or rows is None):
        return _guess_seven(names, answer)
    classes_and_box = columns in (4 + (names or -1), _COCO_WITH_BOX)
    if few and classes_and_box and answer is not None and are_shares(answer[:, :4]):
        return ["rt-detr"]
    guesses: list[FamilyName] = []
    if columns == 6 and rows is None:
        guesses.append("end2end")
    if columns is not None and columns > 5 and _fits(rows, columns, names):
        guesses += _guess_rows(signature, rows, columns, names)
    if rows is not None and rows > 4 and _fits(columns, rows, names) and names in (None, rows - 4):
        guesses.append("yolov8")
    return guesses


def _grids(signature: Signature) -> tuple[int, ...]:
    """Return how many rows detectors without anchors, and with three in each cell, have for the input."""
    width, height = signature.fixed_size
    if not width or not height:
        return ()
    cells = yolox_cells((width, height))
    return cells, 3 * cells


def _guess_grid_rows(
    signature: Signature, rows: int | None, columns: int, names: int | None, answer: Array | None
) -> list[FamilyName]:
    """Return the families of (B, rows, columns) with a row for each cell of the grids, or for three boxes in each."""
    if columns == (_COCO_WITH_BOX if names is None else names + 4):
        return ["yolov8"]
    if rows != _grids(signature)[0]:
        return ["yolov5"]
    if answer is not None and are_decoded(answer[:, :4]) and (answer[:, 4] == 1).all():
        return ["yolov5"]  # YOLOv6: it has no objectness and writes 1
    return ["yolox"]


def _guess_seven(names: int | None, answer: Array | None) -> list[FamilyName]:
    """Return the families of a few rows of seven: finished ones begin with a place in the batch."""
    if answer is None or not len(answer):
        return ["end2end"] if names not in (2, 3) else ["end2end", "yolov5" if names == 2 else "rt-detr"]
    if are_whole(answer[:, 0]) and are_whole(answer[:, 5]):
        return ["end2end"]
    if are_shares(answer[:, :4]) and names in (None, 3):
        return ["rt-detr"]
    return []


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
