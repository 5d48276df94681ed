"""Opening a model: where it runs, and what is not a model. This asks the real onnxruntime."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from pipeline.errors import StageOpenError
from stages.detect import session
from stages.detect.session import ProviderChoice, open_session, provider_in_use, signature_of

ModelMaker = Callable[..., Path]


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """No NVIDIA driver is found, also where there is one."""
    monkeypatch.setattr(session, "_has_nvidia_driver", lambda: False)


@pytest.fixture
def model(make_model: ModelMaker) -> Path:
    """A model that works."""
    return make_model({"output": np.zeros((1, 300, 6), dtype=np.float32)})


def test_cpu(model: Path) -> None:
    """Asked for the CPU, it runs there."""
    opened = open_session(model, provider="cpu", threads=1, cores=2)
    assert provider_in_use(opened) == "cpu"
    assert opened.get_session_options().intra_op_num_threads == 1


@pytest.mark.usefixtures("without_gpu")
@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_asked_for_but_missing(provider: ProviderChoice, model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A provider that was asked for and is not there is an error with the remedy, never a silent fallback."""
    with pytest.raises(StageOpenError, match=f"provider {provider} is not available") as error:
        open_session(model, provider=provider, threads=1, cores=2)
    assert "pip install framepace[cuda]" in str(error.value)
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("without_gpu")
def test_auto_without_a_gpu(model: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    """Left to itself on a machine without a GPU it takes the CPU, and says so in the log only."""
    with caplog.at_level(logging.INFO, logger="framepace.detect"):
        opened = open_session(model, provider="auto", threads=1, cores=2)
    assert provider_in_use(opened) == "cpu"
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["provider auto took cpu"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "content",
    [b"", b"not a model\n", bytes(range(256)) * 40, b"%PDF-1.7\n", b"version https://git-lfs.github.com/spec/v1\n"],
    ids=["empty", "text", "bytes", "pdf", "lfs pointer"],
)
@pytest.mark.parametrize("provider", ["auto", "cpu", "cuda"])
def test_not_onnx(content: bytes, provider: ProviderChoice, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A file that is not ONNX is said to be that, in one line, whichever provider was asked for."""
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(StageOpenError, match=re.escape(f"{path}: onnxruntime cannot load it: ")) as error:
        open_session(path, provider=provider, threads=1, cores=2)
    assert "\n" not in str(error.value)
    assert len(error.value.why.removeprefix("onnxruntime cannot load it: ")) > 5
    assert capfd.readouterr() == ("", "")


def test_cut_short(model: Path, tmp_path: Path) -> None:
    """Half a model is not a model."""
    path = tmp_path / "half.onnx"
    path.write_bytes(model.read_bytes()[: model.stat().st_size // 2])
    with pytest.raises(StageOpenError, match="onnxruntime cannot load it"):
        open_session(path, provider="cpu", threads=1, cores=2)


@pytest.mark.parametrize(("what", "opset", "ir"), [("opset 9999", 9999, 8), ("IR version 9999", 17, 9999)])
def test_a_model_that_is_too_new(what: str, opset: int, ir: int, tmp_path: Path) -> None:
    """What it has, what would be right, and what helps; not the words of C++."""
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, 8, 8]) for name in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", ends[:1], ends[1:])
    new = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    new.ir_version = ir
    path = tmp_path / "new.onnx"
    onnx.save(new, path)
    words = rf"it is of {what}, and this onnxruntime knows those up to \d+; export it for a lower one"
    with pytest.raises(StageOpenError, match=words):
        open_session(path, provider="cpu", threads=1, cores=2)


def test_signature(make_model: ModelMaker) -> None:
    """Inputs, outputs and metadata as the file has them; free axes are None."""
    path = make_model(
        {"output": np.zeros((1, 50, 85), dtype=np.float32)},
        picture=("batch", 3, "height", 96),
        declared={"output": ("batch", "boxes", 85)},
        metadata={"names": "['a']"},
    )
    signature = signature_of(open_session(path, provider="cpu", threads=1, cores=2))
    assert [str(tensor) for tensor in signature.inputs] == ["images (?, 3, ?, 96)"]
    assert [tensor.dtype for tensor in signature.inputs] == ["tensor(float)"]
    assert [str(tensor) for tensor in signature.outputs] == ["output (?, ?, 85)"]
    assert (signature.layout, signature.fixed_size) == ("NCHW", (96, None))
    assert signature.metadata == {"names": "['a']"}
