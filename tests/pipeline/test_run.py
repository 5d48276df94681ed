"""One execution of a plan."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import ClassVar

import pytest

from pipeline.assembly import RunSettings
from pipeline.clock import NS_PER_MS, NS_PER_S, Clock, RealClock
from pipeline.errors import SourceOpenError, StageFailed, StreamLost
from pipeline.feed import Backoff
from pipeline.frame import Answer, CaptureClock, FrameInfo, Heartbeat, Mode, Reason, Status
from pipeline.graph import Graph
from pipeline.run import CLOSE_NS, SINK_STOP_NS, WORK_STOP_NS, Run
from pipeline.stage import Decoded, OpenContext, Sample, Sink, Source, Stage
from pipeline.testing import NumberSource, PassDecoder, PassDetector, RecordingSink, SnapshotStage

FAST = Backoff(NS_PER_MS, 5 * NS_PER_MS)
DEADLINE_NS = NS_PER_S
"""No test here is about deadlines: a busy machine shall not miss any."""


def make_run(
    source: Source,
    *,
    stages: Sequence[tuple[str, Stage]] = (),
    sinks: Sequence[tuple[str, Sink]] = (),
    decoder: PassDecoder | None = None,
    on_answer: Callable[[Answer], None] | None = None,
    clock: Clock | None = None,
) -> Run:
    mode = Mode.LIVE if source.live else Mode.LOSSLESS
    chosen = stages or [("detect", PassDetector()), ("track", SnapshotStage())]
    plan = Graph.chain(source, decoder, chosen, sinks).check(mode)
    settings = RunSettings("test", mode, cores=1, deadline_ns=DEADLINE_NS, backoff=FAST)
    return Run(plan, settings, on_answer=on_answer, clock=clock)


def live_source(count: int, *, lost_at: Sequence[int] = ()) -> NumberSource:
    return NumberSource(count, period_ns=5 * NS_PER_MS, clock=RealClock(), lost_at=lost_at)


def framepace_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("framepace")]


class Broken(NumberSource):
    """Raises in the middle."""

    def read(self) -> Sample | None:
        if self._next == 5:
            raise ZeroDivisionError("a defect in the source")
        return super().read()


@pytest.mark.parametrize("mode", list(Mode), ids=str)
def test_every_answer_reaches_every_sink(mode: Mode) -> None:
    """In order, with the books balanced, and no thread left behind."""
    sinks = [RecordingSink(), RecordingSink()]
    source = live_source(20) if mode is Mode.LIVE else NumberSource(20)
    run = make_run(source, sinks=[("sink a", sinks[0]), ("sink b", sinks[1])], decoder=PassDecoder())
    run.start()
    report = run.join()
    assert report.balanced
    assert report.frames.captured == 20
    assert report.frames.missed == 0
    for sink in sinks:
        assert [answer.info.frame_id for answer in sink.answers] == list(range(20))
        assert (sink.opened, sink.closed) == (1, 1)
    assert (source.opened, source.closed) == (1, 1)
    assert framepace_threads() == []


def test_finish_and_stop_can_be_called_again() -> None:
    """The second time nothing happens."""
    run = make_run(NumberSource(3))
    run.start()
    run.join()
    first = run.finish()
    run.stop()
    assert run.finish() == first


def test_a_run_starts_once() -> None:
    """Its counts and parts are those of one execution, so a second start is refused and harms nothing."""
    source = NumberSource(3)
    run = make_run(source)
    run.start()
    with pytest.raises(RuntimeError, match="once"):
        run.start()
    assert run.join().frames.fresh == 3
    assert source.opened == source.closed == 1


def test_a_run_that_was_never_started_can_be_finished() -> None:
    """There is nothing to close, and the books are empty."""
    source, sink = NumberSource(3), RecordingSink()
    run = make_run(source, sinks=[("sink", sink)])
    run.stop()
    report = run.finish()
    assert (report.frames.captured, report.balanced, report.stuck) == (0, True, [])
    assert source.closed == sink.closed == 0


@pytest.mark.parametrize("mode", list(Mode), ids=str)
def test_every_answer_is_told_before_the_sinks_have_it(mode: Mode) -> None:
    """In order, one at a time."""
    told: list[int] = []
    order: list[bool] = []

    class Comparing(RecordingSink):
        def write(self, answer: Answer, *, gap: int) -> None:
            order.append(answer.info.frame_id in told)

    source = live_source(20) if mode is Mode.LIVE else NumberSource(20)
    run = make_run(source, sinks=[("sink", Comparing())], on_answer=lambda answer: told.append(answer.info.frame_id))
    run.start()
    run.join()
    assert told == list(range(20))
    assert order == [True] * 20


class JumpingClock(RealClock):
    """Real time, until the whole machine stands still for ten seconds."""

    ahead_ns = 0

    def now_ns(self) -> int:
        return super().now_ns() + self.ahead_ns

    def jump(self) -> None:
        self.ahead_ns += 10 * NS_PER_S


def test_an_answer_kept_up_on_its_way_to_the_sinks_is_missed() -> None:
    """It was in time when it was made, but not when the sinks would have had it: they do not, and none skipped it."""
    clock, sinks = JumpingClock(), [RecordingSink(), RecordingSink()]

    def jump(answer: Answer) -> None:
        if answer.info.frame_id == 5:
            clock.jump()

    source = NumberSource(20, period_ns=5 * NS_PER_MS, clock=clock)
    run = make_run(source, sinks=[("a", sinks[0]), ("b", sinks[1])], on_answer=jump, clock=clock)
    run.start()
    report = run.join()
    for sink in sinks:
        frame_ids = [answer.info.frame_id for answer in sink.answers]
        assert 5 not in frame_ids
        assert frame_ids[-1] > 5
        assert len(frame_ids) == report.frames.captured - report.frames.missed
    assert (report.balanced, report.published_late) == (True, 0)
    assert [sink.skipped for sink in report.sinks.values()] == [0, 0]


def test_a_sink_that_would_have_an_answer_late_skips_it() -> None:
    """The frame counts as answered, since another sink had it in time."""
    clock, sinks = JumpingClock(), [RecordingSink(), RecordingSink()]
    source = NumberSource(20, period_ns=5 * NS_PER_MS, clock=clock)
    run = make_run(source, sinks=[("a", sinks[0]), ("b", sinks[1])], clock=clock)
    first = run._deliveries[0]
    offer = first.offer

    def offer_and_jump(answer: Answer | Heartbeat) -> int | None:
        given_ns = offer(answer)
        if isinstance(answer, Answer) and answer.info.frame_id == 5:
            clock.jump()
        return given_ns

    first.offer = offer_and_jump  # type: ignore[method-assign]
    run.start()
    report = run.join()
    had, skipping = ([answer.info.frame_id for answer in sink.answers] for sink in sinks)
    assert 5 in had
    assert skipping == [frame_id for frame_id in had if frame_id != 5]
    assert sinks[1].gaps[skipping.index(next(frame_id for frame_id in skipping if frame_id > 5))] >= 1
    assert (report.balanced, report.published_late) == (True, 0)
    assert [report.sinks[name].skipped for name in "ab"] == [0, 1]


@pytest.mark.parametrize("mode", list(Mode), ids=str)
def test_a_listener_that_raises_ends_the_run(mode: Mode) -> None:
    """Its error comes out of join; the books balance, and the sinks have what was answered before."""

    def refuse(answer: Answer) -> None:
        if answer.info.frame_id == 3:
            raise KeyError("a defect in the listener")

    sink = RecordingSink()
    source = live_source(10**6) if mode is Mode.LIVE else NumberSource(10**6)
    run = make_run(source, sinks=[("sink", sink)], on_answer=refuse)
    run.start()
    with pytest.raises(KeyError):
        run.join()
    report = run.report()
    assert report.balanced
    assert report.frames.abandoned >= 1
    assert [answer.info.frame_id for answer in sink.answers] == [0, 1, 2]
    assert framepace_threads() == []


@pytest.mark.parametrize("mode", list(Mode), ids=str)
def test_a_stage_that_leaves_its_thread_ends_the_run(mode: Mode) -> None:
    """What is no Exception is not answered as a failed frame; nobody waits for a thread that is gone."""

    class Exits(PassDetector):
        def process(self, payload: object, info: FrameInfo) -> object | None:
            raise SystemExit(3)

    source = live_source(10**6) if mode is Mode.LIVE else NumberSource(10**6)
    run = make_run(source, stages=[("detect", Exits())])
    run.start()
    with pytest.raises(SystemExit):
        run.join()
    assert run.report().balanced
    assert run.report().failure == "SystemExit: 3"


def test_a_model_that_cannot_be_warmed_ends_a_live_run() -> None:
    """It happens on the stage's own thread, and comes out of join."""

    class Cold(PassDetector):
        def warm(self) -> None:
            raise MemoryError("the model does not fit")

    run = make_run(live_source(10**6), stages=[("detect", Cold())])
    run.start()
    with pytest.raises(MemoryError):
        run.join()
    assert run.report().balanced


