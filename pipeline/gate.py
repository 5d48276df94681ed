"""The head of the live graph: a mailbox for the newest picture, and the admission that empties it.

The decoder offers, the first admitted stage takes, the detector says when it begins and ends. What is pushed out
of the mailbox is refused, with the reason that was true.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable

from pipeline.admission import Admit, Decision, Prediction, PreferNext, Situation, decide
from pipeline.clock import NS_PER_S, Clock
from pipeline.errors import LinkClosed, LinkEnded
from pipeline.estimator import Estimator
from pipeline.frame import Envelope, Reason
from pipeline.margin import most_of
from pipeline.timings import Event, Timings

_PERIODS = 15
"""Frame periods and lags remembered: half a second at 30 fps."""


class Gate:
    """Lets the newest picture pass when the detector is about to be free; safe to use from several threads.

    Args:
        clock: tells the time and waits.
        estimator: predicts the stages.
        before: names of the stages between admission and the detector.
        detector: name of the detector stage.
        after: names of the stages after it.
        credit_limit: how many frames may be between admission and the end of detection.
        margin_ns: the publisher's present margin.
        refuse: told of every frame that will not be measured, or not in time, and why.
        timings: takes note of what happens.
        policy: decides about the newest picture.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        estimator: Estimator,
        before: tuple[str, ...],
        detector: str,
        after: tuple[str, ...],
        credit_limit: int,
        margin_ns: Callable[[], int],
        refuse: Callable[[int, Reason], None],
        timings: Timings | None = None,
        policy: Callable[[Situation, Prediction], Decision] = decide,
    ) -> None:
        self._clock = clock
        self._estimator = estimator
        self._before = before
        self._detector = detector
        self._after = after
        self._credit_limit = credit_limit
        self._margin_ns = margin_ns
        self._refuse = refuse
        self._timings = timings or Timings()
        self._policy = policy
        self._changed = threading.Condition()  # its lock guards all fields
        self._newest: Envelope | None = None
        self._newest_would_miss = False
        self._offered_ns = 0  # when the newest came
        self._in_flight: set[int] = set()
        self._detector_started_ns: int | None = None
        self._captures: deque[int] = deque(maxlen=_PERIODS)
        self._lags: deque[int] = deque(maxlen=_PERIODS)
        self._period_ns: int | None = None  # of these, the medians
        self._lag_ns = 0
        self._warm = False
        self._paused = False
        self._ended = False
        self._closed = False
        self.offered = 0
        self.replaced = 0

    def offer(self, envelope: Envelope) -> None:
        """Put the newest picture into the mailbox; one that is still there is refused."""
        now_ns = self._clock.now_ns()
        with self._changed:
            if self._closed:
                raise LinkClosed("gate")
            self._timings.note(Event.OFFERED, now_ns, envelope.info.frame_id)
            old, reason = self._newest, self._refusal()
            self._newest, self._newest_would_miss, self._offered_ns = envelope, False, now_ns
            self._captures.append(envelope.info.captured_ns)
            self._lags.append(now_ns - envelope.info.captured_ns)
            self._period_ns, self._lag_ns = self._median_period_ns(), sorted(self._lags)[len(self._lags) // 2]
            self.offered += 1
            self.replaced += old is not None
            self._changed.notify_all()
        if old is not None:
            self._refuse(old.info.frame_id, reason)

    def warmed(self) -> None:
        """Say that the model is ready; until then nothing is admitted."""
        with self._changed:
            self._warm = True
            self._changed.notify_all()

    @property
    def paused(self) -> bool:
        """Whether nothing is admitted, on purpose."""
        return self._paused

    def pause(self) -> None:
        """Admit nothing until resume(); what was admitted goes its way, and the newest picture waits."""
        self._set(paused=True)

    def resume(self) -> None:
        """Admit again, and first the newest picture."""
        self._set(paused=False)

    def detector_started(self) -> None:
        """Say that the detector began a job; nobody need look again, since it cannot be free earlier for that."""
        with self._changed:
            self._detector_started_ns = self._clock.now_ns()

    def detector_finished(self, frame_id: int) -> None:
        """Say that the detector's job on a frame is over; its credit is free again."""
        with self._changed:
            self._detector_started_ns = None
            self._in_flight.discard(frame_id)
            self._changed.notify_all()

    def release(self, frame_id: int) -> None:
        """Give back the credit of a frame that dropped out before the detector; idempotent."""
        with self._changed:
            self._in_flight.discard(frame_id)
            self._changed.notify_all()

    def end(self) -> None:
        """Say that no more pictures will come."""
        self._set(ended=True)

    def close(self) -> None:
        """Stop: wait_take and offer raise LinkClosed."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wait_take(self) -> tuple[Envelope, int]:
        """Wait until admission lets the newest picture pass, and take it.

        Returns:
            The picture, and how long it lay in the mailbox, in nanoseconds.

        Raises:
            LinkEnded: no more will come and the last one was taken.
            LinkClosed: the gate was closed.
        """
        while True:
            with self._changed:
                taken, hopeless, wake_ns = self._look()
                wait_ns = self._clock.now_ns() - self._offered_ns
                if taken is None:
                    timeout_ns = NS_PER_S if wake_ns is None else min(NS_PER_S, wake_ns - self._clock.now_ns())
                    self._clock.wait(self._changed, timeout_ns)
            if taken is not None:
                return self._passed(taken, hopeless=hopeless), wait_ns

    def try_take(self) -> tuple[Envelope | None, int | None]:
        """Take the newest picture if admission lets it pass now.

        Returns:
            The picture or None, and when to ask again; None: when something changes.
        """
        with self._changed:
            taken, hopeless, wake_ns = self._look()
        return (None if taken is None else self._passed(taken, hopeless=hopeless)), wake_ns

    def _set(self, *, paused: bool | None = None, ended: bool | None = None) -> None:
        """Change what is known; nobody waits for a resume after the end, so the last picture is then refused."""
        with self._changed:
            self._paused = self._paused if paused is None else paused
            self._ended = self._ended if ended is None else ended
            last = None
            if self._paused and self._ended:
                last, reason, self._newest = self._newest, self._refusal(), None
            self._changed.notify_all()
        if last is not None:
            self._refuse(last.info.frame_id, reason)

    @property
    def depth(self) -> int:
        """How many pictures wait to be admitted: 0 or 1."""
        return int(self._newest is not None)

    def _look(self) -> tuple[Envelope | None, bool, int | None]:
        """Take the newest picture if it may pass.

        Returns:
            It or None, whether its result cannot be in time, and when to ask again.
        """
        if self._closed:
            raise LinkClosed("gate")
        if self._newest is None:
            if self._ended:
                raise LinkEnded("gate")
            return None, False, None
        if not self._warm or self._paused:
            return None, False, None
        decision = self._decide(self._newest)
        if isinstance(decision, PreferNext):
            if not self._ended:
                self._newest_would_miss = True
                return None, False, decision.at_ns
            decision = Admit()
        if isinstance(decision, Admit):
            taken, self._newest = self._newest, None
            self._in_flight.add(taken.info.frame_id)
            return taken, decision.hopeless, None
        return None, False, decision.at_ns

    def _passed(self, envelope: Envelope, *, hopeless: bool) -> Envelope:
        """Have a frame answered at once whose result cannot be in time; it goes on to the detector all the same."""
        if hopeless:
            self._refuse(envelope.info.frame_id, Reason.WOULD_MISS)
        return envelope

    def _refusal(self) -> Reason:
        if not self._warm:
            return Reason.WARMING
        if self._paused:
            return Reason.PAUSED
        return Reason.WOULD_MISS if self._newest_would_miss else Reason.SUPERSEDED

    def _decide(self, envelope: Envelope) -> Decision:
        info = envelope.info
        now_ns = self._clock.now_ns()
        self._timings.note(Event.ASKED, now_ns, info.frame_id)
        situation = Situation(
            now_ns=now_ns,
            limit_ns=None if info.due_ns is None else info.due_ns - self._margin_of(info.due_ns - info.captured_ns),
            captured_ns=info.captured_ns,
            in_flight=len(self._in_flight),
            credit_limit=self._credit_limit,
            detector_started_ns=self._detector_started_ns,
            period_ns=self._period_ns,
            arrival_lag_ns=self._lag_ns,
        )
        return self._policy(situation, self._prediction())

    def _margin_of(self, limit_ns: int) -> int:
        """Return the margin of a frame, which may have been captured when another limit was in force."""
        return min(self._margin_ns(), most_of(limit_ns))

    def _prediction(self) -> Prediction:
        estimator = self._estimator
        return Prediction(
            pre_ns=sum(estimator.predict_ns(name) for name in self._before),
            run_ns=estimator.predict_ns(self._detector),
            post_ns=sum(estimator.predict_ns(name) for name in self._after),
            pre_usual_ns=sum(estimator.usual_ns(name) for name in self._before),
            run_usual_ns=estimator.usual_ns(self._detector),
            run_least_ns=estimator.least_ns(self._detector),
        )

    def _median_period_ns(self) -> int | None:
        """Return the median time between captures, None while fewer than two were seen."""
        if len(self._captures) < 2:
            return None
        captures = list(self._captures)
        gaps = sorted(later - earlier for earlier, later in itertools.pairwise(captures))
        return max(1, gaps[len(gaps) // 2])
