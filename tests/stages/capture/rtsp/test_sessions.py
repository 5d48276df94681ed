"""Whole recorded sessions, played back to the client with all kinds of damage, and servers that never end."""

from __future__ import annotations

import itertools
import re
import socket
import struct
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipeline.clock import NS_PER_MS, NS_PER_S, RealClock
from pipeline.errors import SourceOpenError, StreamLost
from stages.capture.live_input import Unit
from stages.capture.rtsp.handshake import ClientSettings
from stages.capture.rtsp.sdp import UnsupportedMedia
from stages.capture.rtsp_input import RtspInput
from stages.capture.targets import Target, TargetKind

RECORDINGS = sorted((Path(__file__).parent / "recordings").glob("*.rtsp"))
PICTURES = 36
"""In each recording."""
ANSWER = b"RTSP/1.0 "
IMPATIENCE_S = 0.01
"""So long a server waits for a request once its answers are damaged, and goes on without it."""
PATIENT_NS, HURRIED_NS = 5 * NS_PER_S, 200 * NS_PER_MS
"""Bounds of the client: where the server hangs up in the end, and where it does not."""
FUZZ = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
WATCHDOG_NS = 20 * NS_PER_S
MOST_BYTES = 24 << 20
"""What the client may take at its worst: a picture of 16 MiB, and what is under way."""


@dataclass(frozen=True)
class Playback:
    """What a server says on a connection, and how."""

    turns: tuple[bytes, ...]
    """Before each request, what it answers."""
    intact: int
    """So many of them are as they were recorded."""
    ending: str = "closes"
    """closes, resets or stays: what the server does when all is said."""
    chunk: int = 1 << 20
    """Bytes that are sent at once."""


@dataclass(frozen=True)
class Outcome:
    """What the client made of it."""

    units: tuple[Unit, ...]
    opened: bool
    why: str


