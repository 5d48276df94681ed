"""Opening and reading: what cannot be opened is said in one line, quickly."""

from __future__ import annotations

import socket
import wave
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from pipeline.clock import NS_PER_MS, NS_PER_S
from pipeline.errors import SourceOpenError
from stages.capture.demux import open_input, packets
from stages.capture.targets import parse_target

CLIP = Path(__file__).resolve().parents[3] / "sample_videos" / "pedestrians.mp4"


def opened(text: str, *, open_timeout_ns: int = NS_PER_S) -> tuple[av.container.InputContainer, av.VideoStream]:
    return open_input(parse_target(text), options={}, open_timeout_ns=open_timeout_ns, read_timeout_ns=NS_PER_S)


def refused(text: str, *, open_timeout_ns: int = NS_PER_S) -> SourceOpenError:
    with pytest.raises(SourceOpenError) as caught:
        opened(text, open_timeout_ns=open_timeout_ns)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    return caught.value


def test_a_missing_file(tmp_path: Path) -> None:
    """A path that leads nowhere."""
    error = refused(str(tmp_path / "none.mp4"))
    assert error.why == "no such file"
    assert error.what == str(tmp_path / "none.mp4")


def test_a_directory(tmp_path: Path) -> None:
    """A folder is searched for pictures, not for videos."""
    assert refused(str(tmp_path)).why == "is a directory without pictures; give one video file"


def test_an_empty_file(tmp_path: Path) -> None:
    """A file of no bytes."""
    (tmp_path / "zero.mp4").touch()
    assert refused(str(tmp_path / "zero.mp4")).why == "the file is empty"


@pytest.mark.parametrize("name", ["notes.mp4", "notes.txt"])
def test_a_text_file(tmp_path: Path, name: str) -> None:
    """Text is no video, also where the library could draw it as one."""
    (tmp_path / name).write_text("to be, or not to be\n" * 50)
    assert "not a video" in refused(str(tmp_path / name)).why


def test_a_recording_that_was_never_finished(tmp_path: Path) -> None:
    """An MP4 without its index is named as that."""
    with CLIP.open("rb") as clip:
        (tmp_path / "cut.mp4").write_bytes(clip.read(2000))
    assert "index (moov atom) is missing" in refused(str(tmp_path / "cut.mp4")).why


def test_audio_without_video(tmp_path: Path) -> None:
    """A sound file has no frames; the message says what was found."""
    path = tmp_path / "sound.wav"
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(4000))
    assert refused(str(path)).why == "has no video stream (found: audio)"


def test_a_wrong_filter_graph() -> None:
    """A graph that the library does not know."""
    assert refused("lavfi:no_such_filter=1").why == "the filter graph is not understood"


def test_no_camera() -> None:
    """A webcam that is not there."""
    assert refused("webcam:93").why == "no such camera"


def test_nobody_listens() -> None:
    """A refused connection is said without the password."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    error = refused(f"rtsp://user:secret@127.0.0.1:{port}/x")
    assert error.what == f"rtsp://***@127.0.0.1:{port}/x"
    assert error.why == "connection refused"


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_dead_camera_is_given_up(serve, scheme: str) -> None:  # type: ignore[no-untyped-def]
    """A server that takes the connection and says nothing is given up; half the open timeout is for connecting."""

    def listen(connection: socket.socket) -> None:
        while connection.recv(4096):
            pass

    port = serve(listen)
    error = refused(f"{scheme}://user:secret@127.0.0.1:{port}/x", open_timeout_ns=400 * NS_PER_MS)
    assert "answer within 200ms" in error.why


def test_a_refused_password(serve) -> None:  # type: ignore[no-untyped-def]
    """HTTP 401 is said in words."""
    port = serve(lambda connection: connection.recv(4096) and connection.sendall(b"HTTP/1.1 401 Unauthorized\r\n\r\n"))
    assert refused(f"http://user:secret@127.0.0.1:{port}/x").why == "user name or password refused (401)"


def test_every_packet_is_read() -> None:
    """All packets of the sample clip come, in order."""
    container, stream = opened(str(CLIP))
    with container:
        dts = [packet.dts for packet in packets(container, stream, parse_target(str(CLIP)))]
    assert len(dts) == 795
    assert dts == sorted(dts)


def test_matroska_gets_its_missing_decode_times(make_clip) -> None:  # type: ignore[no-untyped-def]
    """Every packet of a file with B-frames has a decode time that no later packet is presented before."""
    path = str(make_clip("b.mkv", b_frames=3))
    container, stream = opened(path)
    with container:
        times = [(packet.pts, packet.dts) for packet in packets(container, stream, parse_target(path))]
    assert [pts for pts, _ in times] != sorted(pts for pts, _ in times)
    for place, (_, dts) in enumerate(times):
        assert dts is not None
        assert all(pts >= dts for pts, _ in times[place:])


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with three small pictures that are numbered from 7."""
    folder = tmp_path / "12:30 pictures[1]"
    folder.mkdir()
    for number in range(7, 10):
        cv2.imwrite(str(folder / f"img_{number:04d}.png"), np.full((32, 48, 3), 20 * number, np.uint8))
    return folder


@pytest.mark.parametrize("pattern", ["img_%04d.png", ""])
def test_pictures_in_the_order_of_their_names(pictures: Path, pattern: str) -> None:
    """By number, wherever it begins, or all of a folder, whatever is in its name."""
    address = str(pictures / pattern)
    container, stream = opened(address)
    with container:
        grey = [frame.to_ndarray(format="gray")[0, 0] for frame in container.decode(stream)]
    assert len(grey) == 3
    assert grey == sorted(grey)


def test_a_pattern(pictures: Path, tmp_path: Path) -> None:
    """With a star, in a folder whose name has nothing special."""
    plain = pictures.rename(tmp_path / "plain")
    container, stream = opened(str(plain / "*.png"))
    with container:
        assert len(list(packets(container, stream, parse_target("x.mp4")))) == 3


@pytest.mark.parametrize("name", ["img_%02d.jpg", "*.bmp"])
def test_no_such_pictures(pictures: Path, name: str) -> None:
    """A pattern that nothing fits is a file that is missing."""
    assert refused(str(pictures / name)).why == "no such file"


def test_a_name_with_colons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands before a colon is no protocol in the name of a file that is there."""
    monkeypatch.chdir(tmp_path)
    Path("2024-01-05T12:30:00Z.mp4").symlink_to(CLIP)
    container, _ = opened("2024-01-05T12:30:00Z.mp4")
    container.close()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("text/html", "the server sends text/html, not a video; is it a login page, or the address of another thing?"),
        ("application/json", "the server sends application/json, not a video"),
    ],
)
def test_a_server_that_sends_something_else(serve, kind: str, words: str) -> None:  # type: ignore[no-untyped-def]
    """What it says of it is told."""
    content = b"<html><body>Please log in</body></html>"
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n".encode()
    port = serve(lambda connection: connection.recv(4096) and connection.sendall(head + content))
    assert words in refused(f"http://127.0.0.1:{port}/x").why


def test_a_server_that_redirects_to_itself(serve) -> None:  # type: ignore[no-untyped-def]
    """The circle is named."""
    head = b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    port = serve(lambda connection: connection.recv(4096) and connection.sendall(head))
    assert refused(f"http://127.0.0.1:{port}/x").why == "the server redirects in a circle"
