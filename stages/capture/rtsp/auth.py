"""Shows a camera who we are: Basic (RFC 7617) and Digest (RFC 7616, and RFC 2617 as older cameras speak it)."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

_MOST_TRIES = 5
_MOST_CHALLENGE_CHARACTERS = 8192
"""Of a value of WWW-Authenticate."""
_PLAIN_IN_LOGIN = "!$&'()*+,;="
"""Need no encoding there (RFC 3986 section 3.2.1)."""
_HASHES = {"SHA-512-256": "sha512_256", "SHA-256": "sha256", "MD5": "md5"}
"""By the name of the algorithm, the better one first."""
_HOST = re.compile(r"(?:[^:@\[\]\s]+|\[[^\]@]*\])(?::([0-9]{1,5}))?")
_END_OF_AUTHORITY = re.compile(r"[/?#]")
_QUOTED = r'" (?P<{}> (?: [^"\\] | \\(?:.|\Z) )*+ ) (?:"|\Z)'
_PARAMETER = rf"""
    (?P<name> (?<![\w*-]) [\w*-]++ ) \s* = \s*
    (?: {_QUOTED.format("quoted")}
      | (?P<bare> [^\s,"]* (?: [\ \t]+ [^\s,="]++ (?! [\ \t]*= ) )* )  # of several words, if no name is among them
    )
