"""Clients that mean harm, on a live run at 30 fps, while somebody reads every record."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.e2e

BOUND_S = 15.0
TOKEN = "correct-horse"
BEARER = f"Authorization: Bearer {TOKEN}\r\n".encode()
MOST_GROWTH_MIB = 48
HOST = b"Host: 127.0.0.1\r\n"
UPGRADE = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
)
READER = b"GET /results HTTP/1.1\r\n" + HOST + UPGRADE + BEARER + b"\r\n"


def opened(run: Any, said: bytes = b"", *, receive_buffer: int = 65_536) -> socket.socket:
    """A connection that has said something and waits."""
    raw = socket.socket()
    raw.settimeout(BOUND_S)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    raw.connect(("127.0.0.1", run.port))
    with suppress(OSError):
        raw.sendall(said)
    return raw


def answered(raw: socket.socket, *, most: int = 1 << 20) -> bytes:
    """What comes until the server ends it, or has said enough."""
    got = b""
    end_s = time.monotonic() + BOUND_S
    with suppress(ConnectionError):
        while len(got) < most and (block := raw.recv(1 << 16)):
            got += block
            assert time.monotonic() < end_s
    return got


def status(run: Any, path: bytes, headers: bytes = HOST + BEARER) -> tuple[int, bytes]:
    """Ask on a connection of its own, again when it was too soon; return the status and all that was said."""
    end_s = time.monotonic() + BOUND_S
    while True:
        with opened(run, b"GET " + path + b" HTTP/1.1\r\nConnection: close\r\n" + headers + b"\r\n") as raw:
            said = answered(raw)
        code = int(said.split(b" ", 2)[1])
        if code != 429:
            return code, said
        assert time.monotonic() < end_s
        time.sleep(0.2)


def two_hundred_connections(run: Any) -> None:
    """Opened at once, half of them as readers."""
    with ExitStack() as connections:
        for number in range(200):
            connections.enter_context(opened(run, READER if number % 2 else b""))
        assert run.ask("/healthz").status_code == 200


def slow_requests(run: Any) -> None:
    """Headers that come byte for byte are waited for a few seconds and no longer."""
    with ExitStack() as connections:
        slow = [connections.enter_context(opened(run, b"GET /report HTTP/1.1\r\nX: ")) for _ in range(20)]
        end_s = time.monotonic() + BOUND_S
        for raw in slow:
            raw.settimeout(0.05)
        while slow:
            assert time.monotonic() < end_s, f"{len(slow)} are still waited for"
            slow = [raw for raw in slow if still_open(raw)]


def still_open(raw: socket.socket) -> bool:
    """Say one more byte; return whether somebody listens."""
    try:
        raw.sendall(b"x")
        return raw.recv(1) != b""
    except TimeoutError:
        return True
    except ConnectionError:
        return False


def garbage(run: Any) -> None:
    """Noise, zeros, TLS where none is spoken, and headers without end are no requests."""
    for said in (os.urandom(20_000), b"\x00" * 50_000, b"\x16\x03\x01\x02\x00" * 500, b"\r\n" * 10_000):
        with opened(run, said + b"\r\n\r\n") as raw:
            assert b" 200 " not in answered(raw)
    with opened(run, b"GET /report HTTP/1.1\r\n" + HOST + BEARER + b"X: " + b"x" * 1_000_000) as raw:
        assert b" 200 " not in answered(raw)


def talkers(run: Any) -> None:
    """Websockets that say much: many messages, one without end, fragments without end, pings; they get nowhere."""
    mask = b"mask"
    floods = (
        b"\x81\x81" + mask + b"x",
        b"\x89\x80" + mask,
        b"\x81\xff" + (1 << 40).to_bytes(8, "big") + mask + b"x" * 60_000,
        b"\x01\x81" + mask + b"x" + (b"\x00\x81" + mask + b"x") * 1000,
    )
    for wish in (b"rate=1e-300", b"rate=-1", b"rate=nan", b"width=0"):
        with opened(run, READER.replace(b"/results", b"/preview?" + wish)) as raw:
            assert b"Input should be" in answered(raw)
    for flood in floods:
        with opened(run, READER) as raw:
            raw.settimeout(0.5)
            with suppress(OSError):
                raw.sendall(flood * (8_000_000 // len(flood)))
                pytest.fail("megabytes were taken")


def wrong_tokens(run: Any) -> None:
    """A thousand of them: each is refused, or comes too soon."""
    codes: set[bytes] = set()
    for first in range(0, 1000, 20):
        asked = b"".join(
            b"GET /report HTTP/1.1\r\n" + HOST + b"Authorization: Bearer correct-%d\r\n\r\n" % number
            for number in range(first, first + 20)
        )
        with opened(run, asked) as raw:
            raw.shutdown(socket.SHUT_WR)
            codes.update(re.findall(rb"HTTP/1.1 (\d+) ", answered(raw)))
    assert codes
    assert codes <= {b"401", b"429"}


def wrong_places(run: Any) -> None:
    """Names that are bent to us, and pages of other sites, get nothing."""
    assert status(run, b"/report")[0] == 200
    assert status(run, b"/report", b"Host: rebound.example\r\n" + BEARER)[0] == 403
    assert status(run, b"/results", HOST + UPGRADE + BEARER + b"Origin: http://other.example\r\n")[0] == 403
    assert status(run, b"/now", HOST + UPGRADE + BEARER + b"Origin: null\r\n")[0] == 403


def paths_to_files(run: Any) -> None:
    """No path leads to the disk, however it is written."""
    for path in (
        b"/page/../../../../../../etc/passwd",
        b"/page/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        b"/page/..%2f..%2f..%2f..%2f..%2fetc/passwd",
        b"/page//etc/passwd",
        b"/page/%2fetc%2fpasswd",
        b"/page/index.html%00/etc/passwd",
        b"/page/%c0%ae%c0%ae/etc/passwd",
        b"/page/",
        b"/../../../../etc/passwd",
        b"/etc/passwd",
    ):
        code, said = status(run, path)
        assert code in (400, 404), path
        assert b"root:" not in said, path


ATTACKS: tuple[Callable[[Any], None], ...] = (
    paths_to_files, wrong_places, garbage, talkers, slow_requests, two_hundred_connections, wrong_tokens
)  # fmt: skip


def test_they_change_nothing(live: Any, audience: Any) -> None:
    """A reader gets every record, frames are answered in time, memory stays, and the server goes on."""
    run = live(token=TOKEN, times=3)
    run.wait_captured(30)
    reader = audience(run, readers=1)
    reader.wait_begun()
    memory = psutil.Process(run.process.pid).memory_info
    before = memory().rss
    with ExitStack() as deaf:  # they never read
        for path in (b"/results", b"/preview", b"/now"):
            said = b"GET " + path + b" HTTP/1.1\r\n" + HOST + UPGRADE + BEARER + b"\r\n"
            deaf.enter_context(opened(run, said, receive_buffer=4096))
        deaf.enter_context(
            opened(run, b"GET /results.ndjson HTTP/1.1\r\n" + HOST + BEARER + b"\r\n", receive_buffer=4096)
        )
        for attack in ATTACKS:
            attack(run)
            assert run.process.poll() is None, attack.__name__
            assert run.ask("/healthz").status_code == 200, attack.__name__
    growth_mib = (memory().rss - before) / (1 << 20)
    report = run.stop()
    (told,) = reader.told()
    assert told["code"] == 1001
    assert told["gaps"] == 0
    assert told["frames"] == told["ends"][1] - told["ends"][0] + 1
    assert told["ends"][1] == report["frames"]["captured"] - 1 - report["frames"]["abandoned"]
    assert report["frames"]["missed"] <= report["frames"]["captured"] // 50  # both cores are the clients', too
    assert growth_mib < MOST_GROWTH_MIB
