"""Opening the parts of a run, and closing them again."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.assembly import RunSettings
from pipeline.clock import NS_PER_MS, RealClock
from pipeline.errors import SinkOpenError, SourceOpenError, StageOpenError
from pipeline.feed import Backoff
from pipeline.frame import Answer, Mode
from pipeline.graph import Graph
from pipeline.observe import Observed, Observer
from pipeline.run import Run
from pipeline.stage import OpenContext, Sink, Source, Stage
from pipeline.testing import NumberSource, PassDetector, PassStage, RecordingSink


def make_run(
    source: Source,
    *,
    stages: Sequence[tuple[str, Stage]] = (),
    sinks: Sequence[tuple[str, Sink]] = (),
    retry_start: bool = False,
    timings: Path | None = None,
) -> Run:
    mode = Mode.LIVE if source.live else Mode.LOSSLESS
    plan = Graph.chain(source, None, stages or [("detect", PassDetector())], sinks).check(mode)
    backoff = Backoff(NS_PER_MS, 5 * NS_PER_MS)
    return Run(plan, RunSettings("test", mode, cores=1, retry_start=retry_start, backoff=backoff, timings=timings))


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


def test_a_stop_before_the_start_holds() -> None:
    """Nothing is read or written, and what was opened is closed."""
    source, sink = NumberSource(3), RecordingSink()
    run = make_run(source, sinks=[("sink", sink)])
    run.stop()
    run.start()
    report = run.finish()
    assert report.frames.captured == 0
    assert source.opened == source.closed
    assert sink.opened == sink.closed == 0
    assert framepace_threads() == []


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


@pytest.mark.parametrize("recorded", [False, True], ids=["alone", "recorded"])
def test_a_stop_while_sinks_are_opened_closes_them(tmp_path: Path, *, recorded: bool) -> None:
    """Whatever was opened is closed once, also when no thread was ever started for it but that of the recorder."""
    first, stage = RecordingSink(), PassDetector()

    class Stopping(RecordingSink):
        """Somebody presses Ctrl-C while it opens."""

        def open(self, context: OpenContext) -> None:
            super().open(context)
            run.stop()

    second = Stopping()
    run = make_run(
        NumberSource(3, clock=RealClock()),
        stages=[("detect", stage)],
        sinks=[("sink a", first), ("sink b", second)],
        timings=tmp_path / "timings.jsonl" if recorded else None,
    )
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


def test_nobody_looks_for_a_source_when_the_start_was_interrupted() -> None:
    """What was asked while the source was waited for may raise, as Ctrl-C does."""

    def interrupted() -> bool:
        raise KeyboardInterrupt

    source = Away(10**9)
    run = make_run(source, retry_start=True)
    with pytest.raises(KeyboardInterrupt):
        run.start(cancelled=interrupted)
    for thread in threading.enumerate():
        if thread.name.startswith("framepace"):
            thread.join(10)
    assert framepace_threads() == []


class Onlooker(Observer):
    """Notes what is open when it is opened; can be unable to open."""

    def __init__(self, source: NumberSource, stage: PassStage, sink: RecordingSink, *, fails: bool = False) -> None:
        self._others = (source, stage, sink)
        self._fails = fails
        self.open_before: list[int] = []
        self.closed = 0

    def attach(self, run: Observed) -> None:
        pass

    def open(self, context: OpenContext) -> None:
        self.open_before = [other.opened for other in self._others]
        if self._fails:
            raise SinkOpenError("http://127.0.0.1:80", "cannot listen there")

    def close(self) -> None:
        self.closed += 1

    def write(self, answer: Answer, *, gap: int) -> None:
        pass


@pytest.mark.parametrize("fails", [False, True])
def test_observers_come_first(*, fails: bool) -> None:
    """They can show what is waited for; when one cannot be opened, nothing else is."""
    source, stage, sink = NumberSource(3), PassDetector(), RecordingSink()
    onlooker = Onlooker(source, stage, sink, fails=fails)
    run = make_run(source, stages=[("detect", stage)], sinks=[("sink", sink), ("onlooker", onlooker)])
    if fails:
        with pytest.raises(SinkOpenError):
            run.start()
        run.finish()
        assert (source.opened, stage.opened, sink.opened, onlooker.closed) == (0, 0, 0, 0)
    else:
        run.start()
        run.join()
        assert (source.opened, stage.opened, sink.opened, onlooker.closed) == (1, 1, 1, 1)
    assert onlooker.open_before == [0, 0, 0]
    assert framepace_threads() == []
