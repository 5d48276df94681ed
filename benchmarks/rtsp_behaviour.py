"""How our RTSP camera behaves: the faults that it has on command, and the manners that some cameras have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Asked(NamedTuple):
    """One request of a client."""

    method: str
    url: str
    headers: str
    """All header lines."""


@dataclass(frozen=True)
class Sent:
    """One picture that was sent."""

    timestamp: int
    """RTP ticks, 32 bits."""
    number: int
    """As in its pixels."""
    sent_ns: int
    """When its last packet was handed to the socket; monotonic."""
    due_ns: int
    """When it should have been; monotonic."""


@dataclass
class Behaviour:
    """What the camera does wrong, from now on; any thread may change it."""

    is_stalled: bool = False
    """Sends nothing, keeps the connection."""
    is_mute: bool = False
    """Accepts connections, and never answers."""
    is_frozen: bool = False
    """Sends the same picture again and again."""
    has_markers: bool = True
    loss: float = 0.0
    """Share of RTP packets that are not sent."""
    reorder: float = 0.0
    """Share of RTP packets that are sent after the next one."""
    hold_s: float = 0.0
    """Keeps pictures back for so long, and sends them all at once."""
    garbage: bytes = b""
    """Sent once, in the middle of the stream."""
    half_packet: bool = False
    """Sends one half of an interleaved packet, and nothing after it."""
    jump_ticks: int = 0
    """Added to the time stamps."""
    ticks_per_s: int = 90_000
    """By which the time stamps really go on; they are announced as 90 kHz."""
    ssrc: int = 0x5EED
    in_band_only: bool = False
    """Describes no parameter sets."""
    aggregates: bool = False
    """Sends small NAL units together: STAP-A (RFC 6184 section 5.7.1), AP (RFC 7798 section 4.4.2)."""
    redirect: str = ""
    """Where clients are sent instead of being told about the stream."""


@dataclass(frozen=True)
class Manners:
    """How the camera speaks; the defaults are what RFC 2326 shows."""

    content_base: str = "{url}/"
    """In the answer to DESCRIBE; without it the header is left out."""
    control: str = "trackID=0"
    """Of the stream in the description; without it the attribute is left out."""
    line_end: str = "\r\n"
    lower_case: bool = False
    """Header names."""
    stray: str = ""
    """Sent before each answer."""
    transport: str = ""
    """What the answer to SETUP says instead of the transport that was agreed on."""
    unknown: frozenset[str] = frozenset()
    """Methods that are answered with 501."""
    early_media: bool = False
    """The first picture comes before the answer to PLAY."""
    session_timeout_s: int = 60
    enforces_timeout: bool = False
    """Drops a client that asks nothing for that long; its RTCP does not count."""
