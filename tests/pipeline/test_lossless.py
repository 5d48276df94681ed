"""Recordings: every frame, in order, reproducible."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass

import pytest

from pipeline.assembly import RunSettings
from pipeline.clock import RealClock
from pipeline.errors import StageFailed
from pipeline.frame import Answer, FrameInfo, Mode, Reason, Status
from pipeline.graph import Graph
from pipeline.report import Report
from pipeline.run import Run
from pipeline.stage import Decoded, Decoder, Sink, Source, Stage
from pipeline.testing import (
    BFrameSource,
    NumberSource,
    PassDecoder,
    PassDetector,
    PassStage,
    RecordingSink,
    ReorderingDecoder,
    Snapshot,
    SnapshotStage,
    StatelessStage,
)


class Doubling(StatelessStage):
    """Stateless; takes a random while, so that frames overtake each other."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        super().__init__(service_ns=lambda _: chance.randrange(1_500_000), clock=RealClock())

    def process(self, payload: object, info: FrameInfo) -> object | None:
        result = super().process(payload, info)
        return result * 2 if isinstance(result, int) else result


class Summing(PassDetector):
    """Keeps a sum: any change of order changes its results."""

    def open(self, context: object) -> None:
        self._sum = 0

    def process(self, payload: object, info: FrameInfo) -> object | None:
        assert isinstance(payload, int)
        self._sum = (self._sum * 31 + payload) % 1_000_003
        return self._sum


def answers(count: int, *, seed: int = 0, workers: int = 4, broken: tuple[int, ...] = ()) -> list[Answer]:
    stages: list[tuple[str, Stage]] = [("double", Doubling(seed)), ("again", Doubling(seed + 1)), ("sum", Summing())]
    sink = RecordingSink()
    plan = Graph.chain(NumberSource(count), PassDecoder(broken=broken), stages, [("sink", sink)]).check(Mode.LOSSLESS)
    run = Run(plan, RunSettings("test", Mode.LOSSLESS, cores=workers, workers=workers))
    run.start()
    report = run.join()
    assert report.balanced
    assert report.frames.undecodable == len(broken)
    return sink.answers


def make_run(
    source: Source,
    stages: list[tuple[str, Stage]],
    sinks: list[tuple[str, Sink]],
    *,
    decoder: Decoder | None = None,
    workers: int = 1,
) -> Run:
    plan = Graph.chain(source, decoder, stages, sinks).check(Mode.LOSSLESS)
    return Run(plan, RunSettings("test", Mode.LOSSLESS, cores=1, workers=workers))


def run_through(
    source: Source, stages: list[tuple[str, Stage]], *, decoder: Decoder | None = None, workers: int = 1
) -> tuple[Run, Report, list[Answer]]:
    """Run to the end, and return what came out."""
    sink = RecordingSink()
    run = make_run(source, stages, [("sink", sink)], decoder=decoder, workers=workers)
    run.start()
    return run, run.join(), sink.answers


def plain_loop(count: int) -> list[int]:
    total, results = 0, []
    for number in range(count):
        total = (total * 31 + number * 4) % 1_000_003
        results.append(total)
    return results


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_the_results_are_those_of_a_plain_loop(workers: int) -> None:
    """However many workers overtake each other, order and results are those of one thread."""
    found = answers(150, workers=workers)
    assert [answer.info.frame_id for answer in found] == list(range(150))
    assert [answer.payload for answer in found] == plain_loop(150)
    assert {answer.status for answer in found} == {Status.FRESH}


def test_two_runs_are_equal() -> None:
    """Nothing in an answer depends on timing."""
    assert answers(100, seed=1) == answers(100, seed=2)


def test_live_fields_are_absent() -> None:
    """There is no deadline, no publishing time and no health."""
    answer = answers(1)[0]
    assert (answer.info.due_ns, answer.published_ns, answer.health) == (None, None, None)


def test_what_cannot_be_decoded_is_counted_and_the_rest_goes_on() -> None:
    """Frame numbers keep the gap."""
    found = answers(30, broken=(3, 4, 29))
    assert [answer.info.frame_id for answer in found] == [n for n in range(29) if n not in (3, 4)]


def test_a_stage_that_gives_nothing_sheds_its_frame() -> None:
    """The frame is answered all the same, and says why it is not fresh."""
    _, report, found = run_through(NumberSource(5), [("detect", PassDetector(skips=[2]))])
    assert [answer.reason for answer in found] == [None, None, Reason.SHED, None, None]
    assert [answer.payload for answer in found] == [0, 1, None, 3, 4]
    assert (report.reasons[Reason.SHED], report.failure) == (1, None)


def test_a_frame_that_was_not_measured_is_forecast_from_the_last_one() -> None:
    """From the very frame before it, however fast the workers are."""
    last = SnapshotStage()
    stages: list[tuple[str, Stage]] = [("skip", StatelessStage(skips=[0, 4, 5])), ("track", last)]
    _, _, found = run_through(NumberSource(7), stages, workers=3)
    statuses = [Status.BLIND, *[Status.FRESH] * 3, *[Status.FORECAST] * 2, Status.FRESH]
    assert [answer.status for answer in found] == statuses
    period_ns = found[1].info.captured_ns
    assert [found[place].payload for place in (0, 4, 5)] == [None, (3, period_ns), (3, 2 * period_ns)]


