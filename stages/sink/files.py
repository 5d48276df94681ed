"""What all sinks that write a file share: the path, its checks, whole writes, and a path that vanishes."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from abc import abstractmethod
from contextlib import suppress
from pathlib import Path

from pydantic import Field

from pipeline.errors import SinkOpenError
from pipeline.frame import Answer
from pipeline.stage import OpenContext, Options, Sink


class FileOptions(Options):
    """Settings of a sink that writes one file."""

    path: str = Field(
        min_length=1, pattern=r"^[^\x00]+$", description="The file; an existing one is replaced when the run starts."
    )


class OutputFile:
    """A file open for writing, without a buffer of ours: what was written outlives a killed process.

    Until start() an existing file stays as it was, and a new one vanishes again when it is closed.

    Args:
        path: as the user wrote it.

    Raises:
        SinkOpenError: it cannot be written.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            _check(Path(path))
            self._is_new = not os.path.lexists(path)
            # Without O_NONBLOCK, opening a named pipe that nobody reads would wait for ever.
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
        except SinkOpenError:
            raise
        except OSError as error:
            why = "is a named pipe that nobody reads" if error.errno == errno.ENXIO else (error.strerror or str(error))
            raise SinkOpenError(path, why) from error
        os.set_blocking(self._fd, True)
        self._is_regular = stat.S_ISREG(os.fstat(self._fd).st_mode)
        self._is_open = True
        if self._is_regular and not _lock(self._fd):
            self._is_new = False
            self.close()
            raise SinkOpenError(path, "is being written by another run")

    def start(self) -> None:
        """Throw away what was in the file."""
        self._is_new = False
        if self._is_regular:
            os.ftruncate(self._fd, 0)

    def write(self, block: bytes) -> int:
        """Write all of it, or raise and leave none of it behind.

        Raises:
            FileNotFoundError: the file was deleted; what is written now would be lost without a word.
            OSError: the disk is full or broken.
        """
        if self._is_regular and os.fstat(self._fd).st_nlink == 0:
            raise FileNotFoundError(errno.ENOENT, "the file was deleted while it was being written", self.path)
        rest = memoryview(block)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            self._take_back(len(block) - len(rest))
            raise OSError(error.errno, error.strerror, self.path) from error
        return len(block)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a place in the file and return it; as of Python's own files."""
        return os.lseek(self._fd, offset, whence)

    def tell(self) -> int:
        """Return the place at which the next write goes."""
        return os.lseek(self._fd, 0, os.SEEK_CUR)

    def close(self) -> None:
        """Close; idempotent."""
        if self._is_open:
            self._is_open = False
            os.close(self._fd)
            if self._is_new:
                with suppress(OSError):  # nothing is in it, and the run has failed for another reason
                    os.unlink(self.path)

    def _take_back(self, count: int) -> None:
        """Cut off the part of a block that still fitted, so that the file ends with a whole one."""
        if count and self._is_regular:
            with suppress(OSError):
                os.ftruncate(self._fd, self.seek(-count, os.SEEK_CUR))


def _lock(descriptor: int) -> bool:
    """Take a file for ourselves until it is closed; return whether nobody else has it, as far as that can be told."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _check(path: Path) -> None:
    """Say in plain words why a path cannot be written, where that can be known beforehand.

    Raises:
        SinkOpenError: it cannot.
        OSError: not even that can be found out.
    """
    if path.is_dir():
        raise SinkOpenError(str(path), "is a directory; give a file")
    if not path.parent.is_dir():
        raise SinkOpenError(str(path), f"the folder {path.parent} does not exist")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise SinkOpenError(str(path), "cannot be written: permission denied")


class FileSink(Sink):
    """Base of the sinks that write one file.

    A full disk, or a path that vanishes, raises from write() and fails this sink only.
    """

    options_type = FileOptions

    def __init__(self, options: FileOptions) -> None:
        self._path = os.path.expanduser(options.path)
        self._file: OutputFile | None = None

    @classmethod
    def options_from_spec(cls, spec: str) -> dict[str, object]:
        if not spec:
            raise ValueError("names no file; write the path after the colon")
        return {"path": spec}

    @property
    def resource(self) -> str | None:
        return f"file:{os.path.realpath(self._path)}"

    def open(self, context: OpenContext) -> None:
        self._file = OutputFile(self._path)

    def begin(self) -> None:
        assert self._file is not None
        self._file.start()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class TextFileSink(FileSink):
    """Base of the sinks that write text: a heading, and some lines for each answer."""

    def heading(self) -> str:
        """Return what stands at the top of the file."""
        return ""

    @abstractmethod
    def text(self, answer: Answer, *, gap: int) -> str:
        """Return the lines for one answer, each with its line break; may be empty."""

    def begin(self) -> None:
        super().begin()
        assert self._file is not None
        self._file.write(self.heading().encode())

    def write(self, answer: Answer, *, gap: int) -> None:
        assert self._file is not None
        self._file.write(self.text(answer, gap=gap).encode())
