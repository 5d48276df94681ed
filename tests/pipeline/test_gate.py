"""The mailbox in front of the detector."""

from __future__ import annotations

import threading

import pytest

from pipeline.clock import NS_PER_MS
from pipeline.errors import LinkClosed, LinkEnded
from pipeline.estimator import Estimator
from pipeline.frame import Envelope, Reason
from pipeline.gate import Gate
from pipeline.testing import ManualClock, frame_info

PERIOD_NS = 33 * NS_PER_MS
LIMIT_NS = 100 * NS_PER_MS
GUARD_S = 30.0
"""A thread that is not over by then is a test gone wrong."""


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


def test_many_credits_do_not_let_old_pictures_queue() -> None:
    """A job that waits for the detector counts: the next is taken when that one is about to end, not behind it."""
    bench = Bench(credit_limit=8)
    for _ in range(10):
        bench.estimator.observe("detect", 50 * NS_PER_MS)
        bench.estimator.observe("pre", 5 * NS_PER_MS)
    bench.offer(0)
    assert bench.take() == 0
    bench.gate.detector_started()
    bench.clock.advance(45 * NS_PER_MS)
    bench.offer(1)
    assert bench.take() == 1
    bench.offer(2)
    envelope, wake_ns = bench.gate.try_take()
    assert envelope is None
    assert wake_ns is not None
    assert wake_ns >= 95 * NS_PER_MS  # the detector is at 0 until 50, at 1 until 100


def hopeless_candidate() -> tuple[Bench, int | None]:
    """Return a gate whose picture is 35 ms old, too old for a detector of 64, and until when the next is waited for.

    94 ms less the margin are left for each: done at 99 it would miss, and the next, free at 99, would miss by
    running until 163 > 127; with a free detector it is in time.
    """
    bench = Bench()
    for _ in range(10):
        bench.estimator.observe("detect", 64 * NS_PER_MS)
    for number in range(3):
        bench.offer(number)
    bench.clock.advance(35 * NS_PER_MS)
    bench.refused.clear()
    envelope, wake_ns = bench.gate.try_take()
    assert envelope is None
    return bench, wake_ns


def test_a_picture_that_would_miss_gives_way_to_the_next() -> None:
    """It is refused, with that reason, when the next one comes; the reason is not passed on to the next."""
    bench, _ = hopeless_candidate()
    bench.offer(3)
    assert bench.refused == [(2, Reason.WOULD_MISS)]
    bench.offer(4)
    assert bench.refused[1:] == [(3, Reason.SUPERSEDED)]
    assert bench.take() == 4


def test_without_a_credit_nothing_is_taken_however_long_the_detector_takes() -> None:
    """One that is overdue might be free at any moment, but pictures do not queue in front of it."""
    bench = Bench(credit_limit=1)
    bench.estimator.observe("detect", 20 * NS_PER_MS)
    bench.offer(0)
    assert bench.take() == 0
    bench.gate.detector_started()
    bench.offer(1)
    bench.clock.advance(100 * NS_PER_MS)
    assert bench.gate.try_take() == (None, None)
    bench.gate.detector_finished(0)
    assert bench.take() == 1


def test_a_picture_that_would_miss_is_taken_when_the_next_does_not_come() -> None:
    """Half a period after the next was due; a late measurement is better than none."""
    bench, wake_ns = hopeless_candidate()
    assert wake_ns == 2 * PERIOD_NS + round(1.5 * PERIOD_NS)
    bench.clock.advance(wake_ns - 1 - bench.clock.now_ns())
    assert bench.take() is None
    bench.clock.advance(1)
    assert bench.take() == 2
    assert bench.refused == [(2, Reason.WOULD_MISS)], "it is measured, but nobody waits for that"


def test_a_picture_whose_result_cannot_be_in_time_is_answered_when_it_is_taken() -> None:
    """And only such a one: a run that may be short enough is waited for."""
    for run_ms, answered in ((120, [(1, Reason.WOULD_MISS)]), (80, [])):
        bench = Bench()
        for _ in range(20):
            bench.estimator.observe("detect", run_ms * NS_PER_MS)
        bench.offer(1)
        assert bench.take() == 1
        assert bench.refused == answered


def test_little_is_not_taken_for_knowledge() -> None:
    """A few long runs at the start do not mean that the next one is."""
    bench = Bench()
    for _ in range(5):
        bench.estimator.observe("detect", 120 * NS_PER_MS)
    bench.offer(1)
    assert bench.take() == 1
    assert bench.refused == []


