"""Standard error that never holds up or ends who writes to it: it may be slow, full, closed or gone."""

from __future__ import annotations

import collections
import io
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_WAITING_MOST_BYTES = 1 << 20
"""What waits for a terminal that does not take it; more is left out."""
_FLUSH_S = 0.5


class AsideStream(io.TextIOBase):
    """Text for a file descriptor, written by a thread of its own.

    Args:
        descriptor: where it goes; None: nowhere.
        encoding: of the text; what it cannot say is escaped.
    """

    def __init__(self, descriptor: int | None, encoding: str) -> None:
        self._descriptor = descriptor
        self._encoding = encoding
        self._condition = threading.Condition()  # guards what follows
        self._waiting: collections.deque[bytes] = collections.deque()
        self._size = 0
        self._writing = False
        self._gone = descriptor is None
        self._is_over = False
        if descriptor is not None:
            threading.Thread(target=self._write_all, args=(descriptor,), name="framepace terminal", daemon=True).start()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a plain attribute there
        return self._encoding

    def fileno(self) -> int:
        if self._descriptor is None:
            raise io.UnsupportedOperation("fileno")
        return self._descriptor

    def isatty(self) -> bool:
        with suppress(OSError):
            return self._descriptor is not None and os.isatty(self._descriptor)
        return False

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        """Take text; what a terminal that stands still has no room for is left out."""
        content = text.encode(self._encoding, "backslashreplace")
        with self._condition:
            if not (self._gone or self._is_over) and self._size + len(content) <= _WAITING_MOST_BYTES:
                self._waiting.append(content)
                self._size += len(content)
                self._condition.notify_all()
        return len(text)

    def flush(self) -> None:
        """Do nothing: the other thread writes as soon as it can."""

    def drain(self, timeout_s: float = _FLUSH_S) -> None:
        """Wait until everything is written, but no longer than this."""
        with self._condition:
            self._condition.wait_for(lambda: self._gone or not (self._waiting or self._writing), timeout_s)

    def end(self) -> None:
        """Wait a moment for what is not written yet; take nothing more."""
        self.drain()
        with self._condition:
            self._is_over = True
            self._condition.notify_all()

    def _write_all(self, descriptor: int) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: bool(self._waiting) or self._is_over)
                if self._is_over:
                    return
                content = b"".join(self._waiting)
                self._waiting.clear()
                self._size = 0
                self._writing = True
            written = _write(descriptor, content)
            with self._condition:
                self._writing = False
                self._gone = not written
                self._condition.notify_all()
            if not written:
                return


def _write(descriptor: int, content: bytes) -> bool:
    """Write it all; return whether somebody is still there."""
    try:
        while content:
            content = content[os.write(descriptor, content) :]
    except OSError:
        return False
    return True


@contextmanager
def guarded_streams() -> Iterator[AsideStream]:
    """Put such a stream in the place of standard error, and something harmless in that of a missing standard output."""
    given = sys.stderr
    try:
        descriptor = None if given is None else given.fileno()
    except (OSError, ValueError):
        descriptor = None
    aside = AsideStream(descriptor, (given.encoding if given is not None else None) or "utf-8")
    sys.stderr = aside
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # until the end of the process
    try:
        yield aside
    finally:
        aside.end()
        sys.stderr = given
