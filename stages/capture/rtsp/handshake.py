"""From a URL to a stream that plays: connect, describe, set up, play (RFC 2326)."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar
from urllib.parse import urljoin, urlsplit

from pipeline.clock import NS_PER_MS, Clock
from pipeline.units import format_duration
from stages.capture.rtsp.auth import Authenticator, Credentials, split_credentials, unanswerable, with_credentials
from stages.capture.rtsp.carrier import Carrier, carriers
from stages.capture.rtsp.messages import ProtocolError, Response
from stages.capture.rtsp.sdp import NoVideo, UnsupportedMedia, VideoMedia, aggregate_url, control_url, parse_sdp
from stages.capture.rtsp.session import Session
from stages.capture.rtsp.sockets import Connection, ConnectionEnded, Interrupted, Patience, TimedOut

log = logging.getLogger("framepace.source")

_T = TypeVar("_T")

_MOST_REDIRECTS = 5
_PORTS = {"rtsp": 554, "rtsps": 322}
"""IANA's; RFC 2326 section 3.2 and RFC 7826 section 4.2."""
_FAREWELL_NS = 100 * NS_PER_MS
_UNAUTHORIZED = 401
_UNSUPPORTED_TRANSPORT = 461
_WORDS = {
    401: "user name or password refused (401)",
    403: "not allowed (403)",
    404: "no such stream (404)",
    453: "has no bandwidth left for another viewer (453)",
    454: "forgot the session at once (454)",
    503: "is too busy (503)",
}


class CannotOpen(Exception):
    """The stream cannot be opened; the text says why, in one line and without credentials."""


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """How to speak with a camera."""

    transport: Literal["tcp", "udp"]
    """What to try first."""
    open_timeout_ns: int
    """From the name lookup to the response to PLAY."""
    stall_timeout_ns: int
    """Without a picture for so long, the stream is silent."""
    reorder_ns: int
    """UDP: how long to wait for a packet that others overtook."""
    verify_tls: bool
    """rtsps: whether the certificate must be one that this machine trusts."""


@dataclass(frozen=True, slots=True)
class Playing:
    """A stream that has been asked to play."""

    session: Session
    carrier: Carrier
    media: VideoMedia
    url: str
    """Of the whole presentation: for keep-alives and TEARDOWN."""
    has_get_parameter: bool

    def close(self, patience: Patience) -> None:
        """Say goodbye, and release everything."""
        self.carrier.close()
        self.session.connection.close(self.session.farewell(self.url), patience)


@dataclass(frozen=True, slots=True)
class _Described:
    """What a server told of a stream, and where it was asked."""

    session: Session
    url: str
    """Without credentials."""
    credentials: Credentials | None
    """That may be shown there."""
    options: Response
    response: Response