class Server:
    """Serves one connection at a time; a request is whatever ends with a blank line."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(10)
        self.port = int(self._listener.getsockname()[1])

    def start(self, behave: Callable[[socket.socket], None]) -> threading.Thread:
        thread = threading.Thread(target=self._serve, args=(behave,))
        thread.start()
        return thread

    def close(self) -> None:
        self._listener.close()

    def _serve(self, behave: Callable[[socket.socket], None]) -> None:
        with suppress(OSError):
            connection, _ = self._listener.accept()
            with connection:
                connection.settimeout(10)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                behave(connection)


def play(playback: Playback) -> Callable[[socket.socket], None]:
    """Return what a server does that plays a session back."""

    def behave(connection: socket.socket) -> None:
        for number, turn in enumerate(playback.turns):
            wait_for_request(connection, None if number <= playback.intact else IMPATIENCE_S)
            for start in range(0, len(turn), playback.chunk):
                connection.sendall(turn[start : start + playback.chunk])
        if playback.ending == "resets":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        if playback.ending == "closes":
            connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 16):  # what is left unread would reset the connection
            pass

    return behave


def wait_for_request(connection: socket.socket, patience_s: float | None) -> None:
    heard = b""
    connection.settimeout(patience_s or 10)
    with suppress(TimeoutError):
        while not heard.endswith(b"\r\n\r\n") and (data := connection.recv(4096)):
            heard += data
    connection.settimeout(10)


def view(port: int, *, bound_ns: int) -> Outcome:
    """Open the stream and read it to its end; anything but its own errors comes out."""
    clock = RealClock()
    end_ns = clock.now_ns() + WATCHDOG_NS
    client_settings = ClientSettings("tcp", bound_ns, bound_ns, reorder_ns=20 * NS_PER_MS, verify_tls=True)
    target = Target(TargetKind.RTSP, f"rtsp://user:secret@127.0.0.1:{port}/stream")
    units: list[Unit] = []
    try:
        viewer = RtspInput(
            target, client_settings, clock, synchronised_clocks=True, is_interrupted=lambda: clock.now_ns() > end_ns
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


def check_words(why: str) -> None:
    """Check that an end is told as people want it."""
    assert why.strip(" :")
    assert why.isprintable()
    assert "secret" not in why
    assert "being stopped" not in why, "only the watchdog ended it"
    assert not why.rstrip().endswith(":"), "says where, but not what"


def watch(server: Server, playback: Playback) -> Outcome:
    """Play a session to the client."""
    thread = server.start(play(playback))
    outcome = view(server.port, bound_ns=HURRIED_NS if playback.ending == "stays" else PATIENT_NS)
    thread.join(15)
    assert not thread.is_alive()
    check_words(outcome.why)
    return outcome


def split_turns(recording: bytes) -> list[bytes]:
    return [ANSWER + rest for rest in recording.split(ANSWER)[1:]]


def frame_starts(turn: bytes) -> list[int]:
    """Return where the interleaved frames of the last answer begin, and where the last one ends."""
    place = turn.find(b"\r\n\r\n") + 4
    starts = [place]
    while place + 4 <= len(turn):
        place += 4 + int.from_bytes(turn[place + 2 : place + 4])
        starts.append(place)
    return starts


def picture_ends(turn: bytes) -> list[int]:
    """Return where each picture is complete: behind the frame with its marker."""
    starts = frame_starts(turn)
    return [end for start, end in itertools.pairwise(starts) if turn[start + 1] == 0 and turn[start + 5] & 0x80]


@dataclass(frozen=True)
class Damage:
    """One thing that goes wrong; places are shares of what there is."""

    kind: str
    turn: int
    at: float
    size: int
    fill: bytes

    def apply(self, turns: list[bytes]) -> None:
        number = -1 - self.turn % len(turns)  # the simplest is the last, the one with the media
        turns[number] = DAMAGES[self.kind](turns[number], self)


def place_in(data: bytes, damage: Damage) -> int:
    return int(damage.at * len(data))


def flipped(turn: bytes, damage: Damage) -> bytes:
    at = min(place_in(turn, damage), len(turn) - 1)
    return turn[:at] + bytes([turn[at] ^ (1 << damage.size % 8)]) + turn[at + 1 :] if turn else turn


def removed(turn: bytes, damage: Damage) -> bytes:
    at = place_in(turn, damage)
    return turn[:at] + turn[at + damage.size :]


def inserted(turn: bytes, damage: Damage) -> bytes:
    at = place_in(turn, damage)
    return turn[:at] + damage.fill + turn[at:]


def repeated(turn: bytes, damage: Damage) -> bytes:
    at = place_in(turn, damage)
    block = turn[at : at + damage.size]
    return turn[:at] + block * 5 + turn[at:]


def cut(turn: bytes, damage: Damage) -> bytes:
    return turn[: place_in(turn, damage)]


def swapped(turn: bytes, damage: Damage) -> bytes:
    at, size = place_in(turn, damage), damage.size
    return turn[:at] + turn[at + size : at + 2 * size] + turn[at : at + size] + turn[at + 2 * size :]


def frame_resized(turn: bytes, damage: Damage) -> bytes:
    """Let one interleaved frame lie about its length."""
    starts = frame_starts(turn)[:-1]
    if not starts:
        return turn
    start = starts[min(int(damage.at * len(starts)), len(starts) - 1)]
    return turn[: start + 2] + struct.pack(">H", damage.size * 17 & 0xFFFF) + turn[start + 4 :]


def frame_head_flipped(turn: bytes, damage: Damage) -> bytes:
    """Turn over a bit where it matters most: frame head, RTP head, and the beginning of the payload."""
    starts = frame_starts(turn)[:-1]
    if not starts:
        return turn
    at = starts[min(int(damage.at * len(starts)), len(starts) - 1)] + damage.size % 22
    return turn[:at] + bytes([turn[at] ^ (1 << damage.size // 22 % 8)]) + turn[at + 1 :] if at < len(turn) else turn


def frames_moved(turn: bytes, damage: Damage) -> bytes:
    """Take whole frames away, and put them at the end."""
    starts = frame_starts(turn)
    first = int(damage.at * (len(starts) - 1))
    begin, end = starts[first], starts[min(first + damage.size, len(starts) - 1)]
    return turn[:begin] + turn[end:] + turn[begin:end]


def line_repeated(turn: bytes, damage: Damage) -> bytes:
    """Say one header line, or one of the description, again and again."""
    head, blank, rest = turn.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    line = lines[min(int(damage.at * len(lines)), len(lines) - 1)]
    return b"\r\n".join([*lines, *[line] * damage.size]) + blank + rest


def head_endless(turn: bytes, damage: Damage) -> bytes:
    head, blank, rest = turn.partition(b"\r\n\r\n")
    return head + b"\r\nX: " + b"x" * (damage.size * 50) + blank + rest


def length_changed(turn: bytes, damage: Damage) -> bytes:
    """Claim another length of the content, or claim one at all."""
    lengths = [b"-1", b"99999999999999999999", b"1048576", b"4000000000", b"", b"1e3", b"\xc2\xb2", b"%d" % damage.size]
    line = b"\r\nContent-Length: " + lengths[int(damage.at * 0.999 * len(lengths))]
    changed, count = re.subn(rb"\r\nContent-Length: \d+", line, turn, count=1)
    return changed if count else turn.replace(b"\r\n\r\n", line + b"\r\n\r\n", 1)


def redescribed(turn: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Change a description, and say its true length."""
    head, blank, body = turn.partition(b"\r\n\r\n")
    if b"application/sdp" not in head:
        return turn
    body = change(body)
    return re.sub(rb"Content-Length: \d+", b"Content-Length: %d" % len(body), head) + blank + body


