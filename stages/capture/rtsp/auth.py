"""Shows a camera who we are: Basic (RFC 7617) and Digest (RFC 7616, and RFC 2617 as older cameras speak it)."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

_MOST_TRIES = 5
_MOST_CHALLENGE_CHARACTERS = 8192
_HASHES = {"SHA-256": hashlib.sha256, "MD5": hashlib.md5}
"""The better one first."""
_SCHEME = re.compile(r"(?:^|,)\s*(digest|basic)(?=\s|$)", re.IGNORECASE)
_PARAMETER = re.compile(r'([A-Za-z_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """A user and a password; without a repr, so that they show up nowhere."""

    user: str
    password: str


def split_credentials(url: str) -> tuple[str, Credentials | None]:
    """Return a URL without its user information, and the credentials in it.

    People write passwords as they are: the last @ before the path ends the user information, or, if there is none, the
    last @ of all, since a password may hold a slash.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url, None
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" not in authority and ("@" not in rest or not _looks_cut_off(authority)):
        return url, None
    end = rest.rindex("@", 0, len(authority)) if "@" in authority else rest.rindex("@")
    information, address = rest[:end], rest[end + 1 :]
    user, _, password = information.partition(":")
    return f"{scheme}://{address}", Credentials(unquote(user), unquote(password))


def _looks_cut_off(authority: str) -> bool:
    """Whether this is no host with a port, but the beginning of `user:pass/word@host`."""
    _, colon, port = authority.rpartition(":")
    return bool(colon) and not authority.startswith("[") and not (port.isascii() and port.isdigit())


@dataclass(frozen=True, slots=True)
class _Challenge:
    scheme: str
    parameters: dict[str, str]


class Authenticator:
    """Answers one server's challenges.

    Args:
        credentials: None: there is nothing to answer with.
        make_cnonce: gives a fresh random text for each request.
    """

    def __init__(
        self, credentials: Credentials | None, *, make_cnonce: Callable[[], str] = lambda: secrets.token_hex(8)
    ) -> None:
        self._credentials = credentials
        self._make_cnonce = make_cnonce
        self._challenge: _Challenge | None = None
        self._count = 0
        self._tries = 0

    def challenged(self, challenges: Sequence[str]) -> bool:
        """Take the values of WWW-Authenticate; return whether another try is worth it.

        It is not if the same answer was refused already.
        """
        chosen = _best(_parsed(challenges))
        if self._credentials is None or chosen is None or self._tries >= _MOST_TRIES:
            return False
        known = self._challenge
        refused = known is not None and known.scheme == chosen.scheme
        if refused and (chosen.scheme == "basic" or not self._is_new(chosen)):
            return False
        self._tries += 1
        self._challenge = chosen
        self._count = 0
        return True

    def header(self, method: str, uri: str) -> str | None:
        """Return the value of Authorization for a request; None while nobody asked for it."""
        if self._challenge is None or self._credentials is None:
            return None
        if self._challenge.scheme == "basic":
            text = f"{self._credentials.user}:{self._credentials.password}"
            return "Basic " + base64.b64encode(text.encode()).decode()
        self._count += 1
        return self._digest(self._challenge.parameters, method, uri)

    def accepted(self) -> None:
        """Note that the present answer is good: later challenges are about its age."""
        self._tries = 0

    def _is_new(self, challenge: _Challenge) -> bool:
        """Whether a server asks again because its nonce grew old, and not because the password is wrong."""
        assert self._challenge is not None
        if challenge.parameters.get("nonce") == self._challenge.parameters.get("nonce"):
            return False
        return challenge.parameters.get("stale", "").lower() == "true" or self._tries == 0

    def _digest(self, challenge: dict[str, str], method: str, uri: str) -> str:
        assert self._credentials is not None
        algorithm = challenge.get("algorithm", "MD5")
        make_hash = _HASHES[algorithm.upper().removesuffix("-SESS")]

        def hashed(text: str) -> str:
            return make_hash(text.encode()).hexdigest()

        realm, nonce = challenge.get("realm", ""), challenge["nonce"]
        cnonce, count = self._make_cnonce(), f"{self._count:08x}"
        user = self._credentials.user
        secret = hashed(f"{user}:{realm}:{self._credentials.password}")
        is_session = algorithm.upper().endswith("-SESS")
        if is_session:
            secret = hashed(f"{secret}:{nonce}:{cnonce}")
        request = hashed(f"{method}:{uri}")
        has_qop = "auth" in (part.strip().lower() for part in challenge.get("qop", "").split(","))
        middle = f"{nonce}:{count}:{cnonce}:auth" if has_qop else nonce
        fields = [
            ("username", _quoted(user)),
            ("realm", _quoted(realm)),
            ("nonce", _quoted(nonce)),
            ("uri", _quoted(uri)),
            ("response", _quoted(hashed(f"{secret}:{middle}:{request}"))),
        ]
        if "algorithm" in challenge:
            fields.append(("algorithm", algorithm))
        if "opaque" in challenge:
            fields.append(("opaque", _quoted(challenge["opaque"])))
        if has_qop:
            fields += [("qop", "auth"), ("nc", count)]
        if has_qop or is_session:
            fields.append(("cnonce", _quoted(cnonce)))
        return "Digest " + ", ".join(f"{name}={value}" for name, value in fields)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(character if character.isprintable() else "?" for character in escaped) + '"'


def _parsed(values: Iterable[str]) -> list[_Challenge]:
    found = []
    for value in values:
        text = value[:_MOST_CHALLENGE_CHARACTERS]
        starts = list(_SCHEME.finditer(text))
        ends = [start.start() for start in starts[1:]] + [len(text)]
        for start, end in zip(starts, ends, strict=True):
            parameters = {
                name.lower(): re.sub(r"\\(.)", r"\1", quoted) if quoted else bare
                for name, quoted, bare in _PARAMETER.findall(text[start.end() : end])
            }
            found.append(_Challenge(start[1].lower(), parameters))
    return found


def _best(challenges: Sequence[_Challenge]) -> _Challenge | None:
    for name in _HASHES:
        for challenge in challenges:
            algorithm = challenge.parameters.get("algorithm", "MD5").upper().removesuffix("-SESS")
            if challenge.scheme == "digest" and algorithm == name and _has_usable_qop(challenge):
                return challenge
    return next((challenge for challenge in challenges if challenge.scheme == "basic"), None)


def _has_usable_qop(challenge: _Challenge) -> bool:
    """Whether a digest can be answered: with a nonce, and without the body (`auth-int`)."""
    wanted = [part.strip().lower() for part in challenge.parameters.get("qop", "").split(",") if part.strip()]
    return "nonce" in challenge.parameters and (not wanted or "auth" in wanted)
