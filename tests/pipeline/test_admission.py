"""When the newest picture may have the detector."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.admission import Admit, Decision, Prediction, PreferNext, Situation, WaitUntil, decide

# Times in milliseconds where nanoseconds stand: the rule only compares.
USUAL = Prediction(pre_ns=2, run_ns=20, post_ns=1, pre_usual_ns=2, run_usual_ns=18)
IDLE = Situation(
    now_ns=1000,
    limit_ns=1090,
    captured_ns=995,
    in_flight=0,
    credit_limit=2,
    detector_started_ns=None,
    period_ns=33,
    arrival_lag_ns=5,
)
BUSY = replace(IDLE, in_flight=1, detector_started_ns=990)
UNKNOWN = Prediction(0, 0, 0, 0, 0)
SLOW = replace(USUAL, run_ns=64, run_usual_ns=64)


@pytest.mark.parametrize(
    ("situation", "prediction", "decision"),
    [
        (IDLE, USUAL, Admit()),  # free, and it will be fresh
        (replace(IDLE, in_flight=2), USUAL, WaitUntil(None)),  # no credit
        (BUSY, USUAL, WaitUntil(1006)),  # free at 990 + 18; 2 before that is early enough
        (replace(BUSY, now_ns=1006), USUAL, Admit()),  # that moment has come
        (replace(BUSY, detector_started_ns=900), USUAL, Admit()),  # overdue: it may be free at any moment
        (replace(BUSY, detector_started_ns=None), USUAL, WaitUntil(1018)),  # one is on its way: 2 + 18 - 2
        (BUSY, UNKNOWN, WaitUntil(None)),  # nothing known yet: no guess
        (IDLE, UNKNOWN, Admit()),  # but a free detector works
        (replace(IDLE, limit_ns=None), SLOW, Admit()),  # no deadline
        (replace(IDLE, limit_ns=1010), USUAL, Admit()),  # never fresh in 15: it runs all the same
        # Late itself (1000 + 2 + 64 + 1 > 1060), spoils the next (captured 1028, limit 1093), and the next would be
        # fresh if waited for (ready 1033, done 1100)? No, 1100 > 1093: take it.
        (replace(IDLE, limit_ns=1060), SLOW, Admit()),
        # The same with 10 more for everybody: the next is done at 1100 <= 1103. Wait for it, until half a period late.
        (replace(IDLE, now_ns=1010, limit_ns=1070), SLOW, PreferNext(1050)),
        # The next one is overdue: not waited for any longer.
        (replace(IDLE, now_ns=1050, limit_ns=1070), SLOW, Admit()),
        # Late itself, but the next would be fresh even after it: nothing is lost by taking it.
        (replace(IDLE, now_ns=1060, limit_ns=1070, period_ns=100), replace(SLOW, run_ns=20), Admit()),
        # Late even if the run is as short as runs are: done at 1000 + 55 at the earliest, 1060 if it were 60.
        (replace(IDLE, limit_ns=1050), replace(SLOW, run_least_ns=55), Admit(hopeless=True)),
        (replace(IDLE, limit_ns=1060), replace(SLOW, run_least_ns=60), Admit()),
        # The job before it ends at 990 + 18 at the earliest, and its own takes 18: done at 1026.
        (replace(BUSY, now_ns=1006, limit_ns=1025), replace(USUAL, run_least_ns=18), Admit(hopeless=True)),
        (replace(BUSY, now_ns=1006, limit_ns=1026), replace(USUAL, run_least_ns=18), Admit()),
    ],
)
def test_the_rule(situation: Situation, prediction: Prediction, decision: Decision) -> None:
    """One situation a row."""
    assert decide(situation, prediction) == decision
