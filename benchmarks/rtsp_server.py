"""An RTSP camera with a log of what it sent when, and faults on command.

    python benchmarks/rtsp_server.py --port 8554 --width 1280 --height 720

Threads, not an event loop: a connection has one that answers and one that sends.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import random
import re
import socket
import ssl
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TextIO

from rtsp_media import CLOCK_RATE, Clip, clip_from_file, numbered_clip, payloads, rtp_packet, sender_report

_REALM, _NONCE = "camera", "8f3c5e1a"
_PUBLIC = "OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN"


@dataclass(frozen=True)
class Sent:
    """One picture that was sent."""

    timestamp: int
    """RTP ticks, 32 bits."""
    number: int
    """As in its pixels."""
    sent_ns: int
    """When its last packet was handed to the socket; monotonic."""


@dataclass
class Behaviour:
    """What the camera does wrong, from now on; any thread may change it."""

    is_stalled: bool = False
    """Sends nothing, keeps the connection."""
    is_mute: bool = False
    """Accepts connections, and never answers."""
    is_frozen: bool = False
    """Sends the same picture again and again."""
    has_markers: bool = True
    loss: float = 0.0
    """Share of RTP packets that are not sent."""
    garbage: bytes = b""
    """Sent once, in the middle of the stream."""
    half_packet: bool = False
    """Sends one half of an interleaved packet, and nothing after it."""
    jump_ticks: int = 0
    """Added to the time stamps."""
    ssrc: int = 0x5EED
    in_band_only: bool = False
    """Describes no parameter sets."""


@dataclass
class Camera:
    """Serves one clip, over and over, in real time, to each client anew.

    Use as a context manager. Listens on 127.0.0.1.
    """

    clip: Clip
    user: str | None = None
    password: str = ""
    algorithm: str = "MD5"
    """Of the Digest: MD5 or SHA-256."""
    tls: ssl.SSLContext | None = None
    mtu: int = 1400
    first_timestamp: int = 0
    seed: int = 0
    port: int = 0
    behaviour: Behaviour = field(default_factory=Behaviour)
    sent: list[Sent] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    """Method and header lines of each request."""
    log: TextIO | None = None
    """Gets a line for each picture: time stamp, number, monotonic nanoseconds."""
    reports: int = 0
    """RTCP packets that clients sent."""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._begin_s = time.monotonic()
        self._listener: socket.socket | None = None
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> Camera:
        self.revive()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def url(self) -> str:
        """Where the stream is, with the credentials it asks for."""
        login = "" if self.user is None else f"{self.user}:{self.password}@"
        return f"rtsp{'s' if self.tls else ''}://{login}127.0.0.1:{self.port}/stream"

    def revive(self) -> None:
        """Listen, on the same port as before."""
        listener = socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def kill(self) -> None:
        """Stop listening and drop every connection."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.cut()

    def cut(self, *, reset: bool = False) -> None:
        """Drop every connection, in order or with a reset; go on listening."""
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):
                    if reset:  # sent when the thread that reads finds nothing more and closes
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    connection.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)
            self._connections.clear()

    def timestamp_at(self, at_s: float) -> int:
        """Return the RTP time stamp of a moment."""
        ticks = self.first_timestamp + round((at_s - self._begin_s) * CLOCK_RATE) + self.behaviour.jump_ticks
        return ticks & 0xFFFFFFFF

    def lose(self) -> bool:
        """Throw the dice for one packet."""
        return self.behaviour.loss > 0 and self._random.random() < self.behaviour.loss

    def note(self, sent: Sent) -> None:
        """Log a picture."""
        if self.log is None:
            self.sent.append(sent)
        else:
            self.log.write(f"{sent.timestamp} {sent.number} {sent.sent_ns}\n")

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._lock:
                    self._connections.add(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            if self.tls is None:
                _Viewer(self, connection).serve()
                return
            with self.tls.wrap_socket(connection, server_side=True) as wrapped:
                with self._lock:
                    self._connections.add(wrapped)
                _Viewer(self, wrapped).serve()


class _Viewer:
    """One connection."""

    def __init__(self, camera: Camera, connection: socket.socket) -> None:
        self._camera = camera
        self._connection = connection
        self._lock = threading.Lock()  # one message at a time goes out
        self._leaving = threading.Event()
        self._udp: socket.socket | None = None
        self._address: tuple[str, int] = ("", 0)

    def serve(self) -> None:
        kept = b""
        try:
            while data := self._connection.recv(4096):
                kept = self._handle(kept + data)
        finally:
            self._leaving.set()
            if self._udp is not None:
                self._udp.close()

    def _handle(self, kept: bytes) -> bytes:
        """Answer what is complete; return the rest."""
        while kept:
            if kept[:1] == b"$":
                end = 4 + int.from_bytes(kept[2:4])
                if len(kept) < max(4, end):
                    break
                self._camera.reports += 1
                kept = kept[end:]
                continue
            head, blank, rest = kept.partition(b"\r\n\r\n")
            if not blank:
                break
            kept = rest
            self._answer(head.decode("latin-1"))
        return kept

    def _answer(self, head: str) -> None:
        line, _, headers = head.partition("\r\n")
        method, url, _ = line.split(" ", 2)
        camera = self._camera
        camera.requests.append((method, headers))
        if camera.behaviour.is_mute:
            return
        if camera.user is not None and not self._is_authorised(method, headers):
            challenge = f'Digest realm="{_REALM}", nonce="{_NONCE}", algorithm={camera.algorithm}, qop="auth"'
            self._respond(headers, "401 Unauthorized", f"WWW-Authenticate: {challenge}")
        elif method == "OPTIONS":
            self._respond(headers, "200 OK", f"Public: {_PUBLIC}")
        elif method == "DESCRIBE":
            self._respond(headers, "200 OK", f"Content-Type: application/sdp\r\nContent-Base: {url}/", self._sdp())
        elif method == "SETUP":
            self._respond(headers, "200 OK", f"Session: 4711;timeout=60\r\nTransport: {self._transport(headers)}")
        else:
            self._respond(headers, "200 OK")
            if method == "PLAY":
                threading.Thread(target=self._send_clip, daemon=True).start()
            if method == "TEARDOWN":
                self._leaving.set()

    def _respond(self, headers: str, status: str, extra: str = "", body: str = "") -> None:
        found = re.search(r"(?im)^CSeq:\s*(\d+)", headers)
        lines = [f"RTSP/1.0 {status}", f"CSeq: {found[1] if found else 0}", *([extra] if extra else [])]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        with self._lock:
            self._connection.sendall(("\r\n".join([*lines, "", ""]) + body).encode())

    def _is_authorised(self, method: str, headers: str) -> bool:
        camera = self._camera
        found = re.search(r"(?im)^Authorization:\s*Digest (.*)$", headers)
        said = dict(re.findall(r'(\w+)="?([^",\s]*)"?', found[1] if found else ""))
        make = hashlib.sha256 if camera.algorithm == "SHA-256" else hashlib.md5

        def hashed(text: str) -> str:
            return make(text.encode()).hexdigest()

        secret = hashed(f"{camera.user}:{_REALM}:{camera.password}")
        request = hashed(f"{method}:{said.get('uri', '')}")
        middle = f"{_NONCE}:{said.get('nc')}:{said.get('cnonce')}:auth"
        return said.get("response") == hashed(f"{secret}:{middle}:{request}")

    def _sdp(self) -> str:
        clip = self._camera.clip
        encoded = [base64.b64encode(nal).decode() for nal in clip.sets]
        if self._camera.behaviour.in_band_only:
            sets = ""
        elif clip.codec == "h264":
            sets = ";sprop-parameter-sets=" + ",".join(encoded)
        else:
            sets = "".join(f";sprop-{name}={text}" for name, text in zip(("vps", "sps", "pps"), encoded, strict=True))
        name = {"h264": "H264", "hevc": "H265"}[clip.codec]
        mode = "packetization-mode=1" if clip.codec == "h264" else "level-id=93"
        return (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\na=control:*\r\n"
            f"m=video 0 RTP/AVP 96\r\na=rtpmap:96 {name}/{CLOCK_RATE}\r\na=fmtp:96 {mode}{sets}\r\n"
            f"a=framerate:{clip.fps}\r\na=control:trackID=0\r\n"
        )

    def _transport(self, headers: str) -> str:
        wanted = re.search(r"client_port=(\d+)-(\d+)", headers)
        if wanted is None:
            return "RTP/AVP/TCP;unicast;interleaved=0-1"
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", 0))
        self._address = ("127.0.0.1", int(wanted[1]))
        port = self._udp.getsockname()[1]
        return f"RTP/AVP;unicast;{wanted[0]};server_port={port}-{port}"

    # Sending

    def _send_clip(self) -> None:
        camera, behaviour = self._camera, self._camera.behaviour
        start_s, place, sequence = time.monotonic(), 0, camera._random.getrandbits(16)
        packets = octets = 0
        with suppress(OSError):
            while not self._leaving.is_set():
                due_s = start_s + place / camera.clip.fps
                time.sleep(max(0.0, due_s - time.monotonic()))
                place += 1
                if behaviour.is_stalled:
                    continue
                clip = camera.clip
                number = 0 if behaviour.is_frozen else (place - 1) % len(clip.pictures)
                timestamp = camera.timestamp_at(due_s)
                content = payloads(clip.pictures[number], clip.codec, camera.mtu)
                for index, payload in enumerate(content):
                    marker = behaviour.has_markers and index == len(content) - 1
                    packet = rtp_packet(
                        payload, sequence=sequence, timestamp=timestamp, ssrc=behaviour.ssrc, marker=marker
                    )
                    sequence += 1
                    packets, octets = packets + 1, octets + len(payload)
                    if not camera.lose():
                        self._send(packet, 0)
                camera.note(Sent(timestamp, number, time.monotonic_ns()))
                if place % clip.fps == 1:
                    report = sender_report(
                        behaviour.ssrc,
                        unix_ns=time.time_ns() - round((time.monotonic() - due_s) * 1e9),
                        timestamp=timestamp,
                        packets=packets,
                        octets=octets,
                    )
                    self._send(report, 1)

    def _send(self, packet: bytes, channel: int) -> None:
        behaviour = self._camera.behaviour
        if self._udp is not None:
            if behaviour.garbage:
                self._udp.sendto(behaviour.garbage, self._address)
                behaviour.garbage = b""
            self._udp.sendto(packet, (self._address[0], self._address[1] + channel))
            return
        message = struct.pack(">cBH", b"$", channel, len(packet)) + packet
        with self._lock:
            if behaviour.half_packet:
                self._connection.sendall(message[: len(message) // 2])
                self._leaving.wait()
                return
            if behaviour.garbage:
                self._connection.sendall(behaviour.garbage)
                behaviour.garbage = b""
            self._connection.sendall(message)


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8554)
    parser.add_argument("--codec", choices=["h264", "hevc"], default="h264")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--gop", type=int, default=30)
    parser.add_argument("--clip", help="serve this file instead of a made-up picture")
    parser.add_argument("--cut-every", type=float, help="drop all connections every so many seconds")
    parser.add_argument("--log", type=argparse.FileType("w", bufsize=1), help="note here what was sent when")
    options = parser.parse_args()
    if options.clip:
        clip = clip_from_file(options.clip)
    else:
        size = {"width": options.width, "height": options.height}
        clip = numbered_clip(options.codec, **size, fps=options.fps, pictures=300, gop=options.gop)
    with Camera(clip, port=options.port, log=options.log) as camera, suppress(KeyboardInterrupt):
        print(camera.url, flush=True)
        while not threading.Event().wait(options.cut_every):
            camera.cut()


if __name__ == "__main__":
    main()
