"""What is known about a model besides its graph: from a sidecar file, from its metadata, from its shapes."""

from __future__ import annotations

import ast
import json
import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from pipeline.config.text import strict_yaml
from pipeline.errors import StageOpenError

FamilyName = Literal[
    "yolox", "yolov5", "yolov8", "end2end", "yolo-nas", "detr", "rf-detr", "rt-detr", "torchvision", "tensorflow"
]
Triple = tuple[float, float, float]

log = logging.getLogger("framepace.detect")

_PREFIX = "framepace."
_FOREIGN_KEYS = frozenset({"nc", "path", "train", "val", "test", "download", "backbone", "head", "scales", "kpt_shape"})
_MOST_NAMES = 100_000
"""Metadata that numbers its classes beyond this is broken; a list of that length is not made for it."""


def _pair(value: object) -> object:
    """Return (size, size) for a single number, written as a number or as text."""
    if isinstance(value, str) and value.isdigit():
        value = int(value)
    return (value, value) if isinstance(value, int) else value


Side = Annotated[int, Field(ge=16, le=8192)]


def _clean(value: object) -> object:
    return clean_name(value) if isinstance(value, str) else value


CleanName = Annotated[str, BeforeValidator(_clean)]


class ModelFacts(BaseModel):
    """What a sidecar YAML (`model.onnx.yaml` or `model.yaml` beside `model.onnx`) may say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: FamilyName | None = Field(default=None, description="How to read the outputs; recognised if absent.")
    names: tuple[CleanName, ...] | None = Field(
        default=None, description="Class names, by class id as the model counts."
    )
    colour: Literal["rgb", "bgr"] | None = Field(default=None, description="Order of the input's channels.")
    range: Literal["0..1", "0..255"] | None = Field(default=None, description="Range of the input's values.")
    mean: Triple | None = Field(default=None, description="Subtracted from the input's values, in `colour` order.")
    std: Triple | None = Field(default=None, description="Divides the input's values after that.")
    pad: Annotated[int, Field(ge=0, le=255)] | None = Field(default=None, description="Grey of the border.")
    placement: Literal["centre", "top_left", "stretch"] | None = Field(
        default=None, description="Where the picture sits in the input; `stretch` fills it without a border."
    )
    size: Annotated[tuple[Side, Side], BeforeValidator(_pair)] | None = Field(
        default=None, description="Usual input size: pixels, or width and height."
    )
    stride: Annotated[int, Field(ge=1, le=256)] | None = Field(
        default=None, description="A free input size is a multiple of it."
    )

    @model_validator(mode="after")
    def _both_or_none(self) -> ModelFacts:
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std go together")
        if self.std is not None and 0 in self.std:
            raise ValueError("std must not be 0")
        return self

    def over(self, other: ModelFacts) -> ModelFacts:
        """Return these facts, completed by others."""
        return other.model_copy(update=self.model_dump(exclude_none=True))


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output of a model."""

    name: str
    shape: tuple[int | None, ...]
    """None for an axis that is free."""
    dtype: str
    """As onnxruntime names it, such as `tensor(float)`."""

    def __str__(self) -> str:
        return f"{clean_name(self.name)} ({', '.join('?' if size is None else str(size) for size in self.shape)})"


