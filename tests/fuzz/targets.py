"""One fuzzing target per parser of foreign bytes: what it is fed, and the law that it keeps.

Each target takes any bytes. It returns None when the parser returned what it declares, or raised the error that it
documents; anything else comes out: another exception, or an AssertionError where a further law is broken. Time and
memory are watched by what runs the targets (`engine`).
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import io
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import av
import httpcore
import httpx
import numpy as np
import yaml

from pipeline.cli.options import Flags, built_from_flags
from pipeline.clock import NS_PER_MS, NS_PER_S
from pipeline.config.load import parse
from pipeline.config.text import strict_yaml
from pipeline.errors import ConfigError, SourceOpenError, StageOpenError
from pipeline.masking import STARS, masked, masked_settings, scrub
from pipeline.simulation.recording import read_recording
from pipeline.testing import ManualClock
from pipeline.units import format_duration, parse_duration_ns
from stages.capture import http_probe, wire
from stages.capture.demux import DemuxFailed, packets
from stages.capture.rtsp.assembler import Assembler
from stages.capture.rtsp.auth import Authenticator, Credentials, split_credentials, unanswerable
from stages.capture.rtsp.carrier import is_rtcp
from stages.capture.rtsp.handshake import CannotOpen, ClientSettings, Handshake
from stages.capture.rtsp.messages import Interleaved, Message, ProtocolError, Splitter, request_bytes
from stages.capture.rtsp.rtcp import Goodbye, SenderReport, parse_rtcp, receiver_report
from stages.capture.rtsp.rtp import Reception, parse_rtp
from stages.capture.rtsp.sdp import NoVideo, UnsupportedMedia, aggregate_url, control_url, parse_sdp
from stages.capture.rtsp.sockets import Connection, ConnectionEnded, Patience
from stages.capture.targets import Target as SourceTarget
from stages.capture.targets import TargetKind, parse_target
from stages.detect.facts import ModelFacts, Signature, Tensor, facts_for
from stages.detect.names import read_names
from stages.detect.onnx import DetectOptions, _Loaded

TESTS = Path(__file__).resolve().parents[1]
PROJECT = TESTS.parent
RECORDINGS = TESTS / "stages" / "capture" / "rtsp" / "recordings"
"""Whole RTSP sessions, as servers sent them."""
_MOST_ANSWERS = 1 << 18
"""Numbers in the answers of a made-up model."""
_MAX_SIDE_PX = 512
"""Of its pictures."""


@dataclass(frozen=True)
class FuzzTarget:
    """A parser, and where its fuzzing begins."""

    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    """Makes real samples."""
    words: tuple[bytes, ...] = ()
    """What the format has a meaning for."""
    short_runs: int = 250
    """Runs in `make test`: about half a second."""


TARGETS: dict[str, FuzzTarget] = {}


def target(
    name: str, seeds: Callable[[], list[bytes]], *words: bytes, short_runs: int = 250
) -> Callable[[Callable[[bytes], None]], Callable[[bytes], None]]:
    """Register a function as a target."""

    def register(run: Callable[[bytes], None]) -> Callable[[bytes], None]:
        TARGETS[name] = FuzzTarget(name, run, seeds, words, short_runs)
        return run

    return register


def check_words(error: Exception, *, secret: str = "\n") -> None:
    """Check that an error says something, in one line, and not the secret."""
    assert str(error)
    assert "\n" not in str(error)
    assert secret not in str(error)


def text_of(data: bytes) -> str:
    """Return text as it comes from a command line or a file name: what is not UTF-8 becomes lone surrogates."""
    return data.decode("utf-8", "surrogateescape")


@functools.cache
def folder() -> Path:
    """A folder for files that are read; it goes with the process."""
    made = tempfile.TemporaryDirectory(prefix="framepace-fuzz-")
    atexit.register(made.cleanup)
    return Path(made.name)


@functools.cache
def recordings() -> list[bytes]:
    return [path.read_bytes() for path in sorted(RECORDINGS.glob("*.rtsp"))]


@functools.cache
def recorded(kind: str) -> list[bytes]:
    """Return the packets of a recorded stream, all of them in one sample and a few shorter ones, each with its length.

    Args:
        kind: h264, hevc or rtcp.
    """
    samples = []
    for path, session in zip(sorted(RECORDINGS.glob("*.rtsp")), recordings(), strict=True):
        if kind != "rtcp" and kind not in path.name:
            continue
        splitter = Splitter()
        splitter.channels.update({0, 1})
        media = [message for message in splitter.feed(session) if isinstance(message, Interleaved)]
        wanted = [piece.data for piece in media if piece.channel == (1 if kind == "rtcp" else 0)]
        if kind == "rtcp":
            samples += wanted[:3]
            continue
        framed = [len(packet).to_bytes(2) + packet for packet in wanted]
        samples += [b"".join(framed), b"".join(framed[:12]), b"".join(framed[:3])]
    return samples


SDP = b"""v=0\r
o=- 1109162014219182 1109162014219182 IN IP4 0.0.0.0\r
s=Media Presentation\r
t=0 0\r
a=control:rtsp://10.0.0.9:554/Streaming/Channels/101/\r
m=video 0 RTP/AVP 96\r
c=IN IP4 0.0.0.0\r
a=control:trackID=1\r
a=rtpmap:96 H264/90000\r
a=fmtp:96 profile-level-id=420029; packetization-mode=1; sprop-parameter-sets=Z00AKpWoHgCJ+VA=,aO48gA==\r
m=audio 0 RTP/AVP 8\r
a=rtpmap:8 PCMA/8000\r
"""
SDP_H265 = b"""v=0
t=0 0
a=control:*
m=video 0 RTP/AVP 26 98
a=control:trackID=0
a=framerate:25.000000
a=rtpmap:98 H265/90000
a=fmtp:98 profile-id=1;sprop-sps=QgEBAWAAAA==;sprop-pps=RAHA8s==;sprop-vps=QAEMAf//
"""


@target(
    "sdp", lambda: [SDP, SDP_H265, b"m=video 0 RTP/AVP 96\ra=rtpmap:96 H264"], b"a=", b"m=video ", b"RTP/SAVP", b"999"
)
def sdp(data: bytes) -> None:
    """A description is a stream whose addresses can be asked for, or one of two errors."""
    try:
        media = parse_sdp(data)
    except (UnsupportedMedia, NoVideo) as error:
        check_words(error)
        return
    assert 0 <= media.payload_type < 128
    assert media.framerate is None or media.framerate > 0
    assert sum(map(len, media.parameter_sets)) <= len(data)
    for url in (control_url("rtsp://h/a?b", media), aggregate_url("rtsp://h/a?b", media)):
        request_bytes("SETUP", url, {})


RTSP_SEEDS = [
    b"RTSP/1.0 200 OK\r\nCSeq: 3\r\nContent-Length: 5\r\n\r\nv=0\r\n$\x00\x00\x03abc"
    b"OPTIONS * RTSP/1.0\r\nCSeq: 9\r\n\r\n",
    b'RTSP/1.0 401 No\r\nWWW-Authenticate: Basic realm="a"\r\n folded\r\nwww-authenticate: Digest\r\n\r\n',
    b"noise\r\n$\x09\x00\x01x$\x01\x00\x02abRTSP/1.0 404 Stream Not Found\n\n",
]


def _split(pieces: list[bytes]) -> tuple[list[Message], int, int, str]:
    splitter = Splitter()
    splitter.channels.update({0, 1})
    found: list[Message] = []
    try:
        for piece in pieces:
            found += splitter.feed(piece)
        found += splitter.feed(b"")
    except ProtocolError as error:
        return found, 0, splitter.pending, str(error)
    return found, splitter.garbage, splitter.pending, ""


@target("rtsp", lambda: RTSP_SEEDS + [session[:4000] for session in recordings()], b"RTSP/1.0 ", b"\r\n\r\n", b"$\x00")
def rtsp(data: bytes) -> None:
    """Messages, garbage and rest are the same however the bytes arrive, and hold no more than came."""
    step = 1 + sum(data[:4]) % 97
    places = [*range(0, len(data), step), len(data)]
    whole, pieces = _split([data]), _split([data[start:end] for start, end in pairwise(places)])
    if not whole[3] or not pieces[3]:
        assert whole == pieces
    used = sum(len(message.data) + 4 for message in whole[0] if isinstance(message, Interleaved))
    assert used + whole[1] + whole[2] <= len(data)
    for message in whole[0]:
        if not isinstance(message, Interleaved):
            request_bytes("PLAY", "rtsp://h", {f"X-{n}": value for n, (_, value) in enumerate(message.headers.pairs)})


CHALLENGES = [
    b'Digest realm="r", nonce="n", qop="auth, auth-int", algorithm=SHA-256, opaque="o", stale=TRUE',
    b"Digest realm=IP Camera 2, nonce=n\nBasic realm=b",
    rb'Negotiate, Digest realm="a\"b\\c", nonce="n',
]


@target("challenge", lambda: CHALLENGES, b'nonce="', b"Digest ", b"algorithm=", b"-sess", b"   ", b"=", b"qop=")
def challenge(data: bytes) -> None:
    """The answer to any challenge is one line that a header can hold, and does not show the password."""
    values = data.decode("utf-8", "replace").split("\n")
    made = Authenticator(Credentials("user", "QXsecretQX"), make_cnonce=lambda: "c")
    assert (unanswerable(values) or "x").isprintable()
    if made.challenged(values):
        header = made.header("PLAY", "rtsp://h/a") or ""
        request_bytes("PLAY", "rtsp://h/a", {"Authorization": header})
        assert header.isprintable()
        assert "QXsecretQX" not in header


class _Script(Connection):
    """Gives bytes piece by piece, and then an end; there is no socket."""

    def __init__(self, data: bytes) -> None:
        self.host = "camera"
        size = 1 + len(data) // 20
        self._pieces = [data[start : start + size] for start in range(0, len(data), size)][::-1]

    @property
    def peer(self) -> tuple[int, str]:
        raise OSError("there is no network")

    def send(self, data: bytes, patience: Patience | None = None) -> None:
        """Nobody listens."""

    def receive(self) -> bytes:
        if not self._pieces:
            raise ConnectionEnded
        return self._pieces.pop()

    def wait_readable(self, patience: Patience) -> None:
        """There is always something."""

    def close(self, last_words: bytes, patience: Patience) -> None:
        """There is nothing to close."""


class _ScriptedHandshake(Handshake):
    """Connects to a script, also where it is redirected to."""

    def __init__(self, data: bytes) -> None:
        settings = ClientSettings("tcp", NS_PER_S, NS_PER_S, 0, verify_tls=True)
        super().__init__("rtsp://user:QXsecretQX@camera/a", settings, ManualClock(), lambda: False)
        self._data = data

    def _connect(self, url: str, patience: Patience) -> Connection:
        urlsplit(url)
        return _Script(self._data)


@target("rtsp_session", recordings, b"RTSP/1.0 301 Moved\r\nLocation: rtsp://camera/", b"Content-Base: ", b"Session: ")
def rtsp_session(data: bytes) -> None:
    """A camera that says anything gives a stream, or an error in one line without the password."""
    try:
        playing = _ScriptedHandshake(data).play()
        assembler = Assembler(
            playing.media.codec,
            payload_type=playing.media.payload_type,
            parameter_sets=playing.media.parameter_sets,
        )
        while True:
            media, responses = playing.session.receive()
            for response in responses:
                playing.session.renew(response)
            for packet, arrival_ns in playing.carrier.receive(media):
                if is_rtcp(packet, playing.media.payload_type):
                    parse_rtcp(packet)
                else:
                    assembler.push(packet, arrival_ns)
    except (CannotOpen, UnsupportedMedia) as error:
        check_words(error, secret="QXsecretQX")
    except (ConnectionEnded, ProtocolError):
        pass


RTP = bytes.fromhex("80e0fffefffffffddeadbeef") + b"abc"


@target(
    "rtp",
    lambda: [RTP, b"\xb1" + RTP[1:12] + bytes(4) + b"\x10\x00\x00\x02" + bytes(8) + b"abc\x01"],
    b"\x90",
    b"\xa0",
    short_runs=400,
)
def rtp(data: bytes) -> None:
    """Any bytes are a packet made of its own bytes, which can be counted, or none."""
    packet = parse_rtp(data)
    if packet is None:
        return
    assert packet.payload in data
    reception = Reception(packet)
    reception.count(packet, 0)
    written = receiver_report(1, reception.report(), cname="c")
    assert parse_rtcp(written) == []


def _sender_reports() -> list[bytes]:
    return [
        *recorded("rtcp"),
        bytes.fromhex("80c8000600000005eeab8e8080000000fffff0000000000a000003e8") + b"\x82\xcb\x00\x01\0\0\0\5",
    ]


@target("rtcp", _sender_reports, b"\x80\xc8", b"\x81\xcb", b"\xff\xff\xff\xff", short_runs=400)
def rtcp(data: bytes) -> None:
    """Reports and goodbyes are no more than the bytes hold, and tell a time."""
    found = parse_rtcp(data)
    assert len(found) <= len(data) // 4
    for one in found:
        if isinstance(one, SenderReport):
            assert isinstance(one.unix_ns_at(0), int)
        else:
            assert isinstance(one, Goodbye)


def _assemble(codec: Any, data: bytes) -> None:
    """Push packets, each behind its length of 16 bits, with some milliseconds between; no packet is counted twice."""
    assembler = Assembler(codec, payload_type=96, parameter_sets=(data[:40], data[40:44]), reorder_ns=30 * NS_PER_MS)
    position = pushed = now_ns = 0
    units = []
    while position + 2 <= len(data):
        size = int.from_bytes(data[position : position + 2])
        packet = data[position + 2 : position + 2 + size]
        units += assembler.push(packet, now_ns)
        units += assembler.poll(now_ns)
        now_ns += (size % 13) * NS_PER_MS
        position += 2 + size
        pushed += 1
    units += assembler.flush()
    assembler.reception_report()
    counts = assembler.statistics()
    taken = counts.received + counts.duplicates + counts.late + counts.other + counts.garbage
    assert taken in (pushed, pushed - 1)
    assert counts.units == len(units)
    assert counts.damaged == sum(unit.damaged for unit in units)
    for unit in units:
        assert not unit.data or unit.data.startswith(b"\0\0\0\1")
    assert sum(len(unit.data) for unit in units) <= 8 * len(data) + 4096 + 4096 * len(units)


@target(
    "h264", lambda: recorded("h264"), b"\x7c\x85", b"\x7c\x45", b"\x78\x00\x01", b"\0\0\1", b"\x06\x06", short_runs=60
)
def h264(data: bytes) -> None:
    """Any packets are pictures, whole or damaged; see `_assemble`."""
    _assemble("h264", data)


@target("h265", lambda: recorded("hevc"), b"\x62\x01\x93", b"\x60\x01", b"\0\0\1", b"\x4e\x01\x06", short_runs=60)
def h265(data: bytes) -> None:
    """Any packets are pictures, whole or damaged; see `_assemble`."""
    _assemble("hevc", data)


@functools.cache
def _multipart() -> list[bytes]:
    codec = av.CodecContext.create("mjpeg", "w")
    assert isinstance(codec, av.VideoCodecContext)
    codec.width, codec.height, codec.pix_fmt = 16, 16, "yuvj420p"
    codec.time_base = codec.framerate = 1  # type: ignore[assignment]  # any whole number is a fraction
    picture = b"".join(bytes(packet) for packet in codec.encode(av.VideoFrame(16, 16, "yuvj420p")))
    part = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture) + picture + b"\r\n"
    return [part * 3, part.replace(b"Content-Length", b"X-Length") * 3]


@target("multipart", _multipart, b"--frame\r\n", b"Content-Length: ", b"Content-Type: image/jpeg\r\n", b"\r\n\r\n")
def multipart(data: bytes) -> None:
    """FFmpeg takes it apart: packets come, or one of our errors; see `stages.capture.demux`."""
    try:
        container = av.open(io.BytesIO(data), format="mpjpeg")
    except (av.error.FFmpegError, OSError, ValueError):  # what `open_input` turns into a SourceOpenError
        return
    with container, contextlib.suppress(DemuxFailed, SourceOpenError):
        for stream in container.streams.video[:1]:
            size = sum(packet.size for packet in packets(container, stream, SourceTarget(TargetKind.HTTP, "http://h/")))
            assert size <= len(data)


HTTP_SEEDS = [
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 3\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n",
    b"HTTP/1.1 301 Moved\r\nLocation: http://user:p@other/\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
]


def _scripted_client(data: bytes) -> Callable[..., httpx.Client]:
    """Return what makes a real client to which every server says the same."""

    def make(**settings: Any) -> httpx.Client:
        transport = httpx.HTTPTransport(verify=False)
        backend = httpcore.MockBackend([data[start : start + 4096] for start in range(0, len(data), 4096)])
        transport._pool = httpcore.ConnectionPool(network_backend=backend)
        return _client(transport=transport, **settings)

    return make


_client = httpx.Client


@target("http_probe", lambda: HTTP_SEEDS, b"Content-Length: ", b"Location: ", b"//", b"\r\n\r\n", short_runs=60)
def http_probe_target(data: bytes) -> None:
    """Any answer of a server is shown in printable words, or None."""
    with mock.patch.object(http_probe.httpx, "Client", _scripted_client(data)):
        shown = http_probe.ask("http://camera/video", verify=False)
    if shown is not None:
        assert shown.words.isprintable()
        assert len(shown.words) < 300
        assert shown.length is None or shown.length >= 0


@functools.cache
def _wire() -> list[bytes]:
    codec = av.CodecContext.create("h264", "r")
    assert isinstance(codec, av.VideoCodecContext)
    body = json.dumps(wire.describe_codec(codec)).encode()
    return [wire.Header(wire.Kind.OPENED, len(body)).pack() + body]


@target("wire", _wire, b"null", b"[1, 0]", b'"', b"9999999999")
def wire_target(data: bytes) -> None:
    """A message of the process that reads is understood, or Garbled; a header that is packed again is the same."""
    with contextlib.suppress(wire.Garbled):
        if len(data) >= wire.HEADER_SIZE:
            header = wire.Header.unpack(data[: wire.HEADER_SIZE])
            assert wire.Header.unpack(header.pack()) == header
        wire.understood(data[wire.HEADER_SIZE :], wire.make_codec)


MODEL_SEEDS = [
    "in images tensor(float) 1 3 64 64\nout output0 tensor(float) 1 84 84\nmeta names {0: 'person', 1: 'car'}\n"
    "meta imgsz [64, 64]\nmeta stride 32\nmeta task detect",
    "in images tensor(float) 1 3 ? ?\nout dets tensor(float) 1 100 4\nout labels tensor(float) 1 100 91",
    "in images tensor(float) 1 3 64 64\nodd dets tensor(float) 1 100 4\nodd labels tensor(float) 1 100 91",
    "in images tensor(float) 1 3 64 64\nodd out tensor(float) 1 84 7",
    "in x tensor(uint8) ? 64 64 3\nout boxes tensor(float) ? 4\nout scores tensor(float) ?\nout labels tensor(int64) ?",
    "in images tensor(float) 1 3 64 64\nin orig_target_sizes tensor(int64) 1 2\nout output tensor(float) 1 84 85\n"
    'meta framepace.family yolov5\nmeta framepace.size 416\nmeta names ["a"]\nmeta end2end True',
    "in images tensor(float) 1 3 64 64\nout detection_boxes tensor(float) 1 9 4\nout detection_scores tensor(float) 1 9"
    "\nout detection_classes tensor(float) 1 9\nout num_detections tensor(float) 1",
]


class _MadeUpSession:
    """What onnxruntime shows of a model that text describes; it answers with numbers from 0 to 1.

    Args:
        text: lines of `in NAME TYPE AXIS...`, `out NAME TYPE AXIS...` with ? for a free axis, and `meta KEY VALUE`;
            the answer of `odd` instead of `out` has other axes than are declared.
    """

    def __init__(self, text: str) -> None:
        self.inputs: list[SimpleNamespace] = []
        self.outputs: list[SimpleNamespace] = []
        self.metadata: dict[str, str] = {}
        names: set[str] = set()
        for line in text.split("\n"):
            kind, *words = line.split(" ", 2)
            if kind == "meta" and len(words) == 2:
                self.metadata[words[0]] = words[1]
            elif kind in ("in", "out", "odd") and len(words) == 2 and words[0] not in names:
                names.add(words[0])
                dtype, *axes = words[1].split(" ")
                shape = [int(axis) if axis.isascii() and axis.isdigit() and len(axis) < 6 else axis for axis in axes]
                tensor = SimpleNamespace(name=words[0], type=dtype, shape=shape, is_odd=kind == "odd")
                (self.inputs if kind == "in" else self.outputs).append(tensor)

    def get_inputs(self) -> list[SimpleNamespace]:
        return self.inputs

    def get_outputs(self) -> list[SimpleNamespace]:
        return self.outputs

    def get_modelmeta(self) -> SimpleNamespace:
        return SimpleNamespace(custom_metadata_map=self.metadata)

    def run(self, names: None, feeds: object) -> list[object]:
        return [self._answer(tensor) for tensor in self.outputs]

    def _answer(self, tensor: SimpleNamespace) -> object:
        if tensor.type.startswith("seq"):
            return [{0: 0.5}]
        shape = [axis if isinstance(axis, int) else len(axis) % 5 for axis in tensor.shape]
        if tensor.is_odd:
            shape = shape[:-1] if len(tensor.name) % 2 else [axis // 2 for axis in shape]
        if np.prod(shape, dtype=float) > _MOST_ANSWERS or len(shape) > 8:
            raise RuntimeError("too large")
        values = np.linspace(0, 1, int(np.prod(shape))).reshape(shape)
        if tensor.type == "tensor(string)":
            return values.astype(str).astype(object)
        return values.astype({"tensor(int64)": "int64", "tensor(bool)": "bool"}.get(tensor.type, "float32"))


@target(
    "model",
    lambda: [seed.encode() for seed in MODEL_SEEDS],
    b"meta framepace.family ",
    *(b"yolov8", b"yolov5", b"yolox", b"end2end", b"detr", b"rt-detr", b"yolo-nas", b"tensorflow", b"torchvision"),
    b"meta names ",
    b"[[[[[[[[",
    b"tensor(string)",
    b"seq(map)",
    b"odd ",
)
def model(data: bytes) -> None:
    """A model whose file says anything is understood or refused in one line."""
    session = _MadeUpSession(text_of(data))
    # Pictures of many thousand pixels are allowed, and would only take time.
    for tensor in session.inputs:
        tensor.shape = [axis if isinstance(axis, str) else min(axis, _MAX_SIDE_PX) for axis in tensor.shape]
    for key in ("framepace.size", "imgsz"):
        if re.search(r"\d{4}", session.metadata.get(key, "")):
            del session.metadata[key]
    try:
        _Loaded(DetectOptions(), folder() / "no such model.onnx", session)  # type: ignore[arg-type]  # made up
    except (StageOpenError, ConfigError) as error:
        check_words(error)


METADATA_SEEDS = [
    b"{0: 'person', 2: \"driver's cab\"}\n[384, 640]\n32",
    b'["a", "b"]\n[640, 640]\n32\n[1, 2, 3]\n[4, 5, 6]',
    b'{"0": "a", "1": "b"}\n64\n8\n0..1',
]


@target(
    "metadata",
    lambda: METADATA_SEEDS,
    b"{0:",
    b"'",
    b"[[[[",
    b"(((((",
    b"\\d",
    b"1_0",
    b"-",
    b"1e999",
    b"NaN",
    b"\\ud800",
)
def metadata(data: bytes) -> None:
    """Metadata gives facts, and no complaint: it is other people's; names fit on one line each."""
    values = text_of(data).split("\n")
    keys = ["names", "imgsz", "stride", "framepace.mean", "framepace.std", "framepace.range", "framepace.names"]
    picture = Tensor("images", (1, 3, 64, 64), "tensor(float)")
    said = dict(zip(keys, values, strict=False))
    facts = facts_for(folder() / "no such model.onnx", Signature((picture,), (), said))
    for name in facts.names or ():
        assert not name or name.isprintable()
        name.encode()


