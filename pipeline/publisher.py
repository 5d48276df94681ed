"""Gives the answers: in presentation order, driven by a timer, never late.

The head of the line is answered as soon as it is resolved, by the thread that resolved it, since a hand-over never
waits and waking another thread takes time. A thread of the publisher's own sees to it that it is answered a margin
before its deadline at the latest, with whatever is true then, and makes the forecasts that take long. The margin
follows the lateness of wake-ups and hand-overs that is observed, and nothing else.

What is decided is decided under a lock; stages that are asked for a forecast, sinks and callbacks are called without.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

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
from pipeline.margin import most_of
from pipeline.stage import Forecaster
from pipeline.stream.line import Ask, Drop, Entry, Give, Line, Miss, Wait
from pipeline.timings import Event, Timings

log = logging.getLogger("framepace.publisher")

_IDLE_NS = NS_PER_S
_OUT_OF_TIME = (Reason.LATE, Reason.WOULD_MISS)


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
        self._judge = Judge(clock, Complaints(log, clock), project_to)
        self._line = Line(limit_ns, self._judge)
        self._health = HealthMonitor()
        self._giving = False  # somebody hands an answer over, and will look for more; one at a time, in order
        self._draining = False
        self._stopped = False
        self._alarm_ns = 0  # when run() looks at the line again by itself
        self.age_fresh = Histogram()
        self.age_all = Histogram()

    # What other threads say

    def register(self, info: FrameInfo, clock: CaptureClock) -> None:
        """Put a captured frame at the end of the line."""
        self._ledger.captured(info.frame_id)
        with self._changed:
            self._pulse.captured()
            self._line.register(info, clock)
            alarm_ns = self._line.alarm_ns()
            if alarm_ns is not None and alarm_ns < self._alarm_ns:
                self._changed.notify()

    def decoded(self, frame_id: int, *, size: tuple[int, int], picture: object | None) -> None:
        """Say that a frame's picture is there; `picture` only if a sink wants it."""
        with self._changed:
            self._line.decoded(frame_id, size=size, picture=picture)

    def warmed(self) -> None:
        """Say that the model is ready."""
        with self._changed:
            self._judge.warming = False

    def admitted(self, frame_id: int) -> None:
        """Say that a frame is on its way to be measured."""
        with self._changed:
            self._line.admitted(frame_id)

    def measured(self, info: FrameInfo, result: object) -> None:
        """Take what the last stage made of a frame, in time or not: it serves later forecasts either way."""
        with self._changed:
            if isinstance(result, Forecaster):
                self._line.measured(info, result, lasts=True)
            else:
                self._line.measured(info, Still(info.captured_ns, result), lasts=False)
        self._answer()

    def refuse(self, frame_id: int, reason: Reason, *, here: bool = True) -> None:
        """Say that a frame will not be measured. If it was answered already, that answer stands.

        Args:
            frame_id: the frame.
            reason: why.
            here: whether the calling thread may answer it; else the publisher's own does.
        """
        with self._changed:
            self._line.refuse(frame_id, reason)
            if not here:
                self._changed.notify()
        if here:
            self._answer()

    def undecodable(self, frame_id: int, *, here: bool = True) -> None:
        """Say that a frame has no picture; `here` as of refuse(). If it was answered already, that answer stands."""
        with self._changed:
            self._line.undecodable(frame_id)
            if not here:
                self._changed.notify()
        if here:
            self._answer()

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
            self._line.margin.most_ns = most_of(limit_ns)

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
        """How long before its deadline a frame of now is answered at the latest; a result must be there by then."""
        return self._line.margin_ns

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
        while True:
            wake_ns = self.publish_due()
            if wake_ns is None:
                wake_ns = self.beat_due()
            with self._changed:
                if self._stopped or (self._draining and not self._line and not self._giving):
                    return
                self._wait_until(wake_ns)

    def publish_due(self) -> int | None:
        """Publish all that is ready or due now; return when to look again, None when the line is empty."""
        return self._answer(forecasting=True)

    def alarm_due_ns(self) -> int | None:
        """Return when something is to be done about the head of the line at the latest, None when it is empty."""
        with self._changed:
            return self._line.alarm_ns()

    def beat_due(self) -> int | None:
        """Give a heartbeat if no frame waits for its answer and one is due; return when to look again."""
        with self._changed:
            if self._hand_beat is None or self._line or self._giving or self._draining:
                return None
            now_ns = self._clock.now_ns()
            due_ns = self._pulse.due_ns()
            if now_ns < due_ns:
                return due_ns
            reason, silent_ns = self._pulse.beat(now_ns)
            heartbeat = Heartbeat(self._stream_id, reason, now_ns, silent_ns, self._health.silent(reason, now_ns))
            self._giving = True
        self._hand_beat(heartbeat)
        with self._changed:
            self._giving = False
            return None if self._line else self._pulse.due_ns()

    def woken(self, wake_ns: int) -> None:
        """Learn from a timed wake-up, now, that was asked for at `wake_ns`."""
        with self._changed:
            now_ns = self._clock.now_ns()
            lateness_ns = max(0, now_ns - wake_ns)
            self._timings.note(Event.WOKEN, now_ns, value=lateness_ns)
            self._line.margin.observe(lateness_ns)

    def _wait_until(self, wake_ns: int | None) -> None:
        """Wait for a change or the next deadline, unless that has changed since it was looked up."""
        alarm_ns = self._line.alarm_ns()
        now_ns = self._clock.now_ns()
        if alarm_ns is not None and (wake_ns is None or alarm_ns < wake_ns):
            wake_ns = alarm_ns
        self._alarm_ns = now_ns + _IDLE_NS if wake_ns is None else wake_ns
        notified = self._clock.wait(self._changed, self._alarm_ns - now_ns)
        if not notified and wake_ns is not None:
            self.woken(wake_ns)

    # Answering, on whatever thread

    def _answer(self, *, forecasting: bool = False) -> int | None:
        """Do what is to be done about the head of the line, until there is nothing.

        Args:
            forecasting: whether this thread may make a forecast that takes long.

        Returns:
            When to look again; None: when something changes.
        """
        while True:
            with self._changed:
                if self._giving or self._stopped:  # whoever gives looks again
                    return None
                step = self._line.look(self._clock.now_ns())
                if isinstance(step, Wait):
                    if self._draining and not self._line:
                        self._changed.notify()
                    return step.until_ns
                if isinstance(step, Ask) and step.is_slow and not forecasting:
                    step.entry.asked = False
                    self._changed.notify()
                    return None
                if isinstance(step, Miss):
                    self._overdue(step.entry)
                    continue
                if isinstance(step, Drop):
                    self._ledger.settle(step.entry.info.frame_id, Fate.UNDECODABLE)
                    continue
                answer = self._prepare(step) if isinstance(step, Give) else None
            if isinstance(step, Ask):
                start_ns = self._clock.now_ns()
                verdict = self._judge.verdict(step.question)
                took_ns = self._clock.now_ns() - start_ns
                with self._changed:
                    self._line.told(step, verdict, took_ns)
            elif answer is not None:
                self._give(step.entry, answer)

    def _prepare(self, step: Give) -> Answer | None:
        """Make the answer that is to be given now; None when it is too late. Called with the lock held."""
        entry, verdict = step.entry, step.verdict
        info, reason = entry.info, verdict.reason
        assert info.due_ns is not None
        blame = self._blame(entry, reason)
        now_ns = self._clock.now_ns()
        if now_ns > info.due_ns:
            self._missed(info.frame_id, now_ns)
            return None
        self._giving = True
        return Answer(
            info=info,
            status=verdict.status,
            reason=reason,
            payload=verdict.payload,
            clock=entry.clock,
            published_ns=now_ns,
            health=self._health.observe(verdict.status, reason, now_ns),
            size=self._line.size_of(entry),
            picture=entry.picture,
            payload_at_ns=verdict.payload_at_ns,
            blame=blame,
        )

    def _give(self, entry: Entry, answer: Answer) -> None:
        """Hand an answer over, and settle its frame by what came of it."""
        info, now_ns = answer.info, answer.published_ns
        assert info.due_ns is not None
        assert now_ns is not None
        given_ns: int | None = None
        try:
            given_ns = self._hand_over(answer)
        finally:
            with self._changed:
                self._giving = False
                took_ns = self._clock.now_ns() - now_ns
                if not entry.resolved:  # it was given at the last moment: the hand-over must fit into the margin, too
                    self._line.margin.observe(took_ns)
                if given_ns is None:  # the operating system let others run since the look at the clock
                    if answer.blame is None:
                        self._blame(entry, answer.reason)
                    self._missed(info.frame_id, now_ns, took_ns)
                else:
                    self._answered(answer, now_ns, took_ns, late=given_ns > info.due_ns)

    def _answered(self, answer: Answer, now_ns: int, took_ns: int, *, late: bool) -> None:
        info, status, reason = answer.info, answer.status, answer.reason
        self._pulse.answered(now_ns)
        self._ledger.settle(info.frame_id, Fate(status), reason, late=late)
        text = status if reason is None else f"{status}:{reason}"
        self._timings.note(Event.ANSWERED, now_ns, info.frame_id, text, took_ns)
        age_ns = now_ns - info.captured_ns
        self.age_all.add(age_ns)
        if status is Status.FRESH:
            self.age_fresh.add(age_ns)

    def _overdue(self, entry: Entry) -> None:
        self._blame(entry, entry.reason)
        self._missed(entry.info.frame_id, self._clock.now_ns())

    def _missed(self, frame_id: int, now_ns: int, took_ns: int = 0) -> None:
        self._pulse.missed()
        self._health.missed(now_ns)
        self._ledger.settle(frame_id, Fate.MISSED)
        self._timings.note(Event.ANSWERED, now_ns, frame_id, Fate.MISSED, took_ns)

    def _blame(self, entry: Entry, reason: Reason | None) -> Blame | None:
        """Say what made a frame miss that is answered without its result, or cannot be answered any more."""
        frame_id, now_ns = entry.info.frame_id, self._clock.now_ns()
        assert entry.info.due_ns is not None
        if now_ns > entry.info.due_ns:
            find = self._blames.unanswered
        elif reason in _OUT_OF_TIME:
            find = self._blames.out_of_time
        else:
            return None
        blame = find(frame_id, now_ns, latest_ns=self._line.latest_ns(entry))
        if blame is not None:
            self._timings.note(Event.BLAMED, now_ns, frame_id, f"{blame.stage} {blame.part}", blame.took_ns)
        return blame
