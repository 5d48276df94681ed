"""One connection to our RTSP camera: takes requests and answers them (RFC 2326)."""

from __future__ import annotations

import base64
import hashlib
import re
import select
import socket
import ssl
import struct
import threading
import time
from typing import TYPE_CHECKING

from rtsp_behaviour import Asked
from rtsp_media import CLOCK_RATE
from rtsp_sender import Sender

if TYPE_CHECKING:
    from rtsp_server import Camera

_REALM, _NONCE, _SESSION = "camera", "8f3c5e1a", "4711"
_PUBLIC = "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, GET_PARAMETER, SET_PARAMETER, TEARDOWN"
_EARLY_S = 1.0
"""How long the answer to PLAY waits for the picture that is to come before it."""


class Viewer:
    """One connection; `serve` returns when it is over."""

    def __init__(self, camera: Camera, connection: socket.socket) -> None:
        self._camera = camera
        self._connection = connection
        self._lock = threading.Lock()  # one message at a time goes out, and a TLS connection has one user at a time
        self._leaving = threading.Event()
        self._udp: socket.socket | None = None
        self._address: tuple[str, int] = ("", 0)
        self._sender: Sender | None = None
        self._asked_s = time.monotonic()
        self._is_broken = False

    def serve(self) -> None:
        """Answer until the client or the camera closes the connection."""
        kept = b""
        try:
            while data := self._receive():
                kept = self._handle(kept + data)
        finally:
            self._leaving.set()
            if self._udp is not None:
                self._udp.close()

    def _receive(self) -> bytes:
        """Return what has come on the connection; nothing when it is over, or the client has kept silent too long."""
        while True:
            wait_s = None
            if self._camera.manners.enforces_timeout:
                wait_s = max(0.0, self._asked_s + self._camera.manners.session_timeout_s - time.monotonic())
            sockets = [self._connection] if self._udp is None else [self._connection, self._udp]
            is_ready = isinstance(self._connection, ssl.SSLSocket) and self._connection.pending()
            ready = sockets[:1] if is_ready else select.select(sockets, [], [], wait_s)[0]
            if not ready:
                return b""
            if self._udp in ready:
                self._take_report(self._udp.recv(65536))
            if self._connection in ready and (data := self._read()) is not None:
                return data

    def _read(self) -> bytes | None:
        """Return what has come; None when it is not enough to decipher."""
        if not isinstance(self._connection, ssl.SSLSocket):
            return self._connection.recv(4096)
        with self._lock:
            self._connection.settimeout(0)
            try:
                return self._connection.recv(4096)
            except ssl.SSLWantReadError:
                return None
            finally:
                self._connection.settimeout(None)

    def _handle(self, kept: bytes) -> bytes:
        """Answer what is complete; return the rest."""
        while kept:
            if kept[:1] == b"$":
                end = 4 + int.from_bytes(kept[2:4])
                if len(kept) < max(4, end):
                    break
                self._take_report(kept[4:end])
                kept = kept[end:]
                continue
            head, blank, rest = kept.partition(b"\r\n\r\n")
            size = re.search(rb"(?im)^Content-Length:\s*(\d+)", head)
            length = int(size[1]) if size else 0
            if not blank or len(rest) < length:
                break
            kept = rest[length:]
            self._answer(head.decode("latin-1"))
        return kept

    def _take_report(self, report: bytes) -> None:
        self._camera.reports += 1
        self._camera.last_report = report

    def _answer(self, head: str) -> None:
        line, _, headers = head.partition("\r\n")
        method, url, _ = line.split(" ", 2)
        camera = self._camera
        self._asked_s = time.monotonic()
        camera.requests.append(Asked(method, url, headers))
        if camera.behaviour.is_mute:
            return
        if camera.user is not None and not self._is_authorised(method, headers):
            self._respond(headers, "401 Unauthorized", f"WWW-Authenticate: {self._challenge()}")
        elif method in camera.manners.unknown:
            self._respond(headers, "501 Not Implemented")
        elif method == "OPTIONS":
            self._respond(headers, "200 OK", f"Public: {_PUBLIC}")
        elif method == "DESCRIBE" and camera.behaviour.redirect:
            self._respond(headers, "302 Moved Temporarily", f"Location: {camera.behaviour.redirect}")
        elif method == "DESCRIBE":
            base = camera.manners.content_base.format(url=url)
            extra = [f"Content-Base: {base}"] if base else []
            self._respond(headers, "200 OK", "Content-Type: application/sdp", *extra, body=self._sdp(url))
        elif method == "SETUP":
            agreed = self._transport(headers)
            session = f"{self._session()};timeout={camera.manners.session_timeout_s}"
            self._respond(headers, "200 OK", session, f"Transport: {camera.manners.transport or agreed}")
        elif method == "PLAY":
            self._play(headers, url)
        else:
            if method == "PAUSE" and self._sender is not None:
                self._sender.is_paused = True
            self._respond(headers, "200 OK", self._session())
            if method == "TEARDOWN":
                self._leaving.set()

    def _play(self, headers: str, url: str) -> None:
        """Begin, or go on after a pause."""
        if self._sender is not None:
            self._sender.is_paused = False
            self._respond(headers, "200 OK", self._session())
            return
        self._sender = sender = Sender(self._camera, self._deliver, self._leaving)
        about = f"RTP-Info: url={url}/trackID=0;seq={sender.sequence};rtptime={sender.first_timestamp}"
        thread = threading.Thread(target=sender.run, daemon=True)
        if self._camera.manners.early_media:
            thread.start()
            sender.has_begun.wait(_EARLY_S)
            self._respond(headers, "200 OK", self._session(), about)
        else:
            self._respond(headers, "200 OK", self._session(), about)
            thread.start()

    def _session(self) -> str:
        return f"Session: {_SESSION}"

    def _respond(self, headers: str, status: str, *extra: str, body: str = "") -> None:
        manners = self._camera.manners
        found = re.search(r"(?im)^CSeq:\s*(\d+)", headers)
        lines = [f"CSeq: {found[1] if found else 0}", *extra]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        if manners.lower_case:
            lines = [name.lower() + colon + value for name, colon, value in (line.partition(":") for line in lines)]
        text = manners.stray + manners.line_end.join([f"RTSP/1.0 {status}", *lines, "", ""]) + body
        with self._lock:
            if not self._is_broken:
                self._connection.sendall(text.encode())

    def _challenge(self) -> str:
        if self._camera.algorithm == "Basic":
            return f'Basic realm="{_REALM}"'
        return f'Digest realm="{_REALM}", nonce="{_NONCE}", algorithm={self._camera.algorithm}, qop="auth"'

    def _is_authorised(self, method: str, headers: str) -> bool:
        camera = self._camera
        if camera.algorithm == "Basic":
            right = base64.b64encode(f"{camera.user}:{camera.password}".encode()).decode()
            return re.search(rf"(?im)^Authorization:\s*Basic {re.escape(right)}\s*$", headers) is not None
        found = re.search(r"(?im)^Authorization:\s*Digest (.*)$", headers)
        said = dict(re.findall(r'(\w+)="?([^",\s]*)"?', found[1] if found else ""))
        make = hashlib.sha256 if camera.algorithm == "SHA-256" else hashlib.md5

        def hashed(text: str) -> str:
            return make(text.encode()).hexdigest()

        secret = hashed(f"{camera.user}:{_REALM}:{camera.password}")
        request = hashed(f"{method}:{said.get('uri', '')}")
        middle = f"{_NONCE}:{said.get('nc')}:{said.get('cnonce')}:auth"
        return said.get("response") == hashed(f"{secret}:{middle}:{request}")

    def _sdp(self, url: str) -> str:
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
        control = self._camera.manners.control.format(url=url)
        return (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\na=control:*\r\n"
            f"m=video 0 RTP/AVP 96\r\na=rtpmap:96 {name}/{CLOCK_RATE}\r\na=fmtp:96 {mode}{sets}\r\n"
            f"a=framerate:{clip.fps}\r\n" + (f"a=control:{control}\r\n" if control else "")
        )

    def _transport(self, headers: str) -> str:
        wanted = re.search(r"client_port=(\d+)-(\d+)", headers)
        if self._udp is not None:
            self._udp.close()
            self._udp = None
        if wanted is None:
            return "RTP/AVP/TCP;unicast;interleaved=0-1"
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", 0))
        self._address = ("127.0.0.1", int(wanted[1]))
        port = self._udp.getsockname()[1]
        return f"RTP/AVP;unicast;{wanted[0]};server_port={port}-{port}"

    def _deliver(self, packet: bytes, channel: int) -> None:
        """Hand a packet to the socket; channel 1 is RTCP."""
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
                self._is_broken = True
                self._connection.sendall(message[: len(message) // 2])
                raise ConnectionAbortedError("half a packet was the last")
            if behaviour.garbage:
                self._connection.sendall(behaviour.garbage)
                behaviour.garbage = b""
            self._connection.sendall(message)
