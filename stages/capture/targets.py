"""Understands what a user wrote as SOURCE."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from pipeline.masking import masked

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_WEBCAM = re.compile(r"(?:webcam:)?(/dev/video\d+)|webcam:(\d+)")
_REALTIME = re.compile(r"(?:^|[,;\]\s])a?realtime(?:$|[=,;\[@\s])")

RECORDING_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mpg", ".mpeg", ".flv", ".wmv"}
)
"""Endings of a URL's path that promise a file of finite length; decided for good once the source is open."""

STANDARD_INPUT = "-"
"""The address of what is piped in."""

HELP = (
    "give a file, rtsp://, rtsps://, http://, https://, webcam:N, /dev/videoN, lavfi:GRAPH, or - for what is piped in"
)


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
    if not _can_be_named(text):
        raise ValueError("holds a character that no name can have")
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
    return Target(TargetKind.FILE, os.path.expanduser(text))


def _can_be_named(text: str) -> bool:
    """Whether the operating system can be given a text; bytes that are no UTF-8 are, as Python writes them."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def _parse_url(text: str, scheme: str) -> Target:
    try:
        urlsplit(text)
    except ValueError:  # its own text may show the address
        raise ValueError("is an address that makes no sense; is a bracket missing?") from None
    if scheme == "file":
        return Target(TargetKind.FILE, unquote(urlsplit(text).path))
    if scheme in ("rtsp", "rtsps"):
        return Target(TargetKind.RTSP, text)
    if scheme in ("http", "https"):
        return Target(TargetKind.HTTP, text)
    raise ValueError(f"{scheme}:// is not understood; {HELP}")