def many_media(turn: bytes, damage: Damage) -> bytes:
    media = b"m=video 0 RTP/AVP " + b" ".join(b"%d" % number for number in range(96, 128)) + b"\r\na=rtpmap:96 X/1\r\n"
    return redescribed(turn, lambda body: body.replace(b"m=", media * damage.size + b"m=", 1))


def sets_cut(turn: bytes, damage: Damage) -> bytes:
    """Shorten each parameter set of the description."""

    def shorter(match: re.Match[bytes]) -> bytes:
        return match[1] + match[2][: place_in(match[2], damage)]

    return redescribed(turn, lambda body: re.sub(rb"(sprop-[\w-]+=)([^;\r]*)", shorter, body))


def body_flipped(turn: bytes, damage: Damage) -> bytes:
    return redescribed(turn, lambda body: flipped(body, damage))


DAMAGES: dict[str, Callable[[bytes, Damage], bytes]] = {
    made.__name__: made
    for made in (
        *(flipped, removed, inserted, repeated, cut, swapped, frame_resized, frame_head_flipped, frames_moved),
        *(line_repeated, head_endless, length_changed, many_media, sets_cut, body_flipped),
    )
}
PIECES = [
    b"$",
    b"$\x00\x00\x00",
    b"$\x00\xff\xff",
    b"\r\n\r\n",
    ANSWER,
    b"RTSP/1.0 401 No\r\n\r\n",
    b"OPTIONS * RTSP/1.0\r\n\r\n",
]
damages = st.builds(
    Damage,
    kind=st.sampled_from(sorted(DAMAGES)),
    turn=st.integers(0, 5),
    at=st.floats(0, 1),
    size=st.one_of(st.integers(0, 64), st.integers(0, 5000)),
    fill=st.one_of(st.sampled_from(PIECES), st.binary(max_size=64), st.binary(max_size=8).map(lambda b: b * 500)),
)


