"""Stands before the application: who may ask for what, how often, and how much they may say."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import socket
from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stages.sink.clients import address_of
from stages.sink.connections import Allowance

log = logging.getLogger("framepace.serve")

MOST_BODY_BYTES = 4096
_BODY_S = 5.0
_MOST_ADDRESSES = 1024
_OPEN_PATHS = ("/", "/healthz")
_OPEN_FOLDER = "/page/"
_PROBES = ("/healthz", "/readyz")
_OF_PROBES, _OF_TOKEN = " probes", " token"
_SAID_EVERY_S = 10.0
_FILE_COST = 1 / 8
"""Of one of the page's files, in requests: whoever opens the page asks for some thirty at once, and may open more."""
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_WILDCARDS = ("0.0.0.0", "::")
_CHANGING = ("POST", "PATCH", "PUT", "DELETE")
_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' blob: data:; style-src 'self'; connect-src 'self'; base-uri 'none'; "
        b"form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not answered."""

    why: str
    """In a word, for who counts them."""
    status: int
    detail: str
    headers: tuple[tuple[bytes, bytes], ...] = field(default=())


class Guard:
    """An ASGI application around another one.

    Args:
        app: gets what may pass.
        names: under which we may be reached, besides those of the loopback.
        token: None: nobody needs one.
        requests_per_s: of one address, and as many of all who have the token; twice as many at once. The page's files
            count for less.
        origins: of other sites whose pages may ask for anything, such as `http://localhost:3000`.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        names: Iterable[str],
        token: str | None,
        requests_per_s: float,
        origins: Iterable[str] = (),
    ) -> None:
        self._app = app
        self._origins = frozenset(origin.lower().rstrip("/") for origin in origins)
        self.refused: Counter[str] = Counter()
        """Refused requests, by reason."""
        self.wrong_tokens = 0
        """However they were answered."""
        self._wrong: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """By address: when its wrong tokens were said last, and how many came since."""
        self._names = {*_LOOPBACK_NAMES, *(name.lower() for name in names)}
        self._token = None if token is None else _digest(token)
        self._per_s = requests_per_s
        self._allowances: OrderedDict[str, Allowance] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = _headers(scope)
        refusal = self._refusal(scope, headers)
        if scope["type"] == "http":
            send = _with_headers(send)
            if refusal is None and scope["method"] in _CHANGING:
                body = await _read_body(receive, headers.get("content-length"))
                if isinstance(body, Refusal):
                    refusal = body
                else:
                    receive = _replay(body, receive)
        if refusal is not None:
            self.refused[refusal.why] += 1
            await _refuse(scope, send, refusal)
            return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> Refusal | None:
        given = _tokens(scope, headers)
        has_token = self._token is not None and any(hmac.compare_digest(_digest(token), self._token) for token in given)
        if given and self._token is not None and not has_token:
            self._note_wrong_token(address_of(scope))
        if not self._may_ask_now(scope, has_token=has_token):
            return Refusal("too many", 429, "too many requests; ask more slowly", ((b"retry-after", b"1"),))
        host = headers.get("host", "")
        if not self._is_ours(host, scope):
            return Refusal(
                "foreign name", 403, f"{host[:100]!r} is no name of this server; see the option allowed_hosts"
            )
        path = scope["path"]
        is_open = path in _OPEN_PATHS or path.startswith(_OPEN_FOLDER)
        if headers.get("origin", "").lower() not in self._origins and _is_of_another_site(
            headers, host, may_be_linked=is_open and scope["type"] == "http"
        ):
            return Refusal("foreign page", 403, "another site's page may not ask for this")
        if self._token is None or is_open:
            return None
        if not has_token:
            why = "wrong token" if given else "no token"
            words = "a token is needed: Authorization: Bearer TOKEN"
            return Refusal(why, 401, words, ((b"www-authenticate", b"Bearer"),))
        if scope["type"] == "http" and scope["method"] in _CHANGING:
            log.info("%s asks for %s %s", address_of(scope), scope["method"], path)
        return None

    def _may_ask_now(self, scope: Scope, *, has_token: bool) -> bool:
        """Whether the budget allows it. Behind a proxy all have one address: who has the token has another budget, and
        so have probes."""
        path, now_s = scope["path"], asyncio.get_running_loop().time()
        purse = _OF_TOKEN if has_token else address_of(scope) + (_OF_PROBES if path in _PROBES else "")
        allowance = self._allowances.pop(purse, None) or Allowance(2 * self._per_s, self._per_s, now_s)
        self._allowances[purse] = allowance
        if len(self._allowances) > _MOST_ADDRESSES:
            self._allowances.popitem(last=False)
        return allowance.take(_FILE_COST if path.startswith(_OPEN_FOLDER) else 1, now_s)

    def _note_wrong_token(self, address: str) -> None:
        """Count a wrong token, and say who shows them, now and then."""
        self.wrong_tokens += 1
        now_s = asyncio.get_running_loop().time()
        said_s, count = self._wrong.pop(address, (now_s - _SAID_EVERY_S, 0))
        count += 1
        if now_s - said_s >= _SAID_EVERY_S:
            log.warning("wrong tokens from %s: %d", address, count)
            said_s, count = now_s, 0
        self._wrong[address] = (said_s, count)
        if len(self._wrong) > _MOST_ADDRESSES:
            self._wrong.popitem(last=False)

    def _is_ours(self, host: str, scope: Scope) -> bool:
        """Return whether a Host header names us. An address can be trusted: only names can be bent to us by DNS."""
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        server = scope.get("server")
        return name is not None and (name in self._names or (server is not None and name == _unmapped(server[0])))


def names_of(host: str, further: Iterable[str]) -> list[str]:
    """Return the names under which a server on an address may be reached."""
    names = [host, *further]
    if host in _WILDCARDS:
        own = socket.gethostname()
        names += [own, f"{own}.local"]
    return names


def _digest(token: str) -> bytes:
    """Return what tokens are compared by, all of one length."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _tokens(scope: Scope, headers: dict[str, str]) -> list[str]:
    kind, _, given = headers.get("authorization", "").partition(" ")
    tokens = [given.strip()] if kind.lower() == "bearer" else []
    query = scope["query_string"].decode("latin-1")
    return tokens + [value for name, value in parse_qsl(query) if name == "token"][:1]


