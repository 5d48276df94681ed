"""The RTSP client against cameras that answer as the test says."""

from __future__ import annotations

import base64
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterable

import pytest

from pipeline.clock import NS_PER_MS, NS_PER_S, RealClock
from pipeline.errors import Outage, SourceOpenError, StreamLost
from pipeline.testing import open_context
from stages.capture.rtsp.client import RtspClient
from stages.capture.rtsp.handshake import CannotOpen, ClientSettings, Handshake
from stages.capture.rtsp.sdp import UnsupportedMedia
from stages.capture.video import VideoOptions, VideoSource

SDP = """v=0
o=- 0 0 IN IP4 127.0.0.1
s=camera
t=0 0
a=control:*
m=video 0 RTP/AVP 96
a=rtpmap:96 {codec}/90000
a=fmtp:96 packetization-mode=1
a=control:trackID=1
"""
TRANSPORT = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: abc;timeout=60\r\n"


def settings(**changed: object) -> ClientSettings:
    usual: dict[str, object] = {
        "transport": "tcp",
        "open_timeout_ns": 5 * NS_PER_S,
        "stall_timeout_ns": 300 * NS_PER_MS,
        "reorder_ns": 20 * NS_PER_MS,
        "verify_tls": True,
    }
    return ClientSettings(**{**usual, **changed})  # type: ignore[arg-type]  # the test names real fields


def never() -> bool:
    return False


class Camera:
    """Answers each method with the head and body that the test gives, and sends media after PLAY.

    Args:
        answers: by method, what stands between the CSeq line and the blank line, beginning with the status.
        media: what is sent behind the response to PLAY.
        codec: of the description.
    """

    def __init__(
        self, answers: dict[str, str | list[str]] | None = None, *, media: Iterable[bytes] = (), codec: str = "H264"
    ) -> None:
        self.answers: dict[str, str | list[str]] = {
            "OPTIONS": "200 OK\r\nPublic: DESCRIBE, SETUP, PLAY, TEARDOWN\r\n",
            "DESCRIBE": "200 OK\r\nContent-Type: application/sdp\r\n",
            "SETUP": f"200 OK\r\n{TRANSPORT}",
            "PLAY": "200 OK\r\n",
            **(answers or {}),
        }
        self.sdp = SDP.format(codec=codec)
        self.numbered: Callable[[int], int] = lambda asked: asked
        self.media = list(media)
        self.requests: list[tuple[str, str, str]] = []
        """Method, URL, and all header lines."""
        self.hung_up = threading.Event()

    def __call__(self, connection: socket.socket) -> None:
        kept = b""
        while data := connection.recv(4096):
            kept += data
            while (match := re.search(rb"\r\n\r\n", kept)) is not None:
                head, kept = kept[: match.start()].decode("latin-1"), kept[match.end() :]
                head = head[head.rfind("$") + 1 :] if head.startswith("$") else head
                self._answer(connection, head)
        self.hung_up.set()

    def _answer(self, connection: socket.socket, head: str) -> None:
        line, _, headers = head.partition("\r\n")
        method, url, _ = line.split(" ")
        self.requests.append((method, url, headers))
        answer = self.answers.get(method, "200 OK\r\n")
        if isinstance(answer, list):
            answer = answer.pop(0)
        if not answer:
            return
        sequence = re.search(r"(?i)CSeq: (\d+)", headers)
        assert sequence is not None
        body = self.sdp if method == "DESCRIBE" and answer.startswith("200") else ""
        status, _, rest = answer.partition("\r\n")
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        connection.sendall(
            f"RTSP/1.0 {status}\r\nCSeq: {self.numbered(int(sequence[1]))}\r\n{rest}{length}\r\n{body}".encode()
        )
        if method == "PLAY":
            for piece in self.media:
                connection.sendall(piece)


def framed(packet: bytes, channel: int = 0) -> bytes:
    return struct.pack(">cBH", b"$", channel, len(packet)) + packet


def connect(
    camera: Camera, serve: Callable[..., int], url: str = "rtsp://127.0.0.1:{}/live", **changed: object
) -> RtspClient:
    return RtspClient(url.format(serve(camera)), settings(**changed), RealClock(), never)


def read_on(client: RtspClient) -> None:
    """Read until the stream is lost."""
    while True:
        client.read()


@pytest.fixture
def media(encode, sender):  # type: ignore[no-untyped-def]
    """The clip and its packets, framed for the connection."""
    video = encode("h264", pictures=8, gop=8)
    return video, [framed(packet) for picture in sender("h264").video(video) for packet in picture]


