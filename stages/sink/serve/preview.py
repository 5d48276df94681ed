"""Pictures for people who look: made at a bounded rate and size, only while somebody looks, newest only.

The sink's thread asks the schedule whether a picture is due, which costs next to nothing when it is not. The studio
makes it on a thread of its own, once for all who want it alike. The server's thread hands it out.
"""

from __future__ import annotations

import logging
import struct
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import cv2
from starlette.websockets import WebSocket

from pipeline.clock import NS_PER_S, Clock
from pipeline.logs import Complaints
from stages.payloads import Picture
from stages.sink.clients import Clients, Newest
from stages.sink.serve.results import line_of

log = logging.getLogger("framepace.serve")

_IDLE_NS = NS_PER_S
_JOIN_S = 0.5
_REST = 3.0
"""After each picture the studio rests so many times as long as it worked: it never takes more than a quarter of a core,
and less when others need the processor."""
_EARLY = 0.25
"""Of a period: a frame that comes so little before its time is shown, or jitter would cost every other one at a rate
near that of the camera."""
LEAST_RATE = 0.1
"""Pictures a second: one in ten seconds."""
_LEAST_WIDTH_PX = 160
_WIDTHS_PX = (160, 320, 480, 640, 960, 1280, 1920, 2560, 3840)
"""Widths that are made; a wish in between gets the next smaller one, so that many wishes share few pictures."""


@dataclass(frozen=True, slots=True)
class Wish:
    """How somebody wants to look."""

    width_px: int
    rate: float
    """Pictures a second."""


class Viewer(Newest):
    """The next picture for one viewer."""

    def __init__(self, wish: Wish) -> None:
        super().__init__()
        self.wish = wish


class Schedule:
    """When a picture is due. All of one rate keep the same time, so that they share pictures.

    Used on the sink's thread; the wishes are set by the server's.
    """

    def __init__(self) -> None:
        self.wishes: tuple[Wish, ...] = ()
        self._next_ns: dict[float, int] = {}

    def due(self, now_ns: int) -> frozenset[Wish]:
        """Return the wishes for which a frame that comes now is the one to show."""
        wishes = self.wishes
        rates = {wish.rate for wish in wishes}
        self._next_ns = {rate: next_ns for rate, next_ns in self._next_ns.items() if rate in rates}
        due = {rate for rate in rates if self._is_due(rate, now_ns)}
        return frozenset(wish for wish in wishes if wish.rate in due)

    def _is_due(self, rate: float, now_ns: int) -> bool:
        period_ns = round(NS_PER_S / rate)
        next_ns = self._next_ns.get(rate, now_ns)
        if now_ns < next_ns - period_ns * _EARLY:
            return False
        # The times go on at the rate, however frames jitter; only after a silence they begin anew.
        self._next_ns[rate] = (next_ns if now_ns - next_ns < period_ns else now_ns) + period_ns
        return True