@st.composite
def playbacks(draw: st.DrawFn, recording: bytes) -> Playback:
    whole = split_turns(recording)
    turns = list(whole)
    for damage in draw(st.lists(damages, min_size=1, max_size=4)):
        damage.apply(turns)
    if draw(st.integers(0, 9)) == 9:
        turns = draw(st.permutations(turns))
    intact = next((number for number, turn in enumerate(whole) if turns[number] != turn), len(whole))
    # Hanging up is quick, and so it is most of what is tried.
    ending = draw(st.sampled_from(["closes"] * 6 + ["resets"] * 2 + ["stays"]))
    return Playback(tuple(turns), intact, ending, draw(st.sampled_from([1 << 20, 1 << 20, 1000, 7])))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    started = Server()
    yield started
    started.close()


@pytest.fixture(scope="module", params=RECORDINGS, ids=lambda path: path.stem)
def recording(request: pytest.FixtureRequest) -> bytes:
    return bytes(request.param.read_bytes())


def contents(units: Sequence[Unit]) -> list[bytes | None]:
    return [None if unit.packet is None else bytes(unit.packet) for unit in units]


@pytest.mark.parametrize("chunk", [1 << 20, 1])
def test_a_recording_is_a_whole_session(server: Server, recording: bytes, decode, chunk: int) -> None:  # type: ignore[no-untyped-def]
    """Played back as it is, at once or byte by byte, every picture comes out, and is decoded from the first key on."""
    turns = split_turns(recording)
    outcome = watch(server, Playback(tuple(turns), len(turns), chunk=chunk))
    assert outcome.why == "the camera closed the connection"
    assert len(picture_ends(turns[-1])) == len(outcome.units) == PICTURES
    packets = [unit.packet for unit in outcome.units if unit.packet is not None]
    assert packets[0].is_keyframe
    assert [unit.packet for unit in outcome.units][-len(packets) :] == packets
    assert len(packets) > PICTURES // 2
    codec = "hevc" if b" H265/" in recording else "h264"
    assert len(decode(codec, [(bytes(packet), number) for number, packet in enumerate(packets)])) == len(packets)


def test_any_damage_ends_the_stream_in_order(server: Server, recording: bytes) -> None:
    """With its own errors, within its bounds and flat memory; what came before the damage is handed on as it was."""
    turns = split_turns(recording)
    reference = contents(watch(server, Playback(tuple(turns), len(turns))).units)

    @FUZZ
    @given(playbacks(recording))
    def check(playback: Playback) -> None:
        outcome = watch(server, playback)
        same = common_prefix(playback.turns[-1], turns[-1])
        if playback.intact < len(turns) - 1 or playback.ending != "closes" or same < frame_starts(turns[-1])[0]:
            return
        assert outcome.opened
        due = sum(end <= same for end in picture_ends(turns[-1]))
        assert contents(outcome.units)[:due] == reference[:due]

    check()


