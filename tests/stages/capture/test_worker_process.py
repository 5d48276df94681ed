"""The process that reads a camera: it gives what FFmpeg gives, keeps to itself, and ends when it should."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import av
import numpy as np
import psutil
import pytest

from pipeline.clock import NS_PER_S, RealClock
from pipeline.errors import Outage, StreamLost
from stages.capture import wire
from stages.capture.live_input import FFmpegInput, LiveInput, Unit
from stages.capture.targets import parse_target
from stages.capture.worker_input import WorkerInput

ROOT = Path(__file__).resolve().parents[3]
MJPEG = {"codec": "mjpeg", "pix_fmt": "yuvj420p", "options": {}}

Server: TypeAlias = Callable[[Callable[[socket.socket], None]], int]
MakeClip: TypeAlias = Callable[..., Path]
OpenWorker: TypeAlias = Callable[..., WorkerInput]


def camera_of(serve: Server, content: bytes, kind: str = "video") -> str:
    """Return the address of a camera that gives this and hangs up."""

    def behave(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\n".encode() + content)

    return f"http://127.0.0.1:{serve(behave)}/camera"


def read_all(live_input: LiveInput) -> tuple[list[Unit], StreamLost]:
    """Read until the camera is lost; return what it gave, and how it was lost."""
    units: list[Unit] = []
    with pytest.raises(StreamLost) as lost:
        units.extend(iter(live_input.read, None))
    return units, lost.value


def decoded(units: list[Unit], codec: av.VideoCodecContext) -> Iterator[av.VideoFrame]:
    for unit in units:
        yield from codec.decode(unit.packet)
    yield from codec.decode(None)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.ts", {"b_frames": 2}),
        ("a.mkv", {"b_frames": 2}),
        ("a.flv", {"b_frames": 2}),  # parameter sets come beside packets as well
        ("a.nut", {"codec": "rawvideo", "pix_fmt": "yuyv422", "options": {}}),
    ],
)
def test_it_reads_as_if_it_were_read_here(
    serve: Server, make_clip: MakeClip, open_worker: OpenWorker, name: str, options: dict[str, object]
) -> None:
    """Facts, packets, stamps, pictures and the end are those of FFmpeg on this thread, also of streams that reorder."""
    url = camera_of(serve, make_clip(name, **options).read_bytes())
    clock = RealClock()
    begin_ns = clock.now_ns()
    second = NS_PER_S
    here = FFmpegInput(parse_target(url), clock, options={}, open_timeout_ns=second, stall_timeout_ns=second)
    there = open_worker(url)
    (units_here, end_here), (units_there, end_there) = read_all(here), read_all(there)
    assert there.facts == here.facts
    assert (end_there.why, end_there.outage) == (end_here.why, end_here.outage)
    for one, other in zip(units_there, units_here, strict=True):
        assert bytes(one.packet) == bytes(other.packet)
        for field in ("pts", "dts", "time_base", "is_keyframe", "is_corrupt"):
            assert getattr(one.packet, field) == getattr(other.packet, field), field
        assert (one.stamps.pts_ns, one.stamps.dts_ns) == (other.stamps.pts_ns, other.stamps.dts_ns)
    arrivals = [begin_ns, *(unit.stamps.arrival_ns for unit in units_there), clock.now_ns()]
    assert arrivals == sorted(arrivals)
    pictures_here, pictures_there = decoded(units_here, here.codec), decoded(units_there, there.codec)
    count = 0
    for one, other in zip(pictures_there, pictures_here, strict=True):
        assert (one.pts, one.format.name, one.key_frame) == (other.pts, other.format.name, other.key_frame)
        assert np.array_equal(one.to_ndarray(format="rgb24"), other.to_ndarray(format="rgb24"))
        count += 1
    assert count == 30
    here.close()


def part(jpeg: bytes, size: int) -> bytes:
    """Return a picture as MJPEG cameras send it, filled up to a size."""
    head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % size
    return head + jpeg + bytes(size - len(jpeg)) + b"\r\n"


def test_pictures_of_their_own_come_as_they_are(serve: Server, make_clip: MakeClip, open_worker: OpenWorker) -> None:
    """MJPEG, as webcams and network cameras give it."""
    jpeg = make_clip("a.mjpeg", frames=1, **MJPEG).read_bytes()
    sizes = [200_000 + number for number in range(5)]
    pictures = b"".join(part(jpeg, size) for size in sizes)
    live_input = open_worker(camera_of(serve, pictures, "multipart/x-mixed-replace; boundary=frame"))
    units, _ = read_all(live_input)
    assert [unit.packet.size for unit in units] == sizes
    assert len(list(decoded(units, live_input.codec))) == 5


def test_the_end_of_a_stream_is_an_end(serve: Server, make_clip: MakeClip, open_worker: OpenWorker) -> None:
    """A camera that hangs up has neither failed nor gone silent."""
    live_input = open_worker(camera_of(serve, make_clip("a.ts").read_bytes()))
    units, lost = read_all(live_input)
    assert len(units) == 30
    assert (lost.why, lost.outage) == ("the connection was closed", Outage.ENDED)


def test_a_stream_that_changes_its_parameters_is_lost(
    serve: Server, make_clip: MakeClip, open_worker: OpenWorker
) -> None:
    """Parameter sets that come beside packets cannot be handed on: the camera is opened again for new ones."""
    first = make_clip("small.flv", frames=10).read_bytes()
    second = make_clip("large.flv", frames=10, size=(640, 480)).read_bytes()
    # Without the file's header, and the size of the tag before the first (Adobe FLV specification 10.1, E.2 and E.3).
    live_input = open_worker(camera_of(serve, first + second[13:]))
    units, lost = read_all(live_input)
    assert len(units) == 10
    assert lost.why == "the stream has changed its parameters"


def test_a_packet_beyond_measure_is_refused(serve: Server, make_clip: MakeClip, open_worker: OpenWorker) -> None:
    """A picture of more than 64 MiB ends the stream with one plain line."""
    jpeg = make_clip("a.mjpeg", frames=1, **MJPEG).read_bytes()
    pictures = b"".join(part(jpeg, size) for size in (200_000, wire.MAX_PACKET + 1, 200_000))
    live_input = open_worker(camera_of(serve, pictures, "multipart/x-mixed-replace; boundary=frame"))
    units, lost = read_all(live_input)
    assert len(units) == 1
    assert lost.why == "sends pictures of more than 64 MiB"


def test_it_keeps_to_itself(silent_camera: str, open_worker: OpenWorker, tmp_path: Path) -> None:
    """Its command line holds no password, its output goes nowhere, and it holds no file of the program."""
    path = tmp_path / "file of the program"
    with path.open("w") as file:
        os.set_inheritable(file.fileno(), True)
        open_worker(silent_camera)
    (process,) = psutil.Process().children()
    words = process.cmdline()
    assert "framepace-capture" in words
    assert not any("secret" in word for word in words)
    links = {name: os.readlink(f"/proc/{process.pid}/fd/{name}") for name in os.listdir(f"/proc/{process.pid}/fd")}
    assert links["1"] == links["2"] == "/dev/null"
    assert str(path) not in links.values()


def test_it_is_out_of_reach_of_the_terminal(silent_camera: str, open_worker: OpenWorker) -> None:
    """Ctrl-C goes to the program's process group, and the program decides."""
    open_worker(silent_camera)
    (process,) = psutil.Process().children()
    assert os.getpgid(process.pid) == process.pid != os.getpgid(0)


