"""The models that are known by name: the embedded one, and those that can be pulled."""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

import platformdirs

from pipeline.errors import ConfigError, StageOpenError

DATA = Path(__file__).resolve().parent / "data"
"""What the package itself brings along."""

_YOLOX_RELEASE = "https://github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0/"


class FileState(Enum):
    """What became of a known model's file."""

    MISSING = auto()
    DAMAGED = auto()
    """It is there, but is not the file that it should be."""
    WHOLE = auto()


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model that has a name."""

    name: str
    summary: str
    """One line for people."""
    licence: str
    file: str
    """Name of the file."""
    size_bytes: int
    sha256: str
    url: str | None = None
    """Where it can be pulled from; None for a model inside the package."""

    def path(self, cache: Path) -> Path:
        """Return where its file is, or will be once pulled."""
        return (DATA if self.url is None else cache) / self.file

    def state(self, cache: Path) -> FileState:
        """Return whether its file is there to be used; reads all of it.

        Raises:
            StageOpenError: it is there and cannot be read.
        """
        path = self.path(cache)
        try:
            if not path.is_file():
                return FileState.MISSING
            whole = path.stat().st_size == self.size_bytes and hash_of(path) == self.sha256
        except OSError as error:
            raise StageOpenError(str(path), f"cannot be read: {error.strerror}") from error
        return FileState.WHOLE if whole else FileState.DAMAGED


def _yolox(size: str, input_px: int, size_bytes: int, sha256: str) -> KnownModel:
    file = f"yolox_{size}.onnx"
    summary = f"YOLOX-{size.capitalize()}, {input_px}x{input_px}, COCO's 80 classes"
    return KnownModel(f"yolox-{size}", summary, "Apache-2.0", file, size_bytes, sha256, _YOLOX_RELEASE + file)


# The release names no hashes. The ones below were each found in several unrelated projects that pin these files.
KNOWN = {
    model.name: model
    for model in (
        KnownModel(
            "yolov3-tiny",
            "YOLOv3-tiny, 8-bit, any multiple of 32, COCO's 80 classes",
            "free for any use",
            "yolov3-tiny-int8.onnx",
            8_944_506,
            "d27f3f2e17fe9761fff930c2b27675864e9fb88e5358b7a866c8a3615c891810",
        ),
        _yolox("nano", 416, 3_659_407, "c789161ed43c8269fcd4e67c67eeeb4e80c622da2eb296a20bc6007bd18a0b7d"),
        _yolox("tiny", 416, 20_219_662, "427cc366d34e27ff7a03e2899b5e3671425c262ea2291f88bb942bc1cc70b0f7"),
        _yolox("s", 640, 35_858_002, "c5c2d13e59ae883e6af3b45daea64af4833a4951c92d116ec270d9ddbe998063"),
        _yolox("m", 640, 101_259_744, "21ff6cfdeb53b013bac2249599e55f00bff3cfdfdab37ed7a4620818c1d15b3f"),
    )
}


def default_cache() -> Path:
    """Return the folder for pulled models: FRAMEPACE_CACHE, else `framepace/models` among the user's caches.

    Read here, like the place of the user's caches, so that a run finds what `framepace models pull` has fetched.

    Raises:
        StageOpenError: there is no home folder either, as in some containers.
    """
    chosen = os.environ.get("FRAMEPACE_CACHE")
    try:
        return (
            Path(os.path.expanduser(chosen)) if chosen else Path(platformdirs.user_cache_path("framepace")) / "models"
        )
    except RuntimeError as error:
        raise StageOpenError("pulled models", "there is no home folder; name one with FRAMEPACE_CACHE") from error


def known_model(name: str) -> KnownModel:
    """Return the model of that name.

    Raises:
        ConfigError: there is none; offers the near ones.
    """
    model = KNOWN.get(name)
    if model is None:
        raise ConfigError.one("NAME", f"no model is called {name!r}{near(name, KNOWN)}")
    return model


def find_model(model: str, cache: Path | None) -> Path:
    """Return the file that a user means by a name or a path.

    Args:
        model: what the user wrote.
        cache: the folder of pulled models; None: the usual one, which is looked for only if it is needed.

    Raises:
        StageOpenError: it is not there, or a known model's file has changed; says what would be right.
    """
    known = KNOWN.get(model)
    if known is not None:
        return whole_file(known, DATA if known.url is None else cache or default_cache())
    path = Path(os.path.expanduser(model))
    try:
        os.fsencode(path).decode()
        if path.is_file():
            return path
        if path.is_dir():
            raise StageOpenError(model, "is a directory, not an ONNX file")
    except UnicodeDecodeError as error:
        raise StageOpenError(ascii(model), "its name is not UTF-8, which onnxruntime needs; rename it") from error
    except OSError as error:
        raise StageOpenError(model[:80], f"cannot be read: {error.strerror}") from error
    if path.suffix or len(path.parts) > 1:
        raise StageOpenError(model, "there is no such file")
    raise StageOpenError(model, f"is neither a file nor a known model{near(model, KNOWN)}")


def hash_of(path: Path) -> str:
    """Return the sha256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def whole_file(model: KnownModel, cache: Path) -> Path:
    """Return the file of a known model.

    Raises:
        StageOpenError: it is not there, or is not what it should be; says what to do.
    """
    path = model.path(cache)
    match model.state(cache):
        case FileState.WHOLE:
            return path
        case FileState.DAMAGED:
            why = f"{path} is damaged: its sha256 is not the one that is known"
        case FileState.MISSING:
            why = f"has not been pulled to {cache}" if model.url else f"{path} is missing"
    cure = f"run: framepace models pull {model.name}" if model.url else "install framepace again"
    raise StageOpenError(model.name, f"{why}; {cure}")


def near(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean A or B?` for a misspelt word, or else what there is."""
    known = list(known)
    close = difflib.get_close_matches(word.lower(), known, n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(close)}?" if close else f"; there are {', '.join(known)}"
