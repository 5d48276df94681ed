"""Live runs on the real clock: short ones, at several loads. What they promise holds on a busy machine too."""

from __future__ import annotations

import pytest

from pipeline.assembly import RunSettings
from pipeline.clock import NS_PER_MS, RealClock
from pipeline.frame import CaptureClock, Mode, Reason, Status
from pipeline.graph import Graph
from pipeline.report import Report
from pipeline.run import Run
from pipeline.stage import Decoder, Source
from pipeline.testing import (
    BFrameSource,
    NumberSource,
    PassDecoder,
    PassDetector,
    RecordingSink,
    ReorderingDecoder,
    SnapshotStage,
)

PERIOD_NS = 20 * NS_PER_MS
LIMIT_NS = 300 * NS_PER_MS
COUNT = 60


def run_live(source: Source, decoder: Decoder | None, *, service_ns: int = 0) -> tuple[Report, RecordingSink]:
    """Run to the end, and check what every live run promises."""
    sink = RecordingSink()
    detector = PassDetector(service_ns=service_ns, clock=RealClock())
    stages = [("detect", detector), ("track", SnapshotStage())]
    plan = Graph.chain(source, decoder, stages, [("sink", sink)]).check(Mode.LIVE)
    run = Run(plan, RunSettings("cam", Mode.LIVE, cores=1, deadline_ns=LIMIT_NS))
    run.start()
    report = run.join()
    frames = report.frames
    assert report.balanced
    assert frames.missed == frames.abandoned == report.published_late == 0
    assert frames.fresh + frames.forecast + frames.blind == len(sink.answers)
    for answer in sink.answers:
        assert answer.published_ns is not None
        assert answer.info.due_ns == answer.info.captured_ns + LIMIT_NS
        assert answer.info.captured_ns <= answer.published_ns <= answer.info.due_ns
        assert (answer.reason is None) == (answer.status is Status.FRESH)
        assert (answer.payload is None) == (answer.status is Status.BLIND)
    published = [answer.published_ns for answer in sink.answers]
    assert published == sorted(published)
    assert report.sinks["sink"].skipped == 0
    return report, sink


@pytest.mark.parametrize("load", [0.2, 1.0, 3.0])
def test_every_frame_is_answered_in_time_and_in_order(load: float) -> None:
    """None missed, none late, whether the detector is idle, busy or three times overloaded."""
    source = NumberSource(COUNT, period_ns=PERIOD_NS, clock=RealClock())
    report, sink = run_live(source, None, service_ns=round(load * PERIOD_NS))
    assert [answer.info.frame_id for answer in sink.answers] == list(range(COUNT))
    assert set(sink.gaps) == {0}
    assert report.frames.fresh > 0
    if load > 1:
        skipped = report.reasons[Reason.SUPERSEDED] + report.reasons[Reason.WOULD_MISS] + report.reasons[Reason.LATE]
        assert skipped >= COUNT // 3
        assert report.frames.forecast > 0


def test_a_detector_slower_than_the_deadline_still_feeds_the_forecasts() -> None:
    """No frame can be fresh; late measurements move the forecasts on."""
    source = NumberSource(COUNT, period_ns=PERIOD_NS, clock=RealClock())
    report, sink = run_live(source, None, service_ns=LIMIT_NS + 3 * PERIOD_NS)
    assert report.frames.fresh == 0
    measured = {answer.payload[0] for answer in sink.answers if isinstance(answer.payload, tuple)}
    assert len(measured) >= 2


def test_pictures_that_cannot_be_decoded_are_counted() -> None:
    """They have no answer, the next one carries the gap, and the order stays."""
    source = NumberSource(COUNT, period_ns=PERIOD_NS, clock=RealClock())
    report, sink = run_live(source, PassDecoder(broken=(5, 6, 20)))
    assert report.frames.undecodable == 3
    assert [answer.info.frame_id for answer in sink.answers] == [n for n in range(COUNT) if n not in (5, 6, 20)]
    assert {number: gap for number, gap in enumerate(sink.gaps) if gap} == {5: 2, 18: 1}
    assert report.stages["decode"].failed == 3


def test_frames_with_b_pictures_are_answered_in_presentation_order() -> None:
    """Frame numbers follow presentation, and each picture keeps its own frame."""
    source = BFrameSource(1 + 3 * 12, period_ns=PERIOD_NS, clock=RealClock())
    report, sink = run_live(source, ReorderingDecoder())
    assert report.frames.undecodable == 0
    assert [answer.info.frame_id for answer in sink.answers] == list(range(37))
    stamps = [answer.info.pts_s for answer in sink.answers]
    assert stamps == sorted(stamps)
    fresh = [answer for answer in sink.answers if answer.status is Status.FRESH]
    assert fresh
    assert [answer.payload for answer in fresh] == [(answer.info.frame_id, 0) for answer in fresh]
    assert {answer.clock for answer in sink.answers} == {CaptureClock.ARRIVAL}
