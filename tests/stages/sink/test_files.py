"""What holds for every file that a sink writes."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.errors import SinkOpenError
from pipeline.frame import Answer
from pipeline.stage import OpenContext
from stages.sink.files import FileOptions, OutputFile, TextFileSink

Make = Callable[..., Answer]

_NOBODY = 65534


class NumberSink(TextFileSink):
    """Writes a heading, and the number of each frame."""

    def heading(self) -> str:
        return "numbers\n"

    def text(self, answer: Answer, *, gap: int) -> str:
        return f"{answer.info.frame_id}\n"


def sink(path: Path) -> NumberSink:
    return NumberSink(FileOptions(path=str(path)))


def test_each_line_is_in_the_file_at_once(tmp_path: Path, make_answer: Make, lossless_context: OpenContext) -> None:
    """What was written is there before the next answer, for a reader and after a kill; closing adds nothing."""
    path = tmp_path / "out.txt"
    one = sink(path)
    one.open(lossless_context)
    one.begin()
    assert path.read_text() == "numbers\n"
    for number in range(3):
        one.write(make_answer(number), gap=0)
        assert path.read_text().splitlines()[1:] == [str(done) for done in range(number + 1)]
    one.close()
    one.close()
    assert path.read_text() == "numbers\n0\n1\n2\n"


def test_an_existing_file_is_replaced_when_the_run_starts(tmp_path: Path, lossless_context: OpenContext) -> None:
    """Making and opening leave the old file alone; beginning replaces its content and keeps its permissions."""
    path = tmp_path / "out.txt"
    path.write_text("old " * 100)
    path.chmod(0o640)
    one = sink(path)
    assert path.read_text().startswith("old")
    one.open(lossless_context)
    assert path.read_text().startswith("old")
    one.begin()
    assert path.read_text() == "numbers\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    one.close()


def test_a_run_that_does_not_begin_leaves_no_trace(tmp_path: Path, lossless_context: OpenContext) -> None:
    """When another part cannot be opened, an old file stays as it was, and there is no new one."""
    old, new = tmp_path / "old.txt", tmp_path / "new.txt"
    old.write_text("precious")
    for path in (old, new):
        one = sink(path)
        one.open(lossless_context)
        one.close()
    assert old.read_text() == "precious"
    assert not new.exists()


def test_closing_what_was_never_open_is_no_error(tmp_path: Path) -> None:
    """A sink that was not opened can be closed, and leaves no file."""
    sink(tmp_path / "out.txt").close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "is a directory; give a file"),
        ("missing/out.txt", "missing does not exist"),
        ("file/out.txt", "file does not exist"),  # a file where a folder should be
        ("x" * 300, "File name too long"),
    ],
)
def test_a_path_that_cannot_be_used(tmp_path: Path, name: str, why: str, lossless_context: OpenContext) -> None:
    """One line that names the path and says what is wrong, and nothing is left behind."""
    (tmp_path / "file").write_text("here")
    path = tmp_path / name
    with pytest.raises(SinkOpenError, match=why) as error:
        sink(path).open(lossless_context)
    assert error.value.what == str(path)
    assert "\n" not in str(error.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.fixture
def folder_of_others() -> Iterator[Path]:
    """A folder that the test may read but not write, also when root runs it: then the test is nobody."""
    folder = Path(tempfile.mkdtemp())
    was_root = os.geteuid() == 0
    (folder / "old.txt").write_text("old")
    (folder / "closed").mkdir()
    for path, mode in ((folder / "old.txt", 0o444), (folder / "closed", 0o600), (folder, 0o555)):
        path.chmod(mode)
    if was_root:
        os.setresuid(_NOBODY, _NOBODY, 0)
    try:
        yield folder
    finally:
        if was_root:
            os.setresuid(0, 0, 0)
        folder.chmod(0o700)
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("new.txt", "cannot be written: permission denied"),
        ("old.txt", "cannot be written: permission denied"),
        ("closed/new.txt", "Permission denied"),  # not even looking into the folder is allowed
    ],
)
def test_a_path_without_permission(folder_of_others: Path, name: str, why: str, lossless_context: OpenContext) -> None:
    """A folder or a file that may not be written is refused, and an existing file keeps its content."""
    with pytest.raises(SinkOpenError, match=why):
        sink(folder_of_others / name).open(lossless_context)
    assert (folder_of_others / "old.txt").read_text() == "old"


def test_a_named_pipe_without_a_reader(tmp_path: Path, lossless_context: OpenContext) -> None:
    """It does not wait for a reader that may never come."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(SinkOpenError, match="named pipe that nobody reads"):
        sink(path).open(lossless_context)


