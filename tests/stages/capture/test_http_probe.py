"""What a web server shows, in words for people."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from stages.capture.http_probe import Shown, ask

Serve = Callable[[Callable[[socket.socket], None]], int]


@pytest.mark.parametrize(
    ("head", "shown"),
    [
        (b"200 OK\r\nContent-Type: Text/HTML; charset=utf-8\r\nContent-Length: 7", Shown(200, "text/html", 7)),
        (b"200 OK\r\nContent-Length: " + b"9" * 5000, None),
        (b"200 OK\r\nContent-Type: " + b"x" * 5000 + b"/y\r\nContent-Length: 0", Shown(200, "", 0)),
        (b"404 Gone\r\nContent-Length: 0", Shown(404, "", None)),
        (b"200 \x00", None),
    ],
)
def test_what_is_shown(head: bytes, shown: Shown | None, serve: Serve) -> None:
    """The beginning of the answer, as far as it makes sense and can be shown."""

    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 " + head + b"\r\nConnection: close\r\n\r\n")

    assert ask(f"http://127.0.0.1:{serve(answer)}/video", verify=False) == shown
