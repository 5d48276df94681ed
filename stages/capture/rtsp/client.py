"""Receives one RTSP stream: packets in, access units out, kept alive, and never waiting without a bound."""

from __future__ import annotations

import random
import select
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from pipeline.clock import NS_PER_MS, NS_PER_S, Clock
from pipeline.errors import Outage, StreamLost
from stages.capture.rtsp.assembler import Assembler, AssemblerStatistics
from stages.capture.rtsp.carrier import is_rtcp
from stages.capture.rtsp.handshake import ClientSettings, Handshake
from stages.capture.rtsp.messages import ProtocolError, Response
from stages.capture.rtsp.rtcp import Goodbye, SenderReport, parse_rtcp, receiver_report
from stages.capture.rtsp.sockets import ConnectionEnded, Patience
from stages.capture.rtsp.units import AccessUnit

_SLICE_NS = 100 * NS_PER_MS
_REPORT_NS = 5 * NS_PER_S
"""The least interval of receiver reports (RFC 3550 section 6.2)."""
_FIRST_REPORT_NS = NS_PER_S
_MOST_KEEP_ALIVE_NS = 30 * NS_PER_S
_GOODBYE_NS = 300 * NS_PER_MS
"""A sender that said goodbye and then gives nothing for so long has gone; some say it and begin anew."""
_FAREWELL_NS = 100 * NS_PER_MS
_SESSION_NOT_FOUND = 454
_NO_SUCH_METHOD = frozenset({405, 501, 551})
_CNAME = "framepace"


