"""Stop takes 2 s at most, whatever is stuck. On the real clock; the bound asserted leaves room for a busy machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from pipeline.assembly import RunSettings
from pipeline.clock import NS_PER_MS, RealClock
from pipeline.frame import Answer, FrameInfo, Mode
from pipeline.graph import Graph
from pipeline.run import Run
from pipeline.stage import Decoded, Sample
from pipeline.testing import NumberSource, PassDecoder, PassDetector, RecordingSink, SnapshotStage

STATED_S = 2.0
SLACK_S = 1.5
STUCK_FRAME = 3


class Trap:
    """Holds whoever steps into it, until the test is over."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self._released = threading.Event()

    def hold(self) -> None:
        self.entered.set()
        self._released.wait(60)

    def release(self) -> None:
        self._released.set()


@pytest.fixture
def trap() -> Iterator[Trap]:
    """A trap that lets go at the end."""
    trap = Trap()
    yield trap
    trap.release()


def parts(stuck: str, trap: Trap, mode: Mode) -> tuple[NumberSource, PassDecoder, PassDetector, RecordingSink]:
    """Return the parts of a run, one of which steps into the trap."""

    class StuckSource(NumberSource):
        def read(self) -> Sample | None:
            if stuck == "capture" and self._next == STUCK_FRAME:
                trap.hold()
            return super().read()

        def close(self) -> None:
            if stuck == "source close":
                trap.hold()
            super().close()

    class StuckDecoder(PassDecoder):
        def decode(self, payload: object, ticket: int) -> Sequence[Decoded]:
            if stuck == "decode" and payload == STUCK_FRAME:
                trap.hold()
            return super().decode(payload, ticket)

    class StuckDetector(PassDetector):
        def process(self, payload: object, info: FrameInfo) -> object | None:
            if stuck == "detect" and info.frame_id == STUCK_FRAME:
                trap.hold()
            return super().process(payload, info)

    class StuckSink(RecordingSink):
        def write(self, answer: Answer, *, gap: int) -> None:
            if stuck == "sink stuck" and answer.info.frame_id == STUCK_FRAME:
                trap.hold()
            super().write(answer, gap=gap)

        def close(self) -> None:
            if stuck == "sink close":
                trap.hold()
            super().close()

    clock = RealClock() if mode is Mode.LIVE else None
    source = StuckSource(10_000, period_ns=5 * NS_PER_MS, clock=clock)
    return source, StuckDecoder(), StuckDetector(), StuckSink()


@pytest.mark.parametrize("mode", list(Mode), ids=str)
@pytest.mark.parametrize("stuck", ["capture", "decode", "detect", "sink stuck", "sink close", "source close"])
def test_stop_is_bounded(stuck: str, mode: Mode, trap: Trap) -> None:
    """The stuck part is named, the books balance, and the other sink has every answer that was given."""
    source, decoder, detector, sink = parts(stuck, trap, mode)
    other = RecordingSink()
    stages = [("detect", detector), ("track", SnapshotStage())]
    plan = Graph.chain(source, decoder, stages, [("sink stuck", sink), ("sink other", other)]).check(mode)
    answered = threading.Event()

    def note(answer: Answer) -> None:
        if answer.info.frame_id >= STUCK_FRAME - 1:
            answered.set()

    run = Run(plan, RunSettings("test", mode, cores=1), on_answer=note)
    run.start()
    assert answered.wait(20)
    if "close" not in stuck:
        assert trap.entered.wait(20)
    took_s = timed(lambda: (run.stop(), run.finish()))
    report = run.report()
    assert took_s < STATED_S + SLACK_S
    assert report.balanced
    thread = {"sink close": "sink stuck", "source close": "close"}.get(stuck, stuck)
    assert [name.startswith(f"framepace {thread}") for name in report.stuck] == [True]
    frames = report.frames
    assert len(other.answers) == frames.fresh + frames.forecast + frames.blind
    assert report.published_late == 0


@pytest.mark.parametrize("mode", list(Mode), ids=str)
def test_stop_is_bounded_when_everything_is_stuck(mode: Mode, trap: Trap) -> None:
    """Stage, sink and source together take no longer than the stated time; a part in use is not closed."""
    sink_holds, detector_holds = threading.Event(), threading.Event()

    class StuckSink(RecordingSink):
        def write(self, answer: Answer, *, gap: int) -> None:
            sink_holds.set()
            trap.hold()

    class StuckDetector(PassDetector):
        def process(self, payload: object, info: FrameInfo) -> object | None:
            if info.frame_id:
                detector_holds.set()
                trap.hold()
            return payload

    class StuckSource(NumberSource):
        def close(self) -> None:
            trap.hold()

    clock = RealClock() if mode is Mode.LIVE else None
    source = StuckSource(10_000, period_ns=5 * NS_PER_MS, clock=clock)
    detector = StuckDetector()
    plan = Graph.chain(source, None, [("detect", detector)], [("sink", StuckSink())]).check(mode)
    run = Run(plan, RunSettings("test", mode, cores=1))
    run.start()
    assert sink_holds.wait(20)
    assert detector_holds.wait(20)
    took_s = timed(lambda: (run.stop(), run.finish()))
    report = run.report()
    assert took_s < STATED_S + SLACK_S
    assert report.balanced
    assert report.stuck == ["framepace detect", "framepace sink", "framepace close"]
    assert detector.closed == 0


def test_a_stuck_sink_costs_the_others_nothing(trap: Trap) -> None:
    """Lossless, its queue is full and the publisher waits for it: the answer in hand still goes to the other."""

    class StuckSink(RecordingSink):
        def write(self, answer: Answer, *, gap: int) -> None:
            trap.hold()

    blocked, other = threading.Event(), RecordingSink()
    sinks = [("sink stuck", StuckSink()), ("sink other", other)]
    plan = Graph.chain(NumberSource(10_000), None, [("detect", PassDetector())], sinks).check(Mode.LOSSLESS)

    def note(answer: Answer) -> None:
        if answer.info.frame_id == 257:  # one is being written, 256 are queued: this one waits for room
            blocked.set()

    run = Run(plan, RunSettings("test", Mode.LOSSLESS, cores=1), on_answer=note)
    run.start()
    assert blocked.wait(20)
    took_s = timed(lambda: (run.stop(), run.finish()))
    report = run.report()
    assert took_s < STATED_S + SLACK_S
    assert report.balanced
    assert report.stuck == ["framepace sink stuck"]
    assert report.frames.fresh == 258
    assert [answer.info.frame_id for answer in other.answers] == list(range(258))
    assert report.sinks["sink other"].skipped == 0
    assert report.sinks["sink stuck"].skipped == 257


def timed(work: Callable[[], object]) -> float:
    start_s = time.monotonic()
    work()
    return time.monotonic() - start_s
