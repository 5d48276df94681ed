"""Answers to one sink."""

from __future__ import annotations

import threading

import pytest

from pipeline.clock import NS_PER_MS
from pipeline.delivery import Delivery
from pipeline.errors import Outage
from pipeline.frame import Answer, CaptureClock, Health, Heartbeat, Mode, Status
from pipeline.stage import Sink
from pipeline.testing import ManualClock, RecordingSink, frame_info


def answer(frame_id: int, *, due_ns: int | None = None) -> Answer:
    info = frame_info(frame_id, captured_ns=0, limit_ns=due_ns)
    return Answer(info, Status.FRESH, None, None, CaptureClock.FILE, None, None, None, None)


def delivered(sink: Sink, frame_ids: list[int], *, mode: Mode = Mode.LOSSLESS) -> Delivery:
    """Offer everything, then let the sink's thread run to the end, on this thread."""
    delivery = Delivery("sink", sink, mode=mode, clock=ManualClock())
    for frame_id in frame_ids:
        delivery.offer(answer(frame_id))
    delivery.link.end()
    delivery.run()
    return delivery


def test_the_gap_counts_frames_without_a_record() -> None:
    """From the frame before that this sink has, or from the first frame there ever was."""
    sink = RecordingSink()
    delivered(sink, [2, 3, 7])
    assert sink.gaps == [2, 0, 3]
    assert sink.closed == 1


def test_a_live_queue_drops_its_oldest() -> None:
    """A sink that does not keep up gets the newest, and the report counts what it skipped."""
    sink = RecordingSink()
    count = 2000
    delivery = delivered(sink, list(range(count)), mode=Mode.LIVE)
    kept = [one.info.frame_id for one in sink.answers]
    assert kept == list(range(count - len(kept), count))
    assert sink.gaps[0] == count - len(kept)
    assert delivery.report().skipped == count - len(kept)
    assert delivery.report().written == len(kept)


class Busy(RecordingSink):
    """Takes its time for each answer."""

    def __init__(self, clock: ManualClock, takes_ns: int) -> None:
        super().__init__()
        self._clock = clock
        self._takes_ns = takes_ns

    def write(self, answer: Answer, *, gap: int) -> None:
        super().write(answer, gap=gap)
        self._clock.advance(self._takes_ns)


def test_late_is_judged_when_the_sink_takes_an_answer() -> None:
    """An answer handed over in time may be late behind a slow write; the report has the wait."""
    clock = ManualClock()
    sink = Busy(clock, 40 * NS_PER_MS)
    delivery = Delivery("sink", sink, mode=Mode.LIVE, clock=clock)
    due_ns = clock.now_ns() + 100 * NS_PER_MS
    for frame_id in range(5):
        assert delivery.offer(answer(frame_id, due_ns=due_ns)) is not None
    delivery.link.end()
    delivery.run()
    report = delivery.report()
    assert (report.written, report.late, report.skipped) == (5, 2, 0)  # at 0, 40 and 80 ms, and at 120 and 160 ms
    assert report.wait_ms is not None
    assert report.wait_ms.max == 160
    assert delivered(RecordingSink(), [0, 1]).report().wait_ms is None


def test_an_answer_that_a_sink_did_not_write_is_not_late() -> None:
    """It is skipped."""
    clock = ManualClock()
    delivery = Delivery("sink", RecordingSink(fails_on=0), mode=Mode.LIVE, clock=clock)
    assert delivery.offer(answer(0, due_ns=clock.now_ns() + 1)) is not None
    clock.advance(2)
    delivery.link.end()
    delivery.run()
    assert (delivery.report().written, delivery.report().late, delivery.report().skipped) == (0, 0, 1)


def test_a_sink_that_fails_is_closed_and_the_queue_goes_on() -> None:
    """Nobody waits for it, and what it does not get counts as skipped."""
    sink = RecordingSink(fails_on=2)
    report = delivered(sink, [0, 1, 2, 3, 4]).report()
    assert (report.written, report.skipped) == (2, 3)
    assert report.failed == "no space left on the test's device"
    assert sink.closed >= 1


class BadStart(RecordingSink):
    """Cannot begin."""

    def begin(self) -> None:
        raise OSError("the disk is full already")


def test_a_sink_that_cannot_begin_has_failed() -> None:
    """Nothing is written to it."""
    sink = BadStart()
    report = delivered(sink, [0, 1]).report()
    assert (report.written, report.skipped, report.failed) == (0, 2, "the disk is full already")
    assert sink.answers == []


class BadEnd(RecordingSink):
    """Cannot be closed."""

    def close(self) -> None:
        raise OSError("lost on closing")


def test_a_sink_that_cannot_be_closed_has_failed() -> None:
    """What was written counts, but the report says that the end is missing."""
    report = delivered(BadEnd(), [0, 1]).report()
    assert report.written == 2
    assert report.failed is not None
    assert "lost on closing" in report.failed


def test_what_was_queued_when_the_queue_was_shut_is_skipped() -> None:
    """A stuck sink's rest is counted, also what comes after."""
    delivery = Delivery("sink", RecordingSink(), mode=Mode.LOSSLESS, clock=ManualClock())
    delivery.offer(answer(0))
    delivery.offer(answer(1))
    delivery.close()
    delivery.offer(answer(2))
    assert delivery.report().skipped == 3


