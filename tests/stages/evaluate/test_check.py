"""What is said before anything is played."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from stages.evaluate.check import check, check_classes
from stages.evaluate.play import Case
from stages.evaluate.truth import NOTHING, Truth


def test_classes_without_names_have_numbers() -> None:
    """As records write them."""
    check_classes(["class 3"], [])


def test_one_class_in_common_is_enough() -> None:
    """The others are left out."""
    check_classes(["person", "zebra crossing"], ["car", "person"])


@pytest.mark.parametrize(
    ("of_truth", "of_model", "said"),
    [
        (
            ["pedestrian"],
            ["person", "car"],
            "labels 'pedestrian', of which the model reports nothing (it has person, car)",
        ),
        (["Person"], ["person"], "labels 'Person', of which the model reports nothing, did you mean person? (it has"),
        (["person"], [], "its classes have no names; the option `names` takes a file"),
        (["x"], list("abcdefghij"), "(it has a, b, c, d, e, f, g, h, ...)"),
    ],
)
def test_no_class_in_common_is_an_error(of_truth: list[str], of_model: list[str], said: str) -> None:
    """Which names both, so that a wrong name is not taken for a model that sees nothing."""
    with pytest.raises(ConfigError) as error:
        check_classes(of_truth, of_model)
    assert str(error.value).startswith("--truth: labels ")
    assert said in str(error.value)


@pytest.mark.parametrize(("name", "is_known"), [("person", True), ("zebra", False)])
def test_the_detector_is_asked_what_it_reports(tmp_path: Path, name: str, is_known: bool) -> None:  # noqa: FBT001
    """Only what is left of the model's classes by the configuration counts."""
    (tmp_path / "clip.mp4").touch()
    case = Case(tmp_path / "clip.mp4", {}, detector_options={"classes": ["person", "car"]})
    with contextlib.nullcontext() if is_known else pytest.raises(ConfigError, match=r"\(it has person, car\)"):
        check(case, Truth((name,), (NOTHING,)))


def test_a_detector_that_does_not_say_what_it_reports(tmp_path: Path) -> None:
    """Is not judged by it."""
    (tmp_path / "clip.mp4").touch()
    check(Case(tmp_path / "clip.mp4", {"stages": ["synthetic_detect", "track"]}), Truth(("zebra",), (NOTHING,)))