SIDECAR = b"""family: yolox
names: [car, lorry]
colour: bgr
range: 0..255
mean: [1, 2, 3]
std: [4, 5, 6]
pad: 0
placement: top_left
size: [640, 384]
stride: 16
"""
YAML_WORDS = (
    *(b"&a ", b"*a", b"<<: ", b"!!int ", b"!!float ", b"!!bool ", b"!!timestamp ", b"!!binary ", b"!!set ", b"? "),
    *(b"[[[[[[[[", b"{", b"}", b"- ", b": ", b"2001-99-99", b"0x_", b"1:99:1", b".inf", b".nan", b'"\\ud800"', b"\\0"),
    *(b'"a\\0b"', b"0x" + b"f" * 4000, b"9" * 400, b"null", b"true", b"---\n", b"| \n", b"%YAML 1.1\n"),
)


@target("sidecar", lambda: [SIDECAR, b"names: {0: a}\nsize: 416", b"a: &a [1]\npad: 1"], *YAML_WORDS)
def sidecar(data: bytes) -> None:
    """A sidecar gives facts, or an error in one line; facts that are written down say the same."""
    path = folder() / "street.onnx"
    path.with_name("street.onnx.yaml").write_bytes(data)
    picture = Tensor("images", (1, 3, 64, 64), "tensor(float)")
    try:
        facts = facts_for(path, Signature((picture,), (), {}))
    except StageOpenError as error:
        check_words(error)
        return
    written = yaml.safe_dump(facts.model_dump(mode="json", exclude_none=True), sort_keys=False)
    assert ModelFacts.model_validate(strict_yaml(written) or {}) == facts