def test_an_answer_is_taken_until_its_deadline() -> None:
    """Whoever offers it may have been kept from it since they looked at the clock. Heartbeats have no deadline."""
    clock, sink = ManualClock(), RecordingSink()
    delivery = Delivery("sink", sink, mode=Mode.LIVE, clock=clock)
    clock.advance(100)
    assert delivery.offer(answer(0, due_ns=100)) == 100
    clock.advance(1)
    assert delivery.offer(answer(1, due_ns=100)) is None
    assert delivery.offer(Heartbeat("test", Outage.SILENT, 0, 0, Health.BLIND)) == 101
    delivery.link.end()
    delivery.run()
    assert [one.info.frame_id for one in sink.answers] == [0]
    assert delivery.report().skipped == 0  # that is for the caller to say


def test_a_queue_that_is_shut_makes_nothing_late() -> None:
    """What is offered to it is skipped, whenever that is."""
    clock = ManualClock()
    delivery = Delivery("sink", RecordingSink(), mode=Mode.LIVE, clock=clock)
    delivery.close()
    clock.advance(101)
    assert delivery.offer(answer(0, due_ns=100)) == 100
    assert delivery.report().skipped == 1


@pytest.mark.parametrize("mode", [Mode.LIVE, Mode.LOSSLESS])
def test_a_blocked_sink_holds_up_only_a_lossless_run(mode: Mode) -> None:
    """Live: offers return at once. Lossless: the offer waits for room."""
    gate = threading.Event()
    clock = ManualClock()
    delivery = Delivery("sink", RecordingSink(gate=gate), mode=mode, clock=clock)
    thread = threading.Thread(target=delivery.run, daemon=True)
    thread.start()
    done = threading.Event()

    def offer_many() -> None:
        for frame_id in range(2000):
            delivery.offer(answer(frame_id))
        done.set()

    offering = threading.Thread(target=offer_many, daemon=True)
    offering.start()
    if mode is Mode.LIVE:
        assert done.wait(10)
    else:
        clock.wait_for_waiters(1)
        assert not done.is_set()
    gate.set()
    assert done.wait(10)
    delivery.link.end()
    thread.join(10)
    report = delivery.report()
    assert report.written + report.skipped == 2000
    assert (report.skipped == 0) is (mode is Mode.LOSSLESS)


class Exits(RecordingSink):
    """Ends its thread instead of writing."""

    def write(self, answer: Answer, *, gap: int) -> None:
        raise SystemExit(3)


def test_a_sink_that_exits_holds_nobody_up() -> None:
    """Its queue is emptied as after any other failure; a lossless run would wait for ever otherwise."""
    report = delivered(Exits(), [0, 1, 2]).report()
    assert (report.written, report.skipped, report.failed) == (0, 3, "SystemExit: 3")


class Uncounted(RecordingSink):
    """Has counters that do not work."""

    def statistics(self) -> dict[str, int]:
        raise KeyError("clients")


def test_counters_that_raise_harm_neither_delivery_nor_report() -> None:
    """The details are empty, the rest is there."""
    whole = delivered(Uncounted(), [0, 1]).report()
    assert (whole.written, whole.failed, whole.details) == (2, None, {})
    broken = delivered(Uncounted(fails_on=1), [0, 1, 2]).report()
    assert (broken.written, broken.skipped, broken.details) == (1, 2, {})


class Speechless(RecordingSink):
    """Fails without a word."""

    def write(self, answer: Answer, *, gap: int) -> None:
        raise OSError


def test_a_failure_without_a_text_has_its_name() -> None:
    """A reader who asks whether `failed` is empty is not misled."""
    assert delivered(Speechless(), [0]).report().failed == "OSError: "


def test_a_full_queue_that_gives_way_takes_no_more() -> None:
    """One with room is left as it is."""
    full, roomy = (Delivery("sink", RecordingSink(), mode=Mode.LOSSLESS, clock=ManualClock()) for _ in range(2))
    for frame_id in range(256):
        full.offer(answer(frame_id))
    for delivery in (full, roomy):
        delivery.give_way()
        delivery.offer(answer(256))
        delivery.link.end()
        delivery.run()
    assert (full.report().written, full.report().skipped) == (256, 1)
    assert (roomy.report().written, roomy.report().skipped) == (1, 0)


class Beating(RecordingSink):
    """Keeps the heartbeats too."""

    def __init__(self) -> None:
        super().__init__()
        self.beats: list[Heartbeat] = []

    def beat(self, heartbeat: Heartbeat) -> None:
        self.beats.append(heartbeat)


def test_a_heartbeat_is_no_answer() -> None:
    """It is handed on in its place, and counts neither as written nor as skipped."""
    sink = Beating()
    delivery = Delivery("sink", sink, mode=Mode.LIVE, clock=ManualClock())
    beat = Heartbeat("cam", Outage.SILENT, 0, 0, Health.BLIND)
    delivery.offer(answer(0))
    delivery.offer(beat)
    delivery.link.end()
    delivery.run()
    delivery.offer(beat)
    assert sink.beats == [beat]
    assert (delivery.report().written, delivery.report().skipped) == (1, 0)
