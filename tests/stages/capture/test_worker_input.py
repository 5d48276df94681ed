"""The program's side of a camera that a process of its own reads: no wait is longer than it may be."""

from __future__ import annotations

import itertools
import json
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import av
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.clock import NS_PER_MS, NS_PER_S, RealClock
from pipeline.errors import Outage, SourceOpenError, StreamLost
from stages.capture import wire, worker_input
from stages.capture.live_input import FFmpegInput, LiveInput
from stages.capture.targets import parse_target
from stages.capture.wire import Header, Kind
from stages.capture.worker_input import WorkerInput

CLOCK = RealClock()
GENEROUS_NS = NS_PER_S
"""For what is over in a moment, on a machine that does other things as well."""
SILENCE_NS = 400 * NS_PER_MS

Behaviour: TypeAlias = Callable[[socket.socket], None]
Server: TypeAlias = Callable[[Behaviour], int]
OpenWorker: TypeAlias = Callable[..., WorkerInput]


def reader() -> psutil.Process:
    """Return the process that reads the only camera."""
    (process,) = psutil.Process().children()
    return process


def loss(live_input: LiveInput) -> StreamLost:
    """Read until the camera is lost; return how, which a second read says as well."""
    with pytest.raises(StreamLost) as lost:
        list(iter(live_input.read, None))
    with pytest.raises(StreamLost) as again:
        live_input.read()
    assert (again.value.why, again.value.outage) == (lost.value.why, lost.value.outage)
    return lost.value


def say_nothing(connection: socket.socket) -> None:
    """Keep the connection until the other side ends it."""
    while connection.recv(4096):
        pass


def test_a_silent_camera_is_lost(silent_camera: str, open_worker: OpenWorker) -> None:
    """When nothing comes for the stall timeout, the camera is lost, and its process gone at once."""
    lost = loss(open_worker(silent_camera, stall_timeout_ns=SILENCE_NS))
    assert (lost.why, lost.outage) == ("went silent", Outage.SILENT)
    assert psutil.Process().children() == []


def test_a_stuck_process_is_replaced(silent_camera: str, open_worker: OpenWorker) -> None:
    """A demuxer that nothing interrupts is lost within its bound and killed, and the next one gives pictures."""
    live_input = open_worker(silent_camera, stall_timeout_ns=SILENCE_NS)
    os.kill(reader().pid, signal.SIGSTOP)
    begin_ns = CLOCK.now_ns()
    assert loss(live_input).outage is Outage.SILENT
    assert SILENCE_NS <= CLOCK.now_ns() - begin_ns < SILENCE_NS + GENEROUS_NS
    assert psutil.Process().children() == []
    assert open_worker(silent_camera).read().packet is not None


def test_closing_does_not_wait_for_a_stuck_process(silent_camera: str, open_worker: OpenWorker) -> None:
    """A process that does not react is killed and reaped, and closing again does nothing."""
    live_input = open_worker(silent_camera)
    os.kill(reader().pid, signal.SIGSTOP)
    begin_ns = CLOCK.now_ns()
    live_input.close()
    assert CLOCK.now_ns() - begin_ns < GENEROUS_NS
    assert psutil.Process().children() == []
    live_input.close()


def test_a_process_that_is_stuck_while_it_opens_is_given_up(serve: Server, open_worker: OpenWorker) -> None:
    """The bound for opening holds also where FFmpeg itself does not keep it."""
    asked_ns: list[int] = []

    def behave(connection: socket.socket) -> None:
        asked_ns.append(CLOCK.now_ns())
        os.kill(reader().pid, signal.SIGSTOP)
        say_nothing(connection)

    with pytest.raises(SourceOpenError, match=r"no answer within 300ms$"):
        open_worker(f"http://127.0.0.1:{serve(behave)}/camera", open_timeout_ns=300 * NS_PER_MS)
    assert CLOCK.now_ns() - asked_ns[0] < 300 * NS_PER_MS + GENEROUS_NS
    assert psutil.Process().children() == []


def test_a_killed_process_is_a_lost_camera(silent_camera: str, open_worker: OpenWorker) -> None:
    """What a crash does, or the kernel when memory is short, is told in one line."""
    live_input = open_worker(silent_camera)
    os.kill(reader().pid, signal.SIGKILL)
    lost = loss(live_input)
    assert lost.why == "the process that reads it was ended by signal 9 (Killed)"
    assert lost.outage is Outage.ERROR


