"""When a heartbeat is due."""

from __future__ import annotations

from pipeline.clock import NS_PER_MS, NS_PER_S
from pipeline.errors import Outage
from pipeline.heartbeat import Pulse

PERIOD_NS = 500 * NS_PER_MS


def answered(pulse: Pulse, *times_ms: int) -> None:
    for time_ms in times_ms:
        pulse.captured()
        pulse.answered(time_ms * NS_PER_MS)


def test_it_beats_from_the_start_until_there_is_a_frame() -> None:
    """A camera may give no picture for long; its readers hear so one period after the other."""
    pulse = Pulse(PERIOD_NS, NS_PER_S)
    assert pulse.due_ns() == NS_PER_S + PERIOD_NS
    assert pulse.beat(NS_PER_S + PERIOD_NS) == (Outage.SILENT, PERIOD_NS)
    assert pulse.due_ns() == NS_PER_S + 2 * PERIOD_NS
    assert pulse.beats == 1


def test_the_first_beat_comes_a_period_after_the_last_answer() -> None:
    """However many there were before, and the next ones follow at a steady pace."""
    pulse = Pulse(PERIOD_NS, 0)
    answered(pulse, 0, 33, 66, 100)
    assert pulse.due_ns() == 600 * NS_PER_MS
    assert pulse.beat(600 * NS_PER_MS) == (Outage.SILENT, 500 * NS_PER_MS)
    assert pulse.beat(1100 * NS_PER_MS) == (Outage.SILENT, 1000 * NS_PER_MS)
    assert pulse.due_ns() == 1600 * NS_PER_MS
    answered(pulse, 1700)
    assert pulse.due_ns() == 2200 * NS_PER_MS


def test_a_slow_camera_is_not_silent_between_its_frames() -> None:
    """Three usual gaps without an answer are."""
    pulse = Pulse(PERIOD_NS, 0)
    answered(pulse, 0, 1000, 2000, 3000)
    assert pulse.due_ns() == 6000 * NS_PER_MS


def test_a_source_that_is_known_to_be_away_is_said_so_at_once() -> None:
    """With the way in which it was lost, until a frame is captured again."""
    pulse = Pulse(PERIOD_NS, 0)
    answered(pulse, 0, 1000, 2000, 3000)
    pulse.away(Outage.ENDED)
    assert pulse.due_ns() == 3500 * NS_PER_MS
    assert pulse.beat(3500 * NS_PER_MS) == (Outage.ENDED, 500 * NS_PER_MS)
    pulse.captured()
    assert pulse.beat(4000 * NS_PER_MS) == (Outage.UNDECODABLE, 1000 * NS_PER_MS)
    assert pulse.beat(4500 * NS_PER_MS) == (Outage.SILENT, 1500 * NS_PER_MS)


def test_frames_that_are_missed_are_not_called_undecodable() -> None:
    """They came, and could have been decoded; nobody was there to answer them."""
    pulse = Pulse(PERIOD_NS, 0)
    answered(pulse, 0)
    pulse.captured()
    pulse.missed()
    assert pulse.beat(500 * NS_PER_MS) == (Outage.MISSED, 500 * NS_PER_MS)
    pulse.captured()
    assert pulse.beat(1000 * NS_PER_MS)[0] is Outage.UNDECODABLE
    pulse.missed()
    pulse.away(Outage.ENDED)
    assert pulse.beat(1500 * NS_PER_MS)[0] is Outage.ENDED
