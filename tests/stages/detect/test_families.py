"""Every family of models, as small graphs that answer with known objects, run by onnxruntime through the stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto

from stages.detect.onnx import OnnxDetector
from stages.payloads import Detections

Array = NDArray[np.generic]

WIDTH, HEIGHT = 96, 64
"""Of the models' input: not square, so that exchanged axes show."""
CELLS = 12 * 8 + 6 * 4 + 3 * 2
"""Of YOLOX at that size, strides 8, 16 and 32."""
CLASSES = 80
BOXES = np.array([[10, 8, 34, 40], [50, 20, 80, 60], [4, 30, 20, 50]], dtype=np.float32)
"""The known objects, x1, y1, x2, y2 in model pixels; far enough apart for NMS to leave them alone."""
SCORES = np.array([0.9, 0.6, 0.04], dtype=np.float32)
"""The last one is below what is reported."""
CLASS_IDS = np.array([0, 17, 2])
IMAGE_BOXES = np.array([[48, 30, 144, 190], [208, 90, 328, 290]], dtype=np.float32)
"""The two that are reported, in picture pixels: x * 4 + 8, y * 5 - 10."""


def centred(boxes: Array) -> Array:
    """Return centre x, centre y, width, height."""
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1).astype(np.float32)


def normalised(boxes: Array) -> Array:
    """Return boxes between 0 and 1."""
    return (boxes / np.array([WIDTH, HEIGHT, WIDTH, HEIGHT])).astype(np.float32)


