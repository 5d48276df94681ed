"""The bytes of an RTSP connection to messages and back (RFC 2326 sections 4 to 7 and 10.12)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_MOST_HEAD_BYTES = 64 << 10
_MOST_LINES = 256
_MOST_BODY_BYTES = 1 << 20
_MOST_GARBAGE_BYTES = 1 << 20
"""In a row, without anything sensible between."""
_DOLLAR = 0x24
_FRAME_HEAD = 4
_BLANK = re.compile(rb"\r?\n\r?\n")
_RESPONSE = re.compile(r"RTSP/\d\.\d\s*(\d{3})(?!\d)\s*(.*)", re.IGNORECASE)
_REQUEST = re.compile(r"([A-Z_]{3,20})\s+(\S+)\s+RTSP/\d\.\d\s*")
_START = re.compile(rb"RTSP/|(?:OPTIONS|ANNOUNCE|REDIRECT|GET_PARAMETER|SET_PARAMETER|TEARDOWN|PLAY_NOTIFY) ")
_LONGEST_START = 14
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class ProtocolError(Exception):
    """What came is not RTSP; the text says what is wrong with it."""


class Headers:
    """The header fields of a message, in order; names in any case.

    Args:
        pairs: name and value.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._pairs = [(name.lower(), value) for name, value in pairs]

    def get(self, name: str) -> str | None:
        """Return the first value, None if there is none."""
        return next(iter(self.get_all(name)), None)

    def get_all(self, name: str) -> list[str]:
        """Return all values."""
        return [value for known, value in self._pairs if known == name.lower()]


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
    """Cuts what arrives on a connection into messages, however it was cut on the way.

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
        self._garbage_in_a_row = 0
        self._is_lost = False

    @property
    def pending(self) -> int:
        """Bytes of a message that is not complete."""
        return len(self._data) - self._position

    def feed(self, data: bytes) -> list[Message]:
        """Take more bytes; return the messages that they complete.

        Raises:
            ProtocolError: this cannot become RTSP any more.
        """
        self._data += data
        messages: list[Message] = []
        while self._position < len(self._data):
            before = self._position
            message = self._next()
            if message is not None:
                messages.append(message)
            elif self._position == before:
                break
        del self._data[: self._position]
        self._position = 0
        return messages

    def _next(self) -> Message | None:
        """Return the next message; None without progress when more bytes are needed, with progress after a skip."""
        first = self._data[self._position]
        if first == _DOLLAR and self._may_be_media():
            return self._media()
        if first in b"\r\n":  # between messages, some servers send more line ends than they should
            self._position += 1
            return None
        if _START.match(self._data, self._position):
            return self._message()
        if self._may_become_message():
            return None
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
            return None
        channel = self._data[self._position + 1]
        self._position = end
        self._found()
        return Interleaved(channel, bytes(memoryview(self._data)[start:end]))

    def _may_become_message(self) -> bool:
        """Whether too little is there to see that it is none."""
        if self.pending >= _LONGEST_START:
            return False
        head = bytes(self._data[self._position :])
        names = (b"RTSP/", b"OPTIONS ", b"ANNOUNCE ", b"REDIRECT ", b"GET_PARAMETER ", b"SET_PARAMETER ", b"TEARDOWN ")
        return any(name.startswith(head) for name in (*names, b"PLAY_NOTIFY "))

    def _message(self) -> Message | None:
        blank = _BLANK.search(self._data, self._position, self._position + _MOST_HEAD_BYTES)
        if blank is None:
            if self.pending >= _MOST_HEAD_BYTES:
                raise ProtocolError(f"a message has more than {_MOST_HEAD_BYTES >> 10} KiB of headers")
            return None
        lines = bytes(self._data[self._position : blank.start()]).decode("utf-8", "replace").splitlines()
        headers = _headers(lines[1:])
        length = _length(headers.get("Content-Length"))
        if blank.end() + length > len(self._data):
            return None
        response, request = _RESPONSE.fullmatch(lines[0]), _REQUEST.fullmatch(lines[0])
        if response is None and request is None:
            self._skip()
            return None
        body = bytes(self._data[blank.end() : blank.end() + length])
        self._position = blank.end() + length
        self._found()
        if response is not None:
            return Response(int(response[1]), response[2].strip(), headers, body)
        assert request is not None
        return Request(request[1], request[2], headers, body)

    def _found(self) -> None:
        self._garbage_in_a_row = 0
        self._is_lost = False

    def _skip(self) -> None:
        """Go to the next place where a message or media may begin."""
        self._is_lost = True
        dollar = self._data.find(b"$", self._position + 1)
        start = _START.search(self._data, self._position + 1, dollar if dollar >= 0 else len(self._data))
        if start is not None:
            end = start.start()
        elif dollar >= 0:
            end = dollar
        else:  # the beginning of a message may be at the very end
            end = max(self._position + 1, len(self._data) - _LONGEST_START)
        skipped = end - self._position
        self._position = end
        self.garbage += skipped
        self._garbage_in_a_row += skipped
        if self._garbage_in_a_row > _MOST_GARBAGE_BYTES:
            raise ProtocolError("nothing sensible came any more")


def request_bytes(method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """Return a request.

    Raises:
        ValueError: a part of it would break its form.
    """
    if not _TOKEN.fullmatch(method) or re.search(r"[\s\x00-\x1f\x7f]", url) or not url:
        raise ValueError("a request needs a method and a URL without spaces")
    lines = [f"{method} {url} RTSP/1.0"]
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or re.search(r"[\x00-\x1f\x7f]", value):
            raise ValueError(f"the header {name!r} has a character that it cannot have")
        lines.append(f"{name}: {value}")
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def _headers(lines: list[str]) -> Headers:
    if len(lines) > _MOST_LINES:
        raise ProtocolError(f"a message has more than {_MOST_LINES} header lines")
    pairs: list[tuple[str, str]] = []
    for line in lines:
        if line[:1] in (" ", "\t") and pairs:  # folded
            pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]} {line.strip()}")
            continue
        name, colon, value = line.partition(":")
        if colon:
            pairs.append((name.strip(), value.strip()))
    return Headers(pairs)


def _length(text: str | None) -> int:
    if text is None or not (text.isascii() and text.isdigit()):
        return 0
    if len(text) > 9 or int(text) > _MOST_BODY_BYTES:
        raise ProtocolError(f"a message has more than {_MOST_BODY_BYTES >> 20} MiB of content")
    return int(text)
