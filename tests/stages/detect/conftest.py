"""Small ONNX graphs with known answers, and detectors that run them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pipeline.frame import Mode
from pipeline.testing import ManualClock, frame_info, open_context
from stages.detect.onnx import DetectOptions, OnnxDetector
from stages.payloads import Detections, ModelInput

ModelMaker = Callable[..., Path]
DetectorOpener = Callable[..., OnnxDetector]
Detect = Callable[..., Detections]

Axis = int | str


def _graph(
    outputs: Mapping[str, NDArray[np.generic]],
    *,
    picture: Sequence[Axis],
    dtype: int,
    declared: Mapping[str, Sequence[Axis]],
    target_sizes: bool,
    more_inputs: Sequence[tuple[str, int, Sequence[Axis]]],
) -> onnx.GraphProto:
    """Return a graph that gives the same answer whatever the picture is.

    Args:
        outputs: the answers, with batch axis.
        picture: shape of the picture input; a text is a free axis.
        dtype: of the picture input.
        declared: shapes of outputs with free axes. Each must free axis 1, which the graph then really cannot know
            beforehand: it cuts the answer at a length that depends on the picture's height.
        target_sizes: take an input `orig_target_sizes` (1, 2), and multiply `boxes` by it: corners 0..1 to pixels.
        more_inputs: name, type and shape of inputs that nothing reads.
    """
    inputs = [helper.make_tensor_value_info("images", dtype, picture)]
    inputs += [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in more_inputs]
    nodes, constants, values = [], [], []

    def constant(name: str, value: NDArray[np.generic]) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    for name, array in outputs.items():
        answer = constant(f"{name}.answer", array)
        if name in declared:
            long, axes, zero = (
                constant(f"{name}.{word}", np.array([value]))
                for word, value in (("long", 100_000), ("axes", 1), ("zero", 0))
            )
            nodes.append(helper.make_node("Shape", ["images"], [f"{name}.shape"], start=2, end=3))
            nodes.append(helper.make_node("Mul", [f"{name}.shape", long], [f"{name}.end"]))
            nodes.append(helper.make_node("Slice", [answer, zero, f"{name}.end", axes], [name]))
        elif target_sizes and name == "boxes":
            nodes.append(helper.make_node("Cast", ["orig_target_sizes"], ["size"], to=TensorProto.FLOAT))
            nodes.append(helper.make_node("Concat", ["size", "size"], ["sizes"], axis=1))
            nodes.append(helper.make_node("Mul", [answer, "sizes"], [name]))
        else:
            nodes.append(helper.make_node("Identity", [answer], [name]))
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        values.append(helper.make_tensor_value_info(name, kind, declared.get(name, array.shape)))
    if target_sizes:
        inputs.append(helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, ["batch", 2]))
    return helper.make_graph(nodes, "known", inputs, values, constants)


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> ModelMaker:
    """A function that writes a model with known answers and returns its path, alone in a folder."""

    def make(
        outputs: Mapping[str, NDArray[np.generic]],
        *,
        picture: Sequence[Axis] = (1, 3, 64, 96),
        dtype: int = TensorProto.FLOAT,
        declared: Mapping[str, Sequence[Axis]] | None = None,
        metadata: Mapping[str, str] | None = None,
        target_sizes: bool = False,
        more_inputs: Sequence[tuple[str, int, Sequence[Axis]]] = (),
        sidecar: str | None = None,
    ) -> Path:
        graph = _graph(
            outputs,
            picture=picture,
            dtype=dtype,
            declared=declared or {},
            target_sizes=target_sizes,
            more_inputs=more_inputs,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model)
        helper.set_model_props(model, dict(metadata or {}))
        path = tmp_path_factory.mktemp("model") / "model.onnx"
        onnx.save(model, path)
        if sidecar is not None:
            path.with_name("model.onnx.yaml").write_text(sidecar, encoding="utf-8")
        return path

    return make


@pytest.fixture
def open_detector() -> Iterator[DetectorOpener]:
    """A function that opens a detector and warms it; all are closed at the end."""
    opened: list[OnnxDetector] = []

    def open_one(model: Path | str, *, mode: Mode = Mode.LOSSLESS, cores: int = 1, **options: object) -> OnnxDetector:
        detector = OnnxDetector(DetectOptions.model_validate({"model": str(model), "provider": "cpu", **options}))
        detector.open(replace(open_context(ManualClock(), mode=mode), cores=cores))
        opened.append(detector)
        detector.warm()
        return detector

    yield open_one
    for detector in opened:
        detector.close()


@pytest.fixture
def detect(open_detector: DetectorOpener) -> Detect:
    """A function that runs a model on one picture: 400x300 unless said, of which a model pixel covers (4, 5)."""

    def run(
        model: Path | str,
        *,
        image_from_model: tuple[float, float, float, float] = (4.0, 5.0, 8.0, -10.0),
        image_size: tuple[int, int] = (400, 300),
        **options: object,
    ) -> Detections:
        detector = open_detector(model, **options)
        spec = detector.input_spec
        assert spec is not None
        shape = (spec.height_px, spec.width_px, 3) if spec.layout == "NHWC" else (3, spec.height_px, spec.width_px)
        tensor = np.zeros((1, *shape), dtype=spec.dtype)
        return detector.process(ModelInput(tensor, image_from_model, image_size), frame_info())

    return run
