"""Requests and responses of one RTSP connection (RFC 2326)."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.clock import Clock
from stages.capture.rtsp.auth import Authenticator
from stages.capture.rtsp.messages import Interleaved, Request, Response, Splitter, request_bytes
from stages.capture.rtsp.sockets import Connection, Patience

_AGENT = "framepace"
_MOST_KEPT_BYTES = 4 << 20
"""Media that arrives before the response to PLAY, or while another response is waited for."""
_MOST_TOLD = 4
_PIECE_BYTES = 128
"""What keeping a piece takes besides its content, which may be empty."""
_DEFAULT_TIMEOUT_S = 60
"""RFC 2326 section 12.37."""
_UNAUTHORIZED = 401
_NOT_IMPLEMENTED = 501


@dataclass(frozen=True, slots=True)
class Arrived:
    """A piece of media, and when it came."""

    channel: int
    data: bytes
    arrival_ns: int


class Session:
    """Speaks RTSP on one connection. Used by one thread.

    Args:
        connection: open.
        clock: stamps arrivals.
        authenticator: answers challenges.
    """

    def __init__(self, connection: Connection, clock: Clock, authenticator: Authenticator) -> None:
        self.connection = connection
        self._clock = clock
        self._authenticator = authenticator
        self._splitter = Splitter()
        self._sequence = 0
        self._told: deque[int] = deque(maxlen=_MOST_TOLD)
        """Numbers of requests whose responses nobody waits for, and may still come."""
        self._id: str | None = None
        self.timeout_s = _DEFAULT_TIMEOUT_S
        self._media: list[Arrived] = []
        self._media_bytes = 0

    @property
    def channels(self) -> set[int]:
        """The interleaved channels that were agreed on."""
        return self._splitter.channels

    @property
    def garbage(self) -> int:
        """Bytes that belonged to no message."""
        return self._splitter.garbage

    @property
    def can_log_in(self) -> bool:
        """Whether there is a user name to show where one is asked for."""
        return self._authenticator.has_credentials

    def ask(self, method: str, url: str, headers: Mapping[str, str], patience: Patience) -> Response:
        """Send a request and wait for its response; a challenge is answered, if it can be.

        Raises:
            ProtocolError, OSError, ConnectionEnded: this is no RTSP, or the connection is broken.
            Interrupted, TimedOut: there is no response.
        """
        while True:
            sequence = self._send(method, url, headers, patience)
            response = self._wait_response(sequence, patience)
            if response.status != _UNAUTHORIZED or not self._is_worth_another_try(response):
                if response.status != _UNAUTHORIZED:
                    self._authenticator.accepted()
                self._note_session(response)
                return response

    def tell(self, method: str, url: str) -> None:
        """Send a request whose response nobody waits for.

        Raises:
            OSError: the connection is broken, or has no room.
        """
        self._told.append(self._send(method, url, {}, None))

    def farewell(self, url: str) -> bytes:
        """Return the request that ends the session, to be sent last."""
        return self._request("TEARDOWN", url, {})

    def receive(self) -> tuple[list[Arrived], list[Response]]:
        """Return the media and responses that have arrived, without waiting.

        Raises:
            ProtocolError, OSError, ConnectionEnded: there will be no more.
        """
        responses = [] if self._media else self._take_in()  # what was kept is not lost with the connection
        for _ in responses[: len(self._told)]:
            self._told.popleft()
        media, self._media, self._media_bytes = self._media, [], 0
        return media, responses

    def renew(self, response: Response) -> bool:
        """Take a challenge to a request that nobody waits for; return whether to send it again."""
        if response.status != _UNAUTHORIZED:
            self._authenticator.accepted()
            return False
        return self._is_worth_another_try(response)

    def _send(self, method: str, url: str, headers: Mapping[str, str], patience: Patience | None) -> int:
        self.connection.send(self._request(method, url, headers), patience)
        return self._sequence

    def _request(self, method: str, url: str, headers: Mapping[str, str]) -> bytes:
        self._sequence += 1
        common = {"CSeq": str(self._sequence), "User-Agent": _AGENT}
        if self._id is not None:
            common["Session"] = self._id
        authorization = self._authenticator.header(method, url)
        if authorization is not None:
            common["Authorization"] = authorization
        return request_bytes(method, url, {**common, **headers})

    def _wait_response(self, sequence: int, patience: Patience) -> Response:
        while True:
            self.connection.wait_readable(patience)
            for response in self._take_in():
                if self._answers(response, sequence):
                    return response

    def _answers(self, response: Response, sequence: int) -> bool:
        """Whether a response is that to the request that is waited for; cameras leave numbers out, or repeat others.

        They answer in order: where a number is wrong, it is the next response that counts.
        """
        written = (response.headers.get("CSeq") or "").strip()
        if written == str(sequence):
            return True
        if any(written == str(told) for told in self._told):
            self._told.remove(int(written))
            return False
        if written.isdecimal() and int(written[:10]) > sequence:
            return False  # nothing of that number was asked
        if not self._told:
            return True
        self._told.popleft()
        return False

    def _take_in(self) -> list[Response]:
        """Read; keep media, answer requests, return responses."""
        data = self.connection.receive()
        arrival_ns = self._clock.now_ns()
        responses = []
        for message in self._splitter.feed(data):
            match message:
                case Interleaved(channel, content):
                    taken = _PIECE_BYTES + len(content)
                    if self._media_bytes + taken <= _MOST_KEPT_BYTES:
                        self._media.append(Arrived(channel, content, arrival_ns))
                        self._media_bytes += taken
                case Response():
                    responses.append(message)
                case Request():
                    self._answer(message)
        return responses

    def _answer(self, request: Request) -> None:
        """Answer a server's request: it may ask whether we are here, and nothing else."""
        code, reason = (200, "OK") if request.method == "OPTIONS" else (_NOT_IMPLEMENTED, "Not Implemented")
        sequence = re.sub(r"\D", "", request.headers.get("CSeq") or "")[:10]
        self.connection.send(f"RTSP/1.0 {code} {reason}\r\nCSeq: {sequence}\r\n\r\n".encode())

    def _is_worth_another_try(self, response: Response) -> bool:
        return self._authenticator.challenged(response.headers.get_all("WWW-Authenticate"))

    def _note_session(self, response: Response) -> None:
        text = response.headers.get("Session")
        if text is None:
            return
        identity, *parameters = (part.strip() for part in text.split(";"))
        self._id = identity[:1024] or self._id
        self.timeout_s = _timeout_s(parameters) or self.timeout_s  # said once is enough


def _timeout_s(parameters: Sequence[str]) -> int | None:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        digits = value.strip()
        if name.strip().lower() == "timeout" and digits.isascii() and digits.isdigit() and len(digits) < 6:
            return max(1, int(digits))
    return None
