"""Who made a frame miss."""

from __future__ import annotations

import pytest

from pipeline.blame import Blames, Step, judge
from pipeline.clock import NS_PER_MS
from pipeline.frame import Blame, Spent
from pipeline.timings import Event

MS = NS_PER_MS
WAIT, RUN = Spent.WAIT, Spent.RUN
PERIOD_MS = 100


def ms(stage: str, part: Spent, took_ms: int, usual_ms: int) -> Blame:
    return Blame(stage, part, took_ms * MS, usual_ms * MS)


class Bench:
    """The way of frames through `pre` and `detect`, with a decoder in front; each is captured PERIOD_MS after the last.

    Usual: 2 ms from the camera, 1 in front of the decoder, 4 in it, 3 in the mailbox, 5 in `pre`, 1, 30 in `detect`.
    """

    def __init__(self, *, usual_detect_ms: int = 30) -> None:
        self.blames = Blames(("pre", "detect"))
        self.frames = 0
        for _ in range(9):
            self.captured()
            self.offered()
            self.began("pre", 10, wait_ms=3)
            self.ran("pre", 10, 5)
            self.began("detect", 16, wait_ms=1)
            self.ran("detect", 16, usual_detect_ms)
            self.note(Event.WOKEN, 90, value=1 * MS, frame_id=-1)
            self.note(Event.ANSWERED, 50, "fresh")

    def note(self, event: Event, at_ms: int, text: str = "", *, value: int = 0, frame_id: int | None = None) -> None:
        """Note an event of the present frame, at a time after its capture."""
        frame_id = self.frames - 1 if frame_id is None else frame_id
        self.blames.note(event, self.at_ns(at_ms), frame_id, text, value)

    def at_ns(self, at_ms: int) -> int:
        return ((self.frames - 1) * PERIOD_MS + at_ms) * MS

    def captured(self, registered_ms: int = 2) -> None:
        self.frames += 1
        self.note(Event.CAPTURED, registered_ms, value=self.at_ns(0))

    def decoding(self, at_ms: int) -> None:
        self.note(Event.BEGAN, at_ms, "decode", frame_id=-1)

    def offered(self, began_ms: int = 3, at_ms: int = 7) -> None:
        self.decoding(began_ms)
        self.note(Event.OFFERED, at_ms)
        self.note(Event.DECODED, began_ms, frame_id=-1, value=(at_ms - began_ms) * MS)

    def began(self, stage: str, at_ms: int, *, wait_ms: int) -> None:
        self.note(Event.BEGAN, at_ms, stage, value=wait_ms * MS)

    def ran(self, stage: str, at_ms: int, run_ms: int) -> None:
        self.note(Event.RAN, at_ms, stage, value=run_ms * MS)

    def blame(self, now_ms: int = 90) -> Blame | None:
        return self.blames.out_of_time(self.frames - 1, self.at_ns(now_ms), latest_ns=self.at_ns(90))


def test_the_step_that_exceeds_what_is_usual_most_is_to_blame() -> None:
    """Not the longest one, while the usual way would have been in time."""
    steps = [Step("pre", RUN, 30, 5), Step("detect", WAIT, 12, 0), Step("detect", RUN, 60, 50)]
    assert judge(steps, 100) == steps[0]


def test_the_longest_step_is_to_blame_when_the_usual_way_is_too_long() -> None:
    """What exceeds the usual then only decides how late it is."""
    steps = [Step("pre", RUN, 30, 5), Step("detect", WAIT, 12, 0), Step("detect", RUN, 60, 50)]
    assert judge(steps, 50) == steps[2]
    assert judge([], 50) is None


def test_the_way_from_the_camera() -> None:
    """A packet that came late, by its stamp."""
    bench = Bench()
    bench.captured(registered_ms=60)
    bench.offered(61, 66)
    bench.began("pre", 70, wait_ms=4)
    assert bench.blame() == ms("capture", WAIT, 60, 2)


def test_a_decoder_that_is_behind() -> None:
    """The frame's packet waited for those before it."""
    bench = Bench()
    bench.captured()
    bench.offered(72, 76)
    bench.began("pre", 79, wait_ms=3)
    assert bench.blame() == ms("decode", WAIT, 70, 1)


def test_a_decoder_that_is_stuck() -> None:
    """Its picture has not come yet: what it has taken so far counts."""
    bench = Bench()
    bench.captured()
    bench.decoding(3)
    assert bench.blame() == ms("decode", RUN, 87, 4)