def _configurations() -> list[bytes]:
    files = sorted((PROJECT / "configs").glob("*.yaml"))
    return [
        *(file.read_bytes() for file in files),
        b"source: {kind: video, url: 'rtsp://user:QXsecretQX@cam/a', transport: udp}\n"
        b"deadline: 200ms\nsinks: [stdout]\n"
        b"stages: [preprocess, {kind: detect, min_score: 0.4, classes: [person]}, {kind: track, horizon: 1s}]\n"
        b"serve: {host: 127.0.0.1, port: 1, token: QXsecretQXlong}\nengine: {credits: 2, reconnect_most: 9s}\n",
        b"source: 'synthetic:'\nserve: 127.0.0.1:0\nsinks: ['jsonl:o', {kind: ws, port: 9}]\ntrace_seconds: 3\n",
    ]


def _imported(name: str, package: str | None = None) -> object:
    """Import only what is there already: a kind may be `module:Class`, and fuzzing is not to run what it finds."""
    if not name or name.startswith("."):
        return importlib.__import__(name)
    if name not in sys.modules:
        raise ModuleNotFoundError(f"No module named {name!r}")
    return sys.modules[name]


@contextlib.contextmanager
def _importing_nothing() -> Iterator[None]:
    stand_in = SimpleNamespace(import_module=_imported)
    with mock.patch("pipeline.registry.importlib", stand_in):
        yield


