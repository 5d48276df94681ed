"""Which family a model is of, and what is said where that cannot be told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import StageOpenError
from stages.detect.facts import ModelFacts, Signature, Tensor
from stages.detect.onnx import OnnxDetector
from stages.detect.recognition import UNDERSTOOD, recognise

Shape = tuple[int | None, ...]


def signature(
    *outputs: Shape, names: tuple[str, ...] = (), size: int | None = 640, metadata: dict[str, str] | None = None
) -> Signature:
    """A model with these outputs."""
    picture = Tensor("images", (None, 3, size, size), "tensor(float)")
    named = names or tuple(f"output{number}" for number in range(len(outputs)))
    tensors = tuple(Tensor(name, shape, "tensor(float)") for name, shape in zip(named, outputs, strict=True))
    return Signature((picture,), tensors, metadata or {})


def classes(count: int) -> ModelFacts:
    """So many class names are known."""
    return ModelFacts(names=tuple(f"thing {number}" for number in range(count)))


@pytest.mark.parametrize(
    ("model", "facts", "family"),
    [
        # As the well-known exporters write them, 640x640: YOLOX has 8400 cells, YOLOv5 three boxes in each.
        (signature((1, 8400, 85)), ModelFacts(), "yolox"),
        (signature((1, 3549, 85), size=416), ModelFacts(), "yolox"),
        (signature((1, 25200, 85)), ModelFacts(), "yolov5"),
        (signature((1, 25200, 85), (1, 3, 80, 80, 85)), ModelFacts(family="yolov5"), "yolov5"),
        (signature((1, 84, 8400)), ModelFacts(), "yolov8"),
        (signature((1, 8400, 84)), ModelFacts(), "yolov8"),
        (signature((1, 300, 6)), ModelFacts(), "end2end"),
        # One class: the names tell (8400, 6) of YOLOX from a YOLOv8 with two.
        (signature((1, 5, 8400)), ModelFacts(), "yolov8"),
        (signature((1, 8400, 6)), classes(1), "yolox"),
        (signature((1, 25200, 6)), classes(1), "yolov5"),
        (signature((1, 8400, 6)), classes(2), "yolov8"),
        # Many classes and few boxes.
        (signature((1, 2100, 2104)), classes(2100), "yolov8"),
        # Free axes.
        (signature((None, None, 85), size=None, metadata={"names": "[]", "stride": "32"}), ModelFacts(), "yolov5"),
        (signature((None, 84, None), size=None), ModelFacts(), "yolov8"),
        (signature((None, None, 6), metadata={"end2end": "True"}), classes(80), "end2end"),
        # Logits and boxes: one logit more than classes is "no object".
        (signature((1, 100, 92), (1, 100, 4)), ModelFacts(), "detr"),
        (signature((1, 100, 4), (1, 100, 81)), classes(80), "detr"),
        (signature((1, 300, 80), (1, 300, 4)), ModelFacts(), "rt-detr"),
        (signature((1, 300, 4), (1, 300, 91), names=("dets", "labels")), ModelFacts(), "rf-detr"),
        # Finished results with names.
        (signature((1, 300), (1, 300, 4), (1, 300), names=("labels", "boxes", "scores")), ModelFacts(), "rt-detr"),
        (signature((None, 4), (None,), (None,), names=("boxes", "labels", "scores")), ModelFacts(), "torchvision"),
    ],
)
def test_recognised(model: Signature, facts: ModelFacts, family: str) -> None:
    """Shapes, names and metadata show the family."""
    assert recognise(model, facts, "m.onnx").name == family


@pytest.mark.parametrize(
    ("model", "facts", "families"),
    [
        (signature((None, None, 85), size=None), ModelFacts(), "yolov5 or yolox"),
        (signature((None, None, 6), size=None), ModelFacts(), "end2end or yolov5 or yolox"),
    ],
)
def test_ambiguous(model: Signature, facts: ModelFacts, families: str) -> None:
    """Where outputs fit several families, the user is asked, not guessed for."""
    with pytest.raises(StageOpenError, match=f"may be those of {families}") as error:
        recognise(model, facts, "m.onnx")
    assert "option `family`" in str(error.value)


@pytest.mark.parametrize(
    "outputs",
    [
        [(1, 1000)],  # a classifier
        [(1, 21, 64, 64)],  # a segmenter
        [(1, 255, 13, 13), (1, 255, 26, 26)],  # raw heads
        [(1, 300, 4), (1, 300, 4)],
        [(1, 3, 3)],
    ],
)
def test_none_of_these(outputs: list[Shape]) -> None:
    """A model of another kind gets one line that lists its outputs and what is understood."""
    with pytest.raises(StageOpenError) as error:
        recognise(signature(*outputs), ModelFacts(), "m.onnx")
    text = str(error.value)
    for number, shape in enumerate(outputs):
        assert f"output{number} ({', '.join(map(str, shape))})" in text
    assert text.startswith("m.onnx: its outputs are not understood")
    assert text.endswith(UNDERSTOOD)
    assert "\n" not in text


def test_names_of_outputs_are_shown_in_one_line() -> None:
    """Whatever a model calls them."""
    with pytest.raises(StageOpenError, match=r"not understood: a \[2J b \(1, 3, 3\)"):
        recognise(signature((1, 3, 3), names=("a\x1b[2J\nb",)), ModelFacts(), "m.onnx")


def test_names_that_fit_nothing() -> None:
    """Where the number of names is what does not fit, it is in the message."""
    with pytest.raises(StageOpenError, match="it names 3 classes"):
        recognise(signature((1, 25200, 85)), classes(3), "m.onnx")


@pytest.mark.parametrize("task", ["segment", "pose", "classify"])
def test_another_task(task: str) -> None:
    """Models for other tasks are laid out alike, and are refused by what they say they are for."""
    with pytest.raises(StageOpenError, match=f"is a model for the task '{task}'; framepace understands detect"):
        recognise(signature((1, 116, 8400), metadata={"task": task}), ModelFacts(), "m.onnx")


@pytest.mark.parametrize(
    ("family", "outputs"),
    [
        ("yolov5", [(1, 1000)]),
        ("yolov8", [(1, 1000)]),
        ("yolox", [(1, 1000)]),
        ("end2end", [(1, 300, 8)]),
        ("detr", [(1, 300, 7)]),
        ("rf-detr", [(1, 300, 7)]),
        ("rt-detr", [(1, 8400, 84)]),
        ("torchvision", [(1, 300, 7)]),
        ("tensorflow", [(1, 300, 7)]),
    ],
)
def test_a_family_that_the_outputs_are_not_of(family: str, outputs: list[Shape]) -> None:
    """A family that is named but does not fit is said to, with the outputs."""
    facts = ModelFacts.model_validate({"family": family})
    with pytest.raises(StageOpenError, match=f"does not have the outputs of the family {family}: output0"):
        recognise(signature(*outputs), facts, "m.onnx")


@pytest.mark.parametrize("family", ["yolov5", "yolov8", "yolox", "end2end", "rt-detr"])
def test_a_family_without_any_output(family: str) -> None:
    """Is not the model's."""
    facts = ModelFacts.model_validate({"family": family})
    with pytest.raises(StageOpenError, match=f"does not have the outputs of the family {family}"):
        recognise(signature(), facts, "m.onnx")


