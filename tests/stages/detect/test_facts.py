"""What metadata and a sidecar file say about a model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.errors import StageOpenError
from stages.detect.facts import ModelFacts, Signature, Tensor, facts_for


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The path of a model; facts are looked for beside it."""
    return tmp_path / "street.onnx"


def said(model: Path, **metadata: str) -> ModelFacts:
    """Everything that is said about the model."""
    picture = Tensor("images", (1, 3, 64, 64), "tensor(float)")
    return facts_for(model, Signature((picture,), (), metadata))


@pytest.mark.parametrize("sidecar", ["street.onnx.yaml", "street.yaml"])
def test_every_key_of_a_sidecar(sidecar: str, model: Path) -> None:
    """All that a sidecar may say, under both of its names."""
    text = """
        family: yolox
        names: [car, lorry]
        colour: bgr
        range: 0..255
        mean: [1, 2, 3]
        std: [4, 5, 6]
        pad: 0
        placement: top_left
        size: [640, 384]
        stride: 16
    """
    model.with_name(sidecar).write_text(text, encoding="utf-8")
    assert said(model) == ModelFacts(
        family="yolox",
        names=("car", "lorry"),
        colour="bgr",
        range="0..255",
        mean=(1, 2, 3),
        std=(4, 5, 6),
        pad=0,
        placement="top_left",
        size=(640, 384),
        stride=16,
    )


def test_the_longer_name_of_a_sidecar_wins(model: Path) -> None:
    """`street.onnx.yaml` speaks for the file, `street.yaml` for all of that stem."""
    model.with_name("street.onnx.yaml").write_text("pad: 1")
    model.with_name("street.yaml").write_text("pad: 2")
    assert said(model).pad == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"famly: yolox", "unknown key famly; allowed: family, names, colour"),
        (b"family: yolo99", "family: Input should be 'yolox', 'yolov5'"),
        (b"size: 8", "size.0: Input should be greater than or equal to 16"),
        (b"mean: [0, 0, 0]", "mean and std go together"),
        (b"{mean: [0, 0, 0], std: [1, 0, 1]}", "std must not be 0"),
        (b"pad: 256\nstride: 0", "pad: Input should be less than or equal to 255; stride: Input should be"),
        (b"just text", "the file: Input should be a valid dictionary"),
        (b"a: [1", "is not YAML"),
        (b"\xff\xfe\xff", "is not YAML"),
        (b"a: " + b"[" * 5000, "is not YAML: nests deeper than 100"),
        (b"stride: !!float e", "is not YAML: a value does not fit its type"),
    ],
)
def test_bad_sidecar(content: bytes, reason: str, model: Path) -> None:
    """A sidecar that is not understood fails in one line with its own path: it is the user's."""
    sidecar = model.with_name("street.yaml")
    sidecar.write_bytes(content)
    with pytest.raises(StageOpenError, match=re.escape(reason)) as error:
        said(model)
    assert error.value.what == str(sidecar)
    assert "\n" not in str(error.value)


def test_empty_sidecar(model: Path) -> None:
    """An empty sidecar says nothing."""
    model.with_name("street.yaml").write_text("")
    assert said(model) == ModelFacts()


def test_metadata_of_framepace(model: Path) -> None:
    """Our own keys, as the embedded model carries them."""
    facts = said(model, **{"framepace.family": "yolov5", "framepace.size": "416", "framepace.pad": "128"})
    assert facts == ModelFacts(family="yolov5", size=(416, 416), pad=128)


def test_metadata_of_ultralytics(model: Path) -> None:
    """Names as a Python mapping, imgsz as height and width, stride."""
    facts = said(model, names="{0: 'person', 2: \"driver's cab\"}", imgsz="[384, 640]", stride="32", task="detect")
    assert facts == ModelFacts(names=("person", "class 1", "driver's cab"), size=(640, 384), stride=32)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ('["a", "b"]', ("a", "b")),
        ('{"0": "a", "1": "b"}', ("a", "b")),
        ("{'one': 'a'}", None),
        ("{99999999: 'a'}", None),
        ("{-1: 'a'}", None),
        ("7", None),
        ("__import__('os')", None),
        ("(" * 500, None),
        (r"{0: 'a\d'}", (r"a\d",)),  # a backslash that Python warns about
    ],
)
def test_names_in_metadata(names: str, expected: tuple[str, ...] | None, model: Path) -> None:
    """Lists and mappings are read; what is neither is no reason to refuse a model, nor is it ever run."""
    assert said(model, names=names).names == expected


def test_foreign_metadata_is_not_ours_to_complain_about(model: Path) -> None:
    """Metadata that does not fit is passed over, except for the names."""
    assert said(model, names='["a"]', imgsz="[4, 4]", stride="0") == ModelFacts(names=("a",))
    assert said(model, imgsz="large", stride="thirty-two") == ModelFacts()


def test_sidecar_over_metadata(model: Path) -> None:
    """What the user writes beside a model goes before what is inside; the rest stays."""
    model.with_name("street.yaml").write_text("names: [lorry]")
    facts = said(model, names='["a"]', stride="64")
    assert facts == ModelFacts(names=("lorry",), stride=64)