class Studio:
    """Makes JPEG pictures on a thread of its own. A picture that has not been begun makes room for a newer one.

    Args:
        quality: of the JPEG, 1 to 100.
        clock: the engine's; every wait goes through it.
        deliver: called on the studio's thread with each message and who wished for it.
    """

    def __init__(self, *, quality: int, clock: Clock, deliver: Callable[[frozenset[Wish], bytes], None]) -> None:
        self._quality = quality
        self._clock = clock
        self._deliver = deliver
        self._complaints = Complaints(log, clock)
        self._changed = threading.Condition()  # guards the three below
        self._next: tuple[Picture, Mapping[str, object]] | None = None
        self._for: frozenset[Wish] = frozenset()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self.pictures = 0
        self.busy_ns = 0

    def start(self) -> None:
        """Start the thread."""
        cv2.setNumThreads(1)  # else scaling spreads over all cores and gets in the way of the stages
        self._thread = threading.Thread(target=self._run, name="sink serve pictures", daemon=True)
        self._thread.start()

    def order(self, picture: Picture, record: Mapping[str, object], wishes: frozenset[Wish]) -> None:
        """Have a picture made with its record; never waits."""
        with self._changed:
            self._next = (picture, record)
            self._for |= wishes
            self._changed.notify()

    def stop(self) -> None:
        """End after the picture in hand; idempotent."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(_JOIN_S)

    def _run(self) -> None:
        while (ordered := self._wait_order()) is not None:
            picture, record, wishes = ordered
            begun_ns = self._clock.now_ns()
            try:
                self._make(picture, record, wishes)
            except Exception as error:  # one picture that cannot be converted must not end all that come after it
                self._complaints.warn("", f"a picture for viewers could not be made: {error}", event="picture_failed")
            worked_ns = self._clock.now_ns() - begun_ns
            self.busy_ns += worked_ns
            del ordered, picture  # a picture is megabytes; it need not live as long as the rest
            self._rest(round(worked_ns * _REST))

    def _wait_order(self) -> tuple[Picture, Mapping[str, object], frozenset[Wish]] | None:
        with self._changed:
            while self._next is None and not self._stopping:
                self._clock.wait(self._changed, _IDLE_NS)
            if self._stopping or self._next is None:
                return None
            (picture, record), wishes = self._next, self._for
            self._next, self._for = None, frozenset()
            return picture, record, wishes

    def _rest(self, duration_ns: int) -> None:
        end_ns = self._clock.now_ns() + duration_ns
        with self._changed:
            while not self._stopping and (rest_ns := end_ns - self._clock.now_ns()) > 0:
                self._clock.wait(self._changed, rest_ns)

    def _make(self, picture: Picture, record: Mapping[str, object], wishes: frozenset[Wish]) -> None:
        head = line_of(record).encode()
        prefix = struct.pack("!I", len(head)) + head
        for width_px in {wish.width_px for wish in wishes}:
            jpeg = encode(picture, width_px, quality=self._quality)
            self.pictures += 1
            self._deliver(frozenset(wish for wish in wishes if wish.width_px == width_px), prefix + jpeg)


def encode(picture: Picture, most_width_px: int, *, quality: int) -> bytes:
    """Return a picture as JPEG, upright and at most so wide."""
    done, jpeg = cv2.imencode(".jpg", picture.bgr_at_most(most_width_px), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return jpeg.tobytes()


class Preview:
    """Those who look. Used on the server's thread; counters may be read from others.

    Args:
        limit: viewers at a time.
        most_rate: pictures a second that a viewer may have.
        most_width_px: pixels in width that a viewer may have.
        patience_s: as for Clients.
    """

    def __init__(self, limit: int, *, most_rate: float, most_width_px: int, patience_s: float) -> None:
        self.schedule = Schedule()
        self.clients: Clients[Viewer] = Clients(limit, patience_s=patience_s, on_change=self._set_wishes)
        self._most_rate = most_rate
        self._most_width_px = most_width_px

    async def serve(self, connection: WebSocket, *, width_px: int, rate: float) -> None:
        """Serve one viewer until it is gone."""
        await self.clients.serve(connection, Viewer(self.bounded(width_px=width_px, rate=rate)))

    def bounded(self, *, width_px: int, rate: float) -> Wish:
        """Return what somebody may have who asks for so much."""
        most_px = min(width_px, self._most_width_px)
        made = [width for width in _WIDTHS_PX if width <= most_px]
        return Wish(max(made, default=_LEAST_WIDTH_PX), min(max(rate, LEAST_RATE), self._most_rate))

    def hand_out(self, wishes: frozenset[Wish], message: bytes) -> None:
        """Give a picture to those who wished for it."""
        for viewer in self.clients.outboxes:
            if viewer.wish in wishes:
                viewer.put(message)

    def _set_wishes(self) -> None:
        self.schedule.wishes = distinct(viewer.wish for viewer in self.clients.outboxes)


def distinct(wishes: Iterable[Wish]) -> tuple[Wish, ...]:
    """Return each wish once."""
    return tuple(dict.fromkeys(wishes))
