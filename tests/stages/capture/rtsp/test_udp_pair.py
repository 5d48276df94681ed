"""From whom media over UDP is taken."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator

import pytest

from stages.capture.rtsp.sockets import UdpPair

HOST = "127.0.0.1"


@pytest.fixture
def pair() -> Iterator[UdpPair]:
    opened = UdpPair(socket.AF_INET, HOST, HOST)
    yield opened
    opened.close()


@pytest.fixture
def senders() -> Iterator[list[socket.socket]]:
    opened = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for each in opened:
        each.bind((HOST, 0))
    yield opened
    for each in opened:
        each.close()


def taken(pair: UdpPair, sender: socket.socket, data: bytes, count: int = 1) -> list[bytes]:
    """Return what of so many packets of a sender is taken."""
    found: list[bytes] = []
    for _ in range(count):
        sender.sendto(data, (HOST, pair.ports[0]))
        select.select([pair.rtp], [], [], 5)
        found += pair.receive(pair.rtp)
    return found


def test_only_the_agreed_port_is_listened_to(pair: UdpPair, senders: list[socket.socket]) -> None:
    """Another port of the camera's address cannot take the stream over, however much it sends."""
    camera, stranger = senders
    pair.agree((camera.getsockname()[1], camera.getsockname()[1] + 1))
    assert taken(pair, camera, b"good") == [b"good"]
    assert taken(pair, stranger, b"bad", 50) == []
    assert taken(pair, camera, b"good") == [b"good"]


def test_a_camera_that_sends_from_elsewhere_is_heard_after_a_while(
    pair: UdpPair, senders: list[socket.socket], caplog: pytest.LogCaptureFixture
) -> None:
    """Where nothing comes from the port that was agreed; and it is said."""
    pair.agree((1, 2))
    assert taken(pair, senders[0], b"media", 30)
    assert "the camera sends from UDP port" in caplog.text
    assert taken(pair, senders[1], b"bad", 30) == []


def test_without_an_agreement_the_first_sender_counts(pair: UdpPair, senders: list[socket.socket]) -> None:
    """Some cameras do not say from where they send."""
    assert taken(pair, senders[0], b"media") == [b"media"]
    assert taken(pair, senders[1], b"bad", 30) == []