def test_it_outlives_the_thread_that_started_it(silent_camera: str, open_worker: OpenWorker) -> None:
    """Opening is done by one thread, and reading by another."""
    inputs: list[WorkerInput] = []
    opener = threading.Thread(target=lambda: inputs.append(open_worker(silent_camera)))
    opener.start()
    opener.join(10)
    (live_input,) = inputs
    (process,) = psutil.Process().children()
    for _ in range(40):
        assert live_input.read().packet is not None
    assert process.is_running()


PROGRAM = """
import sys
sys.path[:] = {path!r}
from pipeline.clock import NS_PER_S, RealClock
from stages.capture.targets import parse_target
from stages.capture.worker_input import WorkerInput
live_input = WorkerInput(
    parse_target({url!r}), RealClock(), options={{}}, open_timeout_ns=9 * NS_PER_S, stall_timeout_ns=900 * NS_PER_S,
    is_interrupted=lambda: False
)
print("open", flush=True)
while True:
    live_input.read()
"""


def test_it_ends_with_the_program(silent_camera: str) -> None:
    """A program that is killed leaves no process behind, even though FFmpeg is waiting for the camera."""
    code = PROGRAM.format(path=[str(ROOT), *sys.path], url=silent_camera)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"open\n"
        (process,) = psutil.Process(program.pid).children()
        handle = os.pidfd_open(process.pid)
        ended = select.poll()
        ended.register(handle, select.POLLIN)
        assert not ended.poll(0)
        program.kill()
    assert ended.poll(10_000)
    os.close(handle)
