"""The bytes of an RTSP connection to messages and back (RFC 2326 sections 4 to 7 and 10.12)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_MOST_HEAD_BYTES = 64 << 10
_MOST_LINE_BYTES = 8 << 10
"""Of a first line: what goes on longer without an end is none."""
_MOST_LINES = 256
_MOST_BODY_BYTES = 1 << 20
_MOST_GARBAGE_BYTES = 1 << 20
"""In a row, without anything sensible between."""
_DOLLAR = 0x24
_FRAME_HEAD = 4
_STARTS = (
    *(b"RTSP/", b"HTTP/", b"OPTIONS ", b"ANNOUNCE ", b"REDIRECT "),
    *(b"GET_PARAMETER ", b"SET_PARAMETER ", b"TEARDOWN ", b"PLAY_NOTIFY "),
)
"""How messages begin: responses, and the requests that a server may send (RFC 2326 section 10, RFC 7826 section 13)."""
_LONGEST_START = max(map(len, _STARTS))
_START = re.compile(b"|".join(_STARTS))
_BLANK = re.compile(rb"\r?\n\r?\n")
_LONGEST_BLANK = 4
_RESPONSE = re.compile(r"(RTSP|HTTP)/[0-9]\.[0-9]\s*([0-9]{3})(?![0-9])\s*(.*)")
_REQUEST = re.compile(r"([A-Z_]+)\s+(\S+)\s+RTSP/[0-9]\.[0-9]\s*")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class ProtocolError(Exception):
    """What came is not RTSP; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Headers:
    """The header fields of a message; names in any case."""

    pairs: tuple[tuple[str, str], ...] = ()
    """Name and value of each, in order."""

    def get(self, name: str) -> str | None:
        """Return the first value, None if there is none."""
        return next(iter(self.get_all(name)), None)

    def get_all(self, name: str) -> list[str]:
        """Return all values."""
        return [value for known, value in self.pairs if known.lower() == name.lower()]


@dataclass(frozen=True, slots=True)
class Response:
    """What a server answers."""

    status: int
    reason: str
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """What a server asks."""

    method: str
    url: str
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class Interleaved:
    """A piece of media between the messages."""

    channel: int
    data: bytes


Message = Response | Request | Interleaved


