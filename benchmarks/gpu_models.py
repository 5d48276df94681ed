"""Floating-point twins of the embedded 8-bit model, as a GPU wants them; made with `onnx`, without any download.

The Q/DQ pairs are taken out, the weights are multiplied out; the outside stays: bytes NHWC in, free batch and size, the
same `predictions` and metadata. fp16 covers preparation and convolutions; boxes are decoded in fp32.

CUDA's provider computes with shapes on the CPU, and the embedded model's cell grid (Shape, Gather, Range) would come
from there by a copy, which CUDA graphs refuse. Twins with `device_grid` sum ones up on the device instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

_END = np.iinfo(np.int64).max
_PRECISE = frozenset({"layer19.scales"})
"""Inputs of the network that are fp32 in every twin: Resize knows no others."""


@dataclass(frozen=True)
class Twin:
    """One model to make."""

    name: str
    half: bool
    """Whether the network is fp16."""
    device_grid: bool


TWINS = (
    Twin("fp16", half=True, device_grid=True),
    Twin("fp32", half=False, device_grid=True),
    Twin("fp16-shapes", half=True, device_grid=False),
)


def make_models(embedded: Path, folder: Path) -> dict[str, Path]:
    """Write the twins that are not there yet; return their files by name."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {twin.name: folder / f"yolov3-tiny-{twin.name}.onnx" for twin in TWINS}
    for twin in TWINS:
        path = files[twin.name]
        if not path.exists():
            partial = path.with_suffix(".partial")
            onnx.save(float_twin(onnx.load(embedded), half=twin.half, device_grid=twin.device_grid), str(partial))
            partial.rename(path)
    return files


def float_twin(model: onnx.ModelProto, *, half: bool, device_grid: bool) -> onnx.ModelProto:
    """Return the model without quantisation."""
    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes = _without_quantisation(graph.node, constants)
    if half:
        nodes = _in_half(nodes, constants)
    if device_grid:
        for head in ("decode0", "decode1"):
            nodes = _with_device_grid(nodes, constants, head)
    nodes = _alive(nodes, {output.name for output in graph.output})
    used = {name for node in nodes for name in node.input}
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(
        numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name)
        for name, value in constants.items()
        if name in used
    )
    onnx.checker.check_model(model)
    return model


def _without_quantisation(nodes: Iterable[onnx.NodeProto], constants: dict[str, NDArray[Any]]) -> list[onnx.NodeProto]:
    """Return the other nodes, and put multiplied-out weights among the constants."""
    same: dict[str, str] = {}
    """Names of quantised and dequantised activations, and what they were before."""
    kept = []
    for node in nodes:
        if node.op_type == "DequantizeLinear" and node.input[0] in constants:
            value, scale, zero = (constants[name] for name in node.input)
            form = (-1,) + (1,) * (value.ndim - 1) if scale.ndim else ()
            whole = value.astype(np.float64) - zero.reshape(form)
            constants[node.output[0]] = (whole * scale.reshape(form)).astype(np.float32)
        elif node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            same[node.output[0]] = same.get(node.input[0], node.input[0])
        else:
            node.input[:] = [same.get(name, name) for name in node.input]
            kept.append(node)
    return kept


def _in_half(nodes: list[onnx.NodeProto], constants: dict[str, NDArray[Any]]) -> list[onnx.NodeProto]:
    """Return the nodes with preparation and network in fp16, and a Cast behind each head."""
    changed: list[onnx.NodeProto] = []
    cast: set[str] = set()
    for node in nodes:
        inside = node.output[0].startswith(("prepare", "layer"))
        if node.output[0] == "prepare.float":
            node.attribute[0].i = TensorProto.FLOAT16
        for place, name in enumerate(node.input):
            if inside and name in constants and constants[name].dtype == np.float32 and name not in _PRECISE:
                constants[name] = constants[name].astype(np.float16)
            elif not inside and name.startswith("layer"):
                node.input[place] = f"{name}.float"
                if name not in cast:
                    cast.add(name)
                    changed.append(helper.make_node("Cast", [name], [f"{name}.float"], to=TensorProto.FLOAT))
        changed.append(node)
    return changed


def _with_device_grid(
    nodes: list[onnx.NodeProto], constants: dict[str, NDArray[Any]], head: str
) -> list[onnx.NodeProto]:
    """Return the nodes with the grid (1, h * w, 1, 2) of one head made of the picture itself, by running sums.

    It begins with one element of the picture for each cell, times 0 plus 1: an input is never infinite or NaN.
    """
    stride = int(constants[f"{head}.stride"].reshape(-1)[0])
    grid = f"{head}.device"
    constants |= {
        f"{grid}.starts": np.zeros(4, np.int64),
        f"{grid}.ends": np.array([1, _END, _END, 1], np.int64),
        f"{grid}.axes": np.arange(4, dtype=np.int64),
        f"{grid}.steps": np.array([1, stride, stride, 1], np.int64),
        f"{grid}.zero": np.array(0, np.float32),
        f"{grid}.one": np.array(1, np.float32),
        f"{grid}.rows": np.array(1, np.int64),
        f"{grid}.columns": np.array(2, np.int64),
        f"{grid}.form": np.array([1, -1, 1, 2], np.int64),
    }
    slicing = [f"{grid}.{word}" for word in ("starts", "ends", "axes", "steps")]
    made = [
        helper.make_node("Slice", ["prepare.float", *slicing], [f"{grid}.cells"]),
        helper.make_node("Cast", [f"{grid}.cells"], [f"{grid}.float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{grid}.float", f"{grid}.zero"], [f"{grid}.zeros"]),
        helper.make_node("Add", [f"{grid}.zeros", f"{grid}.one"], [f"{grid}.ones"]),
        helper.make_node("CumSum", [f"{grid}.ones", f"{grid}.columns"], [f"{grid}.x"], exclusive=1),
        helper.make_node("CumSum", [f"{grid}.ones", f"{grid}.rows"], [f"{grid}.y"], exclusive=1),
        helper.make_node("Concat", [f"{grid}.x", f"{grid}.y"], [f"{grid}.xy"], axis=3),
        helper.make_node("Reshape", [f"{grid}.xy", f"{grid}.form"], [f"{head}.grid"]),
    ]
    others = [node for node in nodes if node.output[0] != f"{head}.grid"]
    after = next(place for place, node in enumerate(others) if node.output[0] == "prepare.float") + 1
    return [*others[:after], *made, *others[after:]]


def _alive(nodes: list[onnx.NodeProto], wanted: set[str]) -> list[onnx.NodeProto]:
    """Return the nodes, in their order, that the outputs need."""
    kept = []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    return kept[::-1]
