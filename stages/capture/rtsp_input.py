"""Our own RTSP client as a live input: each picture goes to the decoder as soon as its last packet is there."""

from __future__ import annotations

import dataclasses
import logging
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import cast

import av

from pipeline.clock import NS_PER_S, Clock, unix_ns
from pipeline.errors import SourceOpenError
from stages.capture.demux import VideoPacket
from stages.capture.live_input import LiveInput, StreamFacts, Unit
from stages.capture.rtsp.client import RtspClient
from stages.capture.rtsp.handshake import CannotOpen, ClientSettings
from stages.capture.rtsp.rtp import CLOCK_RATE
from stages.capture.rtsp.units import AccessUnit
from stages.capture.targets import Target
from stages.capture.timeline import Stamps

log = logging.getLogger("framepace.source")

_BROKEN_NS = 5 * NS_PER_S
_HOPELESS_NS = 15 * NS_PER_S
"""Without a picture for so long, nothing will come: the first where packets break the format. Most cameras send one
that a decoder can begin with every one to four seconds, some every ten."""
_TIME_BASE = Fraction(1, CLOCK_RATE)
_MOST_REORDER = 6
"""Later pictures that encoders send before an earlier one; the standards allow 16, a pyramid of 16 B-frames needs 5.
Where more seem to be, the stamps have stepped back."""
_REMEMBERED = 32
"""Pictures after which a reordering is forgotten."""
_COUNTED = (
    "received",
    "lost",
    "reordered",
    "duplicates",
    "late",
    "other",
    "garbage",
    "malformed",
    "damaged",
    "unmarked",
)


class NothingDecodable(Exception):
    """Packets come, and for seconds no picture that can be decoded; the text says why."""


class RtspInput(LiveInput):
    """One connection of our own client.

    Args:
        target: an RTSP address.
        settings: how to speak with the camera.
        clock: tells the time.
        synchronised_clocks: whether the camera's clock is ours, so that its reports tell when a picture was captured.
        is_interrupted: whether the run is being stopped.

    Raises:
        SourceOpenError: it cannot be opened.
        UnsupportedMedia: there is video, but none that our client can take apart.
    """

    def __init__(
        self,
        target: Target,
        settings: ClientSettings,
        clock: Clock,
        *,
        synchronised_clocks: bool,
        is_interrupted: Callable[[], bool],
    ) -> None:
        self._target = target
        self._clock = clock
        self._synchronised = synchronised_clocks
        try:
            self._client = RtspClient(target.address, settings, clock, is_interrupted)
        except CannotOpen as error:
            raise SourceOpenError(target.shown, str(error)) from None
        rate = self._client.media.framerate
        self.facts = StreamFacts(
            format_name="rtsp",
            rate=None if rate is None else Fraction(rate).limit_denominator(1001),
            is_finite=False,
            client="own",
            transport=self._client.transport,
        )
        codec = av.CodecContext.create(self._client.media.codec, "r")
        assert isinstance(codec, av.VideoCodecContext)
        self.codec = codec
        self._order = DecodeOrder()
        self._has_said_markerless = False
        self._opened_ns = clock.now_ns()
        self._has_given = False

    def read(self) -> Unit:
        unit = self._client.read()
        self._has_given |= not unit.damaged
        if not self._has_given:
            self._check_hope()
        if not unit.ended_by_marker:
            self._say_markerless()
        pts_ns = unit.timestamp * NS_PER_S // CLOCK_RATE
        dts = self._order.decode_time(unit)
        stamps = Stamps(
            pts_ns=pts_ns,
            dts_ns=None if dts is None else dts * NS_PER_S // CLOCK_RATE,
            arrival_ns=unit.arrival_ns,
            epoch=unit.epoch,
            sent_ns=self._sent_ns(unit),
        )
        return Unit(None if unit.damaged else _packet(unit), stamps)

    def _check_hope(self) -> None:
        counts = self._client.statistics()
        waited_ns = self._clock.now_ns() - self._opened_ns
        if counts.malformed and waited_ns > _BROKEN_NS:
            raise NothingDecodable(f"{counts.malformed} of {counts.received} packets break the format")
        if waited_ns > _HOPELESS_NS:
            lost = f", {counts.lost} are lost" if counts.lost else ""
            raise NothingDecodable(
                f"{counts.received} packets came{lost}, and no picture that a decoder can begin with"
            )

    def close(self) -> None:
        self._client.close()

    def statistics(self) -> dict[str, int]:
        counts = dataclasses.asdict(self._client.statistics())
        return {f"rtp_{name}": counts[name] for name in _COUNTED}

    def _sent_ns(self, unit: AccessUnit) -> int | None:
        if not self._synchronised:
            return None
        captured_unix_ns = self._client.unix_ns(unit)
        return None if captured_unix_ns is None else captured_unix_ns - unix_ns() + self._clock.now_ns()

    def _say_markerless(self) -> None:
        if not self._has_said_markerless and self._client.statistics().markerless:
            self._has_said_markerless = True
            log.warning(
                "%s does not mark the end of its pictures (RTP marker bit): each is held for one frame interval, "
                "until the next one begins",
                self._target.shown,
            )


class DecodeOrder:
    """Finds out whether pictures are sent in another order than they are shown, which RTP does not say.

    The frame of a picture may be counted when no earlier one can still come: when as many later ones have been sent
    as the stream was seen to reorder of late. Stamps that step back look the same at first, and are soon forgotten.
    """

    def __init__(self) -> None:
        self._recent: deque[int] = deque(maxlen=_MOST_REORDER + 1)
        self._overtaken: deque[int] = deque(maxlen=_REMEMBERED)
        self._epoch = 0

    def decode_time(self, unit: AccessUnit) -> int | None:
        """Return a time before which no later picture is shown, in ticks; None: that is the picture's own."""
        if unit.epoch != self._epoch:
            self._epoch = unit.epoch
            self._recent.clear()
        overtaken_by = sum(1 for earlier in self._recent if earlier > unit.timestamp)
        if overtaken_by > _MOST_REORDER:
            self._recent.clear()
            self._overtaken.clear()
            overtaken_by = 0
        self._overtaken.append(overtaken_by)
        self._recent.append(unit.timestamp)
        depth = max(self._overtaken)
        if not depth:
            return None
        latest = sorted(self._recent)[-depth - 1 :]
        return latest[0] if len(latest) > depth else latest[0] - 1


def _packet(unit: AccessUnit) -> VideoPacket:
    packet = cast("VideoPacket", av.Packet(unit.data))
    packet.pts = unit.timestamp
    packet.time_base = _TIME_BASE
    packet.is_keyframe = unit.key
    return packet
