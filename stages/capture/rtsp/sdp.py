"""The session description: which stream is video, and what must be known to take it apart (RFC 8866)."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote

_MOST_BYTES = 64 << 10
_MOST_LINES = 4096
_MOST_TYPES = 32
"""Payload types of a stream that are looked at."""
_MOST_SETS = 16
_CLOCK_RATE = "90000"
_STATIC_TYPES = {
    "25": "CelB", "26": "JPEG", "28": "nv", "31": "H261", "32": "MPV", "33": "MP2T", "34": "H263",
}  # fmt: skip
"""Video payload types that need no rtpmap (RFC 3551 section 6)."""
_SPOKEN_NAMES = {
    "JPEG": "MJPEG", "MPV": "MPEG-1 or MPEG-2", "MP4V-ES": "MPEG-4 part 2", "MP2T": "an MPEG transport stream",
}  # fmt: skip
"""How people call what an rtpmap names otherwise."""
_CODECS: dict[str, Literal["h264", "hevc"]] = {"H264": "h264", "H265": "hevc"}
_PLAIN_PROFILES = frozenset({"RTP/AVP", "RTP/AVPF", "RTP/AVP/TCP", "RTP/AVP/UDP", "TCP/RTP/AVP"})
_ABSOLUTE = re.compile(r"rtsp[su]?://", re.IGNORECASE)


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

    def of_type(self, name: str, payload_type: int) -> str:
        """Return the first value that an attribute has for a payload type, without that number."""
        for known, value in self.attributes:
            number, *rest = value.split(maxsplit=1) or [""]
            if known == name and _number(number) == payload_type:
                return rest[0].strip() if rest else ""
        return ""


def parse_sdp(body: bytes) -> VideoMedia:
    """Return the first video stream that can be taken apart; any bytes are read as far as they make sense.

    Raises:
        UnsupportedMedia: there is video, but none such; the text is about the first one.
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
    raise problem or NoVideo("no video is described")


def control_url(base: str, media: VideoMedia) -> str:
    """Return the URL for SETUP.

    Args:
        base: of the description: Content-Base, or the URL that was asked for.
        media: what it described.
    """
    return _joined(aggregate_url(base, media), media.control)


def aggregate_url(base: str, media: VideoMedia) -> str:
    """Return the URL of the whole presentation, for PLAY, TEARDOWN and keep-alives.

    Args:
        base: of the description: Content-Base, or the URL that was asked for.
        media: what it described.
    """
    return _joined(base, media.session_control)


def _joined(base: str, control: str | None) -> str:
    """Return a control URL as cameras mean it: absolute ones as they are, others appended, with one slash between.

    RFC 2326 C.1.1 would resolve them like links of a web page, which takes away the last part of a base without a slash
    at its end; no camera means that. It also goes behind a query, as live555 and cameras built on it want it. What
    cannot be in a request is escaped.
    """
    control = (control or "*").strip()
    if control in ("*", ""):
        joined = base
    elif _ABSOLUTE.match(control):
        joined = control
    else:
        joined = base.rstrip("/") + "/" + control.lstrip("/")
    return re.sub(r"[\s\x00-\x1f\x7f]", lambda character: quote(character[0]), joined.strip())


def _sections(body: bytes) -> list[_Section]:
    lines = re.split(r"\r\n|\r|\n", body[:_MOST_BYTES].decode("utf-8", "replace"), maxsplit=_MOST_LINES)[:_MOST_LINES]
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
    if "SAVP" in profile:
        raise UnsupportedMedia(f"encrypted video ({_shown(profile)})")
    if profile not in _PLAIN_PROFILES:
        raise UnsupportedMedia(f"video over {_shown(profile) or 'nothing known'}")
    problem: UnsupportedMedia | None = None
    for word in words[2 : 2 + _MOST_TYPES]:
        try:
            payload_type = _payload_type(word)
            codec, parameter_sets = _format(stream, payload_type)
        except UnsupportedMedia as error:
            problem = problem or error
            continue
        return VideoMedia(
            codec=codec,
            payload_type=payload_type,
            parameter_sets=parameter_sets,
            control=stream.first("control"),
            session_control=session_control,
            framerate=_framerate(stream.first("framerate")),
        )
    raise problem or UnsupportedMedia("video without a format")


def _payload_type(word: str) -> int:
    number = _number(word)
    if number is None or number > 127:
        raise UnsupportedMedia(f"payload type {_shown(word)}, which is none")
    return number


def _number(word: str) -> int | None:
    return int(word) if re.fullmatch(r"[0-9]{1,5}", word) else None


def _format(stream: _Section, payload_type: int) -> tuple[Literal["h264", "hevc"], tuple[bytes, ...]]:
    encoding = stream.of_type("rtpmap", payload_type) or _STATIC_TYPES.get(str(payload_type), "")
    name, _, rate = encoding.partition("/")
    name = name.strip()
    codec = _CODECS.get(name.upper())
    if codec is None:
        spoken = _SPOKEN_NAMES.get(name.upper()) or _shown(name)
        raise UnsupportedMedia(spoken or f"payload type {payload_type} without a name")
    if rate.split("/")[0].strip() not in ("", _CLOCK_RATE):
        raise UnsupportedMedia(f"{_shown(name)} with a clock of {_shown(rate).strip()} Hz")
    parameters = _parameters(stream.of_type("fmtp", payload_type))
    if codec == "h264":
        mode = parameters.get("packetization-mode") or "0"
        if mode not in ("0", "1"):
            raise UnsupportedMedia(f"H.264 with packetization-mode {_shown(mode)}")
        return codec, _sets(parameters.get("sprop-parameter-sets"))
    if parameters.get("sprop-max-don-diff", "0") != "0" or parameters.get("sprop-depack-buf-nalus", "0") != "0":
        raise UnsupportedMedia("H.265 out of decoding order (sprop-max-don-diff)")
    names = ("sprop-vps", "sprop-sps", "sprop-pps")
    return codec, tuple(nal for name in names for nal in _sets(parameters.get(name)))[:_MOST_SETS]


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
        if len(nal) > 2:
            found.append(nal)
    return tuple(found)


def _framerate(text: str | None) -> float | None:
    if text is None or not re.fullmatch(r"[0-9]{1,4}(\.[0-9]*)?", text):
        return None
    return float(text) or None


def _shown(text: str) -> str:
    return "".join(character for character in text if character.isprintable())[:40]
