"""An RTSP camera with a log of what it sent when, and faults on command.

    python benchmarks/rtsp_server.py --port 8554 --width 1280 --height 720

Threads, not an event loop: a connection has one that answers and one that sends.
"""

from __future__ import annotations

import argparse
import random
import socket
import ssl
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TextIO

from rtsp_behaviour import Asked, Behaviour, Manners, Sent
from rtsp_media import Clip, clip_from_file, numbered_clip
from rtsp_viewer import Viewer

__all__ = ["Asked", "Behaviour", "Camera", "Clip", "Manners", "Sent", "clip_from_file", "numbered_clip"]


@dataclass
class Camera:
    """Serves one clip, over and over, in real time, to each client anew.

    Use as a context manager. Listens on 127.0.0.1.
    """

    clip: Clip
    user: str | None = None
    password: str = ""
    algorithm: str = "MD5"
    """Of the Digest: MD5 or SHA-256; or Basic."""
    tls: ssl.SSLContext | None = None
    mtu: int = 1400
    first_timestamp: int = 0
    seed: int = 0
    port: int = 0
    behaviour: Behaviour = field(default_factory=Behaviour)
    manners: Manners = field(default_factory=Manners)
    sent: list[Sent] = field(default_factory=list)
    requests: list[Asked] = field(default_factory=list)
    log: TextIO | None = None
    """Gets a line for each picture: time stamp, number, monotonic nanoseconds."""
    reports: int = 0
    """RTCP packets that clients sent."""
    last_report: bytes = b""

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
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
        ticks = self.first_timestamp + round((at_s - self._begin_s) * self.behaviour.ticks_per_s)
        return ticks + self.behaviour.jump_ticks & 0xFFFFFFFF

    def happens(self, share: float) -> bool:
        """Throw the dice for one packet."""
        return share > 0 and self.random.random() < share

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
                Viewer(self, connection).serve()
                return
            with self.tls.wrap_socket(connection, server_side=True) as wrapped:
                with self._lock:
                    self._connections.add(wrapped)
                Viewer(self, wrapped).serve()


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8554)
    parser.add_argument("--codec", choices=["h264", "hevc"], default="h264")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--fps", type=int, help="30, or that of the file")
    parser.add_argument("--gop", type=int, default=30)
    parser.add_argument("--clip", help="serve this file instead of a made-up picture")
    parser.add_argument("--cut-every", type=float, help="drop all connections every so many seconds")
    parser.add_argument("--log", type=argparse.FileType("w", bufsize=1), help="note here what was sent when")
    options = parser.parse_args()
    if options.clip:
        clip = clip_from_file(options.clip)
        clip = replace(clip, fps=options.fps or clip.fps)
    else:
        size = {"width": options.width, "height": options.height}
        clip = numbered_clip(options.codec, **size, fps=options.fps or 30, pictures=300, gop=options.gop)
    with Camera(clip, port=options.port, log=options.log) as camera, suppress(KeyboardInterrupt):
        print(camera.url, flush=True)
        while not threading.Event().wait(options.cut_every):
            camera.cut()


if __name__ == "__main__":
    main()
