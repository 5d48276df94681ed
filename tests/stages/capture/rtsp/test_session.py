"""What is kept while an answer is waited for."""

from __future__ import annotations

import socket
import sys

import pytest

from pipeline.clock import NS_PER_S, RealClock
from stages.capture.rtsp.auth import Authenticator
from stages.capture.rtsp.session import Session
from stages.capture.rtsp.sockets import Connection, ConnectionEnded, Patience


class Script(Connection):
    """Gives the same bytes so many times, and then an end."""

    def __init__(self, data: bytes, times: int) -> None:
        ours, self.theirs = socket.socketpair()
        super().__init__(ours, "camera")
        self._data = data
        self._left = times

    def wait_readable(self, patience: Patience) -> None:
        """There is always something."""

    def receive(self) -> bytes:
        if not self._left:
            raise ConnectionEnded
        self._left -= 1
        return self._data


@pytest.mark.parametrize(("content", "times"), [(b"", 8), (b"x", 8), (bytes(60_000), 120)])
def test_media_before_an_answer_is_kept_within_a_bound(content: bytes, times: int) -> None:
    """However small its pieces are; what fits comes out when it is asked for."""
    clock = RealClock()
    piece = b"$\x00" + len(content).to_bytes(2) + content
    connection = Script(piece * max(1, (1 << 16) // len(piece)), times)
    session = Session(connection, clock, Authenticator(None))
    with pytest.raises(ConnectionEnded):
        session.ask("OPTIONS", "rtsp://camera/", {}, Patience(clock, 60 * NS_PER_S, lambda: False))
    media, answers = session.receive()
    assert not answers
    assert {arrived.data for arrived in media} == {content}
    taken = sum(sys.getsizeof(arrived) + len(arrived.data) for arrived in media)
    assert 1 << 20 < taken < 5 << 20
    connection.theirs.close()
    connection.close(b"", Patience(clock, 0, lambda: False))