def test_every_picture_comes_out_as_it_was_sent(serve, media, annexb) -> None:  # type: ignore[no-untyped-def]
    """Whole, in order, with the camera's own time stamps, the last one too."""
    video, packets = media
    client = connect(Camera(media=packets), serve)
    units = [client.read() for _ in video.units]
    assert [unit.data for unit in units] == [annexb(nals) for nals in video.units]
    assert [unit.timestamp - units[0].timestamp for unit in units] == [3000 * pts for pts in video.pts]
    assert not any(unit.damaged for unit in units)
    client.close()


def test_a_camera_that_sends_nothing_more_is_silent(serve, media) -> None:  # type: ignore[no-untyped-def]
    """Within the stall timeout, also when it never sent anything; the camera is told goodbye."""
    for packets in (media[1], []):
        camera = Camera(media=packets)
        client = connect(camera, serve)
        with pytest.raises(StreamLost, match="no picture came") as lost:
            read_on(client)
        assert lost.value.outage is Outage.SILENT
        client.close()
        client.close()
        assert camera.hung_up.wait(5)
        assert camera.requests[-1][0] == "TEARDOWN"
        assert "Session: abc" in camera.requests[-1][2]


def test_a_connection_that_ends_is_the_end(serve, media) -> None:  # type: ignore[no-untyped-def]
    """After the pictures that came before."""
    video, packets = media

    class Leaves(Camera):
        def _answer(self, connection: socket.socket, head: str) -> None:
            super()._answer(connection, head)
            if head.startswith("PLAY"):
                connection.shutdown(socket.SHUT_RDWR)

    client = connect(Leaves(media=packets), serve)
    assert len([client.read() for _ in video.units]) == 8
    for _ in range(2):
        with pytest.raises(StreamLost, match="closed the connection") as lost:
            client.read()
        assert lost.value.outage is Outage.ENDED
    client.close()


def test_an_interrupt_ends_a_read(serve) -> None:  # type: ignore[no-untyped-def]
    """Long before the stall timeout, because the run is being stopped."""
    asked: list[bool] = []

    def soon() -> bool:
        asked.append(True)
        return len(asked) > 8

    url = f"rtsp://127.0.0.1:{serve(Camera())}/live"
    client = RtspClient(url, settings(stall_timeout_ns=60 * NS_PER_S), RealClock(), soon)
    with pytest.raises(StreamLost, match="stopped"):
        client.read()
    client.close()


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ({"DESCRIBE": "404 Not Found\r\n"}, r"no such stream \(404\)"),
        ({"DESCRIBE": "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\n"}, "none is in its address"),
        ({"DESCRIBE": "401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"x\"\r\n"}, "does not speak: bearer"),
        ({"DESCRIBE": "500 Camera on fire\r\n"}, "refuses DESCRIBE: 500 Camera on fire"),
        ({"SETUP": "453 Not Enough Bandwidth\r\n"}, "no bandwidth"),
        ({"PLAY": "455 Method Not Valid in This State\r\n"}, "refuses PLAY: 455"),
        ({"DESCRIBE": "302 Moved\r\nLocation: http://elsewhere/\r\n"}, "http://, which is no RTSP"),
        ({"DESCRIBE": "302 Moved\r\nLocation: rtsp://[x/\r\n"}, "makes no sense"),
        ({"OPTIONS": "", "DESCRIBE": ""}, "no answer within 300ms"),
    ],
)  # fmt: skip
def test_a_refusal_is_said_in_one_line(serve, answers, why) -> None:  # type: ignore[no-untyped-def]
    """What the camera said, in plain words."""
    with pytest.raises(CannotOpen, match=why):
        connect(Camera(answers), serve, open_timeout_ns=300 * NS_PER_MS)


def test_a_redirect_in_a_circle_ends(serve) -> None:  # type: ignore[no-untyped-def]
    """After a few rounds."""
    camera = Camera({"DESCRIBE": "302 Moved\r\nLocation: /live\r\n"})
    with pytest.raises(CannotOpen, match="redirects more than 5 times"):
        connect(camera, serve)
    assert sum(method == "DESCRIBE" for method, _, _ in camera.requests) == 6


