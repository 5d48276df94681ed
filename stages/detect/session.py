"""Opens a model with onnxruntime and makes sure that it runs where it was asked to."""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import re
import sys
from pathlib import Path
from typing import Literal

import onnxruntime as ort

from pipeline.errors import StageOpenError
from stages.detect.facts import Signature, Tensor

log = logging.getLogger("framepace.detect")

Provider = Literal["cpu", "cuda", "tensorrt"]
ProviderChoice = Literal["auto", "cpu", "cuda", "tensorrt"]

_FULL_NAMES: dict[Provider, str] = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
_CHAINS: dict[Provider, tuple[Provider, ...]] = {
    "tensorrt": ("tensorrt", "cuda", "cpu"),
    "cuda": ("cuda", "cpu"),
    "cpu": ("cpu",),
}
"""What a provider leaves to others, operator by operator."""
_FEW_CORES = 4
"""With no more cores than this, a runtime thread that spins while idle takes time from decoding."""
_LONGEST, _SHORTEST = 300, 20
"""Letters of a reason that is shown."""
_TOO_NEW = {
    re.compile(r"Opset (\d+) is under development.* is till opset (\d+)"): "opset",
    re.compile(r"Unsupported model IR version: (\d+), max supported IR version: (\d+)"): "IR version",
}
"""What onnxruntime says of models that are newer than it, and of what they have too much."""
_FATAL_ONLY = 4
"""onnxruntime's log level. What is less comes back as an exception, or we find it out ourselves; onnxruntime would
write it to standard error behind the command line's back."""


def open_session(path: Path, *, provider: ProviderChoice, threads: int, cores: int) -> ort.InferenceSession:
    """Return a session on the provider that was asked for; with `auto`, on CUDA if there is one, else on the CPU.

    TensorRT has to be asked for: it builds an engine for minutes when it meets a model for the first time.

    Args:
        path: an ONNX file.
        provider: where to run.
        threads: of one run, the caller's included; CPU only.
        cores: of this machine that we may use.

    Raises:
        StageOpenError: the model cannot be loaded, or the provider is not to be had.
    """
    ort.set_default_logger_severity(_FATAL_ONLY)
    if provider == "cpu":
        return _open(path, "cpu", threads, cores)
    wanted: Provider = "cuda" if provider == "auto" else provider
    try:
        return _open_on_gpu(path, wanted, threads, cores)
    except StageOpenError as error:
        session = _open(path, "cpu", threads, cores)  # a broken model is told from a missing provider here
        if provider != "auto":
            raise
        log.info("provider auto took cpu: %s", error.why)
        return session


def provider_in_use(session: ort.InferenceSession) -> str:
    """Return `cpu`, `cuda` or `tensorrt`, or onnxruntime's own name of another."""
    first = str(session.get_providers()[0])
    return next((name for name, full in _FULL_NAMES.items() if full == first), first)


def signature_of(session: ort.InferenceSession) -> Signature:
    """Return the outside of the model."""

    def tensors(values: list[ort.NodeArg]) -> tuple[Tensor, ...]:
        return tuple(Tensor(value.name, tuple(_fixed(size) for size in value.shape), value.type) for value in values)

    metadata = session.get_modelmeta().custom_metadata_map
    return Signature(tensors(session.get_inputs()), tensors(session.get_outputs()), metadata)


def _fixed(size: object) -> int | None:
    """Return the length of an axis; exporters write a free one as a name, 0 or -1."""
    return size if isinstance(size, int) and size > 0 else None


def _open_on_gpu(path: Path, provider: Provider, threads: int, cores: int) -> ort.InferenceSession:
    full = _FULL_NAMES[provider]
    if full not in ort.get_available_providers():
        raise _no_provider(path, provider, "this build of onnxruntime has none")
    if not _has_nvidia_driver():
        raise _no_provider(path, provider, "there is no NVIDIA driver")
    with contextlib.redirect_stdout(io.StringIO()) as said:  # it prints what it does not find
        ort.preload_dlls()
    log.debug("preload_dlls: %s", said.getvalue().strip())
    session = _open(path, provider, threads, cores)
    if session.get_providers()[0] != full:  # onnxruntime falls back in silence
        raise _no_provider(path, provider, "its libraries are not there or do not fit")
    return session


def _has_nvidia_driver() -> bool:
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def _no_provider(path: Path, provider: Provider, why: str) -> StageOpenError:
    needs = "TensorRT and " if provider == "tensorrt" else ""
    hint = f"it needs an NVIDIA driver, {needs}the CUDA libraries: pip install framepace[cuda]"
    return StageOpenError(path.name, f"provider {provider} is not available: {why}; {hint}. Or use provider cpu")


def _open(path: Path, provider: Provider, threads: int, cores: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _FATAL_ONLY
    if cores <= _FEW_CORES:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = [_FULL_NAMES[name] for name in _CHAINS[provider]]
    try:
        # Without its fallback: it would print, and go on elsewhere when a run fails.
        return ort.InferenceSession(str(path), options, providers=providers, enable_fallback=0)
    except Exception as error:  # onnxruntime's exceptions have no common base but Exception
        raise StageOpenError(str(path), f"onnxruntime cannot load it: {reason(error)}") from error


def reason(error: Exception) -> str:
    """Return the part of onnxruntime's message where the reason is, in one line."""
    line = " ".join(str(error).split()) or type(error).__name__
    for too_new, what in _TOO_NEW.items():
        if (versions := too_new.search(line)) is not None:
            advice = "export it for a lower one, or install a newer onnxruntime"
            return f"it is of {what} {versions[1]}, and this onnxruntime knows those up to {versions[2]}; {advice}"
    found = line.rpartition(" failed:")[2].rpartition(" : ")[2].strip().rstrip(".")
    signature = found.find("(const ")  # of the C++ function that noticed; what it has to say comes after it
    if signature >= 0 and ") " in found[signature:]:
        found = found[found.rindex(") ") + 2 :] if len(found) - found.rindex(") ") > _SHORTEST else found
    return found if len(found) <= _LONGEST else f"{found[:_LONGEST]}..."
