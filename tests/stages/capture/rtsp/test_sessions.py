"""Whole recorded sessions, played back to the client with all kinds of damage."""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipeline.clock import NS_PER_MS, NS_PER_S
from stages.capture.live_input import Unit

RECORDINGS = sorted((Path(__file__).parent / "recordings").glob("*.rtsp"))
PICTURES = 36
"""In each recording."""
ANSWER = b"RTSP/1.0 "
IMPATIENCE_S = 0.01
"""So long a server waits for a request once its answers are damaged, and goes on without it."""
PATIENT_NS, HURRIED_NS = 5 * NS_PER_S, 100 * NS_PER_MS
"""Bounds of the client: where the server hangs up in the end, and where it does not."""
FUZZ = settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


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


def play(playback: Playback) -> Callable[[Any], None]:
    """Return what a server does that plays a session back."""

    def behave(connection: Any) -> None:
        for number, turn in enumerate(playback.turns):
            connection.hear(None if number <= playback.intact else IMPATIENCE_S)
            for start in range(0, len(turn), playback.chunk):
                connection.say(turn[start : start + playback.chunk])
        if playback.ending == "resets":
            connection.reset()
        elif playback.ending == "closes":
            connection.end()
        else:
            connection.stay()

    return behave


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
    ending = draw(st.sampled_from(["closes"] * 12 + ["resets"] * 3 + ["stays"]))
    return Playback(tuple(turns), intact, ending, draw(st.sampled_from([1 << 20, 1 << 20, 1000, 7])))


@pytest.fixture(scope="module", params=RECORDINGS, ids=lambda path: path.stem)
def recording(request: pytest.FixtureRequest) -> bytes:
    return bytes(request.param.read_bytes())


def contents(units: Sequence[Unit]) -> list[bytes | None]:
    return [None if unit.packet is None else bytes(unit.packet) for unit in units]


@pytest.fixture
def played(watch) -> Callable[[Playback], Any]:  # type: ignore[no-untyped-def]
    """A function that plays a session to the client, and returns the outcome."""

    def run(playback: Playback) -> Any:
        bound_ns = HURRIED_NS if playback.ending == "stays" else PATIENT_NS
        return watch(play(playback), open_ns=bound_ns, stall_ns=bound_ns)

    return run


@pytest.mark.parametrize("chunk", [1 << 20, 1])
def test_a_recording_is_a_whole_session(played, recording: bytes, decode, chunk: int) -> None:  # type: ignore[no-untyped-def]
    """Played back as it is, at once or byte by byte, every picture comes out, and is decoded from the first key on."""
    turns = split_turns(recording)
    outcome = played(Playback(tuple(turns), len(turns), chunk=chunk))
    assert outcome.why == "the camera closed the connection"
    assert len(picture_ends(turns[-1])) == len(outcome.units) == PICTURES
    packets = [unit.packet for unit in outcome.units if unit.packet is not None]
    assert packets[0].is_keyframe
    assert [unit.packet for unit in outcome.units][-len(packets) :] == packets
    assert len(packets) > PICTURES // 2
    codec = "hevc" if b" H265/" in recording else "h264"
    assert len(decode(codec, [(bytes(packet), number) for number, packet in enumerate(packets)])) == len(packets)


def test_any_damage_ends_the_stream_in_order(played, recording: bytes) -> None:  # type: ignore[no-untyped-def]
    """With its own errors, within its bounds; what came before the damage is handed on as it was."""
    turns = split_turns(recording)
    reference = contents(played(Playback(tuple(turns), len(turns))).units)

    @FUZZ
    @given(playbacks(recording))
    def check(playback: Playback) -> None:
        outcome = played(playback)
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
