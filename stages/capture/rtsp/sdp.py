"""The session description: which stream is video, and what must be known to take it apart (RFC 8866)."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

_MOST_BYTES = 64 << 10
_MOST_LINES = 4096
_MOST_SETS = 16
_MOST_SET_BYTES = 64 << 10
_CLOCK_RATE = "90000"
_STATIC_TYPES = {
    "25": "CelB", "26": "JPEG", "28": "nv", "31": "H261", "32": "MPV", "33": "MP2T", "34": "H263",
}  # fmt: skip
"""Video payload types that need no rtpmap (RFC 3551 section 6)."""
_CODECS: dict[str, Literal["h264", "hevc"]] = {"H264": "h264", "H265": "hevc"}
_PLAIN_PROFILES = frozenset({"RTP/AVP", "RTP/AVPF", "RTP/AVP/TCP", "RTP/AVP/UDP", "TCP/RTP/AVP"})


class UnsupportedMedia(Exception):
    """There is video, but not in a form that we take apart; the text names it."""


class NoVideo(Exception):
    """There is no video at all."""


@dataclass(frozen=True, slots=True)
class VideoMedia:
    """What a session description says about its first video stream."""

    codec: Literal["h264", "hevc"]
    payload_type: int
    parameter_sets: tuple[bytes, ...]
    """NAL units without start codes, as far as they were announced."""
    control: str | None
    """Of the stream, as written."""
    session_control: str | None
    """Of the whole presentation, as written."""
    framerate: float | None
    """Frames per second, as announced."""


@dataclass(slots=True)
class _Section:
    """The session, or one media stream."""

    media: str = ""
    attributes: list[tuple[str, str]] = field(default_factory=list)

    def first(self, name: str) -> str | None:
        return next((value for known, value in self.attributes if known == name), None)

    def of_type(self, name: str, payload_type: str) -> str:
        """Return the value that an attribute has for a payload type, without that number."""
        for known, value in self.attributes:
            number, _, rest = value.partition(" ")
            if known == name and number == payload_type:
                return rest.strip()
        return ""


def parse_sdp(body: bytes) -> VideoMedia:
    """Return the first video stream that can be taken apart.

    Raises:
        UnsupportedMedia: there is video, but none such.
        NoVideo: there is none.
    """
    session, *streams = _sections(body)
    problem: UnsupportedMedia | None = None
    for stream in streams:
        kind, _, rest = stream.media.partition(" ")
        if kind.lower() != "video":
            continue
        try:
            return _video(stream, rest.split(), session.first("control"))
        except UnsupportedMedia as error:
            problem = problem or error
    raise problem or NoVideo


def control_url(base: str, media: VideoMedia) -> str:
    """Return the URL for SETUP.

    Args:
        base: of the description: Content-Base, or the URL that was asked for.
        media: what it described.
    """
    return _joined(base, media.control)


def aggregate_url(base: str, media: VideoMedia) -> str:
    """Return the URL of the whole presentation, for PLAY and TEARDOWN."""
    return _joined(base, media.session_control)


def _joined(base: str, control: str | None) -> str:
    """Return a control URL as cameras mean it: absolute ones as they are, others appended, with one slash between.

    RFC 2326 C.1.1 would resolve them like links of a web page, which takes away the last part of a base without a slash
    at its end; no camera means that. It also goes behind a query, as live555 and cameras built on it want it.
    """
    control = (control or "*").strip()
    if control in ("*", ""):
        return base
    if urlsplit(control).scheme.lower() in ("rtsp", "rtsps", "rtspu"):
        return control
    return base.rstrip("/") + "/" + control.lstrip("/")


def _sections(body: bytes) -> list[_Section]:
    lines = body[:_MOST_BYTES].decode("utf-8", "replace").splitlines()[:_MOST_LINES]
    sections = [_Section()]
    for line in lines:
        name, equals, value = line.strip().partition("=")
        if not equals:
            continue
        if name == "m":
            sections.append(_Section(value.strip()))
        elif name == "a":
            attribute, _, content = value.partition(":")
            sections[-1].attributes.append((attribute.strip().lower(), content.strip()))
    return sections


def _video(stream: _Section, words: list[str], session_control: str | None) -> VideoMedia:
    """Return the stream of a video section.

    Args:
        stream: the section.
        words: port, profile, payload types.
        session_control: of the presentation.
    """
    profile = words[1].upper() if len(words) > 1 else ""
    if profile not in _PLAIN_PROFILES:
        raise UnsupportedMedia(f"video as {_shown(profile) or 'nothing known'}")
    problem: UnsupportedMedia | None = None
    for payload_type in words[2:]:
        try:
            codec, parameter_sets = _format(stream, payload_type)
        except UnsupportedMedia as error:
            problem = problem or error
            continue
        return VideoMedia(
            codec=codec,
            payload_type=int(payload_type),
            parameter_sets=parameter_sets,
            control=stream.first("control"),
            session_control=session_control,
            framerate=_framerate(stream.first("framerate")),
        )
    raise problem or UnsupportedMedia("video without a format")


def _format(stream: _Section, payload_type: str) -> tuple[Literal["h264", "hevc"], tuple[bytes, ...]]:
    if not re.fullmatch(r"[0-9]{1,3}", payload_type) or int(payload_type) > 127:
        raise UnsupportedMedia(f"payload type {_shown(payload_type)}")
    encoding = stream.of_type("rtpmap", payload_type) or _STATIC_TYPES.get(payload_type, "")
    name, _, rate = encoding.partition("/")
    codec = _CODECS.get(name.strip().upper())
    if codec is None:
        raise UnsupportedMedia(_shown(name) or f"payload type {payload_type}")
    if rate.split("/")[0].strip() not in ("", _CLOCK_RATE):
        raise UnsupportedMedia(f"{_shown(name)} with a clock of {_shown(rate)} Hz")
    parameters = _parameters(stream.of_type("fmtp", payload_type))
    if codec == "h264":
        if parameters.get("packetization-mode", "0") not in ("0", "1"):
            raise UnsupportedMedia("H.264 in interleaved mode (packetization-mode 2)")
        return codec, _sets(parameters.get("sprop-parameter-sets"))
    if parameters.get("sprop-max-don-diff", "0") != "0" or parameters.get("sprop-depack-buf-nalus", "0") != "0":
        raise UnsupportedMedia("H.265 out of decoding order (sprop-max-don-diff)")
    names = ("sprop-vps", "sprop-sps", "sprop-pps")
    return codec, tuple(nal for name in names for nal in _sets(parameters.get(name)))


def _parameters(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _sets(text: str | None) -> tuple[bytes, ...]:
    """Return NAL units written as base64 with commas between; what is no base64 is passed over."""
    found = []
    for part in (text or "").split(",")[:_MOST_SETS]:
        padded = part.strip().rstrip("=")
        try:
            nal = base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True)
        except (binascii.Error, ValueError):
            continue
        if 2 < len(nal) <= _MOST_SET_BYTES:
            found.append(nal)
    return tuple(found)


def _framerate(text: str | None) -> float | None:
    if text is None or not re.fullmatch(r"\d{1,4}(\.\d{1,6})?", text):
        return None
    return float(text) or None


def _shown(text: str) -> str:
    return "".join(character for character in text if character.isprintable())[:40]