def test_the_first_failure_wins() -> None:
    """What fails because of it, or after it, does not take its place."""

    class FailsAtTheEnd(PassDecoder):
        """Is flushed when the source has ended, so its error is the second one."""

        def flush(self) -> Sequence[Decoded]:
            raise OverflowError("second")

    run = make_run(Broken(20), decoder=FailsAtTheEnd())
    run.start()
    with pytest.raises(ZeroDivisionError):
        run.join()
    assert run.report().balanced


def test_the_steps_of_a_stop_add_up_to_less_than_is_stated() -> None:
    """Work, sinks, and twice closing, with some room for what lies between."""
    assert WORK_STOP_NS + SINK_STOP_NS + 2 * CLOSE_NS <= 1_900 * NS_PER_MS


def test_a_stop_ends_the_search_for_a_lost_source() -> None:
    """That is no failure, and every frame that was captured has its fate."""
    searching = threading.Event()

    class Gone(NumberSource):
        """Is lost at frame 5, and never comes back."""

        def open(self, context: OpenContext) -> None:
            if self.opened:
                searching.set()
                raise SourceOpenError("cam", "no route to host")
            super().open(context)

    sink = RecordingSink()
    source = Gone(100, period_ns=5 * NS_PER_MS, clock=RealClock(), lost_at=[5])
    run = make_run(source, sinks=[("sink", sink)])
    run.start()
    assert searching.wait(10)
    assert not run.wait(0)  # a camera that is away does not end the run
    run.stop()
    report = run.finish()
    assert (report.failure, report.stuck, report.source.reconnects) == (None, [], 0)
    assert report.frames.captured == 5
    assert report.balanced
    assert framepace_threads() == []