def test_a_closed_camera_gives_nothing(silent_camera: str, open_worker: OpenWorker) -> None:
    """A read after closing says so, and touches no file that has taken the place of the pipe."""
    live_input = open_worker(silent_camera)
    live_input.close()
    readable, writable = os.pipe()
    os.write(writable, b"of somebody else")
    with pytest.raises(StreamLost, match=r"^it is closed$"):
        live_input.read()
    assert os.read(readable, 100) == b"of somebody else"
    os.close(readable)
    os.close(writable)


def refuse(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b'HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n')


def send_text(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b"no video " * 1000)


def hang_up(connection: socket.socket) -> None:
    connection.recv(4096)


@pytest.mark.parametrize("behave", [refuse, send_text, hang_up, say_nothing, None])
def test_what_hinders_opening_is_told_word_for_word(
    serve: Server, open_worker: OpenWorker, behave: Behaviour | None
) -> None:
    """The text is that of opening here, and holds no password."""
    if behave is None:
        with socket.create_server(("127.0.0.1", 0)) as nobody:
            port = nobody.getsockname()[1]
    else:
        port = serve(behave)
    url = f"http://user:secret@127.0.0.1:{port}/camera?token=hidden"
    second = NS_PER_S
    with pytest.raises(SourceOpenError) as here:
        FFmpegInput(parse_target(url), CLOCK, options={}, open_timeout_ns=second, stall_timeout_ns=second)
    with pytest.raises(SourceOpenError) as there:
        open_worker(url, open_timeout_ns=second)
    assert str(there.value) == str(here.value)
    assert "secret" not in str(there.value)
    assert "hidden" not in str(there.value)
    assert psutil.Process().children() == []


def test_a_webcam_that_is_not_there_is_told(open_worker: OpenWorker) -> None:
    """Drivers are asked in the process, too."""
    with pytest.raises(SourceOpenError, match=r"no such camera$"):
        open_worker("/dev/video99")


@pytest.mark.parametrize("length", [1 << 17, 1 << 21])
def test_an_endless_address_is_refused(open_worker: OpenWorker, length: int) -> None:
    """What does not fit through the pipe is no address."""
    with pytest.raises(SourceOpenError, match=r"its address is too long$"):
        open_worker("http://127.0.0.1/" + "x" * length)


