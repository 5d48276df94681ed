"""Gives packets their times: presentation, decoding, and when the frame was captured."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction

from pipeline.clock import NS_PER_MS, NS_PER_S, Clock
from pipeline.frame import CaptureClock
from stages.capture.pacing import Pacer
from stages.capture.stamp_clock import StampClock

log = logging.getLogger("framepace.source")

_DRIVER_DELAY_NS = NS_PER_S
"""A driver's time stamp is believed if it lies within this much before the arrival, and not after it,"""
_DRIVER_DRIFT_NS = 100 * NS_PER_MS
"""and as long as its distance to the capture time that stamps and arrivals tell grows by no more than this."""
_SENDER_DELAY_NS = 10 * NS_PER_S
"""And a synchronised sender's, if it lies within this much."""
_LONGEST_GAP_NS = 10 * NS_PER_S
"""A recording that is played stands still for no longer than this."""
_USUAL_RATE = 25
"""Frames per second of a stream that does not say."""


@dataclass(frozen=True, slots=True)
class Stamps:
    """What a packet says about its time, in nanoseconds."""

    pts_ns: int | None
    """None: it says nothing."""
    dts_ns: int | None
    """None: no later than the presentation time."""
    arrival_ns: int
    """On our own clock."""
    epoch: int = 0
    """Another number: the stream's own time line began anew."""
    sent_ns: int | None = None
    """When it was captured on our own clock, by a sender whose clock is synchronised with ours."""


@dataclass(frozen=True, slots=True)
class Times:
    """The times of one packet, as `pipeline.stage.Sample` means them."""

    pts_ns: int | None
    dts_ns: int | None
    captured_ns: int | None
    clock: CaptureClock


class Timeline(ABC):
    """How the packets of one opened source are timed."""

    @abstractmethod
    def times(self, stamps: Stamps) -> Times | None:
        """Return the packet's times, when its moment has come; None when closed meanwhile."""

    def close(self) -> None:
        """End a wait that is going on."""


class RecordedTimeline(Timeline):
    """A recording as fast as it can be read: the presentation time is the capture time.

    A stream without time stamps (a bare H.264 file) is numbered at its nominal rate, so that two runs agree.

    Args:
        rate: frames per second; None: the stream does not say.
    """

    def __init__(self, rate: Fraction | None) -> None:
        self._rate = rate or Fraction(_USUAL_RATE)
        self._untimed = 0

    def times(self, stamps: Stamps) -> Times:
        pts_ns, dts_ns = self._stamps(stamps)
        return Times(pts_ns, dts_ns, None, CaptureClock.FILE)

    def _stamps(self, stamps: Stamps) -> tuple[int, int | None]:
        pts_ns, dts_ns = stamps.pts_ns, stamps.dts_ns
        if pts_ns is None and dts_ns is None:
            pts_ns = round(self._untimed * NS_PER_S / self._rate)
            self._untimed += 1
        if pts_ns is None:
            assert dts_ns is not None
            return dts_ns, dts_ns
        return pts_ns, dts_ns