class Handshake:
    """Opens one stream.

    Args:
        url: rtsp:// or rtsps://, with or without credentials.
        settings: how.
        clock: tells the time.
        is_interrupted: whether the run is being stopped.
    """

    def __init__(self, url: str, settings: ClientSettings, clock: Clock, is_interrupted: Callable[[], bool]) -> None:
        self._url = url.replace(" ", "%20")  # people write it as they see it
        self._settings = settings
        self._clock = clock
        self._is_interrupted = is_interrupted

    def play(self) -> Playing:
        """Return the stream when it has been asked to play.

        Raises:
            CannotOpen: it cannot be.
            UnsupportedMedia: there is video, but none that we can take apart.
        """
        return self._in_words(self._play)

    def locate(self) -> str:
        """Return where the stream is described, behind all redirects, with the credentials that may be shown there.

        For a client that follows redirects with the credentials of another host and looks at no certificate.

        Raises:
            CannotOpen: it is not described.
        """
        return self._in_words(self._name)

    def _in_words(self, use: Callable[[_Described, Patience], _T]) -> _T:
        """Return what is made of the stream's description; say what goes wrong in plain words."""
        patience = Patience(self._clock, self._settings.open_timeout_ns, self._is_interrupted)
        try:
            return self._follow(use, patience)
        except Interrupted:
            raise CannotOpen("the run is being stopped") from None
        except TimedOut:
            raise CannotOpen(f"no answer within {format_duration(self._settings.open_timeout_ns)}") from None
        except ConnectionEnded:
            raise CannotOpen("hung up without an answer") from None
        except NoVideo:
            raise CannotOpen("has no video stream") from None
        except ProtocolError as error:
            raise CannotOpen(f"does not speak RTSP: {error}") from None
        except ssl.SSLCertVerificationError as error:
            why = f"its certificate is not trusted ({error.verify_message}); verify_tls: false takes any"
            raise CannotOpen(why) from None
        except ssl.SSLError as error:
            raise CannotOpen(f"TLS failed: {(error.reason or 'unknown').lower().replace('_', ' ')}") from None
        except ValueError:  # of urllib; its text may show the address
            raise CannotOpen("its address, or one that it names, makes no sense") from None
        except OSError as error:
            raise CannotOpen((error.strerror or str(error)).lower()) from None

    def _follow(self, use: Callable[[_Described, Patience], _T], patience: Patience) -> _T:
        """Use the description, redirected or not; credentials go to the host that they were written for, and no other.

        The connection is closed unless it is used without an error.
        """
        url, credentials = split_credentials(self._url)
        for _ in range(_MOST_REDIRECTS + 1):
            session = Session(self._connect(url, patience), self._clock, Authenticator(credentials))
            try:
                options = session.ask("OPTIONS", url, {}, patience)
                response = session.ask("DESCRIBE", url, {"Accept": "application/sdp"}, patience)
                location = response.headers.get("Location") if 300 <= response.status < 400 else None
                if not location:
                    _check(response, "DESCRIBE", shown=session.can_log_in)
                    return use(_Described(session, url, credentials, options, response), patience)
            except BaseException:
                self._leave(session)
                raise
            self._leave(session)
            target, written = split_credentials(urljoin(url, location))
            url, credentials = target, written or (credentials if _is_same_host(url, target) else None)
        raise CannotOpen(f"redirects more than {_MOST_REDIRECTS} times")

    def _connect(self, url: str, patience: Patience) -> Connection:
        parts = urlsplit(url)
        if parts.scheme not in _PORTS:
            raise CannotOpen(f"redirects to {parts.scheme}://, which is no RTSP")
        try:
            port = parts.port or _PORTS[parts.scheme]
        except ValueError:
            raise CannotOpen("the port in its address is not a number from 1 to 65535") from None
        if not parts.hostname:
            raise CannotOpen("its address has no host name")
        tls = None
        if parts.scheme == "rtsps":
            tls = ssl.create_default_context()
            if not self._settings.verify_tls:
                tls.check_hostname = False
                tls.verify_mode = ssl.CERT_NONE
        return Connection.open(parts.hostname, port, patience, tls=tls)

    def _leave(self, session: Session) -> None:
        session.connection.close(b"", Patience(self._clock, _FAREWELL_NS, self._is_interrupted))

    def _name(self, described: _Described, patience: Patience) -> str:
        self._leave(described.session)
        has_moved = described.url != split_credentials(self._url)[0]
        return with_credentials(described.url, described.credentials) if has_moved else self._url

    def _play(self, described: _Described, patience: Patience) -> Playing:
        session, headers = described.session, described.response.headers
        media = parse_sdp(described.response.body)
        base = headers.get("Content-Base") or headers.get("Content-Location") or described.url
        base = urljoin(described.url, base.strip())
        carrier = self._set_up(session, control_url(base, media), patience)
        try:
            whole = aggregate_url(base, media)
            _check(session.ask("PLAY", whole, {"Range": "npt=0.000-"}, patience), "PLAY")
        except BaseException:
            carrier.close()
            raise
        methods = described.options.headers.get("Public") or ""
        return Playing(session, carrier, media, whole, has_get_parameter="GET_PARAMETER" in methods.upper())

    def _set_up(self, session: Session, url: str, patience: Patience) -> Carrier:
        """Agree on how the media travels; the other way is tried when the wanted one is refused."""
        for make in carriers(self._settings.transport, session, self._clock):
            carrier = make()
            try:
                response = session.ask("SETUP", url, {"Transport": carrier.wanted}, patience)
                if response.status != _UNSUPPORTED_TRANSPORT:
                    _check(response, "SETUP")
                    carrier.agree(response.headers.get("Transport") or "", session)
                    if carrier.name != self._settings.transport:
                        log.warning(
                            "the camera does not send over %s; using %s", self._settings.transport, carrier.name
                        )
                    return carrier
            except BaseException:
                carrier.close()
                raise
            carrier.close()
        raise UnsupportedMedia("a transport that is neither TCP nor UDP unicast")


def _is_same_host(url: str, target: str) -> bool:
    """Whether credentials for one may go to the other: the same host, whatever the port, and no less protected."""
    before, after = urlsplit(url), urlsplit(target)
    return before.hostname == after.hostname and after.scheme in (before.scheme, "rtsps")


def _check(response: Response, method: str, *, shown: bool = True) -> None:
    """Raise CannotOpen for anything but success; `shown`: whether there was a user name to show."""
    if response.status == _UNAUTHORIZED:
        asked = unanswerable(response.headers.get_all("WWW-Authenticate"))
        if asked is not None:
            raise CannotOpen(f"asks for a login that framepace does not speak: {asked} (401)")
        if not shown:
            raise CannotOpen("asks for a user name and a password, and none is in its address (401)")
    if not 200 <= response.status < 300:
        reason = "".join(character for character in response.reason if character.isprintable())[:80]
        raise CannotOpen(_WORDS.get(response.status, f"refuses {method}: {response.status} {reason}".rstrip()))
