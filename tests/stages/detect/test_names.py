"""Class names: COCO's two ways to count, files, and what a user means."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from stages.detect.names import coco_category_names, coco_names, ids_of, read_names


def test_coco_without_gaps() -> None:
    """80 different classes, counted as detectors do."""
    names = coco_names()
    assert (len(names), len(set(names))) == (80, 80)
    assert {place: names[place] for place in (0, 2, 17, 62, 79)} == {
        0: "person",
        2: "car",
        17: "horse",
        62: "tv",
        79: "toothbrush",
    }


def test_coco_by_category() -> None:
    """The same classes in the same order, at the category ids of the annotation files."""
    names = coco_category_names()
    assert len(names) == 91
    assert tuple(name for name in names if name != "unused") == coco_names()
    # A few rows of the table in COCO's instances_val2017.json.
    table = {1: "person", 11: "fire hydrant", 13: "stop sign", 25: "giraffe", 27: "backpack", 44: "bottle"}
    table |= {46: "wine glass", 65: "bed", 67: "dining table", 70: "toilet", 72: "tv", 82: "refrigerator"}
    table |= {84: "book", 90: "toothbrush"}
    assert {place: names[place] for place in table} == table


def test_names_from_a_file(tmp_path: Path) -> None:
    """One name a line, from class 0; blanks around a name and a missing last line end do not matter."""
    path = tmp_path / "names.txt"
    path.write_text("forklift\n  pallet truck \r\nbox", encoding="utf-8")
    assert read_names(path) == ("forklift", "pallet truck", "box")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "holds no class names; write one a line"),
        (b"\n \n", "holds no class names; write one a line"),
        (b"\xff\xfe\x00p", "is not a text file with one class name a line"),
    ],
)
def test_bad_file_of_names(content: bytes | None, said: str, tmp_path: Path) -> None:
    """A file of names that is not one is a configuration error with the path in it."""
    path = tmp_path / "names.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=re.escape(said)) as error:
        read_names(path)
    assert error.value.problems[0].path == "$.stages[detect].names"
    assert str(path) in error.value.problems[0].message


def test_many_blank_lines_take_no_time(tmp_path: Path) -> None:
    """In proportion to their number: these would take minutes otherwise."""
    path = tmp_path / "names.txt"
    path.write_text("box" + "\n" * 300_000)
    assert read_names(path) == ("box",)


@pytest.mark.parametrize(
    ("path", "said"),
    [("~nobody-is-called-so/names.txt", "cannot be read"), ("a\0b", "'a\\x00b' cannot be the name of a file")],
)
def test_paths_that_cannot_be(path: str, said: str) -> None:
    """Are configuration errors, like any."""
    with pytest.raises(ConfigError, match=re.escape(said)):
        read_names(Path(path))


def test_a_directory_of_names(tmp_path: Path) -> None:
    """A directory is not a file of names."""
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_names(tmp_path)


def test_ids_whatever_the_case() -> None:
    """Names are found in any case; a name that stands twice means both classes."""
    assert ids_of(["Bus", "person"], coco_names()).tolist() == [5, 0]
    assert ids_of(["a"], ("A", "b", "a")).tolist() == [0, 2]


@pytest.mark.parametrize(
    ("wanted", "names", "said"),
    [
        (["persn"], coco_names(), "the model has no class 'persn', did you mean person?"),
        (["Motor cycle"], coco_names(), "the model has no class 'Motor cycle', did you mean motorcycle"),
        (["xyz"], ("cat", "dog"), "the model has no class 'xyz' (it has cat, dog)"),
        (["xyz"], coco_names(), "train, truck, ...)"),
        (["cat"], (), "its classes have no names; the option `names` takes a file of them"),
    ],
)
def test_unknown_name(wanted: list[str], names: tuple[str, ...], said: str) -> None:
    """An unknown class is a configuration error that offers the near ones, or says what there is."""
    with pytest.raises(ConfigError, match=re.escape(said)) as error:
        ids_of(wanted, names)
    assert error.value.problems[0].path == "$.stages[detect].classes"


def test_all_unknown_names_at_once() -> None:
    """Every unknown class is named, not only the first."""
    with pytest.raises(ConfigError, match=r"'persn'.*'carr'"):
        ids_of(["persn", "bus", "carr"], coco_names())
