"""What a connection says when it cannot go on."""

from __future__ import annotations

import socket

import pytest

from stages.capture.rtsp.sockets import Connection


@pytest.mark.parametrize(("size", "kind"), [(1, BlockingIOError), (1 << 24, OSError)])
def test_a_send_without_room_says_so(size: int, kind: type[OSError]) -> None:
    """In words that can be shown, whether nothing of it was sent or a part."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    connection = Connection(ours, "camera")

    def send_on() -> None:
        while True:
            connection.send(bytes(size))

    with theirs, ours, pytest.raises(kind, match="the camera takes no more requests") as stuck:
        send_on()
    assert isinstance(stuck.value, BlockingIOError) == (size == 1)