def test_no_process_no_camera(open_worker: OpenWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the system cannot start a process, that is why the camera is not opened."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(SourceOpenError, match=r"no process can be started to read it: no such file or directory$"):
        open_worker("http://127.0.0.1/camera")


def test_a_process_that_ends_at_once_is_told(open_worker: OpenWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that fails before it has said anything is one line."""
    monkeypatch.setattr(worker_input, "_PROGRAM", "raise ImportError")
    with pytest.raises(SourceOpenError, match=r"the process that reads it ended with status 1$"):
        open_worker("http://127.0.0.1/camera")


def test_stopping_ends_a_read(silent_camera: str, open_worker: OpenWorker) -> None:
    """A read asks again and again whether the run is being stopped, and then ends soon, however patient it is."""
    asked_ns: list[int] = []
    is_open = False

    def is_interrupted() -> bool:
        asked_ns.append(CLOCK.now_ns())
        return is_open and len(asked_ns) > 5

    live_input = open_worker(silent_camera, stall_timeout_ns=60 * NS_PER_S, is_interrupted=is_interrupted)
    asked_ns.clear()
    is_open = True
    assert loss(live_input).why == "the run is being stopped"
    asked_ns.append(CLOCK.now_ns())
    assert max(later - earlier for earlier, later in itertools.pairwise(asked_ns)) < GENEROUS_NS
    assert psutil.Process().children() == []


def test_stopping_ends_an_opening(serve: Server, open_worker: OpenWorker) -> None:
    """A run that is being stopped waits for no camera that does not answer."""
    stopped_ns: list[int] = []

    def behave(connection: socket.socket) -> None:
        stopped_ns.append(CLOCK.now_ns())
        say_nothing(connection)

    url = f"http://127.0.0.1:{serve(behave)}/camera"
    with pytest.raises(SourceOpenError, match=r"the run is being stopped$"):
        open_worker(url, open_timeout_ns=60 * NS_PER_S, is_interrupted=lambda: bool(stopped_ns))
    assert CLOCK.now_ns() - stopped_ns[0] < GENEROUS_NS
    assert psutil.Process().children() == []


def saying(tmp_path: Path, said: bytes) -> Callable[[], subprocess.Popen[bytes]]:
    """Return what starts a process that says this, hears a request, and ends."""
    path = tmp_path / "said"
    path.write_bytes(said)

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["sh", "-c", 'cat "$0"; head -c 1 > /dev/null', str(path)],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    return start


def message(kind: Kind, content: object = None) -> bytes:
    body = b"" if content is None else json.dumps(content).encode()
    return Header(kind, len(body)).pack() + body


OPENED = {
    "format_name": "mpegts",
    "rate": [25, 1],
    "is_finite": False,
    "codec": wire.describe_codec(av.CodecContext.create("h264", "r")),
}
READY = message(Kind.READY)
CONVERSATION = READY + message(Kind.OPENED, OPENED) + Header(Kind.PACKET, 3).pack() + b"abc"
NONSENSE = "the process that reads it said something that nobody understands"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kept=st.integers(0, len(CONVERSATION)) | st.just(len(CONVERSATION)), noise=st.binary(max_size=200))
def test_a_process_that_raves_is_a_lost_camera(
    open_worker: OpenWorker, tmp_path: Path, kept: int, noise: bytes
) -> None:
    """Whatever the process says and wherever it breaks off, opening or reading ends in one plain line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker_input, "_start", saying(tmp_path, CONVERSATION[:kept] + noise))
        with pytest.raises((SourceOpenError, StreamLost)) as ended:
            list(iter(open_worker("http://127.0.0.1/camera").read, None))
    assert ended.value.why in (NONSENSE, "the process that reads it ended with status 0")


@pytest.mark.parametrize(
    "said",
    [
        message(Kind.OPENED, OPENED),
        READY + message(Kind.OPENED, {**OPENED, "rate": [1, 0]}),
        READY + message(Kind.OPENED, {**OPENED, "codec": None}),
        READY + message(Kind.OPENED, []),
        READY + message(Kind.PACKET),
        READY + message(Kind.LOST, {"why": "because"}),
        Header(Kind.READY, wire.MAX_JSON + 1).pack(),
    ],
    ids=["out of order", "rate", "codec", "shape", "packet", "no outage", "size"],
)
def test_a_process_that_says_the_wrong_thing_opens_nothing(
    open_worker: OpenWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    """Messages out of order, of the wrong shape or beyond measure are one line, not a traceback."""
    monkeypatch.setattr(worker_input, "_start", saying(tmp_path, said))
    with pytest.raises(SourceOpenError) as refused:
        open_worker("http://127.0.0.1/camera")
    assert refused.value.why == NONSENSE


@pytest.mark.parametrize(
    "said",
    [READY, message(Kind.LOST, {"why": "because", "outage": "tired"}), Header(Kind.PACKET, wire.MAX_PACKET + 1).pack()],
    ids=["out of order", "outage", "size"],
)
def test_a_process_that_says_the_wrong_thing_later_is_a_lost_camera(
    open_worker: OpenWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    """So it is after packets that were right, which are given."""
    monkeypatch.setattr(worker_input, "_start", saying(tmp_path, CONVERSATION + said))
    live_input = open_worker("http://127.0.0.1/camera")
    packet = live_input.read().packet
    assert packet is not None
    assert bytes(packet) == b"abc"
    lost = loss(live_input)
    assert (lost.why, lost.outage) == (NONSENSE, Outage.ERROR)


def test_the_process_inherits_no_secret(
    silent_camera: str, open_worker: OpenWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It parses what a camera sends; whoever took it over would find nothing."""
    monkeypatch.setenv("FRAMEPACE_TOKEN", "a-token-of-the-page")
    monkeypatch.setenv("CAMERA_PASSWORD", "hush")
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    open_worker(silent_camera)
    names = reader().environ().keys()
    assert {"PATH", "https_proxy"} <= names
    assert not names & {"FRAMEPACE_TOKEN", "CAMERA_PASSWORD"}


def test_the_process_may_claim_only_so_much(silent_camera: str, open_worker: OpenWorker) -> None:
    """A part without an end, or of a false length, ends that process at most; room for large pictures is added."""
    open_worker(silent_camera)
    most, _ = resource.prlimit(reader().pid, resource.RLIMIT_DATA)
    assert 100 << 20 < most < 300 << 20