class PacedTimeline(RecordedTimeline):
    """A recording as a camera would give it.

    A packet is released at its decode time, and its frame counts as captured at its presentation time: no frame can
    be decoded before it was captured, B-frames or not. Where the times go back, or ahead by more than anybody waits
    for, the line goes on as if the usual time had passed.

    Args:
        name: of the source, for messages.
        rate: its own frames per second; None: it does not say.
        clock: tells the time.
        fps: the mean rate to play at; None for the recording's own. The rhythm within stays.
        restart_after_ns: begin a new time line after falling behind by more; None: never.
    """

    def __init__(
        self,
        name: str,
        rate: Fraction | None,
        clock: Clock,
        *,
        fps: float | None,
        restart_after_ns: int | None = None,
    ) -> None:
        super().__init__(rate)
        self._name = name
        self._pacer = Pacer(clock)
        self._stretch = 1.0 if fps is None else float(self._rate) / fps
        self._restart_after_ns = restart_after_ns
        self._due_ns = 0
        self._last_dts_ns: int | None = None
        self._usual_ns = round(NS_PER_S / self._rate)
        self._has_said_break = False

    def times(self, stamps: Stamps) -> Times | None:  # type: ignore[override]  # a wait can be cut short
        pts_ns, dts_ns = self._stamps(stamps)
        dts_ns = pts_ns if dts_ns is None else dts_ns
        self._due_ns += round(self._step_ns(dts_ns) * self._stretch)
        origin_ns = self._pacer.wait_until_due(self._due_ns, restart_after_ns=self._restart_after_ns)
        if origin_ns is None:
            return None
        shown_ns = self._due_ns + round((pts_ns - dts_ns) * self._stretch)
        return Times(
            round(pts_ns * self._stretch), round(dts_ns * self._stretch), origin_ns + shown_ns, CaptureClock.FILE
        )

    def _step_ns(self, dts_ns: int) -> int:
        """Return by how much the line goes on to the next decode time."""
        last_ns, self._last_dts_ns = self._last_dts_ns, dts_ns
        if last_ns is None:
            return 0
        step_ns = dts_ns - last_ns
        if 0 <= step_ns <= _LONGEST_GAP_NS:
            self._usual_ns = step_ns or self._usual_ns
            return step_ns
        if not self._has_said_break:
            self._has_said_break = True
            way = "ahead" if step_ns > 0 else "back"
            log.warning(
                "%s: its time stamps jump %s by %.1f s; it is played on without a pause, as at every further jump",
                self._name,
                way,
                abs(step_ns) / NS_PER_S,
            )
        return self._usual_ns

    def close(self) -> None:
        self._pacer.close()


class LiveTimeline(Timeline):
    """A camera: the capture time is the arrival, put right by the stream's own stamps as far as they tell the time.

    Args:
        name: of the source, for messages.
        driver_clock: whether the stamps may be the driver's, on the same clock as ours.
    """

    def __init__(self, name: str, *, driver_clock: bool) -> None:
        self._name = name
        self._driver_clock = driver_clock
        self._driver_lead_ns: int | None = None
        """By how much the driver's stamp was before the capture time that stamps and arrivals tell, at least."""
        self._stamp_clock = StampClock()
        self._epoch = 0
        self._said: set[CaptureClock] = set()

    def times(self, stamps: Stamps) -> Times:
        pts_ns, arrival_ns = stamps.pts_ns, stamps.arrival_ns
        if stamps.epoch != self._epoch:
            self._epoch = stamps.epoch
            self._stamp_clock.restart()
        captured_ns = self._stamp_clock.captured_ns(pts_ns, arrival_ns)
        if pts_ns is None:
            return Times(None, None, captured_ns, CaptureClock.ARRIVAL)
        if self._is_drivers(pts_ns, captured_ns, arrival_ns):
            return Times(pts_ns, stamps.dts_ns, pts_ns, CaptureClock.V4L2)
        if stamps.sent_ns is not None and arrival_ns - _SENDER_DELAY_NS < stamps.sent_ns <= arrival_ns:
            return Times(pts_ns, stamps.dts_ns, stamps.sent_ns, CaptureClock.RTCP)
        clock = CaptureClock.PTS if self._stamp_clock.follows_stamps else CaptureClock.ARRIVAL
        self._say(clock)
        return Times(pts_ns, stamps.dts_ns, captured_ns, clock)

    def _is_drivers(self, pts_ns: int, captured_ns: int, arrival_ns: int) -> bool:
        """Whether a stamp is the driver's, on our own clock."""
        if not self._driver_clock or not arrival_ns - _DRIVER_DELAY_NS < pts_ns <= arrival_ns:
            return False
        lead_ns = captured_ns - pts_ns
        if self._driver_lead_ns is None or lead_ns < self._driver_lead_ns:
            self._driver_lead_ns = lead_ns
        return lead_ns - self._driver_lead_ns <= _DRIVER_DRIFT_NS

    def _say(self, clock: CaptureClock) -> None:
        """Say once that the stamps do not tell the time, and once that they do again."""
        if clock in self._said or (clock is CaptureClock.PTS and not self._said):
            return
        self._said.add(clock)
        if clock is CaptureClock.ARRIVAL:
            log.warning("%s: its time stamps do not tell the time; capture times follow the arrivals", self._name)
        else:
            log.info("%s: its time stamps tell the time again; capture times follow them", self._name)