def test_a_lost_source_is_opened_again() -> None:
    """Frame numbers go on, and the report counts."""
    sink = RecordingSink()
    source = live_source(30, lost_at=[10, 20])
    run = make_run(source, sinks=[("sink", sink)])
    run.start()
    report = run.join()
    assert report.source.reconnects == 2
    assert source.opened == 3
    assert report.frames.captured == 30
    assert report.balanced
    assert [answer.info.frame_id for answer in sink.answers] == list(range(30))


def test_a_source_with_a_defect_ends_the_run() -> None:
    """What was read before is answered and written, the error comes out of join, and stands in the report."""
    sink = RecordingSink()
    run = make_run(Broken(20), sinks=[("sink", sink)])
    run.start()
    with pytest.raises(ZeroDivisionError, match="a defect in the source"):
        run.join()
    report = run.report()
    assert report.failure == "ZeroDivisionError: a defect in the source"
    assert report.balanced
    assert report.frames.abandoned == 0
    assert [answer.info.frame_id for answer in sink.answers] == list(range(5))


def test_a_stage_that_raises_in_live_mode_costs_its_frame_only() -> None:
    """That frame says failed, the next ones are fresh."""

    class Stumbling(PassDetector):
        """Raises on the third frame that it gets, whichever that is."""

        got: ClassVar[list[int]] = []

        def process(self, payload: object, info: FrameInfo) -> object:
            self.got.append(info.frame_id)
            if len(self.got) == 3:
                raise ZeroDivisionError("a defect in the detector")
            return super().process(payload, info)

    sink = RecordingSink()
    stages: list[tuple[str, Stage]] = [("detect", Stumbling()), ("track", SnapshotStage())]
    run = make_run(live_source(30), stages=stages, sinks=[("sink", sink)])
    run.start()
    report = run.join()
    assert report.reasons[Reason.FAILED] == 1
    assert report.failure is None
    by_id = {answer.info.frame_id: answer for answer in sink.answers}
    assert by_id[Stumbling.got[2]].reason is Reason.FAILED
    assert {by_id[frame_id].status for frame_id in Stumbling.got[3:]} == {Status.FRESH}


def test_a_sink_that_fails_leaves_the_others_alone() -> None:
    """It is named in the report."""
    good, bad = RecordingSink(), RecordingSink(fails_on=4)
    run = make_run(NumberSource(10), sinks=[("sink good", good), ("sink bad", bad)])
    run.start()
    report = run.join()
    assert len(good.answers) == 10
    assert report.sinks["sink bad"].failed == "no space left on the test's device"
    assert (report.sinks["sink bad"].written, report.sinks["sink bad"].skipped) == (4, 6)


