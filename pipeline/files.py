"""File identity, atomic writes that follow no planted link, and files that hold a secret."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

_FOR_OTHERS = 0o004
_MOST_OF_LINE = 65_536

Identity = tuple[int, int] | str


def identity(path: str | os.PathLike[str]) -> Identity:
    """Return what two paths of one file have in common: device and number, or the real path of what is not there yet.

    Never raises: what cannot be looked at is compared by its name.
    """
    text = os.path.expanduser(os.fspath(path))
    try:
        found = os.stat(text)
        return found.st_dev, found.st_ino
    except (OSError, ValueError):
        pass
    try:
        return os.path.realpath(text)
    except (OSError, ValueError):
        return text


def is_regular(path: str | os.PathLike[str]) -> bool:
    """Whether a path is that of a plain file, or of nothing yet: devices and pipes cannot be destroyed by writing."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return True


def write_whole(path: Path, content: bytes) -> None:
    """Write a file as a whole or not at all; what is no plain file, such as a pipe or a device, is written to.

    The draft is new, has a name that nobody can guess, and lies beside the file; it takes the file's permissions.

    Raises:
        OSError: it could not be written; an old one is as it was.
    """
    path = Path(os.path.realpath(path))  # a link stays one
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name[:32]}.", suffix=".part", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(descriptor, path.stat().st_mode & 0o777 if path.exists() else _usual_mode())
        os.replace(draft, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise


def read_secret(path: str) -> str:
    """Return the first line of a file, without the space around it.

    Raises:
        ValueError: it cannot be read, or has no such line.
    """
    try:
        with Path(os.path.expanduser(path)).open(encoding="utf-8") as file:
            secret = file.readline(_MOST_OF_LINE).strip()
    except OSError as error:
        raise ValueError(f"cannot be read: {(error.strerror or str(error)).lower()}") from error
    except ValueError as error:
        raise ValueError("cannot be read: it is no text") from error
    if not secret:
        raise ValueError("its first line is empty")
    return secret


def is_exposed(path: str) -> bool:
    """Whether every user of this machine may read a file."""
    try:
        return bool(os.stat(os.path.expanduser(path)).st_mode & _FOR_OTHERS)
    except (OSError, ValueError):
        return False


def _usual_mode() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
