"""The RTSP camera on the wire: what it says, and that each fault is what its name says."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
import socket
import ssl
import threading
import time

import av
import pytest
import trustme

PATIENCE_S = 5.0


def steps(values: list[int], bits: int) -> list[int]:
    """Return the differences between neighbours, of a counter that wraps."""
    return [(b - a) % (1 << bits) for a, b in itertools.pairwise(values)]


def wait_for(happened) -> None:  # type: ignore[no-untyped-def]
    end_s = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < end_s
        threading.Event().wait(0.005)


# What it says


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_another_client_plays_it(rtsp, media, clip, codec: str, transport: str) -> None:  # type: ignore[no-untyped-def]
    """FFmpeg's; picture by picture, none left out."""
    options = {"rtsp_transport": transport, "analyzeduration": "50000", "probesize": "20000"}
    with (
        rtsp.Camera(clip(codec)) as camera,
        av.open(camera.url, options=options, timeout=(5, 3)) as container,
    ):
        frames = itertools.islice(container.decode(video=0), 40)
        numbers = [media.read_number(frame.to_ndarray(format="bgr24")) for frame in frames]
    assert {(b - a) % 60 for a, b in itertools.pairwise(numbers)} == {1}


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


def test_the_log_of_what_was_sent_is_true(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """Time stamp and number of each picture, written when its last packet was handed over."""
    with rtsp.Camera(clip()) as camera:
        client = connect(camera)
        before_ns = time.monotonic_ns()
        client.play()
        pictures = [client.picture() for _ in range(5)]
        after_ns = time.monotonic_ns()
        wait_for(lambda: len(camera.sent) >= 5)
    assert [picture[0].timestamp for picture in pictures] == [sent.timestamp for sent in camera.sent[:5]]
    assert [sent.number for sent in camera.sent[:5]] == [0, 1, 2, 3, 4]
    times = [sent.sent_ns for sent in camera.sent[:4]]
    assert before_ns < times[0] < times[-1] < after_ns
    assert times == sorted(times)
    assert set(steps([picture[0].timestamp for picture in pictures], 32)) == {900}


def test_requests_and_reports_are_kept(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """In the order in which they came."""
    with rtsp.Camera(clip()) as camera:
        client = connect(camera)
        client.play()
        client.connection.sendall(b"$\x01\x00\x08" + b"\x80\xc9\x00\x01abcd")
        assert client.ask("GET_PARAMETER", "X-Test: yes") == 200
        assert [request[0] for request in camera.requests] == ["DESCRIBE", "SETUP", "PLAY", "GET_PARAMETER"]
        assert any("X-Test: yes" in part for part in camera.requests[-1])
        assert camera.reports == 1


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


def test_no_picture_is_larger_than_its_packets_may_be(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """Odd sizes of fragments too."""
    with rtsp.Camera(clip(), mtu=333) as camera:
        client = connect(camera)
        client.play()
        packets = client.picture()
    assert len(packets) > 3
    assert max(len(packet.payload) for packet in packets) == 333


# Faults


def test_a_killed_camera_is_gone_until_it_is_revived(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """On the same port."""
    with rtsp.Camera(clip()) as camera:
        client = connect(camera)
        client.play()
        camera.kill()
        assert client.is_over()
        with pytest.raises(ConnectionRefusedError):
            connect(camera)
        port = camera.port
        camera.revive()
        assert camera.port == port
        assert connect(camera).ask("OPTIONS") == 200


@pytest.mark.parametrize("reset", [False, True])
def test_a_cut_drops_connections_and_takes_new_ones(rtsp, connect, clip, reset: bool) -> None:  # type: ignore[no-untyped-def]  # noqa: FBT001
    """In order, or with a reset."""
    with rtsp.Camera(clip()) as camera:
        client = connect(camera)
        client.play()
        camera.cut(reset=reset)
        assert client.is_over()
        assert connect(camera).ask("OPTIONS") == 200


def test_a_stalled_camera_sends_nothing_and_still_answers(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """Until it goes on."""
    with rtsp.Camera(clip()) as camera:
        client = connect(camera)
        client.play()
        client.picture()
        camera.behaviour.is_stalled = True
        assert client.ask("GET_PARAMETER") == 200
        client.kept = b""
        assert client.is_silent()
        camera.behaviour.is_stalled = False
        assert client.connection.recv(1) == b"$"


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


def test_a_frozen_camera_repeats_one_picture(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """Payload for payload, with time stamps that go on."""
    with rtsp.Camera(clip()) as camera:
        camera.behaviour.is_frozen = True
        client = connect(camera)
        client.play()
        pictures = [client.picture() for _ in range(4)]
    assert len({tuple(packet.payload for packet in picture) for picture in pictures}) == 1
    assert set(steps([picture[0].timestamp for picture in pictures], 32)) == {900}


def test_without_markers_there_is_none(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """Until they are put back."""
    with rtsp.Camera(clip()) as camera:
        camera.behaviour.has_markers = False
        client = connect(camera)
        client.play()
        packets = [client.rtp() for _ in range(30)]
        assert not any(packet.marker for packet in packets)
        assert len({packet.timestamp for packet in packets}) > 3
        camera.behaviour.has_markers = True
        assert client.picture()[-1].marker


@pytest.mark.parametrize("share", [0.01, 0.1])
def test_a_share_of_packets_is_lost(rtsp, connect, clip, share: float) -> None:  # type: ignore[no-untyped-def]
    """The same ones for the same seed; their sequence numbers are missing."""
    lost = []
    for _ in range(2):
        with rtsp.Camera(clip(fps=400), seed=4, mtu=60) as camera:
            camera.behaviour.loss = share
            client = connect(camera)
            client.play()
            sequences = [client.rtp().sequence for _ in range(1500)]
        lost.append([step - 1 for step in steps(sequences, 16)])
    assert lost[0] == lost[1]
    assert sum(lost[0]) / len(lost[0]) == pytest.approx(share, rel=0.5)


def test_time_stamps_jump_and_wrap(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """As told, by seconds or past 32 bits."""
    with rtsp.Camera(clip(), first_timestamp=(1 << 32) - 9000) as camera:
        client = connect(camera)
        client.play()
        stamps = [client.picture()[0].timestamp for _ in range(20)]
        assert min(stamps) < 20_000 < max(stamps)
        assert set(steps(stamps, 32)) == {900}
        camera.behaviour.jump_ticks = 90_000 * 3600
        stamps = [stamps[-1], *(client.picture()[0].timestamp for _ in range(20))]
        assert sorted(set(steps(stamps, 32))) == [900, 900 + 90_000 * 3600]


def test_another_sender_takes_over(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """On the same connection."""
    with rtsp.Camera(clip()) as camera:
        client = connect(camera)
        client.play()
        first = client.rtp().ssrc
        camera.behaviour.ssrc = 0xBEEF
        wait_for(lambda: client.rtp().ssrc == 0xBEEF)
        assert first != 0xBEEF


def test_another_resolution_is_sent_with_its_parameter_sets(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """In the band, at the next key picture."""
    with rtsp.Camera(clip()) as camera:
        client = connect(camera)
        client.play()
        camera.clip = clip(width=320, height=240)
        wait_for(lambda: client.rtp().payload == camera.clip.sets[0])


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


@pytest.mark.parametrize("how", ["cut", "kill"])
def test_tls_is_spoken_and_cut(rtsp, connect, clip, how: str) -> None:  # type: ignore[no-untyped-def]
    """As without it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with rtsp.Camera(clip(), tls=context) as camera:
        plain = socket.create_connection(("127.0.0.1", camera.port), PATIENCE_S)
        client = connect(camera, trusting.wrap_socket(plain, server_hostname="127.0.0.1"))
        client.play()
        assert client.picture()[-1].marker
        getattr(camera, how)()
        assert client.is_over()