def objectness_rows(count: int) -> Array:
    """YOLOv5 rows: the score is the product of objectness and class score."""
    rows = np.zeros((1, count, 5 + CLASSES), dtype=np.float32)
    places = [3, count // 2, count - 1]
    rows[0, places, :4] = centred(BOXES)
    rows[0, places, 4] = [0.95, 0.8, 0.2]
    rows[0, places, 5 + CLASS_IDS] = SCORES / np.array([0.95, 0.8, 0.2])
    return rows


def yolox_rows() -> Array:
    """YOLOX rows: one object in a cell of each grid, relative to the cell and in strides."""
    rows = np.zeros((1, CELLS, 5 + CLASSES), dtype=np.float32)
    cells = [(3, 2, 8, 12, 0), (4, 2, 16, 6, 96), (0, 1, 32, 3, 96 + 24)]
    for number, (column, line, stride, columns, before) in enumerate(cells):
        place = before + line * columns + column
        centre_x, centre_y, width, height = centred(BOXES)[number]
        rows[0, place, :4] = [
            centre_x / stride - column,
            centre_y / stride - line,
            np.log(width / stride),
            np.log(height / stride),
        ]
        rows[0, place, 4] = 0.96
        rows[0, place, 5 + CLASS_IDS[number]] = SCORES[number] / 0.96
    return rows


def columns(count: int = 200) -> Array:
    """YOLOv8 columns: box and class scores, no objectness."""
    values = np.zeros((1, 4 + CLASSES, count), dtype=np.float32)
    places = [0, 77, count - 1]
    values[0, :4, places] = centred(BOXES)
    values[0, 4 + CLASS_IDS, places] = SCORES
    return values


def finished_rows() -> Array:
    """Rows of a model with its NMS inside; the rest of the 300 is empty."""
    rows = np.zeros((1, 300, 6), dtype=np.float32)
    rows[0, :3] = np.column_stack([BOXES, SCORES, CLASS_IDS])
    return rows


def logits(scores: Array, class_ids: Array, count: int, *, softmax: bool) -> Array:
    """Logits (1, 20, count) that give these scores to the first queries, and next to nothing to the others."""
    values = np.full((1, 20, count), -12.0, dtype=np.float32)
    if not softmax:
        values[0, range(len(scores)), class_ids] = np.log(scores / (1 - scores))
        return values
    values[0, :, -1] = 12  # "no object", which is what most queries see
    for query, (score, class_id) in enumerate(zip(scores, class_ids, strict=True)):
        values[0, query, -1] = 2
        rest = (count - 2) * np.exp(-12.0) + np.exp(2.0)
        values[0, query, class_id] = np.log(score / (1 - score) * rest)
    return values


def queries(
    count: int, *, softmax: bool = False, boxes: str = "pred_boxes", scores: str = "logits"
) -> dict[str, Array]:
    """Logits and boxes of a DETR."""
    values = np.full((1, 20, 4), 0.5, dtype=np.float32)
    values[0, :3] = centred(normalised(BOXES))
    return {scores: logits(SCORES, CLASS_IDS, count, softmax=softmax), boxes: values}


def labelled(*, batch: bool, boxes: Array = BOXES) -> dict[str, Array]:
    """Labels, boxes and scores, as RT-DETR gives them with a batch axis and torchvision without."""
    arrays = {"labels": CLASS_IDS.astype(np.int64), "boxes": boxes, "scores": SCORES}
    return {name: array[None] if batch else array for name, array in arrays.items()}


def tensorflow(*, wrapped: bool = False) -> dict[str, Array]:
    """Boxes as y1, x1, y2, x2; rows from `num_detections` on are rubbish."""
    boxes = np.concatenate([normalised(BOXES)[:, [1, 0, 3, 2]], [[0, 0, 1, 1]]]).astype(np.float32)
    arrays = {
        "num_detections": np.array([3], dtype=np.float32),
        "detection_boxes": boxes[None],
        "detection_scores": np.append(SCORES, np.float32(0.99))[None],
        "detection_classes": np.append(CLASS_IDS, 5)[None].astype(np.float32),
    }
    return {f"StatefulPartitionedCall/{name}:0": array for name, array in arrays.items()} if wrapped else arrays


@dataclass(frozen=True)
class Case:
    """A model, and what must be found out about it."""

    family: str
    outputs: Callable[[], Mapping[str, Array]]
    input: str = f"{WIDTH}x{HEIGHT} float32 NCHW"
    model: dict[str, Any] = field(default_factory=dict)
    names: tuple[str, str] = ("person", "horse")
    """Of the two objects."""


CASES = {
    "yolox": Case("yolox", lambda: {"output": yolox_rows()}),
    "yolov5": Case("yolov5", lambda: {"output0": objectness_rows(3 * CELLS)}),
    "yolov5 with raw heads behind": Case(
        "yolov5",
        lambda: {"output": objectness_rows(3 * CELLS), "head": np.zeros((1, 3, 8, 12, 85), dtype=np.float32)},
        model={"sidecar": "family: yolov5"},
    ),
    "yolov5 free": Case(
        "yolov5",
        lambda: {"output0": objectness_rows(3 * CELLS)},
        model={
            "picture": ("batch", 3, "height", "width"),
            "declared": {"output0": ("batch", "boxes", 85)},
            "metadata": {"names": str({place: f"thing {place}" for place in range(80)}), "stride": "32"},
            "sidecar": "size: [96, 64]",
        },
        names=("thing 0", "thing 17"),
    ),
    "yolov8": Case("yolov8", lambda: {"output0": columns()}),
    "yolov8 turned round": Case("yolov8", lambda: {"output0": columns().transpose(0, 2, 1)}),
    "yolov8 half precision": Case(
        "yolov8",
        lambda: {"output0": columns().astype(np.float16)},
        input="96x64 float16 NCHW",
        model={"dtype": TensorProto.FLOAT16},
    ),
    "end2end": Case("end2end", lambda: {"output0": finished_rows()}),
    "detr": Case(
        "detr",
        lambda: queries(CLASSES + 1, softmax=True),
        model={"metadata": {"names": str(["a"] * 80)}},
        names=("a", "a"),
    ),
    "detr by coco category": Case("detr", lambda: queries(92, softmax=True), names=("unused", "cat")),
    "rf-detr": Case("rf-detr", lambda: queries(91, boxes="dets", scores="labels"), names=("unused", "cat")),
    "rt-detr logits": Case("rt-detr", lambda: queries(CLASSES)),
    "rt-detr with orig_target_sizes": Case(
        "rt-detr", lambda: labelled(batch=True, boxes=normalised(BOXES)), model={"target_sizes": True}
    ),
    "torchvision": Case("torchvision", lambda: labelled(batch=False), names=("unused", "cat")),
    "torchvision without batch": Case(
        "torchvision", lambda: labelled(batch=False), model={"picture": (3, 64, 96)}, names=("unused", "cat")
    ),
    "tensorflow": Case(
        "tensorflow",
        tensorflow,
        input="96x64 uint8 NHWC",
        model={"picture": (1, 64, 96, 3), "dtype": TensorProto.UINT8},
        names=("unused", "cat"),
    ),
    "tensorflow as converted": Case(
        "tensorflow",
        lambda: tensorflow(wrapped=True),
        input="96x64 uint8 NHWC",
        model={"picture": (1, 64, 96, 3), "dtype": TensorProto.UINT8},
        names=("unused", "cat"),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_recognised_and_read(
    case: Case,
    make_model: Callable[..., Path],
    open_detector: Callable[..., OnnxDetector],
    detect: Callable[..., Detections],
) -> None:
    """The family is recognised, and its objects come out in picture pixels, best first, with their classes' names."""
    path = make_model(case.outputs(), **case.model)
    facts = open_detector(path).describe()
    found = detect(path)

    assert (facts["family"], facts["input"]) == (case.family, case.input)
    np.testing.assert_allclose(found.boxes, IMAGE_BOXES, atol=0.3 if "float16" in case.input else 0.01)
    np.testing.assert_allclose(found.scores, SCORES[:2], atol=1e-3)
    assert found.class_ids.tolist() == CLASS_IDS[:2].tolist()
    assert tuple(found.class_names[class_id] for class_id in found.class_ids) == case.names
    assert (found.boxes.dtype, found.scores.dtype, found.class_ids.dtype) == (np.float32, np.float32, np.int32)
    assert found.image_size == (400, 300)


@pytest.mark.parametrize(
    ("outputs", "colour", "placement", "scale"),
    [
        ("yolox", "bgr", "top_left", 1.0),
        ("yolov5", "rgb", "centre", 1 / 255),
        ("yolov8", "rgb", "centre", 1 / 255),
        ("end2end", "rgb", "centre", 1 / 255),
        ("detr", "rgb", "stretch", 1 / 255 / 0.229),
        ("rf-detr", "rgb", "stretch", 1 / 255 / 0.229),
        ("rt-detr logits", "rgb", "stretch", 1 / 255),
        ("torchvision", "rgb", "top_left", 1 / 255),
        ("tensorflow", "rgb", "stretch", 1.0),
    ],
)
def test_usual_input(
    outputs: str,
    colour: str,
    placement: str,
    scale: float,
    make_model: Callable[..., Path],
    open_detector: Callable[..., OnnxDetector],
) -> None:
    """Each family gets its pictures as its authors feed it."""
    case = CASES[outputs]
    spec = open_detector(make_model(case.outputs(), **case.model)).input_spec
    assert spec is not None
    assert (spec.colour, spec.placement) == (colour, placement)
    assert spec.scale[0] == pytest.approx(scale)


def test_imagenet_offset(make_model: Callable[..., Path], open_detector: Callable[..., OnnxDetector]) -> None:
    """A DETR's input is (pixel / 255 - mean) / std, here of a mid grey in each of ImageNet's channels."""
    spec = open_detector(make_model(CASES["rf-detr"].outputs())).input_spec
    assert spec is not None
    grey = [127.5 * scale + offset for scale, offset in zip(spec.scale, spec.offset, strict=True)]
    assert grey == pytest.approx([(0.5 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (0.5 - 0.406) / 0.225])


def test_overlapping_families_are_thinned(make_model: Callable[..., Path], detect: Callable[..., Detections]) -> None:
    """Of two boxes for one object, the better one stays; where the model has its NMS inside, both do."""
    twice = columns()
    twice[0, :4, 5] = centred(BOXES[:1] + 1)
    twice[0, 4, 5] = 0.5
    assert len(detect(make_model({"output0": twice}))) == 2

    rows = finished_rows()
    rows[0, 3] = [*(BOXES[0] + 1), 0.5, 0]
    np.testing.assert_allclose(detect(make_model({"output0": rows})).scores, [0.9, 0.6, 0.5])


def test_several_classes_in_one_place(make_model: Callable[..., Path], detect: Callable[..., Detections]) -> None:
    """Boxes of different classes leave each other alone, unless NMS is to be class-agnostic."""
    both = columns()
    both[0, :4, 5] = centred(BOXES[:1] + 1)
    both[0, 4 + 3, 5] = 0.5
    path = make_model({"output0": both})
    assert detect(path).class_ids.tolist() == [0, 17, 3]
    assert detect(path, agnostic_nms=True).class_ids.tolist() == [0, 17]