def _build(flags: Flags, written: str, *, token: str) -> None:
    """Build a run. It has problems, or shows no secret of a place where secrets stand, and what is in force can be
    written into a file again.

    Args:
        flags: of the command line.
        written: the input.
        token: matches a token in it.
    """
    try:
        with _importing_nothing():
            _, built = built_from_flags(flags)
    except ConfigError:
        return
    shown = built.settings.configuration
    if "QXsecretQX" not in re.sub(rf"(?m)[a-z]://user:QXsecretQX@|{token}", "", written):
        assert "QXsecretQX" not in json.dumps(shown)
    if STARS not in json.dumps(shown):
        again = strict_yaml(yaml.safe_dump(shown, sort_keys=False))
        assert isinstance(again, dict)
        parse(again)


@target("config", _configurations, b"kind: ", b"source: ", b"serve: ", b"name: 3", b"999h", *YAML_WORDS, short_runs=40)
def config(data: bytes) -> None:
    """A configuration file gives a plan, or a ConfigError with every problem; see `_build`."""
    path = folder() / "fuzz.yaml"
    path.write_bytes(data)
    _build(Flags(config=path), text_of(data), token="token: QXsecretQXlong")


FLAG_SEEDS = [
    b"source=rtsp://user:QXsecretQX@cam/a\ndeadline=50ms\nserve=127.0.0.1:0\ntoken=QXsecretQXlong\nclasses=car, bus",
    b"source=clip.mp4\npace=30\nstart=1.5s\nduration=2m\nmax_frames=9\nmodel=yolov3-tiny@608\nsinks=jsonl:o\nmin_score=0.5",
    b"source=webcam:0\nmode=live\nretry_start=1\ngive_up_after=1h\nsinks=ws://127.0.0.1:8765\nsinks=mot:x\nstream=door",
    b"source=lavfi:testsrc\ntrace_seconds=5\nlog_format=json\nproject_to=publish\nmode=lossless",
]
_NUMBERS = {"min_score": float, "trace_seconds": float, "max_frames": int}
_SWITCHES = frozenset({"retry_start", "quiet", "insecure"})


