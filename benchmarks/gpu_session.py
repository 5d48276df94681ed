"""Ways to run one session: plain, bound to memory of the device, as a CUDA graph; and how long each takes."""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import cv2
import numpy as np
import onnxruntime as ort
from gpu_journal import Skipped, spread_ms
from numpy.typing import NDArray

Provider = Literal["cpu", "cuda"]
Way = Literal["plain", "bound", "pinned", "graph"]
Array = NDArray[Any]

CLIP = Path(__file__).resolve().parents[1] / "sample_videos" / "pedestrians.mp4"
CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"
RATE = 30.0
"""Runs a second at cadence."""
USUAL: dict[str, str] = {"cudnn_conv_algo_search": "HEURISTIC"}
"""Options of CUDA's provider where a row names no others."""
_WARM_UP = 4
"""Runs before a measurement: a graph is captured in the third at the latest."""
_STRIDES = (16, 32)
_ROW_VALUES = 85
_GREY = 128
_FATAL_ONLY = 4
"""onnxruntime's log level: what is less comes as an exception, or is found out here."""
_DEVICE_TO_HOST = 2
"""cudaMemcpyKind."""
_SPIN_NS = 300_000
"""Before a moment is due, this much is spent awake: sleeping ends late by up to that."""


def open_session(
    path: Path,
    provider: Provider,
    options: Mapping[str, str] | None = None,
    *,
    only_cuda: bool = False,
    profile: Path | None = None,
) -> ort.InferenceSession:
    """Return a session that really runs where it was asked to.

    Args:
        path: an ONNX file.
        provider: where.
        options: of CUDA's provider, over USUAL.
        only_cuda: fail if any node would run on the CPU.
        profile: prefix of a file for onnxruntime's profile; None: no profile.

    Raises:
        RuntimeError: the provider is another one.
    """
    settings = ort.SessionOptions()
    ort.set_default_logger_severity(_FATAL_ONLY)
    settings.log_severity_level = _FATAL_ONLY
    if profile is not None:
        settings.enable_profiling = True
        settings.profile_file_prefix = str(profile)
    if provider == "cpu":
        return ort.InferenceSession(str(path), settings, providers=[CPU])
    preload()
    settings.intra_op_num_threads = 1
    providers: list[Any] = [(CUDA, USUAL | dict(options or {}))]
    if only_cuda:  # the CPU's provider must not be named then
        settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    else:
        providers.append(CPU)
    session = ort.InferenceSession(str(path), settings, providers=providers, enable_fallback=0)
    if session.get_providers()[0] != CUDA:
        raise RuntimeError(
            f"asked for CUDA, got {session.get_providers()}; preload_dlls said: {preload() or 'nothing'}"
        )
    return session


def preload() -> str:
    """Load CUDA's libraries from their packages; return what onnxruntime says of it."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        ort.preload_dlls()
    return " ".join(said.getvalue().split())


def pictures(count: int, size: int) -> tuple[NDArray[np.uint8], str]:
    """Return (count, size, size, 3) RGB pictures of the clip, letterboxed, and where they come from.

    OpenCV reads the clip, so that PyAV need not be there; where it cannot, noise has to do.
    """
    found: list[NDArray[np.uint8]] = []
    reader = cv2.VideoCapture(str(CLIP))
    while len(found) < count:
        whole, picture = reader.read()
        if not whole:
            break
        found.append(letterboxed(np.ascontiguousarray(picture[:, :, ::-1]), size))
    reader.release()
    if not found:
        noise = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
        return noise, "noise"
    return np.stack([found[place % len(found)] for place in range(count)]), "clip"


def letterboxed(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return (size, size, 3) with a grey border."""
    height, width = picture.shape[:2]
    scale = size / max(height, width)
    small = cv2.resize(picture, (round(width * scale), round(height * scale)))
    canvas = np.full((size, size, 3), _GREY, dtype=np.uint8)
    top, left = (size - small.shape[0]) // 2, (size - small.shape[1]) // 2
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    return canvas


