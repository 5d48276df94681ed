"""Models whose outputs look like those of others: read rightly, or refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto

from pipeline.errors import StageOpenError
from stages.detect.onnx import OnnxDetector
from stages.payloads import Detections

Array = NDArray[Any]
Make = Callable[..., Path]
Detect = Callable[..., Detections]

SIZE = np.array([96, 64, 96, 64], dtype=np.float32)
CELLS = 126
"""Of grids with strides 8, 16 and 32 at that size."""
BOXES = np.array([[10, 8, 34, 40], [50, 20, 80, 60]], dtype=np.float32)
CENTRED = np.array([[22, 24, 24, 32], [65, 40, 30, 40]], dtype=np.float32)
IMAGE_BOXES = np.array([[48, 30, 144, 190], [208, 90, 328, 290]], dtype=np.float32)


def rows(count: int, attributes: int, *, objectness: bool = False, scale: Array | float = 1.0) -> Array:
    """Return (1, count, attributes) with two objects, scores 0.9 and 0.7, classes 0 and 1 (or both 0)."""
    made = np.zeros((1, count, attributes), dtype=np.float32)
    made[0, :, 2:4] = 0.5 if np.ndim(scale) else 20
    first = 5 if objectness else 4
    for place, (box, score) in enumerate(zip(CENTRED, (0.9, 0.7), strict=True)):
        made[0, place, :4] = box / scale
        made[0, place, first + min(place, attributes - first - 1)] = 1 if objectness else score
        if objectness:
            made[0, place, 4] = score
    return made


def logits(queries: int, classes: int) -> Array:
    made = np.full((1, queries, classes), -20, dtype=np.float32)
    for place, score in enumerate((0.9, 0.7)):
        made[0, place, place] = np.log(score / (1 - score))
    return made


def shares(queries: int) -> Array:
    made = np.full((1, queries, 4), 0.5, dtype=np.float32)
    made[0, :2] = CENTRED / SIZE
    return made


def finished_sevens() -> Array:
    made = np.zeros((1, 100, 7), dtype=np.float32)
    for place, score in enumerate((0.9, 0.7)):
        made[0, place] = [0, *BOXES[place], place, score]
    return made


def nas() -> dict[str, Array]:
    boxes, scores = np.tile(np.float32([0, 0, 50, 50]), (1, 1260, 1)), np.zeros((1, 1260, 80), np.float32)
    boxes[0, :2], scores[0, 0, 0], scores[0, 1, 1] = BOXES, 0.9, 0.7
    return {"boxes": boxes, "confidences": scores}


def decoded_with_objectness_1() -> Array:
    made = rows(CELLS, 85, objectness=True)
    made[0, :, 4] = 1
    made[0, 0, 5], made[0, 1, 6] = 0.9, 0.7
    return made


CASES: dict[str, tuple[str, Callable[[], dict[str, Array]], dict[str, Any]]] = {
    "queries with classes": ("rt-detr", lambda: {"output0": rows(300, 84, scale=SIZE)}, {}),
    "queries with three classes": (
        "rt-detr",
        lambda: {"output0": rows(300, 7, scale=SIZE)},
        {"metadata": {"names": "['a', 'b', 'c']"}},
    ),
    "scores and boxes in pixels": ("yolo-nas", nas, {}),
    "sevens": ("end2end", lambda: {"output": finished_sevens()}, {}),
    "rows in shares": ("yolov5", lambda: {"output": rows(3 * CELLS, 85, objectness=True, scale=SIZE)}, {}),
    "columns in shares": ("yolov8", lambda: {"output": rows(CELLS, 84, scale=SIZE).transpose(0, 2, 1).copy()}, {}),
    "decoded, objectness 1": ("yolov5", lambda: {"output": decoded_with_objectness_1()}, {}),
    "masks beside": (
        "rf-detr",
        lambda: {"dets": shares(100), "labels": logits(100, 91), "masks": np.zeros((1, 100, 8, 8), np.float32)},
        {},
    ),
    "four logits": ("rf-detr", lambda: {"dets": shares(100), "labels": logits(100, 4)}, {}),
    "four logits by other names": (
        "rt-detr",
        lambda: {"logits": logits(100, 4), "pred_boxes": shares(100)},
        {"metadata": {"names": "['a', 'b', 'c', 'd']"}},
    ),
    "hidden states beside": (
        "rt-detr",
        lambda: {
            "logits": logits(100, 80),
            "pred_boxes": shares(100),
            "last_hidden_state": np.zeros((1, 100, 256), np.float32),
        },
        {},
    ),
    "axes without lengths": (
        "yolov8",
        lambda: {"output0": rows(200, 84)},
        {"declared": {"output0": ("batch", "rows", "columns")}, "picture": (1, 3, 64, 96)},
    ),
    "a count beside": ("end2end", lambda: {"output": finished_sevens(), "count": np.array(2)}, {"family": "end2end"}),
}


@pytest.mark.parametrize(("family", "outputs", "options"), CASES.values(), ids=CASES.keys())
def test_read_rightly(
    family: str,
    outputs: Callable[[], dict[str, Array]],
    options: dict[str, Any],
    make_model: Make,
    open_detector: Callable[..., OnnxDetector],
    detect: Detect,
) -> None:
    """Both objects come out where they are, with their scores."""
    asked = {key: value for key, value in options.items() if key == "family"}
    path = make_model(outputs(), **{key: value for key, value in options.items() if key != "family"})
    found = detect(path, **asked)
    assert open_detector(path, **asked).describe()["family"] == family
    np.testing.assert_allclose(found.boxes, IMAGE_BOXES, atol=0.01)
    np.testing.assert_allclose(found.scores, [0.9, 0.7], atol=1e-3)


def test_one_class_of_a_grid_without_anchors(make_model: Make, open_detector: Callable[..., OnnxDetector]) -> None:
    """Six numbers in a row for each cell are a box, its objectness and one class, not finished results."""
    path = make_model({"output": np.zeros((1, CELLS, 6), np.float32)}, sidecar="names: [face]")
    assert open_detector(path).describe()["family"] == "yolox"


@pytest.mark.parametrize(
    ("outputs", "sidecar", "said"),
    [
        (
            rows(CELLS, 39).transpose(0, 2, 1).copy(),
            "{family: yolov8, names: [a, b, c]}",
            "35 classes, and 3 are named",
        ),
        (rows(CELLS, 84) * 7, "", "its scores go from 0 to 6.3, not from 0 to 1"),
        (rows(3 * CELLS, 85, objectness=True) - 3, "", "its scores go from -3"),
        (rows(CELLS, 85, objectness=True), "", "hold finished boxes; write `family: yolov5`"),
    ],
    ids=["masks", "no sigmoid", "logits", "decoded"],
)
def test_doubt_is_refused_in_one_line(
    outputs: Array, sidecar: str, said: str, make_model: Make, open_detector: Callable[..., OnnxDetector]
) -> None:
    """What was seen, and what to write where."""
    path = make_model({"output0": outputs}, sidecar=sidecar)
    with pytest.raises(StageOpenError, match=said) as error:
        open_detector(path)
    assert "\n" not in str(error.value)


def test_a_score_beyond_1_fails_its_frame_only(make_model: Make, detect: Detect) -> None:
    """It never reaches a sink, whose schema it would break."""
    one = np.zeros((1, 100, 6), np.float32)
    for value, said in ((np.inf, "scores that are not numbers"), (5.3, "a score of 5.3")):
        one[0, 0] = [10, 10, 30, 30, value, 0]
        with pytest.raises(ArithmeticError, match=said):
            detect(make_model({"output": one}))


def test_mean_for_a_model_that_takes_bytes(make_model: Make, open_detector: Callable[..., OnnxDetector]) -> None:
    """It is not ignored without a word."""
    sidecar = "{family: end2end, mean: [1, 2, 3], std: [1, 1, 1]}"
    options = {"picture": (1, 64, 96, 3), "dtype": TensorProto.UINT8, "sidecar": sidecar}
    with pytest.raises(StageOpenError, match="takes bytes and brings its own arithmetic"):
        open_detector(make_model({"output": finished_sevens()}, **options))


@pytest.mark.parametrize("task", ["", "detection", "object-detection", "Detect", "Object_Detection"])
def test_words_for_detection(task: str, make_model: Make, open_detector: Callable[..., OnnxDetector]) -> None:
    """Exporters call it so."""
    path = make_model({"output": finished_sevens()}, metadata={"task": task})
    assert open_detector(path).describe()["family"] == "end2end"


def test_a_description_of_something_else_is_left_aside(
    make_model: Make, open_detector: Callable[..., OnnxDetector]
) -> None:
    """A dataset's or a network's YAML file may have the model's name."""
    path = make_model({"output": finished_sevens()})
    path.with_name("model.yaml").write_text("nc: 80\nbackbone: []\n")
    assert open_detector(path).describe()["family"] == "end2end"


@pytest.mark.parametrize(
    ("names", "clean"),
    [("['person\\r', 'b\\x1b[31mus', ' car ']", ("person", "b [31mus", "car")), ("{1e999: 'a'}", ())],
)
def test_names_are_text(
    names: str, clean: tuple[str, ...], make_model: Make, open_detector: Callable[..., OnnxDetector]
) -> None:
    """Control characters of other people's metadata go no further, and broken numbers stop nothing."""
    path = make_model({"output": finished_sevens()}, metadata={"names": names})
    assert open_detector(path).class_names[: len(clean)] == clean
