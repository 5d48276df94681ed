"""Parts a and b: is the GPU used and right, and how many milliseconds does a picture take?"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from gpu_journal import Journal, Skipped, spread_ms
from gpu_session import (
    Array,
    Bench,
    Plain,
    Provider,
    Way,
    copy_to_host,
    device_value,
    measure,
    open_session,
    page_locked,
    pictures,
    placements,
    preload,
)

SIZE = 416
TELLING_BATCHES = (1, 8, 16)
PROVIDER_OPTIONS: dict[str, dict[str, str]] = {
    "heuristic": {},
    "exhaustive": {"cudnn_conv_algo_search": "EXHAUSTIVE"},
    "default": {"cudnn_conv_algo_search": "DEFAULT"},
    "nhwc": {"prefer_nhwc": "1"},
    "fuse_bias": {"fuse_conv_bias": "1"},
    "nhwc+fuse_bias": {"prefer_nhwc": "1", "fuse_conv_bias": "1"},
    "nhwc+exhaustive": {"prefer_nhwc": "1", "cudnn_conv_algo_search": "EXHAUSTIVE"},
    "no_tf32": {"use_tf32": "0"},
}
COMPARISONS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("fp16", "fp16", {}),
    ("fp16", "fp32", {}),
    ("fp16", "fp16", {"prefer_nhwc": "1"}),
    ("fp32", "fp32", {}),
    ("fp32", "fp32", {"use_tf32": "0"}),
    ("int8", "int8", {}),
)
"""What runs on the device, what it is compared with on the CPU, and options of the former."""
_SURE = 0.1
"""Objectness from which on a box is compared."""
_PACKAGES = ("onnxruntime-gpu", "onnxruntime", "numpy", "av", "onnx", "nvidia-cudnn-cu13", "nvidia-cublas", "torch")
_ASKED = "name,driver_version,compute_cap,memory.total,clocks.sm,clocks.max.sm,clocks.mem,power.limit,persistence_mode"


def part_a(journal: Journal, bench: Bench, extra: Path | None) -> None:
    """Versions, the provider in use, and whether the answers are right."""
    journal.row("versions", versions)
    journal.row("gpu", gpu)
    provider = bench.provider
    picture = pictures(1, SIZE)
    models = bench.models
    for name in ("fp16", "fp32", "int8", "fp16-shapes"):
        journal.row(f"open {name}", partial(opened, models[name], provider, picture[0]), needs_s=5)
        journal.row(f"only cuda {name}", partial(only_cuda, models[name], provider), needs_s=4)
        journal.row(f"placement {name}", partial(placed, models[name], provider, picture[0]), needs_s=4)
    some = pictures(2, SIZE)
    for name, reference, options in COMPARISONS:
        told = " ".join(f"{key}={value}" for key, value in options.items())
        label = f"{provider} {name} and cpu {reference} {told}".strip()
        journal.row(label, partial(compare, bench, name, reference, options, some), needs_s=5)
    for name in ("fp16", "fp32", "fp16-shapes", "int8"):
        journal.row(f"graph equals plain {name}", partial(graph_equals_plain, bench, name), needs_s=5)
    journal.row("two graphs in turn fp16", partial(graphs_in_turn, bench), needs_s=5)
    journal.row("batch equals single fp16", partial(batch_equals_single, bench), needs_s=4)
    for batch in (1, 8):
        journal.row(
            f"int8 plain {SIZE} b{batch}",
            partial(timed, bench, "int8", "plain", SIZE, batch, at_cadence=False),
            needs_s=5,
        )
    if extra is not None:
        ways: tuple[Way, ...] = ("plain", "bound", "graph")
        for way in ways:
            journal.row(f"{extra.stem} {way} b1", partial(extra_timed, bench, extra, way), needs_s=5)


def versions() -> Mapping[str, Any]:
    """Return versions of what is installed."""
    found: dict[str, Any] = {"python": platform.python_version(), "onnxruntime": ort.__version__}
    for package in _PACKAGES:
        try:
            found[f"package {package}"] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[f"package {package}"] = None
    available = ort.get_available_providers()
    return found | {"providers": available, "built": ort.get_build_info()[:200], "cores": len(os.sched_getaffinity(0))}


def gpu() -> Mapping[str, Any]:
    """Return what nvidia-smi says."""
    if shutil.which("nvidia-smi") is None:
        raise Skipped("no nvidia-smi")
    command = ["nvidia-smi", f"--query-gpu={_ASKED}", "--format=csv,noheader,nounits"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    values = [value.strip() for value in said.stdout.strip().split("\n")[0].split(",")]
    if said.returncode or len(values) != len(_ASKED.split(",")):
        raise RuntimeError(f"nvidia-smi: {said.returncode} {said.stdout[-200:]} {said.stderr[-200:]}")
    return dict(zip(_ASKED.split(","), values, strict=True))


def opened(path: Path, provider: Provider, picture: Array) -> Mapping[str, Any]:
    """Return how long loading and the first run take, and where it runs."""
    said = preload() if provider == "cuda" else ""
    begun = time.perf_counter()
    session = open_session(path, provider)
    loaded = time.perf_counter()
    session.run(None, {session.get_inputs()[0].name: picture})
    ran = time.perf_counter()
    session.run(None, {session.get_inputs()[0].name: picture})
    again = time.perf_counter()
    return {
        "load_s": round(loaded - begun, 3),
        "first_ms": round((ran - loaded) * 1e3, 1),
        "second_ms": round((again - ran) * 1e3, 2),
        "providers": session.get_providers(),
        "preload": said or None,
    }


def only_cuda(path: Path, provider: Provider) -> Mapping[str, Any]:
    """Return that no node is on the CPU; onnxruntime's refusal is the row's error."""
    if provider != "cuda":
        raise Skipped("needs CUDA")
    return {"providers": open_session(path, provider, only_cuda=True).get_providers()}


def placed(path: Path, provider: Provider, picture: Array) -> Mapping[str, Any]:
    """Return how many nodes ran where."""
    with tempfile.TemporaryDirectory() as folder:
        return placements(path, provider, picture, Path(folder))


def compare(
    bench: Bench, name: str, reference: str, options: Mapping[str, str], some: tuple[Array, str]
) -> Mapping[str, Any]:
    """Compare a model with another one on the CPU."""
    batch, source = some
    want = Plain(open_session(bench.models[reference], "cpu")).run(batch)
    return {"pictures": source, **difference(want, Plain(bench.session(name, options)).run(batch))}


def difference(want: Array, got: Array) -> dict[str, Any]:
    """Return how far two `predictions` are from each other: scores, and pixels of boxes with something in them."""
    if want.shape != got.shape:
        raise ValueError(f"shapes differ: {want.shape} and {got.shape}")
    scores = np.abs(want[..., 4:] - got[..., 4:])
    sure = want[..., 4] > _SURE
    boxes = np.abs(want[..., :4] - got[..., :4])[sure]
    return {
        "max_abs_score": float(scores.max()),
        "max_abs_box_px": float(boxes.max()) if boxes.size else 0.0,
        "max_abs_any": float(np.abs(want - got).max()),
        "boxes": int(sure.sum()),
        "boxes_got": int((got[..., 4] > _SURE).sum()),
        "finite": bool(np.isfinite(got).all()),
    }


def graph_equals_plain(bench: Bench, model: str) -> Mapping[str, Any]:
    """Replay a captured graph on other pictures than the captured ones, and compare each."""
    batches = bench.batches(SIZE, 2, count=3)
    runner = bench.runner(model, "graph", batches[0].shape, np.uint8)
    for _ in range(3):
        runner.run(batches[0])
    plain = bench.runner(model, "plain", batches[0].shape, np.uint8)
    each = [difference(plain.run(batch), runner.run(batch)) for batch in batches]
    worst = max(each, key=lambda found: float(found["max_abs_any"]))
    moved = float(np.abs(plain.run(batches[0]) - plain.run(batches[1])).max())
    return {**worst, "between_pictures": moved}


def graphs_in_turn(bench: Bench) -> Mapping[str, Any]:
    """Capture graphs of two shapes in one session and replay them in turn."""
    shapes = ((SIZE, 1), (SIZE // 64 * 32, 4))
    batches = [bench.batches(size, batch, count=2) for size, batch in shapes]
    runners = [bench.runner("fp16", "graph", some[0].shape, np.uint8) for some in batches]
    for runner, some in zip(runners, batches, strict=True):
        for _ in range(3):
            runner.run(some[0])
    plain = bench.runner("fp16", "plain", (), np.uint8)
    worst = 0.0
    for turn in (1, 0, 1):
        for runner, some in zip(runners, batches, strict=True):
            worst = max(worst, float(np.abs(plain.run(some[turn]) - runner.run(some[turn])).max()))
    return {"max_abs_any": worst}


def batch_equals_single(bench: Bench) -> Mapping[str, Any]:
    """Compare a batch of 4 with its pictures one by one."""
    some = bench.batches(SIZE, 4, count=1)[0]
    plain = bench.runner("fp16", "plain", some.shape, np.uint8)
    single = [plain.run(some[place : place + 1]) for place in range(len(some))]
    return difference(np.concatenate(single), plain.run(some))


def timed(
    bench: Bench,
    model: str,
    way: Way,
    size: int,
    batch: int,
    options: Mapping[str, str] | None = None,
    *,
    at_cadence: bool,
) -> Mapping[str, Any]:
    """Return the times of one row."""
    batches = bench.batches(size, batch)
    runner = bench.runner(model, way, batches[0].shape, np.uint8, options)
    return measure(runner, batches, row_s=bench.row_s, cadence_s=bench.cadence_s if at_cadence else None)


def extra_timed(bench: Bench, path: Path, way: Way) -> Mapping[str, Any]:
    """Return the times of another model with a fixed input of 32-bit floats."""
    bench.models[path.stem] = path
    told = bench.session(path.stem).get_inputs()[0]
    shape = [axis if isinstance(axis, int) else 1 for axis in told.shape]
    some = [np.full(shape, value, np.float32) for value in (114, 64, 32)]
    return measure(bench.runner(path.stem, way, shape, np.float32), some, row_s=bench.row_s)


def part_b(journal: Journal, bench: Bench, sizes: Sequence[int], batches: Sequence[int]) -> None:
    """Milliseconds of a picture, the telling rows first."""

    def rows(model: str, ways: Sequence[Way], size: int, batch: int, *, cadence: bool) -> None:
        for way in ways:
            for at_cadence in (False, True) if cadence else (False,):
                name = f"{model} {size} b{batch} {way}{' 30 Hz' if at_cadence else ''}"
                needs_s = (bench.cadence_s if at_cadence else bench.row_s) + 1
                action = partial(timed, bench, model, way, size, batch, at_cadence=at_cadence)
                journal.row(name, action, needs_s=needs_s)

    middle = SIZE if SIZE in sizes else sizes[0]
    telling = [batch for batch in batches if batch in TELLING_BATCHES]
    for batch in telling:
        rows("fp16", ("plain", "bound", "graph", "pinned"), middle, batch, cadence=True)
    copies(journal, bench, middle, telling)
    compare_options(journal, bench, middle, telling)
    for batch in telling:
        rows("fp32", ("plain", "bound", "graph"), middle, batch, cadence=batch == 1)
    for size in (size for size in sorted(sizes, reverse=True) if size != middle):
        for batch in telling:
            rows("fp16", ("graph", "bound"), size, batch, cadence=batch == 1)
    for model, size, batch in rest(sizes, batches):
        rows(model, ("graph", "bound", "plain"), size, batch, cadence=False)


def rest(sizes: Sequence[int], batches: Sequence[int]) -> Iterator[tuple[str, int, int]]:
    """Give every model, size and batch; those that were measured before are left out by the journal."""
    for model in ("fp16", "fp32"):
        for size in sorted(sizes, key=lambda size: abs(size - SIZE)):
            for batch in batches:
                yield model, size, batch


def compare_options(journal: Journal, bench: Bench, size: int, batches: Sequence[int]) -> None:
    """The options of CUDA's provider, one session each, bound and as a graph."""
    for model in ("fp16", "fp32"):
        for name, options in PROVIDER_OPTIONS.items():
            if model == "fp32" and name not in ("nhwc", "no_tf32"):
                continue
            for batch in (batch for batch in batches if batch != TELLING_BATCHES[1]):
                for way in ("bound", "graph"):
                    row = f"option {name} {model} {size} b{batch} {way}"
                    if bench.provider == "cuda":
                        action = partial(timed, bench, model, way, size, batch, options, at_cadence=False)
                        journal.row(row, action, needs_s=bench.row_s + 3)
            if options:
                bench.close(model, options)
                bench.close(model, {**options, "enable_cuda_graph": "1"})