def _unmapped(address: str) -> str:
    """Return an address as its client wrote it: one of IPv4 that comes in on a socket of IPv6 is written in both."""
    return address.lower().removeprefix("::ffff:")


def _is_of_another_site(headers: dict[str, str], host: str, *, may_be_linked: bool) -> bool:
    """Return whether a browser asks for the page of another site: one from another host or port than it asks.

    Args:
        may_be_linked: whether other sites may lead people here, though not read what they get.
    """
    origin = headers.get("origin")
    if origin is not None:
        scheme, separator, rest = origin.partition("://")
        return not (separator and scheme in ("http", "https") and rest.lower() == host.lower())
    return headers.get("sec-fetch-site") in ("cross-site", "same-site") and not may_be_linked


async def _read_body(receive: Receive, length: str | None) -> bytes | Refusal:
    too_long = Refusal("too long", 413, f"a request may have {MOST_BODY_BYTES} bytes", ((b"connection", b"close"),))
    if length is not None and length.isdigit() and int(length) > MOST_BODY_BYTES:
        return too_long
    body = b""
    try:
        async with asyncio.timeout(_BODY_S):
            while True:
                message = await receive()
                body += bytes(message.get("body", b""))
                if len(body) > MOST_BODY_BYTES:
                    return too_long
                if message["type"] != "http.request" or not message.get("more_body"):
                    return body
    except TimeoutError:
        return Refusal("too slow", 408, "the request took too long", ((b"connection", b"close"),))


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a receive that gives the body that was read already, and then goes on."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return again


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *_HEADERS]}
        await send(message)

    return send_with_headers


async def _refuse(scope: Scope, send: Send, refusal: Refusal) -> None:
    prefix = "http" if scope["type"] == "http" else "websocket.http"
    body = json.dumps({"detail": refusal.detail}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *refusal.headers,
    ]
    if refusal.status == 429:
        headers.append((b"connection", b"close"))  # what else was sent in advance is thrown away with it
    await send({"type": f"{prefix}.response.start", "status": refusal.status, "headers": headers})
    await send({"type": f"{prefix}.response.body", "body": body, "more_body": False})
