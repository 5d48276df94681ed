"""Real encoded video, and a sender that puts it in RTP packets of any size."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import pairwise

import av
import numpy as np
import pytest

from pipeline.clock import NS_PER_MS, NS_PER_S, RealClock
from pipeline.errors import SourceOpenError, StreamLost
from stages.capture.live_input import Unit
from stages.capture.rtsp.handshake import ClientSettings
from stages.capture.rtsp.sdp import UnsupportedMedia
from stages.capture.rtsp_input import RtspInput
from stages.capture.targets import Target, TargetKind

TICKS = 3000
"""90 kHz ticks between two pictures at 30 a second."""
START_CODE = b"\x00\x00\x00\x01"
WATCHDOG_NS = 20 * NS_PER_S
"""Nothing that is watched takes so long."""
PATIENCE_S = 15


def split_nals(annexb: bytes) -> list[bytes]:
    """Return the NAL units of an Annex B stream, start codes of 3 or 4 bytes taken off."""
    starts = []
    at = annexb.find(b"\x00\x00\x01")
    while at >= 0:
        starts.append(at)
        at = annexb.find(b"\x00\x00\x01", at + 3)
    nals = [annexb[one + 3 : other] for one, other in pairwise([*starts, len(annexb)])]
    return [nal.rstrip(b"\x00") if number < len(nals) - 1 else nal for number, nal in enumerate(nals)]


@dataclass(frozen=True)
class Video:
    """An encoded clip, one item a picture, in decoding order."""

    codec: str
    units: tuple[tuple[bytes, ...], ...]
    """NAL units of each picture."""
    pts: tuple[int, ...]
    """Presentation number of each."""
    keys: tuple[bool, ...]
    sets: tuple[bytes, ...]
    """The parameter sets of the first picture."""


@cache
def encoded(codec: str, pictures: int, options: tuple[tuple[str, str], ...]) -> Video:
    encoder = av.CodecContext.create({"h264": "libx264", "hevc": "libx265"}[codec], "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = 160, 128, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, 30), Fraction(30)
    encoder.options = dict(options)
    noise = np.random.default_rng(7).integers(0, 255, (192, 400), dtype=np.uint8)
    packets = []
    for number in range(pictures):
        shifted = np.repeat(noise[:192, 3 * number : 3 * number + 160, None], 3, axis=2)[:128]
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(shifted), format="bgr24")
        frame.pts = number
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    units = tuple(tuple(split_nals(bytes(packet))) for packet in packets)
    is_set = (lambda nal: nal[0] & 31 in (7, 8)) if codec == "h264" else (lambda nal: nal[0] >> 1 in (32, 33, 34))
    return Video(
        codec,
        units,
        tuple(int(packet.pts or 0) for packet in packets),
        tuple(bool(packet.is_keyframe) for packet in packets),
        tuple(nal for nal in units[0] if is_set(nal)),
    )


@pytest.fixture(scope="session")
def encode() -> Callable[..., Video]:
    """A function that encodes moving noise: codec, pictures, bframes, slices, gop, open_gop, qp."""

    def run(
        codec: str, *, pictures: int = 24, bframes: int = 0, slices: int = 1, gop: int = 8, open_gop: bool = False
    ) -> Video:
        common = {"preset": "ultrafast", "qp": "30"}
        if codec == "h264":
            params = f"keyint={gop}:min-keyint=1:scenecut=0:bframes={bframes}:b-adapt=0:slices={slices}:rc-lookahead=4"
            params += f":open-gop={int(open_gop)}:sliced-threads=0:threads=1:b-pyramid=strict"
            common["x264-params"] = params
        else:
            params = f"keyint={gop}:min-keyint=1:scenecut=0:bframes={bframes}:b-adapt=0:slices={slices}:rc-lookahead=4"
            params += f":open-gop={int(open_gop)}:pools=1:frame-threads=1:log-level=none:repeat-headers=1:qp=32"
            common = {"preset": "ultrafast", "x265-params": params}
        return encoded(codec, pictures, tuple(common.items()))

    return run


@dataclass
class Sender:
    """Makes the RTP packets of one stream.

    Args:
        codec: h264 or hevc.
        mtu: the most bytes of a payload; at least 4.
        aggregate: put small NAL units together (STAP-A, AP).
    """

    codec: str
    mtu: int = 1400
    aggregate: bool = True
    payload_type: int = 96
    ssrc: int = 0x1234ABCD
    sequence: int = 100
    first_timestamp: int = 50_000

    def packet(self, payload: bytes, timestamp: int, *, marker: bool = False) -> bytes:
        """Return the next packet."""
        second = self.payload_type | (0x80 if marker else 0)
        header = struct.pack(">BBHII", 0x80, second, self.sequence, timestamp & 0xFFFFFFFF, self.ssrc)
        self.sequence = (self.sequence + 1) & 0xFFFF
        return header + payload

    def picture(self, nals: Sequence[bytes], number: int, *, marker: bool = True) -> list[bytes]:
        """Return the packets of one picture presented at a number of frames."""
        payloads = self.payloads(nals)
        timestamp = self.first_timestamp + number * TICKS
        last = len(payloads) - 1
        return [self.packet(p, timestamp, marker=marker and place == last) for place, p in enumerate(payloads)]

    def video(self, video: Video, *, marker: bool = True) -> list[list[bytes]]:
        """Return the packets of each picture."""
        return [self.picture(nals, pts, marker=marker) for nals, pts in zip(video.units, video.pts, strict=True)]

    def payloads(self, nals: Sequence[bytes]) -> list[bytes]:
        """Return NAL units as payloads of at most `mtu` bytes."""
        payloads: list[bytes] = []
        together: list[bytes] = []
        for nal in nals:
            if self.aggregate and self._size([*together, nal]) <= self.mtu:
                together.append(nal)
                continue
            payloads += self._together(together)
            together = [nal] if self.aggregate and self._size([nal]) <= self.mtu else []
            if not together:
                payloads += [nal] if len(nal) <= self.mtu else self._fragments(nal)
        return payloads + self._together(together)

    def _size(self, nals: Sequence[bytes]) -> int:
        return 2 + sum(2 + len(nal) for nal in nals)

    def _together(self, nals: Sequence[bytes]) -> list[bytes]:
        if len(nals) < 2:
            return list(nals)
        body = b"".join(struct.pack(">H", len(nal)) + nal for nal in nals)
        if self.codec == "h264":
            return [bytes([max(nal[0] & 0x60 for nal in nals) | 24]) + body]
        return [bytes([48 << 1, 1]) + body]

    def _fragments(self, nal: bytes) -> list[bytes]:
        if self.codec == "h264":
            kind, header, skip = nal[0] & 31, bytes([nal[0] & 0xE0 | 28]), 1
        else:
            kind, header, skip = nal[0] >> 1 & 63, bytes([nal[0] & 0x81 | 49 << 1, nal[1]]), 2
        room = self.mtu - len(header) - 1
        pieces = [nal[at : at + room] for at in range(skip, len(nal), room)]
        last = len(pieces) - 1
        return [
            header + bytes([kind | (0x80 if place == 0 else 0) | (0x40 if place == last else 0)]) + piece
            for place, piece in enumerate(pieces)
        ]


@pytest.fixture(scope="session")
def sender() -> type[Sender]:
    """The class of senders: packets are numbered on by each one."""
    return Sender


@pytest.fixture(scope="session")
def decode() -> Callable[..., dict[int, bytes]]:
    """A function that decodes (Annex B, presentation number) pairs to luma bytes by number."""

    def run(codec: str, pairs: Sequence[tuple[bytes, int]]) -> dict[int, bytes]:
        decoder = av.CodecContext.create(codec, "r")
        assert isinstance(decoder, av.VideoCodecContext)
        decoder.thread_count = 1
        pictures: dict[int, bytes] = {}
        for data, number in [*pairs, (b"", 0)]:
            packet = av.Packet(data) if data else None
            if packet is not None:
                packet.pts = number
            for frame in decoder.decode(packet):
                assert frame.pts is not None
                pictures[frame.pts] = frame.to_ndarray(format="gray").tobytes()
        return pictures

    return run


@pytest.fixture(scope="session")
def annexb() -> Callable[[Sequence[bytes]], bytes]:
    """A function that joins NAL units with 4-byte start codes."""
    return lambda nals: b"".join(START_CODE + nal for nal in nals)


@pytest.fixture(scope="session")
def nals_of() -> Callable[[bytes], list[bytes]]:
    """A function that takes an Annex B stream apart."""
    return split_nals


class ServedConnection:
    """What a test's server holds of one viewer; a request is whatever ends with a blank line."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def hear(self, patience_s: float | None = None) -> None:
        """Wait for a request, for so long at most."""
        heard = b""
        self._socket.settimeout(patience_s or PATIENCE_S)
        with suppress(TimeoutError):
            while not heard.endswith(b"\r\n\r\n") and (data := self._socket.recv(4096)):
                heard += data
        self._socket.settimeout(PATIENCE_S)

    def say(self, data: bytes) -> None:
        """Send something."""
        self._socket.sendall(data)

    def stay(self) -> None:
        """Say nothing more until the viewer leaves."""
        while self._socket.recv(1 << 16):
            pass

    def end(self) -> None:
        """Hang up; what the viewer says is still read, since it would reset the connection."""
        self._socket.shutdown(socket.SHUT_WR)
        self.stay()

    def reset(self) -> None:
        """Drop the connection when the server returns."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@dataclass(frozen=True)
class Outcome:
    """What the client made of a server."""

    units: tuple[Unit, ...]
    opened: bool
    why: str
    """The stream could not be opened, or was lost."""


def view(port: int, open_ns: int, stall_ns: int) -> Outcome:
    """Open a stream and read it to its end; anything but the client's own errors comes out."""
    clock = RealClock()
    end_ns = clock.now_ns() + WATCHDOG_NS
    settings = ClientSettings("tcp", open_ns, stall_ns, reorder_ns=20 * NS_PER_MS, verify_tls=True)
    target = Target(TargetKind.RTSP, f"rtsp://user:secret@127.0.0.1:{port}/stream")
    units: list[Unit] = []
    try:
        viewer = RtspInput(
            target, settings, clock, synchronised_clocks=True, is_interrupted=lambda: clock.now_ns() > end_ns
        )
    except (SourceOpenError, UnsupportedMedia) as error:
        return Outcome((), opened=False, why=str(error))
    try:
        while True:
            units.append(viewer.read())
    except StreamLost as lost:
        assert sum(unit.packet is None for unit in units) == viewer.statistics()["rtp_damaged"]
        return Outcome(tuple(units), opened=True, why=lost.why)
    finally:
        viewer.close()


@pytest.fixture(scope="module")
def watch() -> Iterator[Callable[..., Outcome]]:
    """A function that shows the client a server of given behaviour, with its two bounds in ns, and checks its words."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)

        def serve(behave: Callable[[ServedConnection], None]) -> None:
            with suppress(OSError):
                sock, _ = listener.accept()
                with sock:
                    behave(ServedConnection(sock))

        def run(behave: Callable[[ServedConnection], None], *, open_ns: int, stall_ns: int) -> Outcome:
            thread = threading.Thread(target=serve, args=(behave,))
            thread.start()
            try:
                outcome = view(listener.getsockname()[1], open_ns, stall_ns)
            finally:
                thread.join(2 * PATIENCE_S)
            assert not thread.is_alive()
            assert outcome.why.isprintable()
            assert not outcome.why.rstrip().endswith(":"), "says where, but not what"
            assert "secret" not in outcome.why
            assert "being stopped" not in outcome.why, "only the watchdog ended it"
            return outcome

        yield run