def test_a_picture_that_would_miss_is_taken_when_it_is_the_last() -> None:
    """There is nothing to wait for after the end."""
    bench, _ = hopeless_candidate()
    bench.gate.end()
    assert bench.take() == 2


def test_the_first_job_is_waited_for_before_anything_is_known_of_the_detector() -> None:
    """Whatever credits there are: a guess would let a picture grow old in the queue."""
    bench = Bench()
    bench.offer(0)
    assert bench.take() == 0
    bench.offer(1)
    assert bench.gate.try_take() == (None, None)
    bench.offer(2)
    bench.gate.detector_started()
    bench.clock.advance(20 * NS_PER_MS)
    bench.estimator.observe("detect", 20 * NS_PER_MS)
    bench.gate.detector_finished(0)
    assert bench.take() == 2


def test_a_picture_that_waited_for_the_model_is_superseded_afterwards() -> None:
    """The reason is the one that holds when it is pushed out; the end does not let it through before the warm-up."""
    bench = Bench(warm=False)
    bench.offer(0)
    bench.gate.warmed()
    bench.offer(1)
    assert bench.refused == [(0, Reason.SUPERSEDED)]
    cold = Bench(warm=False)
    cold.offer(0)
    cold.gate.end()
    assert cold.take() is None
    cold.gate.warmed()
    assert cold.take() == 0


@pytest.mark.parametrize("event", ["offer", "warmed", "release", "end", "close"])
def test_a_waiting_taker_is_woken(event: str) -> None:
    """By each thing that may change the decision, without the clock being turned."""
    bench = Bench(warm=event != "warmed", credit_limit=1)
    if event == "warmed":
        bench.offer(0)
    if event == "release":
        bench.offer(0)
        assert bench.take() == 0
        bench.offer(1)
    results: list[object] = []

    def wait() -> None:
        try:
            results.append(bench.gate.wait_take()[0].info.frame_id)
        except (LinkEnded, LinkClosed) as over:
            results.append(type(over))

    thread = threading.Thread(target=wait)
    thread.start()
    bench.clock.wait_for_waiters(1)
    if event == "offer":
        bench.offer(0)
    elif event == "release":
        bench.gate.release(0)
    else:
        getattr(bench.gate, event)()
    thread.join(GUARD_S)
    assert results == [{"offer": 0, "warmed": 0, "release": 1, "end": LinkEnded, "close": LinkClosed}[event]]


def test_it_is_said_how_long_a_picture_lay_in_the_mailbox() -> None:
    """From its offer, not from that of the one that it pushed out."""
    bench = Bench()
    bench.offer(0)
    bench.clock.advance(5 * NS_PER_MS)
    bench.offer(1)
    bench.clock.advance(7 * NS_PER_MS)
    envelope, wait_ns = bench.gate.wait_take()
    assert (envelope.info.frame_id, wait_ns) == (1, 7 * NS_PER_MS)


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


def test_nothing_is_admitted_while_paused() -> None:
    """Newer pictures throw older ones out for that reason; the newest waits, and is the first afterwards."""
    bench = Bench()
    bench.offer(0)
    bench.gate.pause()
    assert bench.take() is None
    bench.offer(1)
    bench.offer(2)
    assert bench.take() is None
    assert bench.refused == [(0, Reason.PAUSED), (1, Reason.PAUSED)]
    assert (bench.gate.paused, bench.gate.depth) == (True, 1)
    bench.gate.resume()
    assert bench.take() == 2
    assert (bench.gate.paused, bench.gate.depth) == (False, 0)


@pytest.mark.parametrize("first", ["pause", "end"])
def test_a_pause_does_not_outlast_the_stream(first: str) -> None:
    """The last picture is refused when nothing more comes, in whichever order that happens."""
    bench = Bench()
    bench.offer(0)
    for step in (bench.gate.pause, bench.gate.end) if first == "pause" else (bench.gate.end, bench.gate.pause):
        step()
    assert bench.refused == [(0, Reason.PAUSED)]
    with pytest.raises(LinkEnded):
        bench.gate.wait_take()


def test_a_frame_of_a_shorter_limit_has_a_smaller_margin() -> None:
    """After the limit was raised, frames from before are judged by their own."""
    bench = Bench()
    for name, run_ms in (("pre", 0), ("detect", 7), ("post", 0)):
        for _ in range(20):
            bench.estimator.observe(name, run_ms * NS_PER_MS)
    info = frame_info(0, captured_ns=0, limit_ns=12 * NS_PER_MS)
    bench.gate.offer(Envelope(info, "picture"))  # a margin of 6 ms would leave too little, a third of 12 does not
    assert bench.take() == 0
    assert bench.refused == []
