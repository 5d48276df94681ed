"""Asks a web server what lies at an address, without reading it: FFmpeg does not tell."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

_TIMEOUT_S = 2.0
_MAX_TYPE = 128
"""Characters of a media type: its two names should have fewer than 64 each (RFC 6838 section 4.2)."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a server says about what it would send."""

    status: int
    media_type: str
    """Such as `text/html`; empty: it does not say."""
    length: int | None
    """Bytes; None: it does not say, or there is no end."""

    @property
    def is_endless(self) -> bool:
        """Whether it sends without saying how much."""
        return self.status == httpx.codes.OK and self.length is None

    @property
    def words(self) -> str:
        """What came, for people."""
        if self.status == httpx.codes.LOOP_DETECTED:
            return "the server redirects in a circle"
        if self.status != httpx.codes.OK:
            return f"the server answers {self.status} {httpx.codes.get_reason_phrase(self.status)}".rstrip()
        kind = self.media_type or "something that it does not name"
        if self.media_type.startswith("text/") or self.media_type in ("application/json", "application/xml"):
            return f"the server sends {kind}, not a video; is it a login page, or the address of another thing?"
        if self.media_type.startswith("image/"):
            return f"the server sends one picture ({kind}), not a stream"
        return f"the server sends {kind}, which is not understood as a video"


def ask(url: str, *, verify: bool) -> Shown | None:
    """Return what the server shows, redirects followed; None: it does not answer, or not so.

    Credentials go to the host in the address only. Takes two seconds at most for each step.

    Args:
        url: http:// or https://.
        verify: whether a certificate must be trusted.
    """
    try:
        with (
            httpx.Client(follow_redirects=True, timeout=_TIMEOUT_S, verify=verify, max_redirects=5) as client,
            client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as response,
        ):
            length = response.headers.get("Content-Length", "")
            media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            return Shown(
                response.status_code,
                media_type if media_type.isprintable() and len(media_type) <= _MAX_TYPE else "",
                int(length) if length.isdecimal() and response.status_code == httpx.codes.OK else None,
            )
    except httpx.TooManyRedirects:
        return Shown(httpx.codes.LOOP_DETECTED, "", None)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError):
        return None