@target(
    "flags",
    lambda: FLAG_SEEDS,
    *(b"source=", b"sinks=", b"model=", b"pace=", b"serve=", b"http://[", b"file://[", b"~nobody/", b"@608", b"nan"),
    *(b"\n", b":", b"inf", b"9" * 400, b"9" * 5000, b"s", b"ws://", b"module:Class", b"%00"),
    short_runs=60,
)
def flags(data: bytes) -> None:
    """A command line gives a plan, or a ConfigError; see `_build`. An argument holds no NUL."""
    said: dict[str, Any] = {"sinks": []}
    for line in text_of(data.replace(b"\0", b"")).split("\n"):
        name, equals, value = line.partition("=")
        if not equals or name in ("config", "token_file"):
            continue
        if name == "sinks":
            said["sinks"].append(value)
        elif name in _SWITCHES:
            said[name] = bool(value)
        elif name in _NUMBERS:
            with contextlib.suppress(ValueError):
                said[name] = _NUMBERS[name](value)
        elif name in {field.name for field in fields(Flags)}:
            said[name] = value
    _build(Flags(**said), text_of(data), token="^token=QXsecretQXlong$")


ADDRESSES = [
    b"rtsp://user:secret@cam:554/stream",
    b"rtsp://user:p@ss:w@rd@host/a",
    b"rtsp://u:p/w@10.0.0.1/a?token=abc",
    b"http://cam/user=admin&password=secret&channel=1",
    b"https://[::1]:80/a@b.mjpg?x=y#z",
    b"file:///clips/user:secret@home.mp4",
]


