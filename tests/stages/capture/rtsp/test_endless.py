"""Servers that never come to an end: what the client takes of them, and for how long."""

from __future__ import annotations

import itertools
import struct
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from pipeline.clock import NS_PER_MS, NS_PER_S

PATIENT_NS, HURRIED_NS = 10 * NS_PER_S, 150 * NS_PER_MS
"""Bounds of the client for what the server does in order, and for what it never does."""
MOST_BYTES_BEFORE = 8 << 20
"""What the client may take before it plays: media of 4 MiB that comes too early, and what is under way."""
MOST_BYTES = 40 << 20
"""What it may take at its worst: a picture of 16 MiB, the same once more while it is handed on, and some more."""
PAUSE_S = 0.005
"""Between two bytes that drip."""
OK = b"RTSP/1.0 200 OK\r\n"
NOISE = bytes(range(1, 36)) * 1000
"""Without a dollar sign, which might begin media."""


def framed(packet: bytes, channel: int = 0) -> bytes:
    return struct.pack(">cBH", b"$", channel, len(packet)) + packet


def rtp(payload: bytes, *, sequence: int, ssrc: int = 1) -> bytes:
    return framed(struct.pack(">BBHII", 0x80, 96, sequence & 0xFFFF, 0, ssrc) + payload)


def again(data: bytes) -> Callable[[int], bytes]:
    return lambda number: data


def challenge(number: int) -> bytes:
    return b'RTSP/1.0 401 No\r\nWWW-Authenticate: Digest nonce="%d"\r\n\r\n' % number


INSTEAD_OF_AN_ANSWER: dict[str, tuple[bytes, Callable[[int], bytes]]] = {
    "a header line": (OK + b"X: ", again(b"x" * 10_000)),
    "header lines": (OK, again(b"X: y\r\n" * 2000)),
    "a first line": (b"RTSP/1.0 ", again(b"2" * 10_000)),
    "answers to nothing": (b"", again((OK + b"CSeq: 77\r\n\r\n") * 300)),
    "questions": (b"", again(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n" * 300)),
    "challenges": (b"", challenge),
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
    "challenges": challenge,
    "questions": again(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n" * 300),
    "noise": again(NOISE),
    "one fragment after the other": lambda n: rtp(b"\x7c" + (b"\x05" if n else b"\x85") + NOISE, sequence=n),
    "one picture's slices": lambda n: rtp(b"\x65\x88" + NOISE, sequence=n),
    "parameter sets": lambda n: rtp(b"\x68" + struct.pack(">I", 1 << 20 | n % 2048 << 9) + NOISE, sequence=n),
    "aggregates of the smallest units": lambda n: rtp(b"\x78" + b"\x00\x01\x06" * 20_000, sequence=n),
    "senders that change": lambda n: rtp(b"\x06" + NOISE, sequence=n // 2, ssrc=n // 2),
}


DESCRIPTION = b"v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:trackID=0\r\n"
OPENING = [
    OK + b"CSeq: 1\r\n\r\n",
    OK + b"CSeq: 2\r\nContent-Length: %d\r\n\r\n" % len(DESCRIPTION) + DESCRIPTION,
    OK + b"CSeq: 3\r\nSession: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n",
    OK + b"CSeq: 4\r\n\r\n",
]
"""The answers up to that to PLAY."""


def endless(answers: Sequence[bytes], more: Callable[[int], bytes], *, pause_s: float = 0) -> Callable[[Any], None]:
    """Return what a server does that answers some requests in order, and then never ends."""

    def behave(connection: Any) -> None:
        for answer in answers:
            connection.hear()
            connection.say(answer)
        for number in itertools.count():
            connection.say(more(number))
            if pause_s:
                connection.hear(pause_s)

    return behave


@pytest.fixture
def peak_bytes() -> Iterator[Callable[[], int]]:
    """A function that tells how much memory was taken at most."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


@pytest.mark.parametrize("what", INSTEAD_OF_AN_ANSWER)
def test_a_server_that_never_comes_to_the_answer_is_left(watch, peak_bytes, what: str) -> None:  # type: ignore[no-untyped-def]
    """PLAY is where media may come too early; whatever it says instead takes no more than some memory."""
    begin, more = INSTEAD_OF_AN_ANSWER[what]
    outcome = watch(endless([*OPENING[:-1], begin], more), open_ns=HURRIED_NS, stall_ns=PATIENT_NS)
    assert not outcome.opened
    assert peak_bytes() < MOST_BYTES_BEFORE


@pytest.mark.parametrize("what", INSTEAD_OF_PICTURES)
def test_a_server_that_never_completes_a_picture_is_left(watch, peak_bytes, what: str) -> None:  # type: ignore[no-untyped-def]
    """As silent, or as broken; whatever it sends instead takes no more than the largest picture and some."""
    outcome = watch(endless(OPENING, INSTEAD_OF_PICTURES[what]), open_ns=PATIENT_NS, stall_ns=HURRIED_NS)
    assert outcome.opened
    assert len(outcome.units) < 2
    assert peak_bytes() < MOST_BYTES


def test_an_answer_that_drips_is_not_waited_for(watch) -> None:  # type: ignore[no-untyped-def]
    """The bound is for the whole of it, not for the next byte."""
    begin, more = INSTEAD_OF_AN_ANSWER["a header line"]
    drip = endless([OPENING[0], begin], lambda number: more(number)[:1], pause_s=PAUSE_S)
    outcome = watch(drip, open_ns=HURRIED_NS, stall_ns=PATIENT_NS)
    assert outcome.why.endswith("no answer within 150ms")


def test_media_that_drips_is_silence(watch) -> None:  # type: ignore[no-untyped-def]
    """A byte now and then is no picture."""
    drip = endless(OPENING, lambda number: b"x" if number else b"$\x00\xff\xff", pause_s=PAUSE_S)
    outcome = watch(drip, open_ns=PATIENT_NS, stall_ns=HURRIED_NS)
    assert outcome.why == "no picture came"
