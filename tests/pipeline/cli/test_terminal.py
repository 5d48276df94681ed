"""Standard error that may be slow, full, closed or gone."""

from __future__ import annotations

import fcntl
import io
import os
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from pipeline.cli.terminal import AsideStream, guarded_streams


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        try:
            os.close(descriptor)
        except OSError:
            continue


def test_what_is_written_arrives_in_order(pipe: tuple[int, int]) -> None:
    """And draining waits for it."""
    stream = AsideStream(pipe[1], "utf-8")
    for number in range(100):
        stream.write(f"{number}\n")
    stream.drain(10)
    assert os.read(pipe[0], 10_000).decode().split() == [str(number) for number in range(100)]
    stream.end()


def test_a_reader_that_never_reads_holds_up_nobody(pipe: tuple[int, int]) -> None:
    """What does not fit is left out, and the end waits for a moment only."""
    fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, 4096)
    stream = AsideStream(pipe[1], "utf-8")
    before = time.monotonic()
    for _ in range(1000):
        stream.write("x" * 10_000)
    stream.drain(0.05)
    assert time.monotonic() - before < 10  # it would be for ever
    os.close(pipe[0])
    stream.end()


@pytest.mark.parametrize("gone", ["reader", "descriptor", "nothing"])
def test_nobody_at_the_other_end_is_no_error(pipe: tuple[int, int], gone: str) -> None:
    """Whether the reader has left or there never was a stream."""
    if gone == "reader":
        os.close(pipe[0])
    elif gone == "descriptor":
        os.close(pipe[1])
    stream = AsideStream(None if gone == "nothing" else pipe[1], "utf-8")
    for _ in range(3):
        stream.write("words\n")
        stream.drain(10)
    assert not stream.isatty()
    stream.end()


def test_what_the_encoding_cannot_say_is_escaped(pipe: tuple[int, int]) -> None:
    """A name with an umlaut on an ASCII terminal."""
    stream = AsideStream(pipe[1], "ascii")
    stream.write("hö\n")
    stream.drain(10)
    assert os.read(pipe[0], 100) == b"h\\xf6\n"
    stream.end()


def test_its_thread_ends_with_it(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that calls the command line again and again keeps nothing of it."""
    with os.fdopen(os.dup(pipe[1]), "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with guarded_streams() as stream:
            stream.write("words")
        deadline = time.monotonic() + 10
        while any(thread.name == "framepace terminal" for thread in threading.enumerate()):
            assert time.monotonic() < deadline
            time.sleep(0.005)
    assert os.read(pipe[0], 100) == b"words"


def test_missing_streams_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both may be closed when the program starts."""
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with guarded_streams() as stream:
        assert sys.stderr is stream
        print("nobody reads it")
        print("nor this", file=sys.stderr)
    assert sys.stdout is not None
    sys.stdout.close()


def test_a_stream_without_a_descriptor_is_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody has put an object in the place of standard error."""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with guarded_streams() as stream:
        stream.write("words")
        with pytest.raises(io.UnsupportedOperation):
            stream.fileno()
