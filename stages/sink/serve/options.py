"""Settings of the serving sink, and what of them must fit together."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from pipeline.clock import NS_PER_MS, NS_PER_S
from pipeline.stage import Options
from pipeline.units import Duration

_USAGE = "write HOST:PORT, such as 127.0.0.1:8080"
_TOKEN = re.compile(r"[!-~]{8,200}")
"""Visible ASCII: it travels in headers and addresses."""


class ServeOptions(Options):
    """Settings of the serving sink."""

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; others than this machine's own "
                      "loopback want a token, or `insecure`.")  # fmt: skip
    port: int = Field(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    token: SecretStr | None = Field(None, description="Who asks must know it; with it, the run can be controlled.")
    token_file: str | None = Field(None, description="File whose first line is the token.")
    insecure: bool = Field(False, description="Let the network look without a token.")
    allowed_hosts: list[str] = Field(
        default_factory=list, description="Further names under which browsers may reach it, such as that of a proxy."
    )
    certificate: str | None = Field(None, description="PEM file with the certificate, and those above it: TLS.")
    key: str | None = Field(None, description="PEM file with the certificate's private key.")
    result_clients: int = Field(
        64, ge=1, le=1000, description="Readers of records at a time; beyond it, the busiest address is refused."
    )
    preview_clients: int = Field(
        8, ge=1, le=100, description="Viewers of pictures at a time; beyond it, the busiest address is refused."
    )
    page_clients: int = Field(
        16, ge=1, le=200, description="Open pages at a time; beyond it, the busiest address is refused."
    )
    client_queue: int = Field(64, ge=1, le=10_000, description="Records that a reader may lag behind before it skips.")
    preview_rate: float = Field(15.0, ge=0.1, le=60, description="Most pictures a second for a viewer.")
    preview_width: int = Field(1280, ge=160, le=3840, description="Most pixels in width for a viewer.")
    preview_quality: int = Field(75, ge=1, le=100, description="JPEG quality.")
    requests_per_s: float = Field(50.0, ge=1, le=10_000, description="Requests of one address; further ones get 429.")
    ready_within: Duration = Field(
        2 * NS_PER_S, ge=10 * NS_PER_MS, description="/readyz says ready while the last fresh answer is not older."
    )
    patience: Duration = Field(
        5 * NS_PER_S,
        ge=10 * NS_PER_MS,
        description="How long a client may leave a ping unanswered, or take no data, before it is dropped.",
    )

    @field_validator("token")
    @classmethod
    def _is_token(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None:
            check_token(token.get_secret_value())
        return token

    @model_validator(mode="after")
    def _fits_together(self) -> ServeOptions:
        if (self.certificate is None) != (self.key is None):
            given, missing = ("certificate", "key") if self.key is None else ("key", "certificate")
            raise ValueError(f"has a {given} but no {missing}; TLS needs both")
        if self.token is not None and self.token_file is not None:
            raise ValueError("has a token and a token_file; give one of them")
        if not (is_loopback(self.host) or self.token or self.token_file or self.insecure):
            raise ValueError(
                f"{self.host} can be reached from the network: give a token (--token-file FILE), or say that everybody "
                "may look (--insecure)"
            )
        return self


def check_token(token: str) -> None:
    """Raise ValueError if it is none."""
    if not _TOKEN.fullmatch(token):
        raise ValueError("a token has 8 to 200 letters, digits or signs, and no spaces")


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address; a name other than `localhost` counts as no."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def options_from_address(text: str) -> dict[str, object]:
    """Return the options that `HOST:PORT`, `:PORT` or `PORT` stand for.

    Raises:
        ValueError: it is none of them; the message says what would be right.
    """
    try:
        url = urlsplit(f"//{':' if text.isdigit() else ''}{text}")
        port = url.port
    except ValueError as error:
        raise ValueError(f"{error}; {_USAGE}") from error
    if port is None or url.path or url.query or url.fragment or url.username is not None:
        raise ValueError(_USAGE)
    return {"host": url.hostname or "127.0.0.1", "port": port}