def copies(journal: Journal, bench: Bench, size: int, batches: Sequence[int]) -> None:
    """Copies alone, from pageable and from page-locked memory."""
    boxes = sum(3 * (size // stride) ** 2 for stride in (16, 32))
    for batch in batches:
        for way in ("upload pageable", "upload pinned", "download pageable", "download pinned", "download ortvalue"):
            up = way.startswith("upload")
            shape, dtype = ((batch, size, size, 3), np.uint8) if up else ((batch, boxes, 85), np.float32)
            journal.row(f"{way} {size} b{batch}", _copy(bench, shape, dtype, way))
    journal.row("host memory of the provider's device", host_accessible)


def _copy(bench: Bench, shape: Sequence[int], dtype: Any, way: str) -> Callable[[], Mapping[str, Any]]:
    def action() -> Mapping[str, Any]:
        if bench.provider != "cuda" and not way.endswith("pageable"):
            raise Skipped("needs CUDA")
        value = device_value(shape, dtype, bench.provider)
        array = np.ones(shape, dtype)
        value.update_inplace(array)
        if not way.endswith("pageable"):
            page_locked(array)
        here = ort.OrtValue.ortvalue_from_numpy(array)
        do: dict[str, Callable[[], object]] = {
            "upload pageable": lambda: value.update_inplace(array),
            "upload pinned": lambda: value.update_inplace(array),
            "download pageable": value.numpy,
            "download pinned": lambda: copy_to_host(array, value),
            "download ortvalue": lambda: here.update_inplace(value),
        }
        took = _repeat(do[way], bench.row_s / 2)
        found: dict[str, Any] = {**spread_ms(took), "mib": round(array.nbytes / 2**20, 2), "runs": len(took)}
        if found["p50_ms"]:
            found["gb_per_s"] = round(array.nbytes / found["p50_ms"] / 1e6, 2)
        return found | {"shares_memory": here.data_ptr() == array.ctypes.data}

    return action


def _repeat(do: Callable[[], object], seconds: float) -> list[int]:
    for _ in range(3):
        do()
    took: list[int] = []
    end_ns = time.perf_counter_ns() + int(seconds * 1e9)
    while not took or time.perf_counter_ns() < end_ns:
        begun = time.perf_counter_ns()
        do()
        took.append(time.perf_counter_ns() - begun)
    return took


def host_accessible() -> Mapping[str, Any]:
    """Return whether onnxruntime itself gives page-locked memory to Python."""
    from onnxruntime.capi import _pybind_state as state

    found: dict[str, Any] = {}
    for device in ort.get_ep_devices():
        try:
            info = device.memory_info(state.OrtDeviceMemoryType.HOST_ACCESSIBLE)
            value = ort.OrtValue.ortvalue_from_shape_and_type([4], np.float32, memory_info=info)
            found[device.ep_name] = f"{info}: {value.device_name()}"
        except Exception as error:
            found[device.ep_name] = str(error)[:200]
    return found