def output_shape(session: ort.InferenceSession, shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of the first output for an input of that shape."""
    told = session.get_outputs()[0].shape
    if all(isinstance(axis, int) and axis > 0 for axis in told):
        return tuple(told)
    boxes = sum(3 * (shape[1] // stride) * (shape[2] // stride) for stride in _STRIDES)
    return (shape[0], boxes, _ROW_VALUES)


class Runner(Protocol):
    """One way to run a session; `run` returns the first output."""

    def run(self, batch: Array) -> Array: ...

    parts_ns: dict[str, list[int]]
    """Times of upload, run and download, one for each call."""


class Plain:
    """`session.run` with arrays: onnxruntime copies both ways itself."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self._name = session.get_inputs()[0].name
        self.parts_ns: dict[str, list[int]] = {}

    def run(self, batch: Array) -> Array:
        output: Array = self._session.run(None, {self._name: batch})[0]
        return output


class Bound:
    """Input and output in memory of the device that never moves.

    Args:
        session: where to run.
        provider: whose memory.
        shape: of the input.
        dtype: of the input.
        graph_id: of the CUDA graph to capture and replay; None: no graph. The session must allow it.
        pinned: stage both copies in page-locked memory.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        provider: Provider,
        shape: Sequence[int],
        dtype: Any,
        *,
        graph_id: int | None = None,
        pinned: bool = False,
    ) -> None:
        self._session = session
        self._input = device_value(shape, dtype, provider)
        out_shape = output_shape(session, shape)
        self._output = device_value(out_shape, np.float32, provider)
        self._binding = session.io_binding()
        self._binding.bind_ortvalue_input(session.get_inputs()[0].name, self._input)
        self._binding.bind_ortvalue_output(session.get_outputs()[0].name, self._output)
        for other in session.get_outputs()[1:]:
            self._binding.bind_output(other.name, provider)
        self._run_options = ort.RunOptions()
        if graph_id is not None:
            self._run_options.add_run_config_entry("gpu_graph_id", str(graph_id))
        self._staging = HostPair(shape, dtype, out_shape) if pinned else None
        self.parts_ns: dict[str, list[int]] = {"upload": [], "run": [], "download": []}

    def run(self, batch: Array) -> Array:
        begun = time.perf_counter_ns()
        if self._staging is None:
            self._input.update_inplace(batch)
        else:
            np.copyto(self._staging.sent, batch)
            self._input.update_inplace(self._staging.sent)
        uploaded = time.perf_counter_ns()
        self._session.run_with_iobinding(self._binding, self._run_options)
        done = time.perf_counter_ns()
        output: Array
        if self._staging is None:
            output = self._output.numpy()
        else:
            copy_to_host(self._staging.received, self._output)
            output = self._staging.received
        ended = time.perf_counter_ns()
        for part, took in zip(self.parts_ns, (uploaded - begun, done - uploaded, ended - done), strict=True):
            self.parts_ns[part].append(took)
        return output


def device_value(shape: Sequence[int], dtype: Any, provider: Provider) -> Any:
    """Return an OrtValue of that shape in the provider's memory."""
    return ort.OrtValue.ortvalue_from_shape_and_type(list(shape), dtype, provider, 0)


class HostPair:
    """Page-locked memory for one input and one output."""

    def __init__(self, shape: Sequence[int], dtype: Any, out_shape: Sequence[int]) -> None:
        self.sent = page_locked(np.zeros(shape, dtype))
        self.received = page_locked(np.zeros(out_shape, np.float32))


_locked: list[Array] = []
"""Arrays whose pages are locked; they live as long as the process, since CUDA knows their addresses."""


def page_locked(array: Array) -> Array:
    """Lock the pages of an array for CUDA and return it.

    Raises:
        Skipped: the CUDA runtime is not there or refuses.
    """
    runtime = cuda_runtime()
    register = runtime.cudaHostRegister
    register.argtypes, register.restype = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint), ctypes.c_int
    if (code := register(array.ctypes.data, array.nbytes, 0)) != 0:
        raise Skipped(f"cudaHostRegister gave error {code}")
    _locked.append(array)
    return array


def copy_to_host(array: Array, value: Any) -> None:
    """Copy an OrtValue of the device into an array, whatever memory that is in.

    Raises:
        RuntimeError: CUDA refuses.
    """
    copy = cuda_runtime().cudaMemcpy
    copy.argtypes, copy.restype = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int), ctypes.c_int
    if (code := copy(array.ctypes.data, value.data_ptr(), array.nbytes, _DEVICE_TO_HOST)) != 0:
        raise RuntimeError(f"cudaMemcpy gave error {code}")


def cuda_runtime() -> ctypes.CDLL:
    """Return the CUDA runtime that onnxruntime has loaded.

    Raises:
        Skipped: there is none.
    """
    for name in ("libcudart.so.13", "libcudart.so.12"):
        with contextlib.suppress(OSError):
            return ctypes.CDLL(name)
    raise Skipped("no CUDA runtime")


