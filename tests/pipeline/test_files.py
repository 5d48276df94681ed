"""Files by what they are, and whole writes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.files import identity, is_regular, write_whole


def test_two_names_of_one_file_are_the_same(tmp_path: Path) -> None:
    """Whether it is there already or not."""
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("file")
    os.link(tmp_path / "file", tmp_path / "twin")
    (tmp_path / "dangling").symlink_to("new")
    assert len({identity(tmp_path / name) for name in ("file", "link", "twin", "../" + tmp_path.name + "/file")}) == 1
    assert identity(tmp_path / "dangling") == identity(tmp_path / "new") != identity(tmp_path / "file")


@pytest.mark.parametrize("path", ["a\0b", "x" * 300, "loop/file", "/nowhere/at/all"])
def test_paths_that_cannot_be_looked_at_raise_nothing(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are compared by name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    assert identity(path) == identity(path)
    assert is_regular(path)


def test_devices_and_pipes_are_not_regular(tmp_path: Path) -> None:
    """Writing destroys nothing there."""
    os.mkfifo(tmp_path / "pipe")
    assert not is_regular(tmp_path / "pipe")
    assert not is_regular("/dev/null")


def test_a_write_that_fails_leaves_the_old_file_and_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is written as a whole or not at all."""
    path = tmp_path / "trace.json"
    write_whole(path, b"old")

    def fail(*_: object) -> None:
        raise OSError("full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="full"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["trace.json"]


def test_a_draft_goes_through_no_link(tmp_path: Path) -> None:
    """Whoever may write to the folder cannot have a file of ours overwritten by a link at a name that we would use."""
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "report.json.part").symlink_to("precious")
    write_whole(tmp_path / "report.json", b"new")
    assert (tmp_path / "precious").read_text() == "mine"
    assert (tmp_path / "report.json").read_bytes() == b"new"
    assert (tmp_path / "report.json").stat().st_mode & 0o777 == 0o644


def test_a_whole_file_replaces_an_old_one(tmp_path: Path) -> None:
    """Through a link too, which stays one; what is no plain file is written to and stays what it is."""
    (tmp_path / "old").write_text("old")
    (tmp_path / "link").symlink_to("old")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "old").read_bytes() == b"new"
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_whole(tmp_path / "pipe", b"piped")
        assert os.read(reader, 100) == b"piped"
    finally:
        os.close(reader)
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "old", "pipe"]