def test_b_pictures_keep_their_frames() -> None:
    """Frames count in presentation order, packets come in decode order."""
    stages: list[tuple[str, Stage]] = [("pass", StatelessStage())]
    _, report, found = run_through(BFrameSource(31), stages, decoder=ReorderingDecoder(), workers=3)
    assert [(answer.info.frame_id, answer.payload) for answer in found] == [(number, number) for number in range(31)]
    assert (report.frames.fresh, report.frames.undecodable) == (31, 0)


def test_queues_block_instead_of_dropping() -> None:
    """A source that is far ahead of a slow stage loses nothing, and memory stays bounded."""
    stages: list[tuple[str, Stage]] = [("slow", PassDetector(service_ns=500_000, clock=RealClock()))]
    _, report, found = run_through(NumberSource(200), stages, decoder=PassDecoder())
    assert len(found) == 200
    assert all(queue.dropped == 0 and queue.peak <= queue.capacity for queue in report.queues.values())


def test_a_slow_sink_holds_the_source_back() -> None:
    """Its queue fills, then everything before it; in the end it has every answer."""
    gate, full = threading.Event(), threading.Event()
    sink, source = RecordingSink(gate=gate), NumberSource(1000)
    plan = Graph.chain(source, None, [("pass", PassDetector())], [("sink", sink)]).check(Mode.LOSSLESS)

    def note(answer: Answer) -> None:
        if answer.info.frame_id == 257:  # one is being written and 256 are queued, so this one waits
            full.set()

    run = Run(plan, RunSettings("test", Mode.LOSSLESS, cores=1), on_answer=note)
    run.start()
    assert full.wait(20)
    assert run.report().frames.captured < 300
    gate.set()
    report = run.join()
    assert (report.sinks["sink"].written, report.sinks["sink"].skipped) == (1000, 0)
    assert [answer.info.frame_id for answer in sink.answers] == list(range(1000))


def test_the_failure_is_that_of_the_earliest_frame() -> None:
    """Whichever worker met one first: the same input gives the same report."""
    other_failed = threading.Event()

    class Failing(StatelessStage):
        """Frame 0 fails when frame 1 has failed."""

        def process(self, payload: object, info: FrameInfo) -> object | None:
            if info.frame_id == 2:
                other_failed.set()  # the worker that had frame 1 is through with it
            if info.frame_id == 0:
                assert other_failed.wait(20)
            if info.frame_id < 2:
                raise ValueError(f"number {payload}")
            return payload

    run, report, found = run_through(NumberSource(4), [("fail", Failing())], workers=2)
    assert isinstance(run.failure, StageFailed)
    assert (run.failure.stage, run.failure.frame_id) == ("fail", 0)
    assert isinstance(run.failure.__cause__, ValueError)
    assert report.reasons[Reason.FAILED] == 2
    assert [answer.info.frame_id for answer in found] == [0, 1, 2, 3]


def test_a_failed_frame_is_not_shown_to_the_stages_behind() -> None:
    """They see the others, in order."""
    behind = PassStage()
    stages: list[tuple[str, Stage]] = [("fail", StatelessStage(raises_on=[2])), ("behind", behind)]
    _, _, found = run_through(NumberSource(5), stages, workers=2)
    assert behind.seen == [0, 1, 3, 4]
    assert [answer.status for answer in found].count(Status.BLIND) == 1


@dataclass(frozen=True, slots=True)
class Raising:
    """A result that breaks when it is asked."""

    measured_ns: int

    def forecast(self, at_ns: int) -> object | None:
        raise ValueError("no forecast")


class SometimesBad(PassStage):
    """Frame 2 gets a result that raises, frame 4 one that has nothing to say."""

    def process(self, payload: object, info: FrameInfo) -> object | None:
        if info.frame_id == 2:
            return Raising(info.captured_ns)
        return Snapshot(info.captured_ns, payload, horizon_ns=-1 if info.frame_id == 4 else 10**9)


def test_a_result_that_says_nothing_of_its_own_frame_has_failed() -> None:
    """It is no fresh answer without a payload, it does not end the run, and the frame before serves instead."""
    run, report, found = run_through(NumberSource(6), [("track", SometimesBad())])
    assert report.balanced
    statuses = [Status.FRESH] * 6
    statuses[2] = statuses[4] = Status.FORECAST
    assert [answer.status for answer in found] == statuses
    assert [answer.payload[0] for answer in found if isinstance(answer.payload, tuple)] == [0, 1, 1, 3, 3, 5]
    assert report.reasons[Reason.FAILED] == 2
    assert "stage track failed on frame 2: ValueError: no forecast" in str(run.failure)


class Defective(PassDecoder):
    """Raises what no broken packet raises."""

    def decode(self, payload: object, ticket: int) -> list[Decoded]:
        if payload == 6:
            raise RuntimeError("a defect in the decoder")
        return list(super().decode(payload, ticket))


def test_a_decoder_with_a_defect_ends_the_run() -> None:
    """It comes out of join, and the books balance: what was inside is abandoned."""
    sink = RecordingSink()
    run = make_run(NumberSource(20), [("pass", PassDetector())], [("sink", sink)], decoder=Defective())
    run.start()
    with pytest.raises(RuntimeError, match="a defect in the decoder"):
        run.join()
    frames = run.report().frames
    assert run.report().balanced
    assert frames.abandoned >= 1
    assert [answer.info.frame_id for answer in sink.answers] == list(range(frames.fresh))
