"""What the RTSP camera answers, and how it looks on the wire."""

from __future__ import annotations

import base64
import hashlib
import re
import socket
import time

import pytest

PATIENCE_S = 5.0


def test_the_description_says_what_is_sent(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """Codec, clock, parameter sets, and where the stream is."""
    with rtsp.Camera(clip("hevc")) as camera:
        client = connect(camera)
        client.ask("DESCRIBE")
        sets = re.findall(r"sprop-[vsp]ps=([^;\r\n]+)", client.body)
        assert [base64.b64decode(text) for text in sets] == list(camera.clip.sets)
        assert "a=rtpmap:96 H265/90000\r\n" in client.body
        assert client.headers["content-base"] == f"{client.url}/"
        camera.behaviour.in_band_only = True
        client.ask("DESCRIBE")
        assert "sprop" not in client.body


def test_requests_and_reports_are_kept(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """In the order in which they came."""
    with rtsp.Camera(clip()) as camera:
        client = connect(camera)
        client.play()
        client.connection.sendall(b"$\x01\x00\x08" + b"\x80\xc9\x00\x01abcd")
        assert client.ask("GET_PARAMETER", "X-Test: yes") == 200
        assert client.ask("SET_PARAMETER", "Content-Type: text/parameters", body="volume: 3") == 200
        methods = [asked.method for asked in camera.requests]
        assert methods == ["DESCRIBE", "SETUP", "PLAY", "GET_PARAMETER", "SET_PARAMETER"]
        assert camera.requests[1].url == f"{client.url}/trackID=0"
        assert "X-Test: yes" in camera.requests[3].headers
        assert (camera.reports, camera.last_report) == (1, b"\x80\xc9\x00\x01abcd")


def digest(client, method: str, password: str, algorithm: str) -> str:  # type: ignore[no-untyped-def]
    """Answer the challenge as RFC 7616 section 3.4.1 says."""
    make = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}[algorithm]
    said = dict(re.findall(r'(\w+)="([^"]*)"', client.headers["www-authenticate"]))
    secret = make(f"me:{said['realm']}:{password}".encode()).hexdigest()
    request = make(f"{method}:{client.url}".encode()).hexdigest()
    response = make(f"{secret}:{said['nonce']}:00000001:abc:auth:{request}".encode()).hexdigest()
    return (
        f'Authorization: Digest username="me", realm="{said["realm"]}", nonce="{said["nonce"]}", uri="{client.url}", '
        f'response="{response}", algorithm={algorithm}, qop=auth, nc=00000001, cnonce="abc"'
    )


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_a_digest_is_accepted_when_it_is_right(rtsp, connect, clip, algorithm: str) -> None:  # type: ignore[no-untyped-def]
    """And only then."""
    with rtsp.Camera(clip(), user="me", password="secret", algorithm=algorithm) as camera:
        client = connect(camera)
        assert client.ask("DESCRIBE") == 401
        assert f"algorithm={algorithm}" in client.headers["www-authenticate"]
        assert client.ask("DESCRIBE", digest(client, "DESCRIBE", "wrong", algorithm)) == 401
        assert client.ask("DESCRIBE", digest(client, "DESCRIBE", "secret", algorithm)) == 200


def test_a_password_is_accepted_in_the_clear(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """When the camera asks for Basic, and it is the right one."""
    with rtsp.Camera(clip(), user="me", password="a:b@c", algorithm="Basic") as camera:
        client = connect(camera)
        assert client.ask("DESCRIBE") == 401
        assert client.headers["www-authenticate"].startswith("Basic realm=")
        for password, status in [("wrong", 401), ("a:b@c", 200)]:
            said = base64.b64encode(f"me:{password}".encode()).decode()
            assert client.ask("DESCRIBE", f"Authorization: Basic {said}") == status


def test_the_answer_to_play_names_the_first_packet(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """Its sequence number and its time stamp (RFC 2326 section 12.33)."""
    with rtsp.Camera(clip()) as camera:
        client = connect(camera)
        client.play()
        said = re.search(r"seq=(\d+);rtptime=(\d+)", client.headers["rtp-info"])
        first = client.rtp()
    assert said is not None
    assert (int(said[1]), int(said[2])) == (first.sequence, first.timestamp)


def test_a_pause_lasts_until_the_next_play(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """And the camera answers meanwhile."""
    with rtsp.Camera(clip()) as camera:
        client = connect(camera)
        client.play()
        assert client.ask("PAUSE") == 200
        client.drain()
        assert client.is_silent()
        assert client.ask("GET_PARAMETER") == 200
        assert client.ask("PLAY") == 200
        assert client.peek() == b"$"


def test_after_a_teardown_nothing_is_sent(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """It is answered, though."""
    with rtsp.Camera(clip()) as camera:
        client = connect(camera)
        client.play()
        assert client.ask("TEARDOWN") == 200
        client.drain()
        assert client.is_silent()


def test_a_mute_camera_takes_connections_and_says_nothing(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """To any request."""
    with rtsp.Camera(clip()) as camera:
        camera.behaviour.is_mute = True
        client = connect(camera)
        client.tell("OPTIONS")
        assert client.is_silent()


def test_half_a_packet_is_all_there_is(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """The rest of what the header announced never comes."""
    with rtsp.Camera(clip()) as camera:
        camera.behaviour.half_packet = True
        client = connect(camera)
        client.play()
        assert client.take(1) == b"$"
        size = int.from_bytes(client.take(3)[1:])
        assert client.is_silent()
        assert 0 < len(client.kept) < size


def test_garbage_comes_between_two_packets(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """Byte for byte, once."""
    with rtsp.Camera(clip()) as camera:
        client = connect(camera)
        client.play()
        camera.behaviour.garbage = b"nonsense"
        while client.peek() == b"$":
            client.interleaved()
        assert client.take(8) == b"nonsense"
        assert [client.peek() for _ in range(20) if client.interleaved()] == [b"$"] * 20


def test_datagrams_come_from_where_the_camera_said(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """And are as on a connection; nonsense is a datagram of its own."""
    with (
        rtsp.Camera(clip()) as camera,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
    ):
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(PATIENCE_S)
        port = receiver.getsockname()[1]
        client = connect(camera)
        client.ask("DESCRIBE")
        client.ask("SETUP", f"Transport: RTP/AVP;unicast;client_port={port}-{port}")
        said = re.search(r"server_port=(\d+)", client.headers["transport"])
        camera.behaviour.garbage = b"nonsense"
        client.ask("PLAY")
        datagrams = [receiver.recvfrom(2048) for _ in range(5)]
    assert said is not None
    assert {sender for _, sender in datagrams} == {("127.0.0.1", int(said[1]))}
    assert datagrams[0][0] == b"nonsense"
    assert [data[:2] for data, _ in datagrams[1:4]] == [b"\x80\x60"] * 3


def test_a_redirect_names_another_place(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """Instead of a description."""
    with rtsp.Camera(clip()) as camera:
        camera.behaviour.redirect = "rtsp://127.0.0.1:9/there"
        client = connect(camera)
        assert client.ask("DESCRIBE") == 302
        assert client.headers["location"] == "rtsp://127.0.0.1:9/there"


@pytest.mark.parametrize("is_rtcp", [False, True])
def test_a_client_that_asks_nothing_is_dropped(rtsp, connect, clip, is_rtcp: bool) -> None:  # type: ignore[no-untyped-def]  # noqa: FBT001
    """When the timeout that it was told is enforced; its RTCP does not help it, a keep-alive does."""
    with rtsp.Camera(clip(), manners=rtsp.Manners(session_timeout_s=1, enforces_timeout=True)) as camera:
        client = connect(camera)
        client.ask("SETUP", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
        assert client.headers["session"] == "4711;timeout=1"
        start_s = time.monotonic()
        client.connection.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.peek()
        if is_rtcp:
            client.connection.sendall(b"$\x01\x00\x08" + b"\x80\xc9\x00\x01abcd")
        else:
            assert client.ask("GET_PARAMETER") == 200
        client.connection.settimeout(PATIENCE_S)
        assert client.is_over()
        assert (time.monotonic() - start_s > 1.45) is not is_rtcp


def test_methods_can_be_unknown(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """The others are answered."""
    with rtsp.Camera(clip(), manners=rtsp.Manners(unknown=frozenset({"GET_PARAMETER"}))) as camera:
        client = connect(camera)
        assert client.ask("GET_PARAMETER") == 501
        assert client.ask("OPTIONS") == 200


def test_answers_can_be_written_oddly(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """Line ends, names of headers, strays between messages, and headers that say less."""
    manners = rtsp.Manners(
        content_base="", control="{url}/live", line_end="\n", lower_case=True, stray="\r\n", transport="RTP/AVP/TCP"
    )
    with rtsp.Camera(clip(), manners=manners) as camera:
        client = connect(camera)
        client.tell("DESCRIBE")
        assert client.take(35) == b"\r\nRTSP/1.0 200 OK\ncseq: 1\ncontent-t"
        client = connect(camera)
        assert client.ask("DESCRIBE") == 200
        assert "content-base" not in client.headers
        assert f"a=control:{client.url}/live\r\n" in client.body
        client.ask("SETUP", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
        assert client.headers["transport"] == "RTP/AVP/TCP"


def test_media_can_come_before_the_answer_to_play(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """Other cameras say yes first."""
    with rtsp.Camera(clip(), manners=rtsp.Manners(early_media=True)) as camera:
        client = connect(camera)
        client.ask("SETUP", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
        client.tell("PLAY")
        assert client.peek() == b"$"
