"""Models that have names: what is known of them, where they lie, and whether they are what they should be."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from pipeline.errors import ConfigError, StageOpenError
from stages.detect import store
from stages.detect.store import DATA, KNOWN, FileState, KnownModel, default_cache, find_model, hash_of, known_model

CONTENT = b"the model"
EMBEDDED = KNOWN["yolov3-tiny"]
PULLED = KnownModel("m", "a model", "none", "m.onnx", 9, hashlib.sha256(CONTENT).hexdigest(), "http://127.0.0.1/m.onnx")


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> KnownModel:
    """A small model among those that are known."""
    monkeypatch.setitem(store.KNOWN, PULLED.name, PULLED)
    return PULLED


def test_every_known_model_can_be_checked() -> None:
    """Each has a size and a sha256, and what is fetched comes by HTTPS."""
    for name, model in KNOWN.items():
        assert name == model.name
        assert re.fullmatch("[0-9a-f]{64}", model.sha256)
        assert model.size_bytes > 1_000_000
        assert model.url is None or model.url.startswith("https://")
    assert len({model.file for model in KNOWN.values()}) == len(KNOWN)


def test_the_embedded_model_is_whole(tmp_path: Path) -> None:
    """What the package brings along is what it is said to be, wherever the cache is."""
    assert EMBEDDED.state(tmp_path) is FileState.WHOLE
    assert find_model("yolov3-tiny", tmp_path) == DATA / "yolov3-tiny-int8.onnx"


@pytest.mark.parametrize(
    ("content", "state"),
    [
        (None, FileState.MISSING),
        (b"", FileState.DAMAGED),
        (b"the modem", FileState.DAMAGED),
        (b"the model!", FileState.DAMAGED),
        (CONTENT, FileState.WHOLE),
    ],
)
def test_state(content: bytes | None, state: FileState, tmp_path: Path) -> None:
    """A file is whole when size and hash are right."""
    if content is not None:
        (tmp_path / "m.onnx").write_bytes(content)
    assert PULLED.state(tmp_path) is state


def test_a_pulled_model_is_found(known: KnownModel, tmp_path: Path) -> None:
    """By its name, in the cache."""
    (tmp_path / "m.onnx").write_bytes(CONTENT)
    assert find_model("m", tmp_path) == tmp_path / "m.onnx"


def test_a_begun_model_is_not_taken_for_one(known: KnownModel, tmp_path: Path) -> None:
    """What is still being fetched counts as missing."""
    (tmp_path / "m.onnx.part").write_bytes(CONTENT)
    with pytest.raises(StageOpenError, match=f"m: has not been pulled to {tmp_path}; run: framepace models pull m"):
        find_model("m", tmp_path)


def test_a_damaged_model_is_noticed(known: KnownModel, tmp_path: Path) -> None:
    """A pulled file that changed on disk is not used, and the remedy is named."""
    (tmp_path / "m.onnx").write_bytes(b"the modem")
    with pytest.raises(StageOpenError, match=r"m\.onnx is damaged: .*; run: framepace models pull m"):
        find_model("m", tmp_path)


def test_a_damaged_package_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An embedded model that is missing or changed cannot be pulled; the package has to be installed again."""
    monkeypatch.setattr(store, "DATA", tmp_path)
    with pytest.raises(StageOpenError, match=r"yolov3-tiny-int8\.onnx is missing; install framepace again"):
        find_model("yolov3-tiny", tmp_path)
    (tmp_path / EMBEDDED.file).write_bytes(b"x")
    with pytest.raises(StageOpenError, match=r"is damaged: .*; install framepace again"):
        find_model("yolov3-tiny", tmp_path)


def test_unreadable(known: KnownModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that may not be read is one line."""

    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "m.onnx").write_bytes(CONTENT)
    monkeypatch.setattr(store, "hash_of", refuse)
    with pytest.raises(StageOpenError, match=re.escape(f"{tmp_path / 'm.onnx'}: cannot be read: Permission denied")):
        find_model("m", tmp_path)


def test_a_file_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path is taken as it is; `~` is the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "own.onnx").touch()
    assert find_model(str(tmp_path / "own.onnx"), tmp_path) == tmp_path / "own.onnx"
    assert find_model("~/own.onnx", tmp_path) == tmp_path / "own.onnx"


def test_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FRAMEPACE_CACHE says where models go; else they go where the system keeps caches."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FRAMEPACE_CACHE", "~/models")
    assert default_cache() == tmp_path / "models"
    monkeypatch.setenv("FRAMEPACE_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert default_cache() == tmp_path / "caches" / "framepace" / "models"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("yolx-nano", "NAME: no model is called 'yolx-nano'; did you mean yolox-nano"),
        ("resnet", "no model is called 'resnet'; there are yolov3-tiny, yolox-nano"),
    ],
)
def test_unknown_name(name: str, said: str) -> None:
    """A name that is none is a configuration error that offers the near ones, or all."""
    with pytest.raises(ConfigError, match=re.escape(said)):
        known_model(name)


def test_hash(tmp_path: Path) -> None:
    """Of the empty file, as everybody knows it."""
    (tmp_path / "empty").touch()
    assert hash_of(tmp_path / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_what_is_embedded_is_described() -> None:
    """The README beside the embedded files names each of them with its size and hash."""
    text = (DATA / "README.md").read_text(encoding="utf-8")
    files = sorted(path for path in DATA.iterdir() if path.name != "README.md")
    assert [path.name for path in files] == ["coco.names", "yolov3-tiny-int8.onnx"]
    for path in files:
        assert f"| `{path.name}` | {path.stat().st_size:,} | `{hash_of(path)}` |" in text
