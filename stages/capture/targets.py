"""Understands what a user wrote as SOURCE, and hides the credentials in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_WEBCAM = re.compile(r"(?:webcam:)?(/dev/video\d+)|webcam:(\d+)")
_SECRET_IN_PATH = re.compile(
    r"(?i)((?:pass|passwd|password|pwd|token|key|apikey|secret|auth|sig|signature|user)=)[^/&;]*"
)
_BARE_HOST = re.compile(r"[^:@\[]*|\[[^\]@]*\](:\d+)?")
_REALTIME = re.compile(r"(?:^|[,;\]\s])a?realtime(?:$|[=,;\[@\s])")

RECORDING_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mpg", ".mpeg", ".flv", ".wmv"}
)
"""Endings of a URL's path that promise a file of finite length; decided for good once the source is open."""

HELP = "give a file, rtsp://, rtsps://, http://, https://, webcam:N, /dev/videoN or lavfi:GRAPH"


class TargetKind(StrEnum):
    """What sort of thing a SOURCE names."""

    FILE = "file"
    RTSP = "rtsp"
    HTTP = "http"
    WEBCAM = "webcam"
    LAVFI = "lavfi"


@dataclass(frozen=True, slots=True, repr=False)
class Target:
    """A SOURCE that is understood. It has no repr, because the address may hold a password."""

    kind: TargetKind
    address: str
    """What the demuxer is given: a path, a URL or a filter graph."""

    @property
    def shown(self) -> str:
        """The address as it may be shown to anybody."""
        return masked(self.address)

    @property
    def live(self) -> bool:
        """Whether time passes without us, as far as the address tells; only opening an HTTP URL tells for sure."""
        match self.kind:
            case TargetKind.RTSP | TargetKind.WEBCAM:
                return True
            case TargetKind.LAVFI:
                return _REALTIME.search(self.address) is not None
            case TargetKind.HTTP:
                return PurePosixPath(urlsplit(self.address).path).suffix.lower() not in RECORDING_SUFFIXES
        return False


def parse_target(text: str) -> Target:
    """Return what a SOURCE text names; nothing is opened or looked up.

    Raises:
        ValueError: it is not understood; the message says what would be right, without showing credentials.
    """
    if not text.strip():
        raise ValueError(f"is empty; {HELP}")
    if text.startswith("lavfi:"):
        if not text[6:].strip():
            raise ValueError("lavfi: needs a filter graph, such as lavfi:testsrc=size=640x480:rate=30,realtime")
        return Target(TargetKind.LAVFI, text[6:])
    if webcam := _WEBCAM.fullmatch(text):
        return Target(TargetKind.WEBCAM, webcam[1] or f"/dev/video{webcam[2]}")
    if text.startswith("webcam:"):
        raise ValueError(f"{text!r} names no camera; write webcam:0 or /dev/video0")
    if scheme := _SCHEME.match(text):
        return _parse_url(text, scheme[1].lower())
    return Target(TargetKind.FILE, text)


def _parse_url(text: str, scheme: str) -> Target:
    if scheme == "file":
        return Target(TargetKind.FILE, unquote(urlsplit(text).path))
    if scheme in ("rtsp", "rtsps"):
        return Target(TargetKind.RTSP, text)
    if scheme in ("http", "https"):
        return Target(TargetKind.HTTP, text)
    raise ValueError(f"{scheme}:// is not understood; {HELP}")


def masked(url: str) -> str:
    """Return the URL with `***` for user, password and query values; any other text comes back unchanged.

    Cameras also take credentials in the path (`/user=admin&password=...`), and people write passwords with `@` and `/`
    unescaped; hiding too much is the safe side.
    """
    scheme = _SCHEME.match(url)
    if scheme is None:
        return url
    rest = url[scheme.end() :]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in rest and not _BARE_HOST.fullmatch(authority):
        # The last @ ends the user information, which may hold further ones, and anything else.
        rest = "***@" + rest.rpartition("@")[2]
    head, question, _query = rest.partition("?")
    return scheme[0] + _SECRET_IN_PATH.sub(r"\1***", head) + ("?***" if question else "")


def scrub(text: str, address: str) -> str:
    """Return an error text without the credentials of `address`, in whatever part of it they are quoted."""
    text = text.replace(address, masked(address))
    if not _SCHEME.match(address):
        return text
    for secret in sorted(_secrets(address), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _secrets(url: str) -> set[str]:
    """Return the strings of a URL that must not be shown, raw and percent-decoded."""
    rest = url.partition("://")[2]
    user_info = rest.rpartition("@")[0]
    query = rest.partition("?")[2]
    found = {user_info, user_info.partition(":")[2], query}
    found.update(pair.partition("=")[2] for pair in query.split("&"))
    found.update(match[0].partition("=")[2] for match in _SECRET_IN_PATH.finditer(rest))
    found |= {unquote(secret) for secret in found}
    return {secret for secret in found if len(secret) > 2}
