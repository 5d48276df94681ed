"""Decides when the newest picture may have the detector. Pure: told everything, keeps nothing.

The rule, with `pre`, `run` and `post` the predicted times before, in and after the detector:

1. A frame is admitted when a credit is free and the detector is about to be: not earlier than
   `detector free - pre`, so that what is detected is the newest there is.
2. If the frame can still be fresh, it is admitted.
3. If it cannot, and working on it would also spoil the next frame, and the next one would be fresh if we
   waited for it, we wait (the shrinking-tail rule of Li et al., Towards Streaming Perception, ECCV 2020).
4. Otherwise it is admitted although it will be late: the measurement feeds the tracker. If even a short run would be
   too long, nobody need wait for it: the frame can be answered at once.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prediction:
    """Predicted run times for one frame, nanoseconds."""

    pre_ns: int
    """Stages between admission and the detector."""
    run_ns: int
    """The detector."""
    post_ns: int
    """Stages after the detector, to the publisher."""
    pre_usual_ns: int
    run_usual_ns: int
    """The detector's median: for the question when it will be free, where caution would mean idling."""
    run_least_ns: int = 0
    """What nearly every run of the detector takes at least."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What admission looks at, all times in nanoseconds of the engine's clock."""

    now_ns: int
    limit_ns: int | None
    """The candidate must be resolved by then to be fresh: its deadline less the publisher's margin."""
    captured_ns: int
    """Capture time of the candidate."""
    in_flight: int
    """Frames between admission and the end of detection."""
    credit_limit: int
    """How many of those there may be."""
    detector_started_ns: int | None
    """When the detector began its present job; None when it is idle."""
    period_ns: int | None
    """Usual time between frames; None while unknown."""
    arrival_lag_ns: int
    """Usual time from a frame's capture to its picture being ready for admission."""


@dataclass(frozen=True, slots=True)
class Admit:
    """Take the candidate now."""

    hopeless: bool = False
    """Whether its result cannot be in time, so that nobody need wait for it."""


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """Ask again at `at_ns`, or when something changes; None: only when something changes."""

    at_ns: int | None


@dataclass(frozen=True, slots=True)
class PreferNext:
    """The candidate would miss; the next frame is worth waiting for, but not beyond `at_ns`."""

    at_ns: int


Decision = Admit | WaitUntil | PreferNext

_PATIENCE = 1.5
"""A next frame that is half a period overdue is no longer waited for."""


def decide(situation: Situation, prediction: Prediction) -> Decision:
    """Decide about the candidate, the newest picture there is."""
    if situation.in_flight >= situation.credit_limit:
        return WaitUntil(None)
    if situation.in_flight and not prediction.run_usual_ns:
        return WaitUntil(None)  # nothing is known of the detector yet: better wait for its first job to end
    free_ns = situation.now_ns
    waiting = situation.in_flight
    if situation.detector_started_ns is not None:
        free_ns = max(free_ns, situation.detector_started_ns + prediction.run_usual_ns)
        waiting -= 1
    elif waiting:
        free_ns += prediction.pre_usual_ns
    free_ns += waiting * prediction.run_usual_ns
    start_ns = free_ns - prediction.pre_ns
    if situation.now_ns < start_ns:
        return WaitUntil(start_ns)
    return _take_or_wait_for_next(situation, prediction, free_ns)


def _take_or_wait_for_next(situation: Situation, prediction: Prediction, free_ns: int) -> Decision:
    """Apply rules 2 to 4, for a candidate that could start now."""
    if situation.limit_ns is None:
        return Admit()
    busy_until_ns = max(situation.now_ns + prediction.pre_ns, free_ns) + prediction.run_ns
    if busy_until_ns + prediction.post_ns <= situation.limit_ns:
        return Admit()
    late = Admit(hopeless=_earliest_ns(situation, prediction) > situation.limit_ns)
    if situation.period_ns is None:
        return late
    budget_ns = situation.limit_ns - situation.captured_ns
    next_captured_ns = situation.captured_ns + situation.period_ns
    next_ready_ns = next_captured_ns + situation.arrival_lag_ns
    next_limit_ns = next_captured_ns + budget_ns
    patience_ns = situation.captured_ns + situation.arrival_lag_ns + round(_PATIENCE * situation.period_ns)
    if situation.now_ns >= patience_ns:
        return late
    after_waiting_ns = max(next_ready_ns, situation.now_ns) + prediction.pre_ns
    fresh_if_waiting = max(after_waiting_ns, free_ns) + prediction.run_ns + prediction.post_ns <= next_limit_ns
    fresh_if_taken = max(after_waiting_ns, busy_until_ns) + prediction.run_ns + prediction.post_ns <= next_limit_ns
    if fresh_if_waiting and not fresh_if_taken:
        return PreferNext(patience_ns)
    return late


def _earliest_ns(situation: Situation, prediction: Prediction) -> int:
    """Return when the detector can be done with the candidate at the earliest, if it starts on its way now."""
    start_ns = situation.now_ns
    if situation.detector_started_ns is not None:
        start_ns = max(start_ns, situation.detector_started_ns + prediction.run_least_ns)
    return start_ns + prediction.run_least_ns
