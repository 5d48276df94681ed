"""The mailbox in front of the detector."""

from __future__ import annotations

import pytest

from pipeline.clock import NS_PER_MS
from pipeline.errors import LinkClosed, LinkEnded
from pipeline.estimator import Estimator
from pipeline.frame import Envelope, Reason
from pipeline.gate import Gate
from pipeline.testing import ManualClock, frame_info

PERIOD_NS = 33 * NS_PER_MS
LIMIT_NS = 100 * NS_PER_MS


class Bench:
    """A gate, and what it refused."""

    def __init__(self, *, warm: bool = True, credit_limit: int = 2) -> None:
        self.clock = ManualClock()
        self.refused: list[tuple[int, Reason]] = []
        self.estimator = Estimator()
        self.gate = Gate(
            clock=self.clock,
            estimator=self.estimator,
            before=("pre",),
            detector="detect",
            after=("post",),
            credit_limit=credit_limit,
            margin_ns=lambda: 6 * NS_PER_MS,
            refuse=lambda frame_id, reason: self.refused.append((frame_id, reason)),
        )
        if warm:
            self.gate.warmed()

    def offer(self, frame_id: int) -> None:
        info = frame_info(frame_id, captured_ns=frame_id * PERIOD_NS, limit_ns=LIMIT_NS)
        self.clock.advance(max(0, info.captured_ns - self.clock.now_ns()))
        self.gate.offer(Envelope(info, f"picture {frame_id}"))

    def take(self) -> int | None:
        envelope, _ = self.gate.try_take()
        return None if envelope is None else envelope.info.frame_id


def test_the_newest_wins() -> None:
    """One place: a newer picture throws the older one out, with the reason."""
    bench = Bench()
    for number in range(3):
        bench.offer(number)
    assert bench.refused == [(0, Reason.SUPERSEDED), (1, Reason.SUPERSEDED)]
    assert bench.take() == 2
    assert bench.take() is None
    assert (bench.gate.offered, bench.gate.replaced) == (3, 2)


def test_nothing_is_admitted_before_the_model_is_ready() -> None:
    """Pictures that were there in the meantime say so."""
    bench = Bench(warm=False)
    bench.offer(0)
    assert bench.take() is None
    bench.offer(1)
    assert bench.refused == [(0, Reason.WARMING)]
    bench.gate.warmed()
    assert bench.take() == 1


def test_a_busy_detector_takes_the_next_when_it_is_about_to_be_free() -> None:
    """Not before: what waits in the mailbox can still be replaced by a newer one."""
    bench = Bench()
    for _ in range(10):
        bench.estimator.observe("detect", 50 * NS_PER_MS)
        bench.estimator.observe("pre", 5 * NS_PER_MS)
    bench.offer(0)
    assert bench.take() == 0
    bench.gate.detector_started()
    bench.offer(1)
    envelope, wake_ns = bench.gate.try_take()
    assert envelope is None
    assert wake_ns == 45 * NS_PER_MS  # 50 after the start, less 5 on the way
    bench.clock.advance(wake_ns - bench.clock.now_ns())
    assert bench.take() == 1


def test_a_credit_comes_back() -> None:
    """By the end of detection, or when a frame drops out before it; twice is once."""
    bench = Bench(credit_limit=1)
    bench.offer(0)
    assert bench.take() == 0
    bench.offer(1)
    assert bench.take() is None
    bench.gate.release(0)
    bench.gate.release(0)
    assert bench.take() == 1
    bench.offer(2)
    bench.gate.detector_started()
    assert bench.take() is None
    bench.gate.detector_finished(1)
    assert bench.take() == 2


def test_the_end_and_the_stop() -> None:
    """The last picture is still given; then it is over. After close nobody gets or puts anything."""
    bench = Bench()
    bench.offer(0)
    bench.gate.end()
    assert bench.take() == 0
    with pytest.raises(LinkEnded):
        bench.gate.wait_take()
    bench.gate.close()
    with pytest.raises(LinkClosed):
        bench.gate.wait_take()
    with pytest.raises(LinkClosed):
        bench.offer(1)