@pytest.mark.parametrize(
    ("shape", "facts"),
    [
        ((0, 8400, 85), ModelFacts()),
        ((1, 300, 4), ModelFacts(family="yolov5")),
        ((1, 4, 300), ModelFacts(family="yolov8")),
    ],
)
def test_answers_without_a_batch_or_scores(shape: tuple[int, ...], facts: ModelFacts) -> None:
    """Show nothing, and do no harm; whether they can be read is found out next."""
    model = signature(shape)
    answers = {"output0": np.zeros(shape, np.float32)}
    assert recognise(model, facts, "m.onnx", answers).shares is False


@pytest.mark.parametrize(
    ("declared", "given"),
    [
        ([(1, 300, 91), (1, 300, 4)], [(91,), (300, 4)]),
        ([(1, 8400, 85)], [(1, 8400, 3)]),
        ([(1, 300, 7)], [(1, 300, 5)]),
    ],
)
def test_answers_that_are_not_as_declared(declared: list[Shape], given: list[tuple[int, ...]]) -> None:
    """Show nothing: the family is guessed by what is declared; whether they can be read is found out next."""
    model = signature(*declared)
    answers = {f"output{number}": np.zeros(shape, np.float32) for number, shape in enumerate(given)}
    assert recognise(model, ModelFacts(), "m.onnx", answers).name == recognise(model, ModelFacts(), "m.onnx").name


def test_a_sidecar_decides(make_model: Callable[..., Path], open_detector: Callable[..., OnnxDetector]) -> None:
    """An exported YOLOX with its decoding inside looks like one without; the sidecar says which it is."""
    rows = {"output": np.zeros((1, 126, 85), dtype=np.float32)}
    assert open_detector(make_model(rows)).describe()["family"] == "yolox"
    assert open_detector(make_model(rows, sidecar="family: yolov5")).describe()["family"] == "yolov5"


def test_the_option_goes_before_the_sidecar(
    make_model: Callable[..., Path], open_detector: Callable[..., OnnxDetector]
) -> None:
    """A family in the configuration is the user's last word."""
    path = make_model({"output": np.zeros((1, 126, 85), dtype=np.float32)}, sidecar="family: yolox")
    assert open_detector(path, family="yolov5").describe()["family"] == "yolov5"
