"""The benchmark of the GPU, rehearsed on the CPU."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from stages.detect.store import DATA

GPU = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu.py"


@pytest.fixture(scope="module")
def journal(rtsp: ModuleType) -> ModuleType:
    """The module of rows."""
    return importlib.import_module("gpu_journal")


@pytest.fixture(scope="module")
def session(rtsp: ModuleType) -> ModuleType:
    """The module of sessions."""
    return importlib.import_module("gpu_session")


@pytest.fixture(scope="module")
def detect(rtsp: ModuleType) -> ModuleType:
    """The module of parts a and b."""
    return importlib.import_module("gpu_detect")


def test_rehearsal_measures_detection(tmp_path: Path) -> None:
    """Parts a and b run on the CPU, write what they find, and skip what needs CUDA."""
    pytest.importorskip("onnx")
    output = tmp_path / "gpu.json"
    command = [sys.executable, str(GPU), "--provider", "cpu", "--part", "a", "--part", "b", "--minutes", "2"]
    command += ["--sizes", "64", "--batches", "1,2", "--row-seconds", "0.01", "--output", str(output)]
    subprocess.run(command, check=True, timeout=60, capture_output=True)
    parts = json.loads(output.read_text())["parts"]
    assert [part["ends"] for part in parts.values()] == [["0"], ["0"]]
    rows = parts["a"]["rows"] | parts["b"]["rows"]
    assert not [name for name, row in rows.items() if "error" in row]
    assert rows["versions"]["onnxruntime"] == ort.__version__
    assert rows["placement int8"]["memcpy"] == 0
    assert rows["cpu fp16 and cpu fp32"]["max_abs_score"] < 0.02
    assert rows["fp16 64 b1 graph"]["skipped"] == "needs CUDA"
    assert rows["fp32 64 b2 bound"]["run_p50_ms"] > 0


def test_bound_answers_are_those_of_a_plain_run(session: ModuleType) -> None:
    """Each batch has its own answer, though all use the same memory."""
    path = DATA / "yolov3-tiny-int8.onnx"
    bench = session.Bench("cpu", {"int8": path}, 0.01, 0.01)
    batches = bench.batches(64, 2)
    plain, bound = (bench.runner("int8", way, batches[0].shape, np.uint8) for way in ("plain", "bound"))
    for batch in batches:
        np.testing.assert_array_equal(plain.run(batch), bound.run(batch))
    assert bound is bench.runner("int8", "bound", batches[0].shape, np.uint8)
    assert np.abs(plain.run(batches[0]) - plain.run(batches[1])).max() > 0


def test_twins_keep_the_outside_of_the_model(rtsp: ModuleType, session: ModuleType, detect: ModuleType) -> None:
    """Without shapes on the CPU the grid is the same, for any size and batch."""
    onnx = pytest.importorskip("onnx")
    models = importlib.import_module("gpu_models")
    embedded = DATA / "yolov3-tiny-int8.onnx"
    twins = [models.float_twin(onnx.load(embedded), half=False, device_grid=grid) for grid in (True, False)]
    cpu = ["CPUExecutionProvider"]
    first, second = (ort.InferenceSession(twin.SerializeToString(), providers=cpu) for twin in twins)
    assert {node.op_type for node in twins[0].graph.node}.isdisjoint({"Shape", "Range", "QuantizeLinear"})
    batch = np.random.default_rng(1).integers(0, 256, (2, 96, 64, 3), dtype=np.uint8)
    want, got = (one.run(None, {"images": batch})[0] for one in (first, second))
    assert want.shape == (2, 3 * (6 * 4 + 3 * 2), 85) == session.output_shape(first, batch.shape)
    assert detect.difference(want, got)["max_abs_any"] < 1e-3
    assert first.get_modelmeta().custom_metadata_map["framepace.family"] == "yolov5"


def test_rows_are_kept_when_a_process_ends(journal: ModuleType, tmp_path: Path) -> None:
    """The row in which it ended is told, and not tried again; rows that raise or have no time are told too."""
    path = tmp_path / "rows.json"
    path.write_text(json.dumps({"done": {"p50_ms": 1.0}, "ended": {"running": True}}))
    rows = journal.Journal(path, 60.0)
    measured: list[str] = []

    def measure() -> dict[str, Any]:
        measured.append("once")
        return {"value": 1}

    def fail() -> dict[str, Any]:
        raise ValueError("no such kernel")

    for name in ("done", "ended", "new"):
        rows.row(name, measure)
    rows.row("raises", fail)
    rows.row("long", measure, needs_s=61.0)
    found = json.loads(path.read_text())
    assert measured == ["once"]
    assert found["ended"]["error"] == "the process ended in this row"
    assert found["raises"]["error"] == "ValueError: no such kernel"
    assert found["long"] == {"skipped": "no time left"}


def test_broken_cuda_ends_the_process(journal: ModuleType, tmp_path: Path) -> None:
    """An error that stays is written down before another process goes on."""
    path = tmp_path / "rows.json"

    def fail() -> dict[str, Any]:
        raise RuntimeError("CUDA failure 700: an illegal memory access was encountered")

    with pytest.raises(journal.Poisoned):
        journal.Journal(path, 60.0).row("graph", fail)
    assert "CUDA failure 700" in json.loads(path.read_text())["graph"]["error"]


def test_parts_share_the_time_by_weight(journal: ModuleType) -> None:
    """What is left belongs to the parts that are left."""
    weights = {"a": 1.0, "b": 3.0, "c": 2.0}
    assert journal.budget_of("a", ["a", "b"], weights, 100.0) == 25.0
    assert journal.budget_of("b", ["a", "b"], weights, 80.0) == 80.0
    assert journal.budget_of("c", ["c"], weights, -1.0) == 0.0


def test_placements_count_nodes_and_copies(session: ModuleType) -> None:
    """A profile has several events for a node in two runs, and counts it once."""
    cuda, cpu = "CUDAExecutionProvider", "CPUExecutionProvider"
    events = [
        {"cat": "Session", "name": "model_run"},
        {"cat": "Node", "name": "conv_kernel_time", "args": {"provider": cuda, "op_name": "Conv"}},
        {"cat": "Node", "name": "conv_kernel_time", "args": {"provider": cuda, "op_name": "Conv"}},
        {"cat": "Node", "name": "conv_fence_before", "args": {"provider": cuda, "op_name": "Conv"}},
        {"cat": "Node", "name": "copy_kernel_time", "args": {"provider": cuda, "op_name": "MemcpyToHost"}},
        {"cat": "Node", "name": "shape_kernel_time", "args": {"provider": cpu, "op_name": "Shape"}},
    ]
    assert session.placements_of(events) == {"nodes": {cuda: 2, cpu: 1}, "memcpy": 1, "on_cpu": {"Shape": 1}}


def test_difference_looks_at_boxes_with_something_in_them(detect: ModuleType) -> None:
    """Pixels of boxes without an object do not count; answers that are not numbers are told."""
    want = np.zeros((1, 2, 85), np.float32)
    want[0, 0, 4] = 0.9
    got = want.copy()
    got[0, 0, 0], got[0, 1, 0], got[0, 0, 5] = 0.5, 40.0, 0.25
    found = detect.difference(want, got)
    assert (found["max_abs_box_px"], found["max_abs_score"], found["max_abs_any"]) == (0.5, 0.25, 40.0)
    got[0, 1, 1] = np.nan
    assert not detect.difference(want, got)["finite"]
