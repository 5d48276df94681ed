"""Recordings: every frame, in order, reproducible."""

from __future__ import annotations

import random

import pytest

from pipeline.clock import RealClock
from pipeline.frame import Answer, FrameInfo, Mode, Reason, Status
from pipeline.graph import Graph
from pipeline.run import Run, RunSettings
from pipeline.stage import Stage
from pipeline.testing import NumberSource, PassDecoder, PassDetector, RecordingSink, StatelessStage


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
    sink = RecordingSink()
    stages: list[tuple[str, Stage]] = [("detect", PassDetector(skips=[2]))]
    plan = Graph.chain(NumberSource(5), None, stages, [("sink", sink)]).check(Mode.LOSSLESS)
    run = Run(plan, RunSettings("test", Mode.LOSSLESS, cores=1))
    run.start()
    run.join()
    assert [answer.reason for answer in sink.answers] == [None, None, Reason.SHED, None, None]


def test_queues_block_instead_of_dropping() -> None:
    """A source that is far ahead of a slow stage loses nothing, and memory stays bounded."""
    sink = RecordingSink()
    stages: list[tuple[str, Stage]] = [("slow", PassDetector(service_ns=500_000, clock=RealClock()))]
    plan = Graph.chain(NumberSource(200), PassDecoder(), stages, [("sink", sink)]).check(Mode.LOSSLESS)
    run = Run(plan, RunSettings("test", Mode.LOSSLESS, cores=1))
    run.start()
    report = run.join()
    assert len(sink.answers) == 200
    assert all(queue.dropped == 0 and queue.peak <= queue.capacity for queue in report.queues.values())