def test_credentials_are_not_taken_to_another_host(serve) -> None:  # type: ignore[no-untyped-def]
    """A redirect must not make us show a password to somebody else."""
    challenge = '401 Unauthorized\r\nWWW-Authenticate: Basic realm="x"\r\n'
    other = Camera({"DESCRIBE": challenge})
    first = Camera({"DESCRIBE": f"301 Moved\r\nLocation: rtsp://localhost:{serve(other)}/live\r\n"})
    with pytest.raises(CannotOpen, match="none is in its address"):
        connect(first, serve, "rtsp://user:secret@127.0.0.1:{}/live")
    assert not any("Authorization" in headers for _, _, headers in other.requests)


def test_the_password_is_shown_when_asked_for_and_never_in_the_url(serve) -> None:  # type: ignore[no-untyped-def]
    """Basic, since this camera wants that."""
    challenge = '401 Unauthorized\r\nWWW-Authenticate: Basic realm="x"\r\n'
    camera = Camera({"DESCRIBE": [challenge, "200 OK\r\nContent-Type: application/sdp\r\n"]})
    connect(camera, serve, "rtsp://user:p%40ss@127.0.0.1:{}/live").close()
    expected = base64.b64encode(b"user:p@ss").decode()
    tried = [headers for method, _, headers in camera.requests if method == "DESCRIBE"]
    assert "Authorization" not in tried[0]
    assert f"Authorization: Basic {expected}" in tried[1]
    assert not any("user" in url for _, url, _ in camera.requests)


@pytest.mark.parametrize(
    ("moved_to", "found"),
    [
        (None, "rtsp://us%40r:p%2Fw@127.0.0.1:{first}/live"),
        ("rtsp://127.0.0.1:{second}/there", "rtsp://us%40r:p%2Fw@127.0.0.1:{second}/there"),
        ("rtsp://localhost:{second}/there", "rtsp://localhost:{second}/there"),
        ("rtsp://its:own@localhost:{second}/there", "rtsp://its:own@localhost:{second}/there"),
    ],
)
def test_where_another_client_may_go(serve, moved_to, found) -> None:  # type: ignore[no-untyped-def]
    """Behind all redirects, with the credentials that may be shown there; nothing is set up on the way."""
    second_camera = Camera()
    second = serve(second_camera)
    moved = {} if moved_to is None else {"DESCRIBE": f"302 Moved\r\nLocation: {moved_to.format(second=second)}\r\n"}
    first_camera = Camera(moved)
    first = serve(first_camera)
    url = f"rtsp://us%40r:p%2Fw@127.0.0.1:{first}/live"
    assert Handshake(url, settings(), RealClock(), never).locate() == found.format(first=first, second=second)
    cameras = [first_camera, second_camera] if moved_to else [first_camera]
    assert all(camera.hung_up.wait(5) for camera in cameras)
    assert {method for camera in cameras for method, _, _ in camera.requests} == {"OPTIONS", "DESCRIBE"}


def test_ffmpeg_takes_no_credentials_to_another_host(serve) -> None:  # type: ignore[no-untyped-def]
    """It would, if it were redirected itself."""
    challenge = '401 Unauthorized\r\nWWW-Authenticate: Basic realm="x"\r\n'
    other = Camera({"DESCRIBE": challenge})
    first = Camera({"DESCRIBE": f"301 Moved\r\nLocation: rtsp://localhost:{serve(other)}/live\r\n"})
    url = f"rtsp://user:secret@127.0.0.1:{serve(first)}/live"
    source = VideoSource(VideoOptions(url=url, client="ffmpeg"))
    with pytest.raises(SourceOpenError, match="none is in its address") as caught:
        source.open(open_context(RealClock()))
    assert "secret" not in str(caught.value)
    assert not any("Authorization" in headers for _, _, headers in other.requests)


def test_the_urls_are_those_of_the_description(serve) -> None:  # type: ignore[no-untyped-def]
    """SETUP names the stream, PLAY the whole; Content-Base counts for both."""
    base = "200 OK\r\nContent-Base: rtsp://camera.example/stream/\r\n"
    camera = Camera({"DESCRIBE": base})
    connect(camera, serve).close()
    urls = {method: url for method, url, _ in camera.requests}
    assert urls["SETUP"] == "rtsp://camera.example/stream/trackID=1"
    assert urls["PLAY"] == "rtsp://camera.example/stream/"


def test_another_transport_is_tried_when_the_wanted_one_is_refused(serve, media, caplog) -> None:  # type: ignore[no-untyped-def]
    """And the log says so."""
    camera = Camera({"SETUP": ["461 Unsupported Transport\r\n", f"200 OK\r\n{TRANSPORT}"]}, media=media[1])
    client = connect(camera, serve, transport="udp")
    assert client.transport == "tcp"
    assert client.read().key
    client.close()
    assert "does not send over udp; using tcp" in caplog.text