class RtspClient:
    """One connection to a camera, opened by the constructor. Used by one thread.

    Args:
        url: rtsp:// or rtsps://, with or without credentials.
        settings: how to speak with the camera.
        clock: tells the time.
        is_interrupted: whether the run is being stopped; asked ten times a second while there is nothing to do.

    Raises:
        CannotOpen: in one line, without credentials.
        UnsupportedMedia: there is video, but none that we can take apart.
    """

    def __init__(self, url: str, settings: ClientSettings, clock: Clock, is_interrupted: Callable[[], bool]) -> None:
        self._settings = settings
        self._clock = clock
        self._is_interrupted = is_interrupted
        self._playing = Handshake(url, settings, clock, is_interrupted).play()
        self.media = self._playing.media
        self.transport = self._playing.carrier.name
        self._assembler = Assembler(
            self.media.codec,
            payload_type=self.media.payload_type,
            parameter_sets=self.media.parameter_sets,
            reorder_ns=settings.reorder_ns if self.transport == "udp" else 0,
        )
        self._ready: deque[AccessUnit] = deque()
        self._poller = select.poll()
        self._poller.register(self._playing.session.connection, select.POLLIN)
        for sock in self._playing.carrier.sockets():
            self._poller.register(sock, select.POLLIN)
        now_ns = clock.now_ns()
        self._last_unit_ns = now_ns
        self._sent_report_ns = now_ns - _REPORT_NS + _FIRST_REPORT_NS
        self._kept_alive_ns = now_ns
        self._keep_alive_method = "GET_PARAMETER" if self._playing.has_get_parameter else "OPTIONS"
        self._ssrc = random.getrandbits(32)
        self._sender_report: tuple[SenderReport, int] | None = None
        self._goodbye = False
        # Not the exception: with its traceback it would keep this connection, and the decoder, in a circle.
        self._lost: tuple[str, Outage] | None = None
        self._is_closed = False
        self._has_input = True  # media may have come before the response to PLAY

    def read(self) -> AccessUnit:
        """Return the next picture as soon as its last packet is there.

        Raises:
            StreamLost: there will be none.
        """
        while not self._ready:
            if self._lost is not None:
                raise StreamLost(*self._lost)
            try:
                self._do_chores(self._clock.now_ns())
                self._take_in(has_input=self._has_input or self._wait())
                self._has_input = False
                if not self._ready:
                    self._check_silence(self._clock.now_ns())
            except ConnectionEnded:
                self._lost = "the camera closed the connection", Outage.ENDED
            except (OSError, ProtocolError) as error:
                self._lost = (
                    (error.why, error.outage) if isinstance(error, StreamLost) else (_words(error), Outage.ERROR)
                )
            if self._lost is not None:
                self._ready += self._assembler.flush()
        return self._ready.popleft()

    def unix_ns(self, unit: AccessUnit) -> int | None:
        """Return when a picture was captured by the camera's own clock, ns since 1970; None while it did not say."""
        if self._sender_report is None or self._sender_report[0].ssrc != self._assembler.ssrc:
            return None
        report = self._sender_report[0]
        return report.unix_ns_at(unit.timestamp) if report.ntp else None

    def statistics(self) -> AssemblerStatistics:
        """Return what became of the packets."""
        return self._assembler.statistics()

    def close(self) -> None:
        """Take leave of the camera; takes 0.1 s at most; idempotent."""
        if not self._is_closed:
            self._is_closed = True
            self._playing.close(Patience(self._clock, _FAREWELL_NS, lambda: False))

    def _wait(self) -> bool:
        """Wait a little for something to arrive; return whether something has."""
        now_ns = self._clock.now_ns()
        wait_ns = _SLICE_NS
        poll_ns = self._assembler.next_poll_ns()
        if poll_ns is not None:
            wait_ns = max(0, min(wait_ns, poll_ns - now_ns))
        return bool(self._poller.poll(wait_ns / NS_PER_MS))

    def _take_in(self, *, has_input: bool) -> None:
        """Take what has arrived, and give up what was waited for long enough."""
        if has_input:
            media, responses = self._playing.session.receive()
            self._take_packets(self._playing.carrier.receive(media))
            for response in responses:
                self._hear(response)
        self._keep(self._assembler.poll(self._clock.now_ns()))

    def _take_packets(self, packets: list[tuple[bytes, int]]) -> None:
        for data, arrival_ns in packets:
            if is_rtcp(data, self.media.payload_type):
                self._hear_rtcp(data, arrival_ns)
            else:
                self._keep(self._assembler.push(data, arrival_ns))

    def _keep(self, units: list[AccessUnit]) -> None:
        if units:
            self._ready += units
            self._last_unit_ns = self._clock.now_ns()
            self._goodbye = False

    def _hear(self, response: Response) -> None:
        """Take the response to a keep-alive."""
        if response.status == _SESSION_NOT_FOUND:
            raise StreamLost("the camera forgot the session (454)")
        if response.status in _NO_SUCH_METHOD:
            self._keep_alive_method = "OPTIONS"
        elif self._playing.session.renew(response):
            self._keep_alive(self._clock.now_ns())

    def _hear_rtcp(self, data: bytes, arrival_ns: int) -> None:
        for found in parse_rtcp(data):
            if isinstance(found, SenderReport):
                self._sender_report = (found, arrival_ns)
            elif isinstance(found, Goodbye) and self._assembler.ssrc in found.ssrcs:
                self._goodbye = True

    def _check_silence(self, now_ns: int) -> None:
        if self._is_interrupted():
            raise StreamLost("the run is being stopped")
        silent_ns = now_ns - self._last_unit_ns
        if self._goodbye and silent_ns >= _GOODBYE_NS:
            raise StreamLost("the camera said goodbye", Outage.ENDED)
        if silent_ns >= self._settings.stall_timeout_ns:
            raise StreamLost("no picture came", Outage.SILENT)

    def _do_chores(self, now_ns: int) -> None:
        """Show the camera that somebody is here, when it is time to."""
        if now_ns - self._sent_report_ns >= _REPORT_NS:
            self._sent_report_ns = now_ns
            report, arrival_ns = self._sender_report or (None, now_ns)
            self._playing.carrier.send_rtcp(
                receiver_report(
                    self._ssrc,
                    self._assembler.reception_report(),
                    cname=_CNAME,
                    sender_report=report,
                    since_report_ns=now_ns - arrival_ns,
                )
            )
        timeout_ns = self._playing.session.timeout_s * NS_PER_S
        if now_ns - self._kept_alive_ns >= min(timeout_ns // 2, _MOST_KEEP_ALIVE_NS):
            self._keep_alive(now_ns)

    def _keep_alive(self, now_ns: int) -> None:
        self._kept_alive_ns = now_ns
        with suppress(BlockingIOError):  # no room: the camera reads nothing just now, and gets the next one
            self._playing.session.tell(self._keep_alive_method, self._playing.url)


def _words(error: Exception) -> str:
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(words).lower()