def common_prefix(one: bytes, other: bytes) -> int:
    """Return how many bytes at the beginning are the same."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


OK = b"RTSP/1.0 200 OK\r\n"
NOISE = bytes(range(1, 36)) * 1000
"""Without a dollar sign, which might begin media."""


def framed(packet: bytes, channel: int = 0) -> bytes:
    return struct.pack(">cBH", b"$", channel, len(packet)) + packet


def rtp(payload: bytes, *, sequence: int, timestamp: int = 0, ssrc: int = 1) -> bytes:
    return framed(struct.pack(">BBHII", 0x80, 96, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc) + payload)


def again(data: bytes) -> Callable[[int], bytes]:
    return lambda number: data


INSTEAD_OF_AN_ANSWER: dict[str, tuple[bytes, Callable[[int], bytes]]] = {
    "a header line": (OK + b"X: ", again(b"x" * 10_000)),
    "header lines": (OK, again(b"X: y\r\n" * 2000)),
    "a first line": (ANSWER, again(b"2" * 10_000)),
    "answers to nothing": (b"", again((OK + b"CSeq: 77\r\n\r\n") * 300)),
    "questions": (b"", again(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n" * 300)),
    "challenges": (b"", lambda number: ANSWER + b'401 No\r\nWWW-Authenticate: Digest nonce="%d"\r\n\r\n' % number),
    "empty media": (b"", again(framed(b"") * 5000)),
    "media": (b"", again(framed(NOISE))),
    "noise": (b"", again(NOISE)),
    "line ends": (b"", again(b"\r\n" * 10_000)),
    "content": (OK + b"CSeq: 77\r\nContent-Length: 1048576\r\n\r\n", again(NOISE)),
}
"""What a server says first, and then again and again, numbered."""
INSTEAD_OF_PICTURES: dict[str, Callable[[int], bytes]] = {
    "empty media": again(framed(b"") * 5000),
    "media of another channel": again(framed(NOISE, 9)),
    "no RTP": again(framed(NOISE)),
    "reports": again(framed(struct.pack(">BBHI", 0x80, 201, 1, 1) * 2000, 1)),
    "answers to nothing": again((OK + b"CSeq: 77\r\n\r\n") * 300),
    "challenges": lambda number: ANSWER + b'401 No\r\nWWW-Authenticate: Digest nonce="%d"\r\n\r\n' % number,
    "questions": again(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n" * 300),
    "noise": again(NOISE),
    "one fragment after the other": lambda n: rtp(b"\x7c" + (b"\x05" if n else b"\x85") + NOISE, sequence=n),
    "one picture's slices": lambda n: rtp(b"\x65\x88" + NOISE, sequence=n),
    "parameter sets": lambda n: rtp(b"\x68" + struct.pack(">I", 1 << 20 | n) + NOISE, sequence=n),
    "aggregates of the smallest units": lambda n: rtp(b"\x78" + b"\x00\x01\x06" * 20_000, sequence=n),
    "senders that change": lambda n: rtp(b"\x06" + NOISE, sequence=n // 2, ssrc=n // 2),
}


def endless(turns: Sequence[bytes], begin: bytes, more: Callable[[int], bytes]) -> Callable[[socket.socket], None]:
    """Return what a server does that answers some requests in order, and then never ends."""

    def behave(connection: socket.socket) -> None:
        for turn in turns:
            wait_for_request(connection, None)
            connection.sendall(turn)
        wait_for_request(connection, None)
        connection.sendall(begin)
        for number in itertools.count():
            connection.sendall(more(number))

    return behave


def watch_endless(server: Server, behave: Callable[[socket.socket], None]) -> tuple[Outcome, int]:
    """Return what became of it, and the most bytes that it took."""
    tracemalloc.start()
    try:
        thread = server.start(behave)
        outcome = view(server.port, bound_ns=HURRIED_NS)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    thread.join(15)
    assert not thread.is_alive()
    check_words(outcome.why)
    return outcome, peak_bytes


@pytest.fixture(scope="module")
def opening() -> list[bytes]:
    """The answers of a session up to that to SETUP, and the head of that to PLAY."""
    *answers, play_answer = split_turns((Path(__file__).parent / "recordings" / "gstreamer_h264.rtsp").read_bytes())
    return [*answers, play_answer[: frame_starts(play_answer)[0]]]


@pytest.mark.parametrize("answered", [0, 1, 3])
@pytest.mark.parametrize("what", INSTEAD_OF_AN_ANSWER)
def test_a_server_that_never_comes_to_the_answer_is_left(
    server: Server, opening: list[bytes], what: str, answered: int
) -> None:
    """Before anything, at the description, and at PLAY; whatever it says instead takes no more than some memory."""
    outcome, peak_bytes = watch_endless(server, endless(opening[:answered], *INSTEAD_OF_AN_ANSWER[what]))
    assert not outcome.opened
    assert peak_bytes < MOST_BYTES


@pytest.mark.parametrize("what", INSTEAD_OF_PICTURES)
def test_a_server_that_never_completes_a_picture_is_left(server: Server, opening: list[bytes], what: str) -> None:
    """As silent, or as broken; whatever it sends instead takes no more than the largest picture and some."""
    outcome, peak_bytes = watch_endless(server, endless(opening[:-1], opening[-1], INSTEAD_OF_PICTURES[what]))
    assert outcome.opened
    assert peak_bytes < MOST_BYTES
