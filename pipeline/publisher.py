"""Gives the answers: in presentation order, driven by a timer, never late.

The head of the line is published as soon as it is resolved, by the thread that resolved it, since a hand-over never
waits and waking another thread takes time. A thread of the publisher's own sees to it that it is published a margin
before its deadline at the latest, with whatever is true then. The margin follows the wake-up lateness that is observed.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.blame import Blames
from pipeline.clock import NS_PER_S, Clock
from pipeline.errors import Outage
from pipeline.forecast import Still
from pipeline.frame import Answer, Blame, CaptureClock, Fate, FrameInfo, Heartbeat, ProjectTo, Reason, Status
from pipeline.health import HealthMonitor
from pipeline.heartbeat import Pulse
from pipeline.histogram import Histogram
from pipeline.judge import Judge
from pipeline.ledger import Ledger
from pipeline.logs import Complaints
from pipeline.margin import WakeMargin, most_of
from pipeline.stage import Forecaster
from pipeline.timings import Event, Timings

log = logging.getLogger("framepace.publisher")

_IDLE_NS = NS_PER_S
_OUT_OF_TIME = (Reason.LATE, Reason.WOULD_MISS)


@dataclass(slots=True)
class _Entry:
    """One frame in the line."""

    info: FrameInfo
    clock: CaptureClock
    due_ns: int
    """The earliest deadline of this frame and of those behind it, which cannot be answered before this one."""
    margin_most_ns: int
    """How large the margin before that may be."""
    admitted: bool = False
    reason: Reason | None = None
    """Set when the frame was refused."""
    result: Forecaster | None = None
    """Set when the frame was measured in time."""
    undecodable: bool = False
    size: tuple[int, int] | None = None
    picture: object | None = None

    @property
    def resolved(self) -> bool:
        return self.undecodable or self.reason is not None or self.result is not None


class Publisher:
    """The line of frames of one stream that wait for their answer; safe to use from several threads.

    Args:
        limit_ns: the deadline after capture, at first.
        clock: tells when a deadline is near.
        ledger: gets every fate.
        hand_over: gives an answer to the sinks without ever waiting; called in order, one at a time. Returns when the
            last sink that got it had it; None: its deadline came before any had it, and now none has.
        heartbeat_ns: how often to say that there is no frame to answer.
        hand_beat: gives a heartbeat to the sinks, as `hand_over` does; None: nobody wants any.
        stream_id: name of the stream.
        timings: takes note of what happens.
        project_to: the moment that answers are true for.
        blames: follows the frames by the timings, and says what made one miss.
    """

    def __init__(
        self,
        *,
        limit_ns: int,
        clock: Clock,
        ledger: Ledger,
        hand_over: Callable[[Answer], int | None],
        heartbeat_ns: int = NS_PER_S // 2,
        hand_beat: Callable[[Heartbeat], None] | None = None,
        stream_id: str = "",
        timings: Timings | None = None,
        project_to: ProjectTo = ProjectTo.CAPTURE,
        blames: Blames | None = None,
    ) -> None:
        self._clock = clock
        self._stream_id = stream_id
        self._hand_beat = hand_beat
        self._timings = timings or Timings()
        self._blames = blames or Blames(())
        self._pulse = Pulse(heartbeat_ns, clock.now_ns())
        self._ledger = ledger
        self._hand_over = hand_over
        self._changed = threading.Condition()  # its lock guards all fields
        self._line: deque[_Entry] = deque()
        self._by_id: dict[int, _Entry] = {}
        self._margin = WakeMargin(limit_ns)
        self._health = HealthMonitor()
        self._judge = Judge(clock, Complaints(log, clock), project_to)
        self._size: tuple[int, int] | None = None
        self._measuring = False  # set by the first result
        self._draining = False
        self._stopped = False
        self._alarm_ns = 0  # when run() looks at the line again by itself
        self.age_fresh = Histogram()
        self.age_all = Histogram()

    # What other threads say

    def register(self, info: FrameInfo, clock: CaptureClock) -> None:
        """Put a captured frame at the end of the line."""
        self._ledger.captured(info.frame_id)
        assert info.due_ns is not None  # this is live mode
        with self._changed:
            self._pulse.captured()
            most_ns = most_of(info.due_ns - info.captured_ns)
            # Deadlines may go back: capture times are corrected as the stream is got to know, limits are changed.
            for earlier in reversed(self._line):
                if earlier.due_ns <= info.due_ns:
                    break
                earlier.due_ns = info.due_ns
                earlier.margin_most_ns = max(most_ns, earlier.margin_most_ns)
            entry = _Entry(info, clock, info.due_ns, most_ns)
            self._line.append(entry)
            self._by_id[info.frame_id] = entry
            if self._latest_ns(self._line[0]) < self._alarm_ns:
                self._changed.notify()

    def decoded(self, frame_id: int, *, size: tuple[int, int], picture: object | None) -> None:
        """Say that a frame's picture is there; `picture` only if a sink wants it."""
        with self._changed:
            self._size = size
            entry = self._by_id.get(frame_id)
            if entry is not None:
                entry.size = size
                entry.picture = picture

    def warmed(self) -> None:
        """Say that the model is ready."""
        with self._changed:
            self._judge.warming = False

    def admitted(self, frame_id: int) -> None:
        """Say that a frame is on its way to be measured."""
        with self._changed:
            entry = self._by_id.get(frame_id)
            if entry is not None:
                entry.admitted = True

    def measured(self, info: FrameInfo, result: object) -> None:
        """Take what the last stage made of a frame, in time or not: it serves later forecasts either way."""
        with self._changed:
            self._measuring = True
            if isinstance(result, Forecaster):
                self._judge.remember(info.frame_id, result)
                self._settle_entry(info.frame_id, result=result)
            else:
                self._settle_entry(info.frame_id, result=Still(info.captured_ns, result))

    def refuse(self, frame_id: int, reason: Reason) -> None:
        """Say that a frame will not be measured."""
        with self._changed:
            self._settle_entry(frame_id, reason=reason)

    def undecodable(self, frame_id: int) -> None:
        """Say that a frame has no picture. If it was answered already, that answer stands."""
        with self._changed:
            entry = self._by_id.get(frame_id)
            if entry is not None and not entry.resolved:
                entry.undecodable = True
                self._resolved(entry)

    def away(self, outage: Outage) -> None:
        """Say that the source is lost, until the next frame."""
        with self._changed:
            self._pulse.away(outage)
            self._changed.notify()

    def pause(self) -> None:
        """Say that nothing is admitted, on purpose, until resume()."""
        with self._changed:
            self._judge.paused = True

    def resume(self) -> None:
        """Say that frames are admitted again."""
        with self._changed:
            self._judge.paused = False

    def change_limit(self, limit_ns: int) -> None:
        """Say which limit frames have that are captured from now on; each frame brings its own deadline along."""
        with self._changed:
            self._margin.most_ns = most_of(limit_ns)

    def drain(self) -> None:
        """Say that no more frames will come; run() returns when the line is empty."""
        with self._changed:
            self._draining = True
            self._changed.notify()

    def stop(self) -> None:
        """Make run() return now; what is in the line stays open in the ledger."""
        with self._changed:
            self._stopped = True
            self._changed.notify()

    @property
    def margin_ns(self) -> int:
        """How long before its deadline a frame of now is answered at the latest; a result must be there by then.

        Until the first result it is as large as it may be: models, decoders and encoders are being set up, wake-ups
        are later than ever after, and an answer is blind whenever it is given.
        """
        return self._margin.margin_ns if self._measuring else self._margin.most_ns

    @property
    def health(self) -> HealthMonitor:
        """The health of the stream."""
        return self._health

    def ages(self) -> tuple[Histogram, Histogram]:
        """Return copies of the ages of fresh answers, and of all."""
        with self._changed:
            return self.age_fresh.copy(), self.age_all.copy()

    @property
    def heartbeats(self) -> int:
        """How many heartbeats were given."""
        return self._pulse.beats

    # The publisher's own thread

    def run(self) -> None:
        """Publish until stopped, or until drained and empty."""
        with self._changed:
            while not self._stopped:
                wake_ns = self.publish_due()
                if self._draining and not self._line:
                    return
                self._wait_until(self.beat_due() if wake_ns is None else wake_ns)

    def publish_due(self) -> int | None:
        """Publish all that is ready or due now; return when to look again, None when the line is empty."""
        with self._changed:
            while self._line:
                head = self._line[0]
                if not head.resolved and self._clock.now_ns() < self._latest_ns(head):
                    return self._latest_ns(head)
                self._line.popleft()
                del self._by_id[head.info.frame_id]
                start_ns = self._clock.now_ns()
                self._publish(head)
                if not head.resolved:  # it was given at the last moment: the hand-over must fit into the margin, too
                    self._margin.observe(self._clock.now_ns() - start_ns)
            return None

    def alarm_due_ns(self) -> int | None:
        """Return when the head of the line is answered at the latest, None when the line is empty."""
        with self._changed:
            return self._latest_ns(self._line[0]) if self._line else None

    def beat_due(self) -> int | None:
        """Give a heartbeat if no frame waits for its answer and one is due; return when to look again."""
        with self._changed:
            if self._hand_beat is None or self._line or self._draining:
                return None
            now_ns = self._clock.now_ns()
            if now_ns >= self._pulse.due_ns():
                reason, silent_ns = self._pulse.beat(now_ns)
                health = self._health.silent(reason, now_ns)
                self._hand_beat(Heartbeat(self._stream_id, reason, now_ns, silent_ns, health))
            return self._pulse.due_ns()

    def woken(self, wake_ns: int) -> None:
        """Learn from a timed wake-up, now, that was asked for at `wake_ns`."""
        with self._changed:
            now_ns = self._clock.now_ns()
            lateness_ns = max(0, now_ns - wake_ns)
            self._timings.note(Event.WOKEN, now_ns, value=lateness_ns)
            self._margin.observe(lateness_ns)

    def _wait_until(self, wake_ns: int | None) -> None:
        """Wait for a change or the next deadline."""
        now_ns = self._clock.now_ns()
        self._alarm_ns = now_ns + _IDLE_NS if wake_ns is None else wake_ns
        notified = self._clock.wait(self._changed, self._alarm_ns - now_ns)
        if not notified and wake_ns is not None:
            self.woken(wake_ns)

    def _latest_ns(self, entry: _Entry) -> int:
        """Return when a frame is answered at the latest."""
        most_ns = entry.margin_most_ns
        return entry.due_ns - (self._margin.within(most_ns) if self._measuring else most_ns)

    def _publish(self, entry: _Entry) -> None:
        frame_id, due_ns = entry.info.frame_id, entry.info.due_ns
        assert due_ns is not None
        if entry.undecodable:
            self._ledger.settle(frame_id, Fate.UNDECODABLE)
            return
        verdict = self._judge.verdict(entry.info, result=entry.result, reason=entry.reason, admitted=entry.admitted)
        status, reason = verdict.status, verdict.reason
        blame = self._blame(entry, reason, due_ns)
        now_ns = self._clock.now_ns()
        if now_ns > due_ns:
            self._missed(frame_id, now_ns)
            return
        health = self._health.observe(status, reason, now_ns)
        answer = Answer(
            info=entry.info,
            status=status,
            reason=reason,
            payload=verdict.payload,
            clock=entry.clock,
            published_ns=now_ns,
            health=health,
            size=entry.size or self._size,
            picture=entry.picture,
            payload_at_ns=verdict.payload_at_ns,
            blame=blame,
        )
        given_ns = self._hand_over(answer)
        took_ns = self._clock.now_ns() - now_ns
        if given_ns is None:  # the operating system let others run since the look at the clock
            if blame is None:
                self._blame(entry, reason, due_ns)
            self._missed(frame_id, now_ns, took_ns)
            return
        self._pulse.answered(now_ns)
        self._ledger.settle(frame_id, Fate(status), reason, late=given_ns > due_ns)
        text = status if reason is None else f"{status}:{reason}"
        self._timings.note(Event.ANSWERED, now_ns, frame_id, text, took_ns)
        age_ns = now_ns - entry.info.captured_ns
        self.age_all.add(age_ns)
        if status is Status.FRESH:
            self.age_fresh.add(age_ns)

    def _missed(self, frame_id: int, now_ns: int, took_ns: int = 0) -> None:
        self._pulse.missed()
        self._health.missed(now_ns)
        self._ledger.settle(frame_id, Fate.MISSED)
        self._timings.note(Event.ANSWERED, now_ns, frame_id, Fate.MISSED, took_ns)

    def _blame(self, entry: _Entry, reason: Reason | None, due_ns: int) -> Blame | None:
        """Say what made a frame miss that is answered without its result, or cannot be answered any more."""
        frame_id, now_ns = entry.info.frame_id, self._clock.now_ns()
        if now_ns > due_ns:
            find = self._blames.unanswered
        elif reason in _OUT_OF_TIME:
            find = self._blames.out_of_time
        else:
            return None
        blame = find(frame_id, now_ns, latest_ns=self._latest_ns(entry))
        if blame is not None:
            self._timings.note(Event.BLAMED, now_ns, frame_id, f"{blame.stage} {blame.part}", blame.took_ns)
        return blame

    def _settle_entry(self, frame_id: int, *, reason: Reason | None = None, result: Forecaster | None = None) -> None:
        entry = self._by_id.get(frame_id)
        if entry is None or entry.resolved:
            return
        entry.reason = reason
        entry.result = result
        self._resolved(entry)

    def _resolved(self, entry: _Entry) -> None:
        """Publish the head of the line and what is ready behind it."""
        if self._line[0] is entry and not self._stopped:
            self.publish_due()
            if self._draining and not self._line:
                self._changed.notify()