def test_a_packet_that_nobody_has_taken() -> None:
    """The decoder's thread does not get to run."""
    bench = Bench()
    bench.captured()
    assert bench.blame() == ms("decode", WAIT, 88, 1)


def test_a_picture_that_lies_in_the_mailbox() -> None:
    """It waits for the first stage."""
    bench = Bench()
    bench.captured()
    bench.offered()
    assert bench.blame() == ms("pre", WAIT, 83, 3)


def test_a_stage_that_is_still_at_it() -> None:
    """What it has taken so far counts."""
    bench = Bench()
    bench.captured()
    bench.offered()
    bench.began("pre", 10, wait_ms=3)
    bench.ran("pre", 10, 5)
    bench.began("detect", 16, wait_ms=1)
    assert bench.blame() == ms("detect", RUN, 74, 30)


def test_a_frame_between_two_stages() -> None:
    """It waits for the second one."""
    bench = Bench()
    bench.captured()
    bench.offered()
    bench.began("pre", 10, wait_ms=3)
    bench.ran("pre", 10, 5)
    assert bench.blame() == ms("detect", WAIT, 75, 1)


def test_a_run_on_an_earlier_frame_is_behind_the_wait() -> None:
    """What lies in the mailbox waits for the detector, which takes too long for the frame before."""
    bench = Bench()
    bench.captured()
    bench.offered()
    bench.began("pre", 10, wait_ms=3)
    bench.ran("pre", 10, 5)
    bench.began("detect", 16, wait_ms=1)
    bench.captured()
    bench.offered()
    assert bench.blame() == ms("detect", RUN, 174, 30)
    bench.ran("detect", 16 - PERIOD_MS, 150)
    bench.began("pre", 67, wait_ms=60)
    assert bench.blame() == ms("detect", RUN, 150, 30)


def test_a_run_that_was_over_before_explains_no_wait() -> None:
    """The wait itself is to blame."""
    bench = Bench()
    bench.captured()
    bench.began("detect", 16, wait_ms=1)
    bench.ran("detect", 16, 80)
    bench.captured()
    bench.offered()
    bench.began("detect", 8, wait_ms=0)
    bench.ran("detect", 8, 30)
    assert bench.blame() == ms("detect", WAIT, 52, 1)


def test_a_stage_that_was_not_reached_counts_as_usual() -> None:
    """A detector that never makes it is to blame, whichever step a frame is in when that is foreseen."""
    bench = Bench(usual_detect_ms=150)
    bench.captured()
    bench.offered()
    assert bench.blame(now_ms=12) == ms("detect", RUN, 150, 150)


def test_frames_that_could_not_be_answered_at_all() -> None:
    """Late waking is to blame, or the packet that came when it was too late already; never a stage."""
    bench = Bench()
    bench.captured()
    bench.offered()
    assert bench.blames.unanswered(9, bench.at_ns(104), latest_ns=bench.at_ns(90)) == ms("publish", WAIT, 14, 1)
    bench.captured(registered_ms=150)
    assert bench.blames.unanswered(10, bench.at_ns(151), latest_ns=bench.at_ns(90)) == ms("capture", WAIT, 150, 2)


@pytest.mark.parametrize("event", [Event.ANSWERED, Event.UNDECODABLE])
def test_a_frame_that_is_settled_is_forgotten(event: Event) -> None:
    """Nothing is said of it, nor of one that was never seen; runs that end later still say what is usual."""
    bench = Bench()
    bench.captured()
    bench.note(event, 90)
    assert bench.blame() is None
    bench.ran("detect", 16, 80)
    bench.began("detect", 99, wait_ms=1)
    assert bench.blames.out_of_time(77, 0, latest_ns=0) is None
    assert bench.blames.top() == []


def test_frames_that_never_get_an_answer_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are forgotten."""
    monkeypatch.setattr("pipeline.blame._FRAMES_MOST", 3)
    bench = Bench()
    for _ in range(5):
        bench.captured()
    assert bench.blames.out_of_time(10, bench.at_ns(0), latest_ns=0) is None
    assert bench.blames.out_of_time(11, bench.at_ns(0), latest_ns=0) is not None


def test_the_most_frequent_come_first() -> None:
    """With what is usual, and the mean of what exceeds it."""
    bench = Bench()
    for now_ms in (90, 96):
        bench.captured()
        bench.offered()
        bench.blame(now_ms)
    bench.captured()
    bench.blame()
    first, second = bench.blames.top()
    assert (first.stage, first.part, first.frames, first.typical_ms, first.excess_ms) == ("pre", WAIT, 2, 3.0, 83.0)
    assert (second.stage, second.part, second.frames) == ("decode", WAIT, 1)