@dataclass
class Bench:
    """Sessions and pictures that rows share."""

    provider: Provider
    models: dict[str, Path]
    row_s: float
    """Length of a measurement back to back."""
    cadence_s: float
    """Length of a measurement at RATE."""
    _sessions: dict[tuple[Any, ...], ort.InferenceSession] = field(default_factory=dict)
    _pools: dict[int, NDArray[np.uint8]] = field(default_factory=dict)
    _runners: dict[tuple[Any, ...], Runner] = field(default_factory=dict)
    _graph_ids: Iterator[int] = field(default_factory=lambda: iter(range(1, 10_000)))

    def session(self, model: str, options: Mapping[str, str] | None = None) -> ort.InferenceSession:
        """Return the one session with these options; it is kept."""
        key = (model, tuple(sorted((options or {}).items())))
        if key not in self._sessions:
            self._sessions[key] = open_session(self.models[model], self.provider, options)
        return self._sessions[key]

    def close(self, model: str, options: Mapping[str, str]) -> None:
        """Give the memory of a session and its runners back."""
        key = (model, tuple(sorted(options.items())))
        self._runners = {of: runner for of, runner in self._runners.items() if of[:2] != key}
        self._sessions.pop(key, None)

    def batches(self, size: int, batch: int, *, count: int = 3) -> list[NDArray[np.uint8]]:
        """Return some different batches."""
        if size not in self._pools:
            self._pools[size] = pictures(40, size)[0]
        pool = self._pools[size]
        return [np.ascontiguousarray(np.roll(pool, 7 * turn, axis=0)[:batch]) for turn in range(count)]

    def runner(
        self, model: str, way: Way, shape: Sequence[int], dtype: Any, options: Mapping[str, str] | None = None
    ) -> Runner:
        """Return the one way to run a model for this shape: a captured graph belongs to its binding for good.

        Raises:
            Skipped: it does not exist on this provider.
        """
        if way in ("graph", "pinned") and self.provider != "cuda":
            raise Skipped("needs CUDA")
        options = {**(options or {}), **({"enable_cuda_graph": "1"} if way == "graph" else {})}
        key = (model, tuple(sorted(options.items())), way, tuple(shape))
        if key not in self._runners:
            session = self.session(model, options)
            if way == "plain":
                self._runners[key] = Plain(session)
            else:
                graph_id = next(self._graph_ids) if way == "graph" else None
                bound = Bound(session, self.provider, shape, dtype, graph_id=graph_id, pinned=way == "pinned")
                self._runners[key] = bound
        return self._runners[key]


def measure(
    runner: Runner, batches: Sequence[Array], *, row_s: float, cadence_s: float | None = None
) -> dict[str, float | int | None]:
    """Return times of a call, back to back, or at RATE if `cadence_s` is given; the warm-up is told apart."""
    begun = time.perf_counter_ns()
    runner.run(batches[0])
    first_ns = time.perf_counter_ns() - begun
    for _ in range(_WARM_UP - 1):
        runner.run(batches[0])
    for times in runner.parts_ns.values():
        times.clear()
    took = _at_cadence(runner, batches, cadence_s) if cadence_s else _back_to_back(runner, batches, row_s)
    found: dict[str, float | int | None] = {**spread_ms(took)}
    pictures_each = len(batches[0])
    if found["p50_ms"] is not None:
        found["ms_per_picture"] = round(found["p50_ms"] / pictures_each, 4)
    for part, times in runner.parts_ns.items():
        found[f"{part}_p50_ms"] = spread_ms(times)["p50_ms"]
    return found | {"runs": len(took), "first_ms": round(first_ns / 1e6, 1)}


def _back_to_back(runner: Runner, batches: Sequence[Array], seconds: float) -> list[int]:
    took: list[int] = []
    end_ns = time.perf_counter_ns() + int(seconds * 1e9)
    while not took or time.perf_counter_ns() < end_ns:
        begun = time.perf_counter_ns()
        runner.run(batches[len(took) % len(batches)])
        took.append(time.perf_counter_ns() - begun)
    return took


def _at_cadence(runner: Runner, batches: Sequence[Array], seconds: float) -> list[int]:
    took: list[int] = []
    due_ns = time.perf_counter_ns()
    for turn in range(max(1, round(seconds * RATE))):
        due_ns += int(1e9 / RATE)
        wait_ns = due_ns - time.perf_counter_ns()
        if wait_ns > _SPIN_NS:
            time.sleep((wait_ns - _SPIN_NS) / 1e9)
        while time.perf_counter_ns() < due_ns:
            pass
        begun = max(due_ns, time.perf_counter_ns())
        runner.run(batches[turn % len(batches)])
        took.append(time.perf_counter_ns() - begun)
        due_ns = max(due_ns, time.perf_counter_ns() - int(1e9 / RATE))  # too slow a run does not pile up others
    return took


def placements(path: Path, provider: Provider, picture: Array, folder: Path) -> dict[str, Any]:
    """Return how many nodes ran where, and how many copies between CPU and device there were, from a profile."""
    session = open_session(path, provider, profile=folder / "profile")
    session.run(None, {session.get_inputs()[0].name: picture})
    events = json.loads(Path(session.end_profiling()).read_text())
    return placements_of(events)


def placements_of(events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Count nodes by provider, and those on the CPU by operator, in a profile of onnxruntime."""
    nodes = {
        str(event["name"]): event["args"]
        for event in events
        if event.get("cat") == "Node" and str(event.get("name", "")).endswith("_kernel_time")
    }
    where = Counter(str(told.get("provider", "")) for told in nodes.values())
    kinds = Counter(str(told.get("op_name", "")) for told in nodes.values() if told.get("provider") == CPU)
    copies = sum(str(told.get("op_name", "")).startswith("Memcpy") for told in nodes.values())
    return {"nodes": dict(where), "memcpy": copies, "on_cpu": dict(kinds.most_common())}
