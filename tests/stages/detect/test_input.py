"""What a model's input looks like, and which sizes may be asked for."""

from __future__ import annotations

import re

import pytest

from pipeline.errors import ConfigError, StageOpenError
from stages.detect.facts import ModelFacts, Signature, Tensor
from stages.detect.input import input_spec

FREE = (None, 3, None, None)


def signature(*shape: int | None, dtype: str = "tensor(float)") -> Signature:
    """A model with one input of that shape."""
    return Signature((Tensor("images", shape, dtype),), (), {})


def size(wanted: int | str | None, *shape: int | None, **facts: object) -> tuple[int, int]:
    """Width and height of the input that is made."""
    spec = input_spec(wanted, signature(*shape), ModelFacts.model_validate(facts), "m.onnx")
    return spec.width_px, spec.height_px


@pytest.mark.parametrize(
    ("wanted", "shape", "facts", "expected"),
    [
        (None, FREE, {}, (640, 640)),  # nothing is known: the usual
        (None, FREE, {"size": 416}, (416, 416)),
        (None, FREE, {"size": (608, 352)}, (608, 352)),
        (None, (1, 3, 480, 640), {}, (640, 480)),
        (None, (1, 3, 480, 640), {"size": 416}, (640, 480)),  # what is fixed is fixed
        (None, (1, 3, 480, None), {"size": 416}, (416, 480)),
        (None, (None, 480, 640, 3), {}, (640, 480)),  # NHWC
        (None, (3, 480, 640), {}, (640, 480)),  # no batch axis
        (320, FREE, {}, (320, 320)),
        ("608x352", FREE, {}, (608, 352)),
        ("608X352", FREE, {}, (608, 352)),
        ("320", FREE, {"size": 416}, (320, 320)),
        ("640x480", (1, 3, 480, 640), {}, (640, 480)),
        (48, FREE, {"stride": 16}, (48, 48)),
        ("100x480", (1, 3, None, 100), {}, (100, 480)),  # a fixed side is no business of the stride
    ],
)
def test_size(wanted: int | str | None, shape: tuple[int | None, ...], facts: dict, expected: tuple[int, int]) -> None:
    """What the user asks for, else what the model is fixed to, else what is known of it, else 640."""
    assert size(wanted, *shape, **facts) == expected


@pytest.mark.parametrize(
    ("wanted", "shape", "said"),
    [
        (416, (1, 3, 640, 640), "the model takes 640x640, not 416x416"),
        ("480x640", (1, 3, 480, None), "the model takes anyx480, not 480x640"),
        (100, FREE, "must be a multiple of 32, such as 96, not 100"),
        ("320x350", FREE, "must be a multiple of 32, such as 352, not 350"),
        (10, FREE, "must be a multiple of 32, such as 32, not 10"),
        ("9" * 5000, FREE, "must be pixels, such as 416, or WIDTHxHEIGHT"),
        (0, FREE, "must be pixels, such as 416, or WIDTHxHEIGHT, such as 608x416, not 0"),
        (-32, FREE, "must be pixels"),
        ("big", FREE, "not 'big'"),
        ("1x2x3", FREE, "must be pixels"),
        ("x", FREE, "must be pixels"),
        (99_968, FREE, "must be pixels"),
    ],
)
def test_wrong_size(wanted: int | str, shape: tuple[int | None, ...], said: str) -> None:
    """A size that the model cannot take is a configuration error that says what it can."""
    with pytest.raises(ConfigError, match=re.escape(said)) as error:
        size(wanted, *shape)
    assert error.value.problems[0].path == "$.stages[detect].input_size"


@pytest.mark.parametrize(
    ("shape", "dtype", "said"),
    [
        ((1, 1, 28, 28), "tensor(float)", "its input is not a colour picture: images (1, 1, 28, 28) tensor(float)"),
        ((1, 10), "tensor(float)", "its input is not a colour picture: images (1, 10) tensor(float)"),
        ((1, 2, 3, 4, 5), "tensor(float)", "its input is not a colour picture"),
        ((1, 3, 64, 64), "tensor(string)", "its input is not a colour picture"),
        ((8, 3, 64, 64), "tensor(float)", "its input takes 8 pictures at once; export it with a batch of 1"),
    ],
)
def test_no_picture(shape: tuple[int, ...], dtype: str, said: str) -> None:
    """A model that does not take one colour picture cannot be used."""
    with pytest.raises(StageOpenError, match=re.escape(said)):
        input_spec(None, signature(*shape, dtype=dtype), ModelFacts(), "m.onnx")


def test_a_model_without_an_input() -> None:
    """Which a graph of constants is."""
    with pytest.raises(StageOpenError, match="has no input"):
        input_spec(None, Signature((), (), {}), ModelFacts(), "m.onnx")


def test_a_side_of_three_pixels_is_no_channel_axis() -> None:
    """Three channels in front are believed, also where the width is 3."""
    assert signature(1, 3, 64, 3).layout == "NCHW"
    assert signature(1, 64, 64, 3).layout == "NHWC"
    assert signature(1, None, None, 3).layout == "NHWC"


def test_values_of_a_float_input() -> None:
    """Scale and offset turn 0..255 into (range - mean) / std."""
    facts = ModelFacts(range="0..1", mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0))
    spec = input_spec(None, signature(*FREE), facts, "m.onnx")
    assert [255 * scale + offset for scale, offset in zip(spec.scale, spec.offset, strict=True)] == pytest.approx(
        [(1 - 0.1) / 0.5, (1 - 0.2) / 0.25, (1 - 0.3) / 2.0]
    )


def test_values_of_a_byte_input() -> None:
    """A model that takes bytes gets bytes, whatever else is said of its range."""
    spec = input_spec(None, signature(*FREE, dtype="tensor(uint8)"), ModelFacts(range="0..1"), "m.onnx")
    assert (spec.dtype, spec.scale, spec.offset) == ("uint8", (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
