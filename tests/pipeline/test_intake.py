"""Where frames are born."""

from __future__ import annotations

import itertools

import pytest

from pipeline.clock import NS_PER_MS, NS_PER_S
from pipeline.frame import CaptureClock
from pipeline.intake import Intake, Registered
from pipeline.stage import Sample

PERIOD_NS = 40 * NS_PER_MS


class Bench:
    """An intake, and what it registered."""

    def __init__(self, *, live: bool = True) -> None:
        self.registered: list[Registered] = []
        limit_ns = 100 * NS_PER_MS if live else None
        self.intake = Intake("cam", limit_ns=limit_ns, register=self.registered.append)
        self._arrivals = itertools.count(1000, PERIOD_NS)

    def take(self, pts: int | None, dts: int | None = None) -> int:
        """Take a sample with stamps in periods."""
        pts_ns = None if pts is None else pts * PERIOD_NS
        dts_ns = None if dts is None else dts * PERIOD_NS
        return self.intake.take(Sample("x", pts_ns, dts_ns, None, CaptureClock.ARRIVAL), next(self._arrivals))

    @property
    def stamps(self) -> list[int]:
        return [round(one.info.pts_s * 1e9) // PERIOD_NS for one in self.registered]


def test_without_b_frames_a_frame_is_registered_at_once() -> None:
    """It gets the next id, its capture time and its deadline."""
    bench = Bench()
    bench.take(0)
    bench.take(1)
    assert [one.info.frame_id for one in bench.registered] == [0, 1]
    info = bench.registered[1].info
    assert (info.stream_id, info.captured_ns) == ("cam", 1000 + PERIOD_NS)
    assert info.due_ns == info.captured_ns + 100 * NS_PER_MS


def test_lossless_frames_have_no_deadline() -> None:
    """Their capture time is their presentation time."""
    bench = Bench(live=False)
    bench.take(3)
    assert bench.registered[0].info.due_ns is None
    assert bench.registered[0].info.captured_ns == 3 * PERIOD_NS


def test_b_frames_are_numbered_in_presentation_order() -> None:
    """I P B B: the P waits until both Bs, which are shown before it, have their numbers."""
    bench = Bench()
    for pts, dts in ((1, 0), (4, 1), (2, 2), (3, 3), (7, 4), (5, 5), (6, 6)):
        bench.take(pts, dts)
    assert bench.stamps == [1, 2, 3, 4, 5, 6]
    bench.intake.flush()
    assert bench.stamps == [1, 2, 3, 4, 5, 6, 7]
    assert [one.info.frame_id for one in bench.registered] == list(range(7))


@pytest.mark.parametrize("period_ns", [40 * NS_PER_MS, NS_PER_S, 60 * NS_PER_S])
def test_b_frames_are_no_jump_in_time_however_slow_the_stream(period_ns: int) -> None:
    """I P B B B of a time-lapse: presentation times go back by minutes, decode times never do, and nothing is lost."""
    bench = Bench(live=False)
    stamps = ((1, 0), (5, 1), (2, 2), (3, 3), (4, 4), (9, 5), (6, 6), (7, 7), (8, 8))
    tickets = {
        pts: bench.intake.take(Sample("x", pts * period_ns, dts * period_ns, None, CaptureClock.FILE), 0)
        for pts, dts in stamps
    }
    for pts in range(1, 10):
        emerged = bench.intake.emerged(tickets[pts])
        assert emerged.info is not None
        assert (emerged.info.frame_id, emerged.info.captured_ns) == (pts - 1, pts * period_ns)
        assert emerged.lost == ()


def test_a_picture_that_comes_out_registers_its_frame() -> None:
    """A decoder that is faster than the rule knows best, and what is shown before comes with it."""
    bench = Bench()
    bench.take(1, 0)
    late = bench.take(4, 1)
    assert bench.stamps == [1]
    emerged = bench.intake.emerged(late)
    assert emerged.info is bench.registered[-1].info
    assert bench.stamps == [1, 4]


def test_a_frame_that_was_overtaken_is_lost() -> None:
    """When a later picture is there, an earlier one cannot come any more."""
    bench = Bench()
    tickets = [bench.take(number) for number in range(4)]
    assert bench.intake.emerged(tickets[0]).lost == ()
    emerged = bench.intake.emerged(tickets[3])
    assert [info.frame_id for info in emerged.lost] == [1, 2]
    assert bench.intake.emerged(tickets[1]).info is None
    assert bench.intake.rest() == []


def test_what_never_came_out_is_the_rest() -> None:
    """After the end, frames without a picture are named once."""
    bench = Bench()
    tickets = [bench.take(number) for number in range(3)]
    bench.intake.emerged(tickets[0])
    assert [info.frame_id for info in bench.intake.rest()] == [1, 2]
    assert bench.intake.rest() == []


def test_a_second_picture_from_one_packet_is_no_frame() -> None:
    """A ticket counts once."""
    bench = Bench()
    ticket = bench.take(0)
    assert bench.intake.emerged(ticket).info is not None
    assert bench.intake.emerged(ticket).info is None


def test_a_withdrawn_frame_is_not_lost_too() -> None:
    """Whoever sheds a packet gets its frame, and it is not counted again."""
    bench = Bench()
    first, second = bench.take(0), bench.take(1)
    info = bench.intake.withdraw(first)
    assert info is not None
    assert info.frame_id == 0
    assert bench.intake.withdraw(first) is None
    assert bench.intake.emerged(second).lost == ()


def test_a_withdrawn_frame_whose_turn_has_not_come_keeps_its_place() -> None:
    """I P B B with the P shed: the Bs, shown before it, have their numbers first; then it is registered, as shed."""
    bench = Bench()
    bench.take(1, 0)
    assert bench.intake.withdraw(bench.take(4, 1)) is None
    bench.take(2, 2)
    last = bench.take(3, 3)
    following = bench.take(5, 4)
    assert bench.stamps == [1, 2, 3, 4]
    assert [one.withdrawn for one in bench.registered] == [False, False, False, True]
    bench.intake.emerged(last)
    assert bench.intake.emerged(following).lost == ()


def test_time_stamps_that_start_again_make_a_new_time_line() -> None:
    """After a jump back what waited is registered first, and ids go on."""
    bench = Bench()
    for pts, dts in ((1000, 999), (1003, 1000)):
        bench.take(pts, dts)
    bench.take(1, 0)
    assert bench.stamps == [1000, 1003]
    bench.take(2, 1)
    bench.intake.flush()
    assert bench.stamps == [1000, 1003, 1, 2]
    assert [one.info.frame_id for one in bench.registered] == [0, 1, 2, 3]


def test_samples_without_stamps_keep_their_arrival_order() -> None:
    """Their time is counted from the first arrival, and always grows."""
    bench = Bench()
    for _ in range(3):
        bench.take(None)
    assert bench.stamps == [0, 1, 2]


def test_broken_stamps_do_not_hold_frames_for_ever() -> None:
    """At most 16 wait, whatever the stamps promise."""
    bench = Bench()
    for number in range(40):
        bench.take(1000 + number, number)
    assert len(bench.registered) == 24


def test_another_limit_holds_for_frames_captured_from_then_on() -> None:
    """One that was captured before keeps what it had, however late it arrives."""
    bench = Bench()
    bench.intake.change_limit(20 * NS_PER_MS, 5000)
    for captured_ns in (4999, 5000):
        bench.intake.take(Sample("x", captured_ns, None, captured_ns, CaptureClock.ARRIVAL), 6000)
    due = [one.info.due_ns for one in bench.registered]
    assert due == [4999 + 100 * NS_PER_MS, 5000 + 20 * NS_PER_MS]
    assert bench.intake.limit_ns == 20 * NS_PER_MS
    assert Bench(live=False).intake.limit_ns is None