def test_a_named_pipe_with_a_reader(tmp_path: Path, make_answer: Make, lossless_context: OpenContext) -> None:
    """It gets every line."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        one = sink(path)
        one.open(lossless_context)
        one.begin()
        one.write(make_answer(4), gap=0)
        one.close()
        assert os.read(reader, 100) == b"numbers\n4\n"
    finally:
        os.close(reader)


def test_a_deleted_file_fails_loudly(tmp_path: Path, make_answer: Make, lossless_context: OpenContext) -> None:
    """When the path vanishes the next write raises and names it, instead of writing into nowhere."""
    path = tmp_path / "out.txt"
    one = sink(path)
    one.open(lossless_context)
    one.begin()
    path.unlink()
    with pytest.raises(FileNotFoundError, match="deleted") as error:
        one.write(make_answer(0), gap=0)
    assert error.value.filename == str(path)
    one.close()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_fails_loudly(lossless_context: OpenContext) -> None:
    """A full disk raises, with the path and the reason of the operating system."""
    one = sink(Path("/dev/full"))
    one.open(lossless_context)
    with pytest.raises(OSError, match="No space left on device") as error:
        one.begin()
    assert error.value.errno == errno.ENOSPC
    assert error.value.filename == "/dev/full"
    one.close()


def test_a_disk_that_fills_up_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The part of a line that still fitted is taken back, and the file ends with a whole one."""
    path = tmp_path / "out.txt"
    file = OutputFile(str(path))
    file.start()
    file.write(b"first line\n")
    real_write = os.write
    room = [4]

    def write(fd: int, block: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        count = real_write(fd, bytes(block)[: room[0]])
        room[0] -= count
        return count

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OSError, match="No space left"):
        file.write(b"second line\n")
    assert path.read_bytes() == b"first line\n"
    room[0] = 100
    file.write(b"third line\n")
    file.close()
    assert path.read_bytes() == b"first line\nthird line\n"


def test_a_short_write_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the system takes a block in pieces, all of it arrives."""
    file = OutputFile(str(tmp_path / "out.txt"))
    file.start()
    real_write = os.write
    monkeypatch.setattr(os, "write", lambda fd, block: real_write(fd, bytes(block)[:3]))
    assert file.write(b"0123456789") == 10
    assert file.tell() == 10
    file.close()
    assert (tmp_path / "out.txt").read_bytes() == b"0123456789"


def test_places_in_the_file(tmp_path: Path) -> None:
    """Seeking and telling are as of Python's own files, so that a muxer can go back."""
    file = OutputFile(str(tmp_path / "out.bin"))
    file.start()
    file.write(b"abcdef")
    assert file.seek(2) == 2
    file.write(b"XY")
    assert file.tell() == 4
    assert file.seek(0, os.SEEK_END) == 6
    file.close()
    assert (tmp_path / "out.bin").read_bytes() == b"abXYef"


def test_two_ways_to_one_file_are_one_resource(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path, a detour and a symbolic link name the same resource, so that two sinks cannot share a file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.txt").symlink_to("out.txt")
    ways = [tmp_path / "out.txt", Path("out.txt"), Path("folder/../out.txt"), Path("link.txt")]
    assert {sink(way).resource for way in ways} == {f"file:{tmp_path.resolve() / 'out.txt'}"}
    assert sink(tmp_path / "other.txt").resource != sink(tmp_path / "out.txt").resource


def test_the_short_form(tmp_path: Path) -> None:
    """The text after `KIND:` is the path, colons and all; without one the message says what to write."""
    assert NumberSink.options_from_spec("C:/out dir/a:b.txt") == {"path": "C:/out dir/a:b.txt"}
    with pytest.raises(ValueError, match="write the path after the colon"):
        NumberSink.options_from_spec("")


@pytest.mark.parametrize("options", [{}, {"path": ""}, {"path": 3}, {"path": "a\0b"}, {"path": "a", "mode": "append"}])
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    """A path is needed, and nothing else is known."""
    with pytest.raises(ValidationError):
        FileOptions.model_validate(options)


def test_a_file_that_another_run_writes_is_left_to_it(tmp_path: Path) -> None:
    """Two runs that write one file would tear each other's lines."""
    path = str(tmp_path / "a.jsonl")
    first = OutputFile(path)
    first.start()
    first.write(b"one\n")
    with pytest.raises(SinkOpenError, match="is being written by another run"):
        OutputFile(path)
    assert Path(path).read_bytes() == b"one\n"
    first.close()
    OutputFile(path).close()
