"""Files by what they are, not by what they are called; and drafts that nobody can put a link in the way of."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

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


def _usual_mode() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
