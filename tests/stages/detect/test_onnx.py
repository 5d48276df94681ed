"""The detector stage: its contract, what it reports, and what it does with answers that are not."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto
from pydantic import ValidationError

from pipeline.errors import ConfigError, StageOpenError
from pipeline.frame import Mode
from pipeline.testing import ManualClock, check_stage, frame_info, open_context
from stages.detect.onnx import DetectOptions, OnnxDetector, threads_for
from stages.payloads import Detections, ModelInput

ModelMaker = Callable[..., Path]
DetectorOpener = Callable[..., OnnxDetector]
Detect = Callable[..., Detections]


def finished(*rows: tuple[float, ...]) -> dict[str, NDArray[np.float32]]:
    """The answer of a model with its NMS inside: x1, y1, x2, y2, score, class."""
    answer = np.zeros((1, 300, 6), dtype=np.float32)
    answer[0, : len(rows)] = np.reshape(rows, (-1, 6))
    return {"output": answer}


PERSON = (10, 10, 30, 30, 0.8, 0)
CAR = (40, 10, 60, 30, 0.9, 2)


def test_contract(make_model: ModelMaker) -> None:
    """It keeps to what every stage must."""
    path = str(make_model(finished(PERSON, CAR)))
    inputs = [ModelInput(np.zeros((1, 3, 64, 96), np.float32), (2.0, 2.0, 0.0, shift), (200, 150)) for shift in (0, 9)]
    outputs = check_stage(
        lambda: OnnxDetector(DetectOptions(model=path, provider="cpu")), inputs, same=lambda a, b: str(a) == str(b)
    )
    assert [len(output) for output in outputs if isinstance(output, Detections)] == [2, 2]


def test_description(make_model: ModelMaker, open_detector: DetectorOpener) -> None:
    """Its facts for the report stay after it is closed."""
    path = make_model(finished())
    detector = open_detector(path)
    detector.close()
    assert detector.describe() == {
        "model": str(path),
        "family": "end2end",
        "evidence": "outputs output (1, 300, 6)",
        "provider": "cpu",
        "input": "96x64 float32 NCHW",
        "threads": 1,
    }
    assert detector.input_spec is None


@pytest.mark.parametrize(("mode", "cores", "threads"), [(Mode.LIVE, 1, 1), (Mode.LIVE, 8, 7), (Mode.LOSSLESS, 8, 1)])
def test_threads(mode: Mode, cores: int, threads: int, make_model: ModelMaker, open_detector: DetectorOpener) -> None:
    """Live leaves one core to others; lossless runs one thread for each of several frames. An option overrides both."""
    assert threads_for(mode, cores) == threads
    path = make_model(finished())
    assert open_detector(path, mode=mode, cores=cores).describe()["threads"] == threads
    assert open_detector(path, mode=mode, cores=cores, threads=2).describe()["threads"] == 2


@pytest.mark.parametrize(("min_score", "expected"), [(0.5, [0.8, 0.3, 0.11]), (0.02, [0.8, 0.3, 0.11, 0.09, 0.02])])
def test_low_scores(min_score: float, expected: list[float], make_model: ModelMaker, detect: Detect) -> None:
    """Boxes down to 0.1 go on to the tracker, and further down where the user asks for it."""
    scores = (0.09, 0.8, 0.01, 0.3, 0.02, 0.11)
    path = make_model(
        finished(*((20 * place, 10, 20 * place + 10, 30, score, 0) for place, score in enumerate(scores)))
    )
    found = detect(path, min_score=min_score, image_from_model=(1.0, 1.0, 0.0, 0.0))
    np.testing.assert_allclose(found.scores, expected)


def test_only_some_classes(make_model: ModelMaker, detect: Detect) -> None:
    """Only the classes that were asked for come out."""
    path = make_model(finished(PERSON, CAR))
    assert detect(path).class_ids.tolist() == [2, 0]
    assert detect(path, classes="person").class_ids.tolist() == [0]
    assert detect(path, classes=["Car", "bus"]).class_ids.tolist() == [2]
    assert len(detect(path, classes="dog, cat")) == 0


def test_the_names_of_what_it_reports(make_model: ModelMaker, open_detector: DetectorOpener) -> None:
    """All that the model has, or those that were asked for, as the model writes them."""
    path = make_model(finished(), metadata={"names": "['a', 'b', 'c']"})
    assert open_detector(path).class_names == ("a", "b", "c")
    assert open_detector(path, classes="C").class_names == ("c",)


def test_unknown_class(make_model: ModelMaker, detect: Detect) -> None:
    """A class that the model does not have is a configuration error, with the near ones."""
    with pytest.raises(ConfigError, match=re.escape("the model has no class 'persn', did you mean person?")):
        detect(make_model(finished()), classes="persn")


def test_tuning(make_model: ModelMaker, open_detector: DetectorOpener) -> None:
    """Classes and thresholds change from the next frame on; a class that the model lacks changes nothing."""
    low = (70, 10, 80, 30, 0.05, 0)
    detector = open_detector(make_model(finished(PERSON, CAR, low)), classes="car")

    def found() -> list[int]:
        payload = ModelInput(np.zeros((1, 3, 64, 96), np.float32), (1.0, 1.0, 0.0, 0.0), (96, 64))
        return detector.process(payload, frame_info()).class_ids.tolist()

    assert found() == [2]
    everything = detector.options.model_copy(update={"classes": None, "min_score": 0.01})
    detector.tune(everything)
    assert (detector.options, found()) == (everything, [2, 0, 0])
    with pytest.raises(ValueError, match=re.escape("the model has no class 'persn', did you mean person?")):
        detector.tune(everything.model_copy(update={"classes": ("persn",)}))
    assert (detector.options, found()) == (everything, [2, 0, 0])
    detector.close()
    with pytest.raises(ValueError, match="not loaded"):
        detector.tune(everything)


def test_names_file(make_model: ModelMaker, detect: Detect, tmp_path: Path) -> None:
    """A file of names goes before what the model says."""
    names = tmp_path / "names.txt"
    names.write_text("alpha\nbeta\ngamma\n")
    path = make_model(finished(CAR), metadata={"names": "['a', 'b', 'c']"})
    assert detect(path).class_names == ("a", "b", "c")
    found = detect(path, names=str(names), classes="gamma")
    assert (found.class_names, found.class_ids.tolist()) == (("alpha", "beta", "gamma"), [2])


def test_classes_without_names(make_model: ModelMaker, detect: Detect) -> None:
    """A model with another number of classes than COCO, and no names, gets none made up."""
    columns = np.zeros((1, 4 + 3, 200), dtype=np.float32)
    columns[0, :, 0] = [20, 20, 10, 10, 0, 0.9, 0]
    path = make_model({"output": columns})
    assert (detect(path).class_names, detect(path).class_ids.tolist()) == ((), [1])
    with pytest.raises(ConfigError, match="its classes have no names"):
        detect(path, classes="person")


def test_boxes_are_cut_to_the_picture(make_model: ModelMaker, detect: Detect) -> None:
    """What reaches over the edge is cut there; what lies wholly in the border of the letterbox is left out."""
    path = make_model(finished((-5, 2, 20, 200, 0.9, 0), (10, 50, 30, 60, 0.8, 1), (5, 5, 5, 9, 0.7, 2)))
    found = detect(path, image_from_model=(1.0, 1.0, 0.0, -10.0), image_size=(96, 40))
    np.testing.assert_allclose(found.boxes, [[0, 0, 20, 40]])
    assert found.class_ids.tolist() == [0]


def test_nothing_found(make_model: ModelMaker, detect: Detect) -> None:
    """An empty scene is an empty result of the right shapes."""
    found = detect(make_model(finished()))
    assert (found.boxes.shape, found.scores.shape, found.class_ids.shape) == ((0, 4), (0,), (0,))


def columns_with(place: int, value: float) -> dict[str, NDArray[np.float32]]:
    """A YOLOv8 answer with one object; one of its numbers is replaced."""
    answer = np.zeros((1, 84, 200), dtype=np.float32)
    answer[0, :5, 7] = [20, 20, 10, 10, 0.9]
    answer[0, place, 7] = value
    return {"output": answer}


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        (columns_with(4, np.nan), "scores that are not numbers"),
        (columns_with(50, np.nan), "scores that are not numbers"),
        (columns_with(0, np.nan), "boxes that are not numbers"),
        (columns_with(2, np.inf), "boxes that are not numbers"),
        (finished((10, 10, 30, 30, np.nan, 0)), "scores that are not numbers"),
        (finished((10, np.nan, 30, 30, 0.9, 0)), "boxes that are not numbers"),
        ({"output": np.full((1, 126, 85), np.nan, np.float32)}, "scores that are not numbers"),
        ({"output": np.full((1, 378, 85), np.nan, np.float32)}, "scores that are not numbers"),
        (
            {"logits": np.full((1, 20, 80), np.nan, np.float32), "boxes": np.zeros((1, 20, 4), np.float32)},
            "scores that are not numbers",
        ),
        (
            {"logits": np.full((1, 20, 92), np.nan, np.float32), "boxes": np.zeros((1, 20, 4), np.float32)},
            "scores that are not numbers",
        ),
    ],
    ids=[
        "score",
        "another class",
        "box",
        "infinite box",
        "row score",
        "row box",
        "yolox",
        "yolov5",
        "sigmoid",
        "softmax",
    ],
)
def test_broken_answers_raise(
    outputs: dict[str, NDArray[np.float32]], said: str, make_model: ModelMaker, detect: Detect
) -> None:
    """A model that broke down is never taken for an empty scene."""
    with pytest.raises(ArithmeticError, match=said):
        detect(make_model(outputs))


def test_another_number_of_cells(make_model: ModelMaker, detect: Detect) -> None:
    """A YOLOX whose predictions do not fit its input raises, rather than put boxes anywhere."""
    with pytest.raises(ArithmeticError, match="gave 100 predictions, not the 126 of YOLOX at this size"):
        detect(make_model({"output": np.zeros((1, 100, 85), np.float32)}), family="yolox")


@pytest.mark.parametrize(
    ("inputs", "named"),
    [
        ([("im_shape", TensorProto.FLOAT, ("n", 2))], "im_shape (?, 2) tensor(float)"),
        ([("mask", TensorProto.INT64, (1, 64, 64))], "mask (1, 64, 64) tensor(int64)"),
        ([("one", TensorProto.INT64, (1, 2)), ("two", TensorProto.INT64, (1, 2))], "one (1, 2) tensor(int64)"),
    ],
)
def test_unknown_inputs(
    inputs: list[tuple[str, int, tuple[int | str, ...]]], named: str, make_model: ModelMaker, detect: Detect
) -> None:
    """A model that wants to know more than its picture's size is refused, and the input named."""
    with pytest.raises(StageOpenError, match=re.escape(f"it needs an input that is not understood: {named}")):
        detect(make_model(finished(), more_inputs=inputs))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing.onnx", "there is no such file"),
        ("folder/model", "there is no such file"),
        ("yolov3-tny", "is neither a file nor a known model; did you mean yolov3-tiny or"),
        ("qqq", "is neither a file nor a known model; there are yolov3-tiny, yolox-nano"),
        ("yolox-nano", "run: framepace models pull yolox-nano"),
        (".", "is a directory, not an ONNX file"),
    ],
)
def test_no_model(name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that is not there is one line that says what would be right."""
    monkeypatch.chdir(tmp_path)
    detector = OnnxDetector(DetectOptions(model=name, provider="cpu", cache=str(tmp_path / "cache")))
    with pytest.raises(StageOpenError, match=re.escape(said)) as error:
        detector.open(open_context(ManualClock()))
    assert error.value.what == name
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "options",
    [{"min_score": 1.1}, {"iou_threshold": 0}, {"threads": 0}, {"provider": "gpu"}, {"classes": ""}, {"modell": "x"}],
)
def test_wrong_options(options: dict[str, object]) -> None:
    """Settings that cannot be are refused before anything opens."""
    with pytest.raises(ValidationError):
        DetectOptions.model_validate(options)


def test_input_of_another_size(make_model: ModelMaker, open_detector: DetectorOpener) -> None:
    """A model with a free input takes the size that is asked for."""
    answer = {"output": np.zeros((1, 50, 84), np.float32)}
    path = make_model(answer, picture=(1, 3, "h", "w"), declared={"output": (1, "n", 84)})
    detector = open_detector(path, input_size="128x64")
    assert detector.describe()["input"] == "128x64 float32 NCHW"
    found = detector.process(ModelInput(np.zeros((1, 3, 64, 128), np.float32), (1, 1, 0, 0), (128, 64)), frame_info())
    assert len(found) == 0