def test_no_transport_at_all_is_not_ours(serve) -> None:  # type: ignore[no-untyped-def]
    """Somebody else may know a way."""
    with pytest.raises(UnsupportedMedia, match="neither TCP nor UDP"):
        connect(Camera({"SETUP": "461 Unsupported Transport\r\n"}), serve)


def test_another_codec_is_not_ours(serve) -> None:  # type: ignore[no-untyped-def]
    """It is named."""
    with pytest.raises(UnsupportedMedia, match="JPEG"):
        connect(Camera(codec="JPEG"), serve)


def test_what_is_no_rtsp_is_said(serve) -> None:  # type: ignore[no-untyped-def]
    """A web server, for example."""
    with pytest.raises(CannotOpen, match=r"hung up|no answer within|reset by peer"):
        RtspClient(
            f"rtsp://127.0.0.1:{serve(lambda connection: connection.sendall(b'HTTP/1.1 400 Bad Request' * 99))}/x",
            settings(open_timeout_ns=300 * NS_PER_MS),
            RealClock(),
            never,
        )


def test_nobody_there_is_said() -> None:
    """The port is closed, the name is unknown, the address makes no sense."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for url, why in (
        (f"rtsp://127.0.0.1:{port}/", "connection refused"),
        ("rtsp://no.such.host.invalid/", "name|address|resol"),
        ("rtsp://127.0.0.1:99999/", "the port in its address"),
        ("rtsp:///live", "no host name"),
        ("rtsp://[::1/live", "makes no sense"),
        (f"rtsp://127.0.0.1:{port}/my cam", "connection refused"),
    ):
        with pytest.raises(CannotOpen, match=why):
            RtspClient(url, settings(), RealClock(), never)


def test_a_server_that_asks_is_answered(serve, media) -> None:  # type: ignore[no-untyped-def]
    """Some servers look whether their clients live; nothing else is done for them."""
    asked = [b"OPTIONS * RTSP/1.0\r\nCSeq: 7\r\n\r\n", b"SET_PARAMETER * RTSP/1.0\r\nCSeq: 8\r\n\r\n"]
    heard: list[bytes] = []

    class Curious(Camera):
        def __call__(self, connection: socket.socket) -> None:
            taken = connection.recv

            class Tapped:
                def recv(self, size: int) -> bytes:
                    while data := taken(size):
                        heard.append(data)
                        if rest := re.sub(rb"RTSP/1.0 \d+ [\w ]+\r\nCSeq: \d+\r\n\r\n", b"", data):
                            return rest
                    return b""

                def sendall(self, data: bytes) -> None:
                    connection.sendall(data)

            super().__call__(Tapped())  # type: ignore[arg-type]  # what the camera needs of it

    camera = Curious(media=[*asked, *media[1]])
    client = connect(camera, serve)
    client.read()
    client.close()
    assert camera.hung_up.wait(5)
    said = b"".join(heard)
    assert b"RTSP/1.0 200 OK\r\nCSeq: 7" in said
    assert b"RTSP/1.0 501 Not Implemented\r\nCSeq: 8" in said


@pytest.mark.parametrize("wrong", [0, -1], ids=["nought", "the one before"])
def test_a_wrong_number_is_the_next_answer_all_the_same(serve, wrong: int) -> None:  # type: ignore[no-untyped-def]
    """Cameras that say CSeq 0 to everything, or lag behind by one, are played."""
    camera = Camera()
    camera.numbered = lambda asked: max(0, asked + wrong) if wrong else 0
    connect(camera, serve).close()
    assert [method for method, _, _ in camera.requests][:4] == ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"]


def test_credentials_go_to_another_port_of_the_same_host(serve) -> None:  # type: ignore[no-untyped-def]
    """As a camera redirects that has a port for its media."""
    challenge = '401 Unauthorized\r\nWWW-Authenticate: Basic realm="x"\r\n'
    other = Camera({"DESCRIBE": [challenge, "200 OK\r\nContent-Type: application/sdp\r\n"]})
    first = Camera({"DESCRIBE": f"301 Moved\r\nLocation: rtsp://127.0.0.1:{serve(other)}/live\r\n"})
    connect(first, serve, "rtsp://user:secret@127.0.0.1:{}/live").close()
    assert any("Authorization" in headers for _, _, headers in other.requests)