@target(
    "masking", lambda: ADDRESSES, b"@", b"#", b"://", b":", b"[", b"]", b"?", b"%40", b"password=", b"&", short_runs=400
)
def masking(data: bytes) -> None:
    """The password of an address is in nothing that is shown of it, nor in an error about it."""
    url = text_of(data)
    shown = masked(url)
    errors = []
    try:
        found = parse_target(url)
        assert found.shown == masked(found.address)
        assert found.live in (True, False)
    except ValueError as error:
        errors.append(str(error))
    said = f"cannot open {url!r}: {url}"
    texts = [shown, str(masked_settings([{"url": url}])), *errors]
    for password, rest in _passwords(url):
        # A short or common one may be a part of the rest by chance.
        if (
            len(password) > 2
            and password in url
            and password not in rest
            and password not in STARS
            and password not in f"url{said[:13]}"
        ):
            assert all(password not in text for text in texts), texts
            assert password not in scrub(f"cannot open {url}: {password}", url)


def _passwords(url: str) -> Iterator[tuple[str, str]]:
    """Give what counts as password in an address, as written, and what is left of the address."""
    if url.lower().startswith(("rtsp://", "rtsps://")):
        rest, credentials = split_credentials(url)
        if credentials is not None:
            taken = url[len(url.partition("://")[0]) + 3 : len(url) - len(rest.partition("://")[2]) - 1]
            yield taken.partition(":")[2], rest
    elif url.lower().startswith(("http://", "https://")):
        with contextlib.suppress(ValueError):
            parts = urlsplit(url)
            user_info = parts.netloc.rpartition("@")[0]
            if f"{user_info}@" in url:  # urllib leaves out control characters
                yield user_info.partition(":")[2], url.replace(user_info, "")


