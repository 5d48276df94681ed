"""A clock that never makes a test wait, cameras, and ways to open and read a source."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest

from pipeline.clock import NS_PER_S, Clock, RealClock
from pipeline.frame import Mode
from pipeline.stage import OpenContext, Sample, Source
from stages.capture.targets import parse_target
from stages.capture.worker_input import WorkerInput


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


def pipes() -> set[str]:
    """Return the pipes of this process."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the one that the folder was listed with
            found.add(os.readlink(f"/proc/self/fd/{name}"))
    return {link for link in found if link.startswith("pipe:")}


@pytest.fixture
def nothing_left(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """After the test there is no process, no zombie, no pipe and no temporary file that was not there before."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    before = pipes()
    yield
    assert psutil.Process().children() == []
    assert pipes() == before
    assert list(folder.iterdir()) == []


@pytest.fixture
def open_worker(nothing_left: None) -> Iterator[Callable[..., WorkerInput]]:
    """A function that has an address read by a process of its own, until the end of the test at the latest."""
    with ExitStack() as inputs:

        def make(
            url: str,
            *,
            open_timeout_ns: int = 5 * NS_PER_S,
            stall_timeout_ns: int = 5 * NS_PER_S,
            is_interrupted: Callable[[], bool] = lambda: False,
        ) -> WorkerInput:
            live_input = WorkerInput(
                parse_target(url),
                RealClock(),
                options={},
                open_timeout_ns=open_timeout_ns,
                stall_timeout_ns=stall_timeout_ns,
                is_interrupted=is_interrupted,
            )
            inputs.callback(live_input.close)
            return live_input

        yield make


@pytest.fixture
def silent_camera(serve: Callable[[Callable[[socket.socket], None]], int], make_clip: Callable[..., Path]) -> str:
    """The address, with a password, of a camera that gives two seconds of video, and then nothing for ever."""
    video = make_clip("camera.ts", frames=50).read_bytes()

    def behave(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + video)
        while connection.recv(4096):
            pass

    return f"http://user:secret@127.0.0.1:{serve(behave)}/camera"
