"""What the live engine adds to its parts: how they are wired. No thread is started."""

from __future__ import annotations

import pytest

from pipeline.clock import NS_PER_MS
from pipeline.frame import Answer, Blame, CaptureClock, Envelope, Fate, Heartbeat, Mode, Reason, Spent
from pipeline.graph import Graph
from pipeline.ledger import Ledger
from pipeline.live import LiveEngine
from pipeline.stage import Sample
from pipeline.testing import ManualClock, NumberSource, PassDecoder, PassDetector, frame_info

PERIOD_NS = 33 * NS_PER_MS


class Bench:
    """An engine whose decoder never gets to run."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.ledger = Ledger()
        self.answers: list[Answer] = []
        self.beats: list[Heartbeat] = []
        source = NumberSource(0, clock=self.clock)
        self.plan = Graph.chain(source, PassDecoder(), [("detect", PassDetector())], []).check(Mode.LIVE)
        self.engine = LiveEngine(
            self.plan,
            stream_id="test",
            limit_ns=100 * NS_PER_MS,
            credit_limit=2,
            keep_pictures=False,
            clock=self.clock,
            ledger=self.ledger,
            hand_over=self.take,
            heartbeat_ns=500 * NS_PER_MS,
            hand_beat=self.beats.append,
        )

    def take(self, answer: Answer) -> int:
        """As the sinks do."""
        self.answers.append(answer)
        return self.clock.now_ns()

    def capture(self, pts: int, dts: int | None = None) -> None:
        """Take one packet, with stamps in periods."""
        dts_ns = None if dts is None else dts * PERIOD_NS
        sample = Sample("packet", pts * PERIOD_NS, dts_ns, None, CaptureClock.ARRIVAL)
        self.engine.deliver(self.engine.intake.take(sample, self.clock.now_ns()), "packet")

    @property
    def shed(self) -> list[int]:
        return [answer.info.frame_id for answer in self.answers if answer.reason is Reason.SHED]


def test_packets_beyond_the_queue_of_a_stuck_decoder_are_shed() -> None:
    """Capture goes on, each frame is answered in its turn, and the queue's report counts the drop."""
    bench = Bench()
    for number in range(66):
        bench.capture(number)
    assert bench.answers == []  # the first, whose packet is queued, may still be measured
    for number in range(64):
        bench.engine.publisher.refuse(number, Reason.SUPERSEDED)
    assert bench.shed == [64, 65]
    assert bench.engine.queues()["capture -> decode"].dropped == 2


def test_a_shed_packet_keeps_its_frame_in_presentation_order() -> None:
    """I P B B with the P shed: its turn comes after the Bs."""
    bench = Bench()
    for number in range(64):
        bench.capture(number, number)
    for pts, dts in ((66, 64), (65, 65), (67, 66)):
        bench.capture(pts, dts)
    for number in range(64):
        bench.engine.publisher.refuse(number, Reason.SUPERSEDED)
    presented = [round(answer.info.pts_s * 1e9) // PERIOD_NS for answer in bench.answers]
    assert presented == [*range(64), 65, 66]  # 67 waits for what may still come before it
    assert bench.shed == [64, 65]


def test_frames_inside_when_it_is_closed_stay_open_in_the_ledger() -> None:
    """The run settles them as abandoned; nobody publishes any more."""
    bench = Bench()
    for number in range(3):
        bench.capture(number)
    bench.engine.close()
    bench.engine.publisher.refuse(0, Reason.SUPERSEDED)
    assert bench.answers == []
    assert bench.ledger.abandon_open() == 3
    assert bench.ledger.books().fates[Fate.ABANDONED] == 3
    assert bench.ledger.books().balanced


def test_a_late_answer_says_what_made_it_late() -> None:
    """A decoder that never gets to run; the report counts it."""
    bench = Bench()
    bench.engine.publisher.warmed()
    bench.capture(0)
    bench.clock.advance(90 * NS_PER_MS)
    bench.engine.publisher.publish_due()
    [answer] = bench.answers
    assert (answer.reason, answer.blame) == (Reason.LATE, Blame("decode", Spent.WAIT, 90 * NS_PER_MS, 0))
    assert [(blame.stage, blame.frames) for blame in bench.engine.blames.top()] == [("decode", 1)]


def test_a_frame_without_an_answer_is_blamed_on_the_waking_of_the_publisher() -> None:
    """No stage can be the cause: an answer needs none of them."""
    bench = Bench()
    bench.engine.publisher.warmed()
    bench.capture(0)
    bench.clock.advance(101 * NS_PER_MS)
    bench.engine.publisher.publish_due()
    assert bench.answers == []
    assert [(blame.stage, blame.part, blame.frames) for blame in bench.engine.blames.top()] == [("publish", "wait", 1)]


def test_an_answer_that_is_not_out_of_time_blames_nobody() -> None:
    """The detector was busy with a newer frame, or the model not ready: no step took too long."""
    bench = Bench()
    bench.capture(0)
    bench.clock.advance(90 * NS_PER_MS)
    bench.engine.publisher.publish_due()
    bench.capture(1)
    bench.engine.publisher.refuse(1, Reason.SUPERSEDED)
    assert [(answer.reason, answer.blame) for answer in bench.answers] == [
        (Reason.WARMING, None),
        (Reason.SUPERSEDED, None),
    ]
    assert bench.engine.blames.top() == []


def test_a_stage_that_always_fails_is_not_said_on_every_frame(caplog: pytest.LogCaptureFixture) -> None:
    """Once, and then at most one line every ten seconds; each frame is counted all the same."""
    bench = Bench()
    [(name, _)] = bench.plan.stages
    failing = PassDetector(raises_on=range(400))
    for frame_id in range(400):
        bench.capture(frame_id)
        bench.clock.advance(PERIOD_NS)
        bench.engine._process(name, failing, Envelope(frame_info(frame_id), "picture"), 0)
    assert bench.engine.statistics[name].failed == 400
    said = [record.getMessage() for record in caplog.records if "failed" in record.getMessage()]
    assert len(said) == 2
    assert said[0] == "stage detect failed on frame 0: ValueError: asked to fail on frame 0"
    assert said[1].endswith("(and 303 more since the last line)")