class Splitter:
    """Cuts what arrives on a connection into messages; how it was cut on the way makes no difference.

    Bytes that belong to no message are skipped and counted. What is skipped in the middle of media may hold anything:
    the next piece counts only when its channel is one of `channels`.
    """

    def __init__(self) -> None:
        self.channels: set[int] = set()
        """The channels that were agreed on."""
        self.garbage = 0
        """Bytes skipped."""
        self._data = bytearray()
        self._position = 0
        self._needed = 0
        """So many bytes from the position on, or it makes no sense to look again."""
        self._searched = 0
        """So many bytes from the position on hold no end of the headers."""
        self._garbage_in_a_row = 0
        self._is_lost = False
        self._failure: str | None = None

    @property
    def pending(self) -> int:
        """Bytes of a message that is not complete."""
        return len(self._data) - self._position

    def feed(self, data: bytes) -> list[Message]:
        """Take more bytes; return the messages that they complete.

        Raises:
            ProtocolError: this cannot become RTSP any more. What was complete before is returned first; then this call
                and all further ones raise.
        """
        if self._failure is not None:
            raise ProtocolError(self._failure)
        self._data += data
        messages: list[Message] = []
        try:
            self._split(messages)
        except ProtocolError as error:
            self._failure = str(error)
            self._position = len(self._data)
            if not messages:
                raise
        del self._data[: self._position]
        self._position = 0
        return messages

    def _split(self, messages: list[Message]) -> None:
        while self.pending and self.pending >= self._needed:
            before = self._position
            message = self._next()
            if self._position == before:
                return
            self._needed = self._searched = 0
            if message is not None:
                messages.append(message)

    def _next(self) -> Message | None:
        """Return the next message; None without progress when more bytes are needed, with progress after a skip."""
        first = self._data[self._position]
        if first == _DOLLAR and self._may_be_media():
            return self._media()
        if first in b"\r\n" and not self._is_lost:  # some servers send more line ends than they should
            self._position += 1
            return None
        if _START.match(self._data, self._position):
            return self._message()
        if not self._may_become_message():
            self._skip()
        return None

    def _may_be_media(self) -> bool:
        if not self._is_lost or self.pending < 2:
            return True
        return self._data[self._position + 1] in self.channels

    def _media(self) -> Interleaved | None:
        if self.pending < _FRAME_HEAD:
            return None
        start = self._position + _FRAME_HEAD
        end = start + int.from_bytes(self._data[start - 2 : start])
        if end > len(self._data):
            self._needed = end - self._position
            return None
        channel = self._data[self._position + 1]
        self._found(end)
        return Interleaved(channel, bytes(memoryview(self._data)[start:end]))

    def _may_become_message(self) -> bool:
        """Whether too little is there to see that it is none."""
        head = bytes(self._data[self._position : self._position + _LONGEST_START])
        return any(len(head) < len(name) and name.startswith(head) for name in _STARTS)

    def _message(self) -> Message | None:
        line = self._first_line()
        if line is None:
            return None
        response, request = _RESPONSE.fullmatch(line), _REQUEST.fullmatch(line)
        if response is None and request is None:
            self._skip()
            return None
        if response is not None and response[1] == "HTTP":
            raise ProtocolError("what answers is a web server")
        head_end = self._head_end()
        if head_end is None:
            return None
        headers = _headers(bytes(self._data[self._position : head_end]))
        end = head_end + _length(headers.get("Content-Length"))
        if end > len(self._data):
            self._needed = end - self._position
            return None
        body = bytes(memoryview(self._data)[head_end:end])
        self._found(end)
        if response is not None:
            return Response(int(response[2]), response[3].strip(), headers, body)
        assert request is not None
        return Request(request[1], request[2], headers, body)

    def _first_line(self) -> str | None:
        """Return the first line of a message; None while it is not complete, or when it cannot become one."""
        end = self._data.find(b"\n", self._position, self._position + _MOST_LINE_BYTES)
        if end >= 0:
            return self._data[self._position : end].decode("utf-8", "replace")
        if self.pending >= _MOST_LINE_BYTES:
            self._skip()
        return None

    def _head_end(self) -> int | None:
        """Return where the body begins; None while that cannot be seen."""
        start = self._position + max(0, self._searched - _LONGEST_BLANK + 1)
        blank = _BLANK.search(self._data, start, self._position + _MOST_HEAD_BYTES)
        if blank is not None:
            return blank.end()
        if self.pending >= _MOST_HEAD_BYTES:
            raise ProtocolError(f"a message has more than {_MOST_HEAD_BYTES >> 10} KiB of headers")
        self._searched = self.pending
        return None

    def _found(self, end: int) -> None:
        self._position = end
        self._garbage_in_a_row = 0
        self._is_lost = False

    def _skip(self) -> None:
        """Go to the next place where a message or media may begin."""
        self._is_lost = True
        place = self._place_to_go_on().search(self._data, self._position + 1)
        # The beginning of a message may be at the very end.
        end = place.start() if place else max(self._position + 1, len(self._data) - _LONGEST_START)
        skipped = end - self._position
        self._position = end
        self.garbage += skipped
        self._garbage_in_a_row += skipped
        if self._garbage_in_a_row > _MOST_GARBAGE_BYTES:
            raise ProtocolError("nothing sensible came any more")

    def _place_to_go_on(self) -> re.Pattern[bytes]:
        """Return what matches the beginning of a message, or of media on a channel that was agreed on."""
        channels = re.escape(bytes(sorted(self.channels)))
        media = rb"\$(?:[%b]|\Z)" % channels if channels else rb"\$\Z"
        return re.compile(b"|".join([*_STARTS, media]))


def request_bytes(method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """Return a request.

    Raises:
        ValueError: a part of it would break its form; the text shows no value.
    """
    if not _TOKEN.fullmatch(method) or not url or re.search(r"\s", url) or _CONTROL.search(url):
        raise ValueError("a request needs a method and a URL without spaces")
    lines = [f"{method} {url} RTSP/1.0"]
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or _CONTROL.search(value):
            raise ValueError(f"the header {name!r} has a character that it cannot have")
        lines.append(f"{name}: {value}")
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def _headers(head: bytes) -> Headers:
    """Return the headers of a message, without control characters: some of them are sent back.

    Args:
        head: the first line, the headers and the blank line.
    """
    lines = head.decode("utf-8", "replace").rstrip("\r\n").split("\n")[1:]
    if len(lines) > _MOST_LINES:
        raise ProtocolError(f"a message has more than {_MOST_LINES} header lines")
    pairs: list[tuple[str, str]] = []
    for line in lines:
        text = _CONTROL.sub(" ", line)
        if text.startswith(" ") and pairs:  # folded
            pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]} {text.strip()}".strip())
            continue
        name, colon, value = text.partition(":")
        if colon:
            pairs.append((name.strip(), value.strip()))
    return Headers(tuple(pairs))


def _length(text: str | None) -> int:
    if text is None or not (text.isascii() and text.isdigit()):
        return 0
    if len(text) > 9 or int(text) > _MOST_BODY_BYTES:
        raise ProtocolError(f"a message has more than {_MOST_BODY_BYTES >> 20} MiB of content")
    return int(text)
