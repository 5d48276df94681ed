"""A clock that never makes a test wait, and a way to read a source to its end."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from pipeline.clock import Clock
from pipeline.frame import Mode
from pipeline.stage import OpenContext, Sample, Source


class JumpingClock(Clock):
    """Time stands still except during a wait, which it skips."""

    def __init__(self) -> None:
        self.now = 5_000_000_000
        self.waits: list[int] = []

    def now_ns(self) -> int:
        return self.now

    def wait(self, condition: threading.Condition, timeout_ns: int) -> bool:
        self.waits.append(timeout_ns)
        self.now += max(timeout_ns, 0)
        return False


@pytest.fixture
def clock() -> JumpingClock:
    return JumpingClock()


@pytest.fixture
def context(clock: JumpingClock) -> Callable[[Mode], OpenContext]:
    """A function that makes the context to open a source with."""

    def make(mode: Mode) -> OpenContext:
        return OpenContext(mode, "test", clock, cores=2, deadline_ns=None)

    return make


@pytest.fixture
def read_all(context: Callable[[Mode], OpenContext]) -> Callable[..., list[Sample]]:
    """A function that opens a source, reads it to its end and closes it."""

    def read(source: Source, *, mode: Mode = Mode.LOSSLESS, at_most: int = 2000) -> list[Sample]:
        source.open(context(mode))
        samples = []
        try:
            while len(samples) < at_most and (sample := source.read()) is not None:
                samples.append(sample)
        finally:
            source.close()
        return samples

    return read


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """A function that starts a TCP server on 127.0.0.1 with the given behaviour per connection; returns its port."""
    sockets: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(behave: Callable[[socket.socket], None]) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        sockets.append(listener)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    sockets.append(connection)
                    worker = threading.Thread(target=answer, args=(connection,))
                    threads.append(worker)
                    worker.start()

        def answer(connection: socket.socket) -> None:
            with suppress(OSError), connection:
                behave(connection)

        acceptor = threading.Thread(target=accept)
        threads.append(acceptor)
        acceptor.start()
        return int(listener.getsockname()[1])

    yield start
    for opened in sockets:
        with suppress(OSError):
            opened.shutdown(socket.SHUT_RDWR)
        opened.close()
    for thread in threads:
        thread.join(10)
