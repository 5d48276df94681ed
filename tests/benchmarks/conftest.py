"""Our own RTSP camera, and a client that shows each byte of it."""

from __future__ import annotations

import importlib
import re
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
PATIENCE_S = 5.0


@dataclass(frozen=True)
class Rtp:
    """One RTP packet of the camera."""

    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes

    @classmethod
    def parse(cls, packet: bytes) -> Rtp:
        first, second, sequence, timestamp, ssrc = struct.unpack_from(">BBHII", packet)
        assert first == 0x80
        assert second & 0x7F == 96
        return cls(bool(second & 0x80), sequence, timestamp, ssrc, packet[12:])


class RawClient:
    """Speaks RTSP as the test says, and takes nothing for granted."""

    def __init__(self, camera: Any, connection: socket.socket | None = None) -> None:
        self.url = f"rtsp://127.0.0.1:{camera.port}/stream"
        self.connection = connection or socket.create_connection(("127.0.0.1", camera.port), PATIENCE_S)
        self.kept = b""
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = ""
        self._sequence = 0

    def tell(self, method: str, *headers: str, url: str | None = None, body: str = "") -> None:
        """Send a request, and wait for nothing."""
        self._sequence += 1
        lines = [f"{method} {url or self.url} RTSP/1.0", f"CSeq: {self._sequence}", *headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.connection.sendall(("\r\n".join([*lines, "", ""]) + body).encode())

    def ask(self, method: str, *headers: str, url: str | None = None, body: str = "") -> int:
        """Send a request; return the status of the answer, media before it left out."""
        self.tell(method, *headers, url=url, body=body)
        while self.peek() == b"$":
            self.interleaved()
        self.kept = self.kept.lstrip(b"\r\n")
        while (end := re.search(rb"\r?\n\r?\n", self.kept)) is None:
            self._fill()
        head, self.kept = self.kept[: end.start()].decode(), self.kept[end.end() :]
        line, *rest = head.splitlines()
        self.status = int(line.split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (header.partition(":") for header in rest)}
        assert self.headers["cseq"] == str(self._sequence)
        self.body = self.take(int(self.headers.get("content-length", 0))).decode()
        return self.status

    def play(self, transport: str = "RTP/AVP/TCP;unicast;interleaved=0-1") -> None:
        """Go all the way to PLAY."""
        assert self.ask("DESCRIBE") == 200
        assert self.ask("SETUP", f"Transport: {transport}", url=f"{self.url}/trackID=0") == 200
        assert self.ask("PLAY", f"Session: {self.headers['session'].split(';')[0]}") == 200

    def interleaved(self) -> tuple[int, bytes]:
        """Return the channel and the data of the next interleaved packet."""
        mark, channel, size = struct.unpack(">cBH", self.take(4))
        assert mark == b"$"
        return channel, self.take(size)

    def rtp(self) -> Rtp:
        """Return the next RTP packet."""
        while True:
            channel, data = self.interleaved()
            if channel == 0:
                return Rtp.parse(data)

    def picture(self) -> list[Rtp]:
        """Return the packets of a picture, up to its marker."""
        packets = [self.rtp()]
        while not packets[-1].marker:
            packets.append(self.rtp())
        return packets

    def drain(self) -> None:
        """Take what is on its way, until nothing has come for a moment."""
        while not self.is_silent(0.05):
            self._fill()
        self.kept = b""

    def take(self, count: int) -> bytes:
        while len(self.kept) < count:
            self._fill()
        taken, self.kept = self.kept[:count], self.kept[count:]
        return taken

    def peek(self) -> bytes:
        if not self.kept:
            self._fill()
        return self.kept[:1]

    def is_silent(self, for_s: float = 0.15) -> bool:
        """Return whether nothing comes for so long, on a connection that stays open."""
        self.connection.settimeout(for_s)
        try:
            self.connection.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True
        finally:
            self.connection.settimeout(PATIENCE_S)
        return False

    def is_over(self) -> bool:
        """Return whether the connection ends, after what was sent before."""
        try:
            while self.connection.recv(65536):
                pass
        except ConnectionError:
            pass
        except TimeoutError:
            return False
        return True

    def _fill(self) -> None:
        data = self.connection.recv(65536)
        if not data:
            raise EOFError("the camera closed the connection")
        self.kept += data


@pytest.fixture(scope="session")
def rtsp() -> Iterator[ModuleType]:
    """The module of the camera."""
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module("rtsp_server")
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="session")
def media(rtsp: ModuleType) -> ModuleType:
    """The module of clips and packets."""
    return importlib.import_module("rtsp_media")


@pytest.fixture(scope="session")
def read_number(rtsp: ModuleType) -> Callable[..., int]:
    """Read the number in a picture."""
    reader: Callable[..., int] = importlib.import_module("picture_number").read_number
    return reader


@pytest.fixture(scope="session")
def clip(media: ModuleType) -> Callable[..., Any]:
    """A function that makes a small clip; at 100 pictures a second a test does not wait long."""

    def make(codec: str = "h264", **options: int) -> Any:
        return media.numbered_clip(codec, **({"width": 192, "height": 112, "fps": 100, "gop": 10} | options))

    return make


@pytest.fixture
def connect() -> Iterator[Callable[..., RawClient]]:
    """A function that connects to a camera."""
    clients: list[RawClient] = []

    def start(camera: Any, connection: socket.socket | None = None) -> RawClient:
        clients.append(RawClient(camera, connection))
        return clients[-1]

    yield start
    for client in clients:
        client.connection.close()
