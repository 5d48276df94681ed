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
        client.drain()
        assert client.is_silent()
        camera.behaviour.is_stalled = False
        assert client.peek() == b"$"


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


def test_a_share_of_packets_is_overtaken_by_the_next(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """By one place, and none is lost."""
    with rtsp.Camera(clip(), seed=4, mtu=60) as camera:
        camera.behaviour.reorder = 0.2
        client = connect(camera)
        client.play()
        sequences = [client.rtp().sequence for _ in range(200)]
    found = steps(sequences, 16)
    assert set(found) <= {1, 2, 0xFFFF, 3}
    assert 10 < found.count(0xFFFF) < 60


def test_pictures_that_are_held_come_all_at_once(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """With the time stamps that they were captured at; the log has the time at which they were sent."""
    with rtsp.Camera(clip()) as camera:
        camera.behaviour.hold_s = 0.1
        client = connect(camera)
        client.play()
        pictures = [client.picture() for _ in range(20)]
        wait_for(lambda: len(camera.sent) >= 20)
    assert set(steps([picture[0].timestamp for picture in pictures], 32)) == {900}
    waited_ns = [sent.sent_ns - sent.due_ns for sent in camera.sent[:20]]
    assert waited_ns[0] >= 100_000_000
    assert any(b - a > 50_000_000 for a, b in itertools.pairwise(waited_ns))


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


# Manners


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_parameter_sets_can_share_a_packet(rtsp, media, clip, codec: str) -> None:  # type: ignore[no-untyped-def]
    """Which another client understands, without having been told of them before."""
    with rtsp.Camera(clip(codec)) as camera:
        camera.behaviour.aggregates = camera.behaviour.in_band_only = True
        with av.open(camera.url, options={"rtsp_transport": "tcp"}, timeout=(5, 3)) as container:
            frames = itertools.islice(container.decode(video=0), 5)
            numbers = [media.read_number(frame.to_ndarray(format="bgr24")) for frame in frames]
    assert {(b - a) % 60 for a, b in itertools.pairwise(numbers)} == {1}


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
        client.connection.settimeout(0.6)
        with pytest.raises(TimeoutError):
            client.peek()
        if is_rtcp:
            client.connection.sendall(b"$\x01\x00\x08" + b"\x80\xc9\x00\x01abcd")
        else:
            assert client.ask("GET_PARAMETER") == 200
        client.connection.settimeout(PATIENCE_S)
        assert client.is_over()
        assert (time.monotonic() - start_s > 1.5) is not is_rtcp


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
