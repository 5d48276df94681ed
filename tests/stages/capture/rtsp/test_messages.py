"""RTSP messages: cut out of any stream of bytes, and written."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.capture.rtsp.messages import (
    Headers,
    Interleaved,
    ProtocolError,
    Request,
    Response,
    Splitter,
    request_bytes,
)

OK = b"RTSP/1.0 200 OK\r\nCSeq: 3\r\n\r\n"
OPTIONS = b"OPTIONS * RTSP/1.0\r\nCSeq: 9\r\n\r\n"
MIB = 1 << 20


def media(channel: int, data: bytes) -> bytes:
    return b"$" + bytes([channel]) + len(data).to_bytes(2) + data


def split(data: bytes, channels: Iterable[int] = ()) -> list[Response | Request | Interleaved]:
    splitter = Splitter()
    splitter.channels.update(channels)
    return splitter.feed(data)


def only_response(data: bytes) -> Response:
    (message,) = split(data)
    assert isinstance(message, Response)
    return message


def test_a_response_with_a_body() -> None:
    """Status, reason, headers and the body that Content-Length announces."""
    data = b"RTSP/1.0 404 Stream Not Found\r\nCSeq: 2\r\nContent-Length: 5\r\n\r\nv=0\r\n"
    headers = Headers((("CSeq", "2"), ("Content-Length", "5")))
    assert split(data) == [Response(404, "Stream Not Found", headers, b"v=0\r\n")]


@pytest.mark.parametrize(
    "method",
    ["OPTIONS", "ANNOUNCE", "REDIRECT", "GET_PARAMETER", "SET_PARAMETER", "TEARDOWN", "PLAY_NOTIFY"],
)
def test_a_request_of_the_server(method: str) -> None:
    """A server may ask, too."""
    data = method.encode() + b" rtsp://h/x RTSP/1.0\r\nCSeq: 9\r\nContent-Length: 2\r\n\r\nhi"
    headers = Headers((("CSeq", "9"), ("Content-Length", "2")))
    assert split(data) == [Request(method, "rtsp://h/x", headers, b"hi")]


def test_media_between_messages() -> None:
    """All of them, in order, out of one read; a channel counts before anything was agreed on."""
    found = split(media(0, b"abc") + OK + media(7, b"") + OPTIONS)
    response, request = split(OK)[0], split(OPTIONS)[0]
    assert found == [Interleaved(0, b"abc"), response, Interleaved(7, b""), request]


def test_header_names_in_any_case_and_more_than_once() -> None:
    """The first value, all values, and none."""
    response = only_response(b"RTSP/1.0 401 No\r\nwww-authenticate: Basic\r\nWWW-AUTHENTICATE: Digest\r\n\r\n")
    assert response.headers.get("WWW-Authenticate") == "Basic"
    assert response.headers.get_all("Www-authenticate") == ["Basic", "Digest"]
    assert response.headers.get("CSeq") is None
    assert response.headers.get_all("CSeq") == []


@pytest.mark.parametrize(
    ("line", "status", "reason"),
    [
        (b"RTSP/1.0 200", 200, ""),
        (b"RTSP/1.0 200 ", 200, ""),
        (b"RTSP/1.0  200\tOK", 200, "OK"),
        (b"RTSP/1.0200 OK", 200, "OK"),
        (b"RTSP/2.0 200OK", 200, "OK"),
        (b"RTSP/1.0 461 \xff", 461, "\ufffd"),
    ],
)
def test_odd_status_lines(line: bytes, status: int, reason: str) -> None:
    """What is harmless is understood."""
    response = only_response(line + b"\r\nCSeq: 1\r\n\r\n")
    assert (response.status, response.reason) == (status, reason)
    assert response.headers.get("CSeq") == "1"


def test_odd_headers() -> None:
    """Bare line feeds, folded lines, spaces around the colon, lines that are no header."""
    response = only_response(b"RTSP/1.0 200 OK\nCSeq : 4\nTransport: RTP/AVP;\n  unicast\nwhat is this\nX:y:z\n\n")
    assert response.headers.pairs == (("CSeq", "4"), ("Transport", "RTP/AVP; unicast"), ("X", "y:z"))


def test_a_header_holds_no_control_characters() -> None:
    """So it can be sent back as it is; and only a line end ends a line, not all that Unicode knows."""
    response = only_response("RTSP/1.0 200 OK\r\nSession: a\rb\x00c\x0bY: d\u2028Z: e\x85f\r\n\r\n".encode())
    assert response.headers.pairs == (("Session", "a b c Y: d\u2028Z: e\x85f"),)
    request_bytes("PLAY", "rtsp://h/", {"Session": response.headers.get("Session") or ""})


@pytest.mark.parametrize("length", ["", "x", "-1", "1 2", "٣"])
def test_a_length_that_is_none(length: str) -> None:
    """There is no body then."""
    assert only_response(f"RTSP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n".encode()).body == b""


def test_line_ends_between_messages() -> None:
    """Some cameras send more of them than they should; that is no garbage."""
    splitter = Splitter()
    assert len(splitter.feed(b"\r\n" + OK + b"\r\n\r\n\n" + media(0, b"a") + b"\r\n")) == 2
    assert (splitter.garbage, splitter.pending) == (0, 0)


def test_garbage_is_skipped_and_counted() -> None:
    """Up to the next message or piece of media on an agreed channel."""
    splitter = Splitter()
    splitter.channels.update({0, 1})
    assert splitter.feed(b"noise\r\n" + OK) == split(OK)
    assert splitter.garbage == 7
    # A dollar sign on channel 9 is a part of the noise; lost no more, any channel counts.
    data = b"no$\x09\x00\x01ise" + media(1, b"abc") + media(9, b"d")
    assert splitter.feed(data) == [Interleaved(1, b"abc"), Interleaved(9, b"d")]
    assert splitter.garbage == 7 + 9


def test_what_only_begins_like_a_message_is_garbage() -> None:
    """A first line must make sense, and end."""
    for noise in (b"RTSP/hello\r\n", b"OPTIONS what\n", b"RTSP/" + b"x" * 8192, b"RTSP/1.0 2000 OK\r\n"):
        splitter = Splitter()
        assert splitter.feed(noise + OK) == split(OK)
        assert splitter.garbage == len(noise)


def test_a_web_server_is_told_from_a_camera() -> None:
    """People mistake the port."""
    with pytest.raises(ProtocolError, match="web server"):
        split(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"RTSP/1.0 200 OK\r\nX: " + b"y" * 65536, "64 KiB of headers"),
        (b"RTSP/1.0 200 OK\r\n" + b"X: y\r\n" * 257 + b"\r\n", "256 header lines"),
        (b"RTSP/1.0 200 OK\r\nContent-Length: 1048577\r\n\r\n", "1 MiB of content"),
        (b"RTSP/1.0 200 OK\r\nContent-Length: 9999999999\r\n\r\n", "1 MiB of content"),
        (b"x" * (MIB + 100), "nothing sensible"),
        (b"$" * (MIB + 100), "nothing sensible"),
        (b"R" * (MIB + 100), "nothing sensible"),
    ],
)
def test_what_is_beyond_use(data: bytes, why: str) -> None:
    """It is refused, for good, and nothing of it is kept."""
    splitter = Splitter()
    splitter.feed(b"x")  # so that no dollar sign counts
    with pytest.raises(ProtocolError, match=why):
        splitter.feed(data)
    with pytest.raises(ProtocolError, match=why):
        splitter.feed(OK)
    assert splitter.pending == 0


def test_the_most_that_is_allowed() -> None:
    """256 header lines and a body of 1 MiB."""
    body = b"b" * MIB
    head = b"RTSP/1.0 200 OK\r\n" + b"X: y\r\n" * 255 + b"Content-Length: 1048576\r\n\r\n"
    assert only_response(head + body).body == body


def test_what_was_complete_before_a_failure_is_not_lost() -> None:
    """It is returned first, and the failure comes with the next call."""
    splitter = Splitter()
    assert splitter.feed(OK + b"RTSP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n") == split(OK)
    with pytest.raises(ProtocolError, match="content"):
        splitter.feed(b"")


def test_a_sensible_message_forgives_the_garbage_before() -> None:
    """The limit is on garbage in a row."""
    splitter = Splitter()
    for _ in range(3):
        assert splitter.feed(b"x" * (MIB // 2) + OK) == split(OK)
    assert splitter.garbage == 3 * MIB // 2


PIECES = st.one_of(
    st.sampled_from([OK, OPTIONS, b"\r\n", b"$", b"RTSP/", b"RTSP/1.0 200", b"\n\n", b"OPTIONS ", b"$\x00\x00"]),
    st.builds(media, st.integers(0, 3), st.binary(max_size=20)),
    st.builds(lambda b: b"RTSP/1.0 200 OK\nContent-Length:%d\n\n" % len(b) + b, st.binary(max_size=20)),
    st.binary(max_size=12),
)


@given(st.lists(PIECES, max_size=12), st.data())
def test_how_the_bytes_arrive_makes_no_difference(pieces: list[bytes], data: st.DataObject) -> None:
    """Messages, garbage and what is left over are the same for the whole and for any pieces."""
    stream = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    everywhere = range(len(stream) + 1)
    results = []
    for places in ([0, len(stream)], [0, *cuts, len(stream)], list(everywhere)):
        splitter = Splitter()
        splitter.channels.update({0, 1})
        found = [message for start, end in pairwise(places) for message in splitter.feed(stream[start:end])]
        results.append((found, splitter.garbage, splitter.pending))
    assert results[0] == results[1] == results[2]


@given(st.lists(st.one_of(st.binary(max_size=300), PIECES), max_size=30))
def test_any_bytes_are_survived(pieces: list[bytes]) -> None:
    """No more is kept than came, and no byte is counted twice."""
    splitter = Splitter()
    splitter.channels.add(0)
    fed = sum(len(piece) for piece in pieces)
    used = 0
    for piece in pieces:
        used += sum(len(m.data) + 4 for m in splitter.feed(piece) if isinstance(m, Interleaved))
    assert splitter.garbage + splitter.pending + used <= fed


def test_a_request_is_written() -> None:
    """Line by line, with the length of its body."""
    written = request_bytes("SET_PARAMETER", "rtsp://h/x?y=1", {"CSeq": "1", "Session": "a b"}, b"body")
    assert written == (
        b"SET_PARAMETER rtsp://h/x?y=1 RTSP/1.0\r\nCSeq: 1\r\nSession: a b\r\nContent-Length: 4\r\n\r\nbody"
    )
    assert request_bytes("PLAY", "rtsp://h", {}) == b"PLAY rtsp://h RTSP/1.0\r\n\r\n"


@pytest.mark.parametrize(
    ("method", "url", "headers"),
    [
        ("PLAY", "rtsp://h", {"X": "secret\r\nY: b"}),
        ("PLAY", "rtsp://h", {"X": "secret\nY"}),
        ("PLAY", "rtsp://h", {"X": "secret\ud800"}),
        ("PLAY", "rtsp://h", {"X\n": "secret"}),
        ("PLAY", "rtsp://h", {"": "secret"}),
        ("PLAY", "rtsp://secret x", {}),
        ("PLAY", "rtsp://secret\r\nX: y", {}),
        ("PLAY", "", {}),
        ("PL AY", "rtsp://h", {}),
    ],
)
def test_a_request_that_would_smuggle_something_is_refused(method: str, url: str, headers: dict[str, str]) -> None:
    """No part can add a line; and the error does not show what may be a secret."""
    with pytest.raises(ValueError, match=r".+") as refused:
        request_bytes(method, url, headers)
    assert "secret" not in str(refused.value)


LINES = st.text("ab:;= \r\n\t\u2028\x85é", max_size=8)


@given(
    st.sampled_from(["PLAY", "a\nb", ""]),
    st.one_of(st.just("rtsp://h"), LINES),
    st.dictionaries(st.one_of(st.sampled_from(["CSeq", "X"]), LINES), LINES, max_size=3),
    st.binary(max_size=9),
)
def test_any_request_is_refused_or_has_its_lines(method: str, url: str, headers: dict[str, str], body: bytes) -> None:
    """One line for the request, one for each header, one for the length."""
    try:
        written = request_bytes(method, url, headers, body)
    except ValueError:
        return
    head, _, rest = written.partition(b"\r\n\r\n")
    assert rest == body
    assert head.count(b"\n") == head.count(b"\r") == len(headers) + bool(body)