@dataclass(frozen=True, slots=True)
class Signature:
    """The outside of a model."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    metadata: Mapping[str, str]

    @property
    def picture(self) -> Tensor:
        """The input that takes the picture: the first with four axes, else the first."""
        return next((tensor for tensor in self.inputs if len(tensor.shape) == 4), self.inputs[0])

    @property
    def picture_shape(self) -> tuple[int | None, ...]:
        """Shape of the picture without a batch axis: channels, height, width, or height, width, channels."""
        return self.picture.shape[-3:]

    @property
    def layout(self) -> str:
        """`NHWC` when the last axis has three channels, else `NCHW`."""
        shape = self.picture_shape
        return "NHWC" if len(shape) == 3 and shape[2] == 3 and shape[0] != 3 else "NCHW"

    @property
    def fixed_size(self) -> tuple[int | None, int | None]:
        """Width and height of the input; None for what is free."""
        shape = self.picture_shape
        if len(shape) != 3:
            return None, None
        return (shape[1], shape[0]) if self.layout == "NHWC" else (shape[2], shape[1])


def facts_for(path: Path, signature: Signature) -> ModelFacts:
    """Return what the sidecar says, completed by the metadata.

    Raises:
        StageOpenError: the sidecar is not understood.
    """
    return _from_sidecar(path).over(_from_metadata(signature.metadata))


def sidecars(path: Path) -> tuple[Path, Path]:
    """Return where a YAML file about a model may lie."""
    return path.with_name(path.name + ".yaml"), path.with_suffix(".yaml")


def _from_sidecar(path: Path) -> ModelFacts:
    for sidecar in sidecars(path):
        try:
            if not sidecar.is_file():
                continue
            said = strict_yaml(sidecar.read_text(encoding="utf-8-sig")) or {}
            if sidecar.name != path.name + ".yaml" and _is_foreign(said):
                log.warning("%s is not about how to read the model; it is left aside", sidecar)
                continue
            return ModelFacts.model_validate(said)
        except ValidationError as error:
            raise StageOpenError(str(sidecar), _in_one_line(error)) from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise StageOpenError(str(sidecar), f"is not YAML: {' '.join(str(error).split())}") from error
        except OSError as error:
            raise StageOpenError(str(sidecar), f"cannot be read: {error.strerror}") from error
    return ModelFacts()


def _is_foreign(said: object) -> bool:
    """Whether a file that only shares the model's name is a dataset's or a network's, as Ultralytics writes them."""
    return isinstance(said, dict) and not _FOREIGN_KEYS.isdisjoint(said)


def _in_one_line(error: ValidationError) -> str:
    allowed = ", ".join(ModelFacts.model_fields)
    said = []
    for problem in error.errors():
        path = ".".join(str(step) for step in problem["loc"])
        if problem["type"] == "extra_forbidden":
            said.append(f"unknown key {path}; allowed: {allowed}")
        else:
            said.append(f"{path or 'the file'}: {problem['msg'].removeprefix('Value error, ')}")
    return "; ".join(said)


def _from_metadata(metadata: Mapping[str, str]) -> ModelFacts:
    """Read our own keys, and those that Ultralytics writes: names, imgsz (height, width), stride."""
    said: dict[str, object] = {
        key.removeprefix(_PREFIX): value for key, value in metadata.items() if key.startswith(_PREFIX)
    }
    names = _names(metadata.get("names", ""))
    if names:
        said["names"] = names
    match _literal(metadata.get("imgsz", "")):
        case [int(height), int(width)]:
            said.setdefault("size", (width, height))
    if metadata.get("stride", "").isdigit():
        said.setdefault("stride", metadata["stride"])
    try:
        return ModelFacts.model_validate(said)
    except ValidationError:
        # Metadata is other people's; what does not fit is not ours to complain about.
        return ModelFacts(names=names or None)


def _names(text: str) -> tuple[str, ...]:
    """Return class names from a JSON list, or a Python or JSON mapping from id to name."""
    found = _literal(text)
    if isinstance(found, list):
        return tuple(clean_name(name) for name in found[:_MOST_NAMES])
    if isinstance(found, dict):
        try:
            by_id = {int(key): clean_name(name) for key, name in found.items()}
        except (TypeError, ValueError, OverflowError):
            return ()
        count = max(by_id, default=-1) + 1
        return tuple(by_id.get(place, f"class {place}") for place in range(count)) if count <= _MOST_NAMES else ()
    return ()


def clean_name(name: object) -> str:
    """Return a name on one line, without what a terminal or a table would take for more than text."""
    text = str(name).encode("utf-8", "replace").decode("utf-8")
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _literal(text: str) -> object:
    for read in (json.loads, ast.literal_eval):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about backslashes in what other people wrote
                return read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return None