@target("duration", lambda: [b"100ms", b"1.5 s", b".5h", b"2m"], b"9" * 400, b"us", b".", b" ", short_runs=400)
def duration(data: bytes) -> None:
    """A duration is nanoseconds that are written and read back, or a ValueError."""
    try:
        duration_ns = parse_duration_ns(text_of(data))
    except ValueError:
        return
    assert duration_ns >= 0
    assert abs(parse_duration_ns(format_duration(duration_ns)) - duration_ns) <= max(1, duration_ns >> 50)


@target("names", lambda: [b"person\ncar\n", b"\xef\xbb\xbfa\r\nb", "ä\u2028b\x1b".encode()], b"\0", b"\n", b"\xff")
def names(data: bytes) -> None:
    """A file of class names gives printable names, or a ConfigError."""
    path = folder() / "fuzz.names"
    path.write_bytes(data)
    try:
        found = read_names(path)
    except ConfigError:
        return
    assert found
    assert all(not name or name.isprintable() for name in found)


def _timings() -> list[bytes]:
    head = {"schema": "framepace/timings/1", "deadline_ns": 1, "credits": 2, "stages": ["detect"], "detector": "detect"}
    lines = [
        [0, "captured", 0, "", 0],
        [1, "offered", 0, "", 0],
        [2, "ran", 0, "detect", 5],
        [3, "answered", 0, "fresh", 1],
    ]
    return ["\n".join(json.dumps(line) for line in [head, *lines, [9, "ended", 0, "", 0]]).encode()]


@target("timings", _timings, b"[" * 2000, b"1e999", b"9" * 400, b'"captured"', b"[0, ", b"{}", b"null", b"NaN")
def timings(data: bytes) -> None:
    """A record of timings is read, or a ValueError in one line says where it is wrong."""
    path = folder() / "fuzz.timings"
    path.write_bytes(data)
    try:
        recording = read_recording(path)
    except ValueError as error:
        check_words(error)
        return
    assert recording.frames