@pytest.mark.parametrize("mode", list(Mode), ids=str)
def test_a_run_that_nobody_hears_ends(mode: Mode) -> None:
    """When the last sink has failed there is no use in going on."""
    source = live_source(10**6) if mode is Mode.LIVE else NumberSource(10**6)
    sinks = [("sink a", RecordingSink(fails_on=3)), ("sink b", RecordingSink(fails_on=9))]
    run = make_run(source, sinks=sinks)
    run.start()
    report = run.join()
    assert report.frames.captured < 10**6
    assert report.balanced
    assert all(sink.failed for sink in report.sinks.values())


@pytest.mark.parametrize("mode", list(Mode), ids=str)
def test_a_stopped_run_abandons_what_is_inside(mode: Mode) -> None:
    """The books still balance, and the sinks have exactly what was answered."""
    sink, seen = RecordingSink(), threading.Event()

    def note(answer: Answer) -> None:
        if answer.info.frame_id == 5:
            seen.set()

    source = live_source(10**6) if mode is Mode.LIVE else NumberSource(10**6)
    stages: list[tuple[str, Stage]] = [("detect", PassDetector(service_ns=15 * NS_PER_MS, clock=RealClock()))]
    run = make_run(source, stages=stages, sinks=[("sink", sink)], on_answer=note)
    run.start()
    assert seen.wait(10)
    run.stop()
    report = run.finish()
    assert report.balanced
    frames = report.frames
    assert frames.captured < 10**6
    assert frames.abandoned > 0
    assert (frames.missed, frames.undecodable, report.published_late) == (0, 0, 0)
    answered = frames.fresh + frames.forecast + frames.blind
    assert [answer.info.frame_id for answer in sink.answers] == list(range(answered))
    assert (report.failure, report.stuck) == (None, [])
    assert framepace_threads() == []


@pytest.mark.parametrize("mode", list(Mode), ids=str)
def test_what_was_read_and_had_no_number_yet_is_abandoned_too(mode: Mode) -> None:
    """A frame that waits for others to be presented before it was captured all the same."""
    reading_on, may_end = threading.Event(), threading.Event()

    class AheadOfItsTime(NumberSource):
        """Its only frame is presented long after it is decoded; then nothing comes for a while."""

        def read(self) -> Sample | None:
            if self._next:
                reading_on.set()
                may_end.wait(20)
                return None
            self._next += 1
            return Sample(0, 10**9, 0, None, CaptureClock.ARRIVAL if self.live else CaptureClock.FILE)

    class Holding(PassDecoder):
        def decode(self, payload: object, ticket: int) -> Sequence[Decoded]:
            return ()

    source = AheadOfItsTime(2, clock=RealClock() if mode is Mode.LIVE else None)
    run = make_run(source, decoder=Holding())
    run.start()
    assert reading_on.wait(10)
    assert run.report().frames.captured == 0
    run.stop()
    may_end.set()
    report = run.finish()
    assert (report.frames.captured, report.frames.abandoned) == (1, 1)
    assert report.balanced


def test_the_report_while_it_runs_counts_what_is_open() -> None:
    """It can be asked at any time; only a finished one must balance."""
    run = make_run(live_source(50))
    run.start()
    early = run.report()
    assert early.frames.captured <= 50
    final = run.join()
    assert final.balanced
    assert final.duration_s >= early.duration_s


def test_a_stage_that_raises_in_lossless_mode_is_a_failure_that_keeps_the_rest() -> None:
    """Every frame is still answered, that one as failed; the run's failure names stage and frame."""
    sink = RecordingSink()
    stages: list[tuple[str, Stage]] = [("detect", PassDetector(raises_on=[7])), ("track", SnapshotStage())]
    run = make_run(NumberSource(20), stages=stages, sinks=[("sink", sink)])
    run.start()
    report = run.join()
    assert report.balanced
    assert isinstance(run.failure, StageFailed)
    assert "stage detect failed on frame 7" in str(report.failure)
    assert [answer.info.frame_id for answer in sink.answers] == list(range(20))
    assert [answer.info.frame_id for answer in sink.answers if answer.reason is Reason.FAILED] == [7]


def test_stream_lost_is_no_failure_in_the_middle_of_a_stop() -> None:
    """A source that breaks because it is being closed does not make the run fail."""

    class BreaksOnClose(NumberSource):
        def read(self) -> Sample | None:
            if self._next == 3:
                raise StreamLost("closed by us")
            return super().read()

    run = make_run(BreaksOnClose(100, clock=RealClock(), period_ns=NS_PER_MS))
    run.start()
    run.stop()
    assert run.finish().failure is None
