"""How long a stage will take."""

from __future__ import annotations

import pytest

from pipeline.clock import NS_PER_MS
from pipeline.estimator import Estimator


def test_nothing_is_known_at_first() -> None:
    """A stage never seen is predicted to take no time."""
    assert Estimator().predict_ns("detect") == Estimator().usual_ns("detect") == 0


def test_a_rare_slow_run_is_covered_only_if_that_is_wanted() -> None:
    """One in eight frames is slow: the 90th percentile covers it, the median does not."""
    estimator, cautious = Estimator(), Estimator(predicted_share=0.9)
    for number in range(64):
        for learner in (estimator, cautious):
            learner.observe("detect", (30 if number % 8 == 0 else 20) * NS_PER_MS)
    assert estimator.usual_ns("detect") == cautious.usual_ns("detect") == 20 * NS_PER_MS
    assert 20 * NS_PER_MS <= estimator.predict_ns("detect") < 30 * NS_PER_MS
    assert cautious.predict_ns("detect") >= 30 * NS_PER_MS


def test_it_forgets() -> None:
    """After 64 runs the old ones do not count any more."""
    estimator = Estimator()
    for run_ms in [50] * 64 + [10] * 64:
        estimator.observe("detect", run_ms * NS_PER_MS)
    assert estimator.usual_ns("detect") == estimator.predict_ns("detect") == 10 * NS_PER_MS


def test_one_stage_that_slows_down_warns_for_all() -> None:
    """When decoding takes twice its time, the detector is predicted to be slower too, before it is seen to be."""
    estimator = Estimator()
    for _ in range(64):
        estimator.observe("decode", 5 * NS_PER_MS)
        estimator.observe("detect", 20 * NS_PER_MS)
    before = estimator.predict_ns("detect")
    for _ in range(5):
        estimator.observe("decode", 10 * NS_PER_MS)
    assert estimator.predict_ns("detect") > 1.3 * before
    assert estimator.usual_ns("detect") == 20 * NS_PER_MS


def test_the_slow_down_fades_and_is_bounded() -> None:
    """One wild outlier counts at most four times, and is forgotten after some normal runs."""
    estimator = Estimator()
    for _ in range(20):
        estimator.observe("detect", 20 * NS_PER_MS)
    estimator.observe("detect", 5_000 * NS_PER_MS)
    assert estimator.slowdown == pytest.approx(1.6)
    for _ in range(30):
        estimator.observe("detect", 20 * NS_PER_MS)
    assert estimator.slowdown < 1.01


def test_tiny_stages_say_nothing_about_the_machine() -> None:
    """A stage of microseconds that takes ten times as long is thread switching."""
    estimator = Estimator()
    for run_ns in [20_000] * 50 + [200_000] * 10:
        estimator.observe("pass", run_ns)
    assert estimator.slowdown == 1.0


def test_what_nearly_every_run_takes_is_said_when_enough_were_seen() -> None:
    """A twentieth may be shorter; slow-down does not count, since it may end at any moment."""
    estimator = Estimator()
    for run_ms in range(20, 27):
        estimator.observe("detect", run_ms * NS_PER_MS)
    assert estimator.least_ns("detect") == 0
    for run_ms in [*range(27, 39), 300, 300]:
        estimator.observe("detect", run_ms * NS_PER_MS)
    assert estimator.least_ns("detect") == 21 * NS_PER_MS
    assert estimator.least_ns("other") == 0
