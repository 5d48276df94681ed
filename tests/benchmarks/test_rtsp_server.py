"""The RTSP camera as a whole: another client plays it, and it goes and comes back."""

from __future__ import annotations

import itertools
import socket
import ssl

import av
import pytest
import trustme

PATIENCE_S = 5.0


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_another_client_plays_it(rtsp, media, clip, read_number, codec: str, transport: str) -> None:  # type: ignore[no-untyped-def]
    """FFmpeg's; picture by picture, none left out."""
    options = {"rtsp_transport": transport, "analyzeduration": "50000", "probesize": "20000"}
    with (
        rtsp.Camera(clip(codec)) as camera,
        av.open(camera.url, options=options, timeout=(5, 3)) as container,
    ):
        frames = itertools.islice(container.decode(video=0), 40)
        numbers = [read_number(frame.to_ndarray(format="bgr24")) for frame in frames]
    assert {(b - a) % 60 for a, b in itertools.pairwise(numbers)} == {1}


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


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_parameter_sets_can_share_a_packet(rtsp, media, clip, read_number, codec: str) -> None:  # type: ignore[no-untyped-def]
    """Which another client understands, without having been told of them before."""
    with rtsp.Camera(clip(codec)) as camera:
        camera.behaviour.aggregates = camera.behaviour.in_band_only = True
        with av.open(camera.url, options={"rtsp_transport": "tcp"}, timeout=(5, 3)) as container:
            frames = itertools.islice(container.decode(video=0), 5)
            numbers = [read_number(frame.to_ndarray(format="bgr24")) for frame in frames]
    assert {(b - a) % 60 for a, b in itertools.pairwise(numbers)} == {1}