"""
_WORD = rf"(?P<word> (?<![\w-]) [\w-]++ ) | {_QUOTED.format('stray')}"
_ITEM = re.compile(f"{_PARAMETER} | {_WORD}", re.VERBOSE | re.ASCII | re.DOTALL)
"""A parameter, the name of a scheme, or a quoted text that belongs to nothing; takes time in proportion to the text."""


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """A user and a password; without a repr, so that they show up nowhere."""

    user: str
    password: str


def split_credentials(url: str) -> tuple[str, Credentials | None]:
    """Return a URL without its user information, and the credentials in it.

    People write passwords as they are. The user information ends with the last @ before the path; where what follows it
    makes no host, the password holds the character that looked like the beginning of the path, and the last @ of all
    ends it. A URL that is well-formed means what RFC 3986 section 3.2 says.
    """
    scheme, separator, rest = url.partition("://")
    end = _end_of_user_information(rest) if separator else -1
    if end < 0:
        return url, None
    user, _, password = rest[:end].partition(":")
    credentials = Credentials(unquote(user), unquote(password)) if end else None
    return f"{scheme}://{rest[end + 1 :]}", credentials


def with_credentials(url: str, credentials: Credentials | None) -> str:
    """Return a URL without user information with the credentials in it, written as RFC 3986 wants them."""
    if credentials is None:
        return url
    scheme, separator, rest = url.partition("://")
    user, password = (quote(text, safe=_PLAIN_IN_LOGIN) for text in (credentials.user, credentials.password))
    return f"{scheme}{separator}{user}:{password}@{rest}"


def _end_of_user_information(rest: str) -> int:
    """Return where the @ is that ends it; -1: there is no user information."""
    cut = _END_OF_AUTHORITY.search(rest)
    authority = rest[: cut.start()] if cut else rest
    end = authority.rfind("@")
    host = _HOST.fullmatch(authority, end + 1)
    # RTSP knows no fragments: a # before an @ can only be a part of a password.
    is_cut_off = host is None or int(host[1] or 0) > 65535 or (end < 0 and cut is not None and cut[0] == "#")
    return rest.rfind("@") if authority and is_cut_off else end


@dataclass(frozen=True, slots=True)
class _Challenge:
    scheme: str
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def algorithm(self) -> str:
        """The name of the hash, without -sess."""
        return self.parameters.get("algorithm", "MD5").upper().removesuffix("-SESS")

    @property
    def qop(self) -> list[str]:
        return [part for part in re.split(r"[\s,]+", self.parameters.get("qop", "").lower()) if part]

    @property
    def is_usable(self) -> bool:
        """Whether it can be answered; a digest needs a nonce."""
        if self.scheme == "basic":
            return True
        has_usable_qop = not self.qop or not {"auth", "auth-int"}.isdisjoint(self.qop)
        return self.scheme == "digest" and "nonce" in self.parameters and has_usable_qop and self.algorithm in _HASHES


class Authenticator:
    """Answers one server's challenges.

    Args:
        credentials: None: there is nothing to answer with.
        make_cnonce: gives a fresh random text for each challenge.
    """

    def __init__(
        self, credentials: Credentials | None, *, make_cnonce: Callable[[], str] = lambda: secrets.token_hex(8)
    ) -> None:
        self._credentials = credentials
        self._make_cnonce = make_cnonce
        self._challenge: _Challenge | None = None
        self._cnonce = ""
        self._count = 0
        self._tries = 0

    @property
    def has_credentials(self) -> bool:
        """Whether there is anything to answer with."""
        return self._credentials is not None

    def challenged(self, challenges: Sequence[str]) -> bool:
        """Take the values of WWW-Authenticate; return whether another try is worth it.

        It is not if the same answer was refused already: cameras lock users out after a few wrong passwords. That a
        nonce is new says nothing, since many servers make one for each refusal; it counts when the server calls the
        old one stale, or when it had accepted that.
        """
        chosen = _best(_parsed(challenges))
        if self._credentials is None or chosen is None or self._tries >= _MOST_TRIES or self._was_refused(chosen):
            return False
        self._tries += 1
        self._challenge = chosen
        # The key of a -sess algorithm is made of the first cnonce (RFC 7616 section 3.4.2): there is one a challenge.
        self._cnonce = self._make_cnonce()
        self._count = 0
        return True

    def header(self, method: str, uri: str) -> str | None:
        """Return the value of Authorization for a request; None while nobody asked for it."""
        if self._challenge is None or self._credentials is None:
            return None
        if self._challenge.scheme == "basic":
            text = f"{self._credentials.user}:{self._credentials.password}"
            return "Basic " + base64.b64encode(_encoded(text)).decode()
        self._count += 1
        return self._digest(self._credentials, self._challenge, f"{method}:{uri}", uri)

    def accepted(self) -> None:
        """Note that the present answer is good: later challenges are about its age."""
        self._tries = 0

    def _was_refused(self, chosen: _Challenge) -> bool:
        """Whether our answer to such a challenge was wrong, and not just too old."""
        known = self._challenge
        if known is None or known.scheme != chosen.scheme:
            return False
        if chosen.scheme == "basic" or chosen.parameters["nonce"] == known.parameters["nonce"]:
            return True
        return chosen.parameters.get("stale", "").lower() != "true" and self._tries > 0

    def _digest(self, credentials: Credentials, challenge: _Challenge, request: str, uri: str) -> str:
        parameters = challenge.parameters
        realm, nonce, count = parameters.get("realm", ""), parameters["nonce"], f"{self._count:08x}"
        is_session = parameters.get("algorithm", "").upper().endswith("-SESS")

        def hashed(text: str) -> str:
            return hashlib.new(_HASHES[challenge.algorithm], _encoded(text), usedforsecurity=False).hexdigest()

        secret = hashed(f"{credentials.user}:{realm}:{credentials.password}")
        if is_session:
            secret = hashed(f"{secret}:{nonce}:{self._cnonce}")
        qop = "auth" if "auth" in challenge.qop else "auth-int"
        if challenge.qop and qop == "auth-int":
            request = f"{request}:{hashed('')}"  # no request of ours has a body
        middle = f"{nonce}:{count}:{self._cnonce}:{qop}" if challenge.qop else nonce
        fields = [
            ("username", _quoted(credentials.user)),
            ("realm", _quoted(realm)),
            ("nonce", _quoted(nonce)),
            ("uri", _quoted(uri)),
            ("response", _quoted(hashed(f"{secret}:{middle}:{hashed(request)}"))),
        ]
        if "algorithm" in parameters:
            fields.append(("algorithm", parameters["algorithm"]))
        if "opaque" in parameters:
            fields.append(("opaque", _quoted(parameters["opaque"])))
        if challenge.qop:
            fields += [("qop", qop), ("nc", count)]
        if challenge.qop or is_session:
            fields.append(("cnonce", _quoted(self._cnonce)))
        return "Digest " + ", ".join(f"{name}={value}" for name, value in fields)


def unanswerable(challenges: Sequence[str]) -> str | None:
    """Return what the values of WWW-Authenticate ask for, if none of it can be answered."""
    found = _parsed(challenges)
    if any(challenge.is_usable for challenge in found):
        return None
    asked = [f"{one.scheme} {one.algorithm}" if one.scheme == "digest" else one.scheme for one in found]
    words = [word for word in asked if word.replace("-", "").replace(" ", "").isalnum()]
    return " or ".join(words)[:80] or "nothing that is known"


def _encoded(text: str) -> bytes:
    """Return UTF-8, the one `charset` that RFC 7616 section 4 knows; what it cannot express becomes ?."""
    return text.encode(errors="replace")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(character if character.isprintable() else "?" for character in escaped) + '"'


def _parsed(values: Iterable[str]) -> list[_Challenge]:
    """Return all challenges; each value may hold several (RFC 7235 section 4.1)."""
    found: list[_Challenge] = []
    for value in values:
        first = len(found)
        for item in _ITEM.finditer(value[:_MOST_CHALLENGE_CHARACTERS]):
            if item["word"]:
                found.append(_Challenge(item["word"].lower()))
            elif item["name"] and len(found) > first:
                quoted, bare = item["quoted"], item["bare"]
                text = bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
                found[-1].parameters.setdefault(item["name"].lower(), text)
    return found


def _best(challenges: Sequence[_Challenge]) -> _Challenge | None:
    """Return the safest challenge that can be answered: a digest, by the best hash, rather than the bare password."""
    usable = [challenge for challenge in challenges if challenge.is_usable]
    order = list(_HASHES)
    digests = [challenge for challenge in usable if challenge.scheme == "digest"]
    return min(digests, key=lambda challenge: order.index(challenge.algorithm), default=next(iter(usable), None))
