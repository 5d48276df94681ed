"""One execution of a plan."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from pipeline.clock import NS_PER_MS, RealClock
from pipeline.errors import SinkOpenError, SourceOpenError, StageFailed, StageOpenError, StreamLost
from pipeline.feed import Backoff
from pipeline.frame import Answer, Mode, Reason, Status
from pipeline.graph import Graph
from pipeline.run import CLOSE_NS, SINK_STOP_NS, WORK_STOP_NS, Run, RunSettings
from pipeline.stage import OpenContext, Sample, Sink, Source, Stage
from pipeline.testing import NumberSource, PassDecoder, PassDetector, PassStage, RecordingSink, SnapshotStage

FAST = Backoff(NS_PER_MS, 5 * NS_PER_MS)


def make_run(
    source: Source,
    *,
    stages: Sequence[tuple[str, Stage]] = (),
    sinks: Sequence[tuple[str, Sink]] = (),
    decoder: PassDecoder | None = None,
    retry_start: bool = False,
    workers: int = 1,
) -> Run:
    mode = Mode.LIVE if source.live else Mode.LOSSLESS
    chosen = stages or [("detect", PassDetector()), ("track", SnapshotStage())]
    plan = Graph.chain(source, decoder, chosen, sinks).check(mode)
    settings = RunSettings("test", mode, cores=1, retry_start=retry_start, backoff=FAST, workers=workers)
    return Run(plan, settings)


def live_source(count: int, *, lost_at: Sequence[int] = ()) -> NumberSource:
    return NumberSource(count, period_ns=5 * NS_PER_MS, clock=RealClock(), lost_at=lost_at)


def framepace_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("framepace")]


class Closed(PassStage):
    """Cannot be opened."""

    def open(self, context: OpenContext) -> None:
        raise StageOpenError("model.onnx", "is no model")


class ClosedSink(RecordingSink):
    """Cannot be opened."""

    def open(self, context: OpenContext) -> None:
        raise SinkOpenError("/nowhere", "does not exist")


class Away(NumberSource):
    """Not there for a while."""

    def __init__(self, attempts: int) -> None:
        super().__init__(3, clock=RealClock(), period_ns=NS_PER_MS)
        self._attempts = attempts
        self.tried = 0

    def open(self, context: OpenContext) -> None:
        self.tried += 1
        if self.tried <= self._attempts:
            raise SourceOpenError("cam", "connection refused")
        super().open(context)


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


@pytest.mark.parametrize(
    ("part", "error"),
    [("stage", StageOpenError), ("sink", SinkOpenError), ("source", SourceOpenError)],
)
def test_what_cannot_be_opened(part: str, error: type[Exception]) -> None:
    """Its error comes out of start, everything opened before is closed again, nothing was written."""
    good_stage, good_sink = PassDetector(), RecordingSink()
    stages: list[tuple[str, Stage]] = [("detect", good_stage)]
    sinks: list[tuple[str, Sink]] = [("sink good", good_sink)]
    source: Source = NumberSource(3)
    if part == "stage":
        stages.insert(0, ("closed", Closed()))
    elif part == "sink":
        sinks.append(("sink closed", ClosedSink()))
    else:
        source = Away(1)
    run = make_run(source, stages=stages, sinks=sinks)
    with pytest.raises(error):
        run.start()
    assert good_stage.opened == good_stage.closed == 1
    assert good_sink.opened == good_sink.closed
    assert good_sink.answers == []
    if part != "sink":
        assert good_sink.opened == 0  # sinks come last
    assert framepace_threads() == []


def test_a_source_that_comes_later() -> None:
    """With retry_start it is waited for."""
    source = Away(3)
    run = make_run(source, retry_start=True)
    run.start()
    assert run.join().frames.captured == 3
    assert source.tried == 4


def test_a_stage_that_cannot_be_opened_ends_the_wait_for_a_source() -> None:
    """A wrong model is reported at once, although the camera is away and would be waited for."""
    run = make_run(Away(10**9), stages=[("closed", Closed()), ("detect", PassDetector())], retry_start=True)
    with pytest.raises(StageOpenError, match="is no model"):
        run.start()
    assert framepace_threads() == []


def test_a_stop_while_sinks_are_opened_closes_them() -> None:
    """Whatever was opened is closed once, also when no thread was ever started for it."""
    first, stage = RecordingSink(), PassDetector()

    class Stopping(RecordingSink):
        """Somebody presses Ctrl-C while it opens."""

        def open(self, context: OpenContext) -> None:
            super().open(context)
            run.stop()

    second = Stopping()
    run = make_run(NumberSource(3), stages=[("detect", stage)], sinks=[("sink a", first), ("sink b", second)])
    run.start()
    report = run.finish()
    assert report.frames.captured == 0
    assert [(part.opened, part.closed) for part in (first, second, stage)] == [(1, 1)] * 3


def test_a_source_that_opens_too_late_is_closed_again() -> None:
    """The run was over before it began; the source is not left open, nor closed before it was opened."""
    may_open, closed = threading.Event(), threading.Event()

    class Slow(NumberSource):
        """Opens when the test says so."""

        def open(self, context: OpenContext) -> None:
            may_open.wait(30)
            super().open(context)

        def close(self) -> None:
            super().close()
            closed.set()

    source = Slow(3)
    run = make_run(source)
    run.start(cancelled=lambda: True)
    report = run.finish()
    assert report.stuck == ["framepace open source"]
    assert source.closed == 0
    may_open.set()
    assert closed.wait(10)
    assert (source.opened, source.closed) == (1, 1)


def test_the_steps_of_a_stop_add_up_to_less_than_is_stated() -> None:
    """Work, sinks, and twice closing, with some room for what lies between."""
    assert WORK_STOP_NS + SINK_STOP_NS + 2 * CLOSE_NS <= 1_900 * NS_PER_MS


def test_waiting_for_a_source_can_be_cancelled() -> None:
    """The run is over before it began, and the report says that nothing happened."""
    sink = RecordingSink()
    run = make_run(Away(10**9), sinks=[("sink", sink)], retry_start=True)
    run.start(cancelled=lambda: True)
    report = run.finish()
    assert report.frames.captured == 0
    assert report.balanced
    assert sink.opened == 0
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
    sink = RecordingSink()
    stages: list[tuple[str, Stage]] = [("detect", PassDetector(raises_on=[3])), ("track", SnapshotStage())]
    run = make_run(live_source(12), stages=stages, sinks=[("sink", sink)])
    run.start()
    report = run.join()
    assert report.reasons[Reason.FAILED] == 1
    assert report.failure is None
    by_id = {answer.info.frame_id: answer for answer in sink.answers}
    assert by_id[3].reason is Reason.FAILED
    assert by_id[11].status is Status.FRESH


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


def test_a_stopped_run_abandons_what_is_inside() -> None:
    """The books still balance, and the sinks have what was answered."""
    sink = RecordingSink()
    seen = threading.Event()

    def note(answer: Answer) -> None:
        if answer.info.frame_id == 5:
            seen.set()

    source = live_source(10_000)
    plan = Graph.chain(source, None, [("detect", PassDetector())], [("sink", sink)]).check(Mode.LIVE)
    run = Run(plan, RunSettings("test", Mode.LIVE, cores=1), on_answer=note)
    run.start()
    assert seen.wait(10)
    run.stop()
    report = run.finish()
    assert report.balanced
    frames = report.frames
    assert frames.captured < 10_000
    assert len(sink.answers) == frames.fresh + frames.forecast + frames.blind
    assert framepace_threads() == []


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
