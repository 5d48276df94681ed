"""Works out what a model's input looks like, from its signature, what is known of it, and what the user asks for."""

from __future__ import annotations

from pipeline.errors import ConfigError, StageOpenError
from stages.detect.facts import ModelFacts, Signature
from stages.payloads import InputSpec

_DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8"}
MAX_SIDE_PX = 8192
_USUAL_SIZE = (640, 640)
_USUAL_STRIDE = 32
"""Of the coarsest grid of nearly every detector."""


def input_spec(wanted: int | str | None, signature: Signature, facts: ModelFacts, model: str) -> InputSpec:
    """Return what the preprocess stage has to make.

    Args:
        wanted: the size that the user asks for: pixels, or WIDTHxHEIGHT.
        signature: of the model.
        facts: everything that is known about it.
        model: its name, for messages.

    Raises:
        StageOpenError: the model's input is not one colour picture.
        ConfigError: the model cannot take the size asked for.
    """
    if not signature.inputs:
        raise StageOpenError(model, "has no input")
    _check_picture(signature, model)
    dtype = _DTYPES[signature.picture.dtype]
    width, height = _size(wanted, signature, facts)
    scale, offset = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)
    if dtype != "uint8":  # a model that takes bytes brings its own arithmetic
        unit = 1 / 255 if facts.range == "0..1" else 1.0
        mean, std = facts.mean or (0.0, 0.0, 0.0), facts.std or (1.0, 1.0, 1.0)
        scale = (unit / std[0], unit / std[1], unit / std[2])
        offset = (-mean[0] / std[0], -mean[1] / std[1], -mean[2] / std[2])
    return InputSpec(
        width_px=width,
        height_px=height,
        layout=signature.layout,
        dtype=dtype,
        colour=facts.colour or "rgb",
        scale=scale,
        offset=offset,
        pad_value=114 if facts.pad is None else facts.pad,
        placement=facts.placement or "centre",
    )


def _check_picture(signature: Signature, model: str) -> None:
    picture = signature.picture
    shape = signature.picture_shape
    channels = shape[2 if signature.layout == "NHWC" else 0] if len(shape) == 3 else 0
    if channels not in (None, 3) or len(picture.shape) not in (3, 4) or picture.dtype not in _DTYPES:
        raise StageOpenError(model, f"its input is not a colour picture: {picture} {picture.dtype}")
    if len(picture.shape) == 4 and picture.shape[0] not in (None, 1):
        raise StageOpenError(model, f"its input takes {picture.shape[0]} pictures at once; export it with a batch of 1")


def _size(wanted: int | str | None, signature: Signature, facts: ModelFacts) -> tuple[int, int]:
    """Return the input's width and height."""
    fixed = signature.fixed_size
    if wanted is None:
        usual = facts.size or _USUAL_SIZE
        return fixed[0] or usual[0], fixed[1] or usual[1]
    sides = _parse(wanted)
    stride = facts.stride or _USUAL_STRIDE
    for side, fixed_side in zip(sides, fixed, strict=True):
        if fixed_side not in (None, side):
            takes = "x".join("any" if side is None else str(side) for side in fixed)
            raise _wrong(f"the model takes {takes}, not {sides[0]}x{sides[1]}")
        if fixed_side is None and side % stride:
            nearest = max(1, round(side / stride)) * stride
            raise _wrong(f"must be a multiple of {stride}, such as {nearest}, not {side}")
    return sides


def _parse(written: int | str) -> tuple[int, int]:
    parts = str(written).lower().split("x")
    if len(parts) > 2 or not all(_is_side(part.strip()) for part in parts):
        raise _wrong(f"must be pixels, such as 416, or WIDTHxHEIGHT, such as 608x416, not {written!r}")
    return int(parts[0]), int(parts[-1])


def _is_side(text: str) -> bool:
    return text.isdecimal() and len(text) < 10 and 0 < int(text) <= MAX_SIDE_PX


def _wrong(message: str) -> ConfigError:
    return ConfigError.one("$.stages[detect].input_size", message)
