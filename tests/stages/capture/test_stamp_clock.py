"""The capture clock of live streams, against cameras and networks that do their worst."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.clock import NS_PER_MS, NS_PER_S
from stages.capture.stamp_clock import StampClock

TOLERANCE_NS = 100 * NS_PER_MS
REACTION_NS = NS_PER_S


@dataclass(frozen=True)
class Packet:
    """One frame on its way."""

    captured_ns: int
    pts_ns: int | None
    arrival_ns: int


@dataclass(frozen=True)
class Timed:
    """What the clock said about it."""

    packet: Packet
    age_ns: int
    by_stamps: bool

    @property
    def true_age_ns(self) -> int:
        return self.packet.arrival_ns - self.packet.captured_ns

    @property
    def too_old_ns(self) -> int:
        """By how much the frame was taken for older than it is: what makes its answer miss for nothing."""
        return self.age_ns - self.true_age_ns


def timed(packets: list[Packet]) -> list[Timed]:
    clock = StampClock()
    rows = []
    for packet in packets:
        captured_ns = clock.captured_ns(packet.pts_ns, packet.arrival_ns)
        assert captured_ns <= packet.arrival_ns
        rows.append(Timed(packet, packet.arrival_ns - captured_ns, clock.follows_stamps))
    return rows


def in_order(packets: list[Packet]) -> list[Packet]:
    """Let no packet arrive before the one sent earlier, as on a connection."""
    latest_ns = 0
    ordered = []
    for packet in packets:
        latest_ns = max(latest_ns, packet.arrival_ns)
        ordered.append(Packet(packet.captured_ns, packet.pts_ns, latest_ns))
    return ordered


def stream(
    seconds: float,
    *,
    fps: float = 25,
    stamp: Callable[[int], int | None] = lambda captured_ns: captured_ns,
    jitter_ms: float = 5,
    stall: tuple[float, float] = (0, 0),
    drain: float = 1000,
    seed: int = 1,
) -> list[Packet]:
    """Return the packets of a camera.

    Args:
        seconds: how long.
        fps: frames per second that are captured and sent.
        stamp: the stamp of a frame that was captured then.
        jitter_ms: the longest delay, evenly spread.
        stall: when the network stands still, and for how long.
        drain: how much faster than the camera sends, it gives what it held back.
        seed: of the jitter.
    """
    chance = random.Random(seed)
    packets = []
    begin_ns, end_ns = round(stall[0] * NS_PER_S), round(sum(stall) * NS_PER_S)
    for number in range(round(seconds * fps)):
        captured_ns = round(number * NS_PER_S / fps)
        free_ns = 0
        if stall[1] and captured_ns >= begin_ns:
            free_ns = end_ns + round((captured_ns - begin_ns) / drain)
        arrival_ns = max(captured_ns, free_ns) + round(chance.uniform(0, jitter_ms) * NS_PER_MS)
        packets.append(Packet(captured_ns, stamp(captured_ns), arrival_ns))
    return in_order(packets)


@dataclass(frozen=True)
class Behaviour:
    """How a camera goes on for a while."""

    seconds: float
    fps: int
    rate: float
    """Of its stamps; 0: they stand still."""
    step_ms: int
    """By which they jump at the beginning."""
    noise_ms: int
    reorders: bool
    jitter_ms: int
    loss: float

    @property
    def leading_ns(self) -> int:
        """How far apart the frames are that no B-frames precede."""
        return (3 if self.reorders else 1) * NS_PER_S // self.fps


BEHAVIOURS = st.builds(
    Behaviour,
    seconds=st.floats(3, 6),
    fps=st.sampled_from([5, 10, 15, 25, 30, 60]),
    rate=st.one_of(st.just(1.0), st.floats(0.5, 2), st.sampled_from([0.0, 0.99, 1.01])),
    step_ms=st.one_of(st.just(0), st.integers(-3000, 3000), st.sampled_from([-95_443_718, 95_443_718])),
    noise_ms=st.sampled_from([0, 0, 0, 5, 150]),
    reorders=st.booleans(),
    jitter_ms=st.sampled_from([0, 5, 40]),
    loss=st.sampled_from([0.0, 0.0, 0.1]),
)


def acts(behaviours: list[Behaviour], seed: int) -> Iterator[tuple[int, list[Packet]]]:
    """Yield what a camera does on a network that never stalls: from when on, and the packets."""
    chance = random.Random(seed)
    now_ns, pts_ns = 0, 10**14
    for behaviour in behaviours:
        period_ns = NS_PER_S // behaviour.fps
        pts_ns += behaviour.step_ms * NS_PER_MS
        begin_ns, packets = now_ns, []
        for _ in range(round(behaviour.seconds * behaviour.fps)):
            noise_ns = round(chance.uniform(-behaviour.noise_ms, behaviour.noise_ms) * NS_PER_MS)
            arrival_ns = now_ns + round(chance.uniform(0, behaviour.jitter_ms) * NS_PER_MS)
            packets.append(Packet(now_ns, pts_ns + noise_ns, arrival_ns))
            now_ns += period_ns
            pts_ns += round(period_ns * behaviour.rate)
        if behaviour.reorders:
            packets = reordered(packets)
        yield begin_ns, [packet for packet in packets if chance.random() >= behaviour.loss]


def reordered(packets: list[Packet]) -> list[Packet]:
    """Send every third frame before the two that are shown before it; arrivals stay where they are."""
    places = list(range(len(packets)))
    for place in range(0, len(places) - 2, 3):
        places[place : place + 3] = [places[place + 2], places[place], places[place + 1]]
    sent = [packets[place] for place in places]
    delay_ns = 2 * (packets[1].captured_ns - packets[0].captured_ns) if len(packets) > 1 else 0
    return [
        Packet(packet.captured_ns, packet.pts_ns, slot.arrival_ns + delay_ns)
        for packet, slot in zip(sent, packets, strict=True)
    ]


@settings(max_examples=60, deadline=None)
@given(behaviours=st.lists(BEHAVIOURS, min_size=1, max_size=4), seed=st.integers(0, 1000))
def test_a_healthy_network_never_costs_more_than_a_second(behaviours: list[Behaviour], seed: int) -> None:
    """Whatever its stamps do: each time that the camera changes its ways, no more than a second is misjudged.

    Of slow cameras, it is eight frames: from fewer nobody can tell.
    """
    parts = list(acts(behaviours, seed))
    rows = iter(timed(in_order([packet for _, packets in parts for packet in packets])))
    slowest_ns = max(behaviour.leading_ns for behaviour in behaviours)
    for behaviour, (_, packets) in zip(behaviours, parts, strict=True):
        period_ns = NS_PER_S // behaviour.fps
        wrong = [row for row in islice(rows, len(packets)) if row.too_old_ns > TOLERANCE_NS + behaviour.leading_ns]
        assert len(wrong) * period_ns <= REACTION_NS + 8 * slowest_ns, wrong


STAMPS: dict[str, Callable[[int], int | None]] = {
    "right": lambda captured_ns: captured_ns,
    "a little slow": lambda captured_ns: captured_ns * 99 // 100,
    "half as fast": lambda captured_ns: captured_ns // 2,
    "twice as fast": lambda captured_ns: captured_ns * 2,
    "standing still": lambda captured_ns: 0,
    "none": lambda captured_ns: None,
}


@settings(max_examples=60, deadline=None)
@given(
    stamps=st.sampled_from(sorted(STAMPS)),
    fps=st.sampled_from([5, 10, 25, 30, 60]),
    begin_s=st.floats(5, 10),
    stalled_s=st.floats(1.5, 20),
    drain=st.sampled_from([1.5, 3, 1000]),
    jitter_ms=st.sampled_from([0, 5, 30]),
    seed=st.integers(0, 1000),
)
def test_a_burst_after_a_stall_is_never_taken_for_fresh(
    stamps: str, fps: int, begin_s: float, stalled_s: float, drain: float, jitter_ms: float, seed: int
) -> None:
    """Whatever the stamps are worth, frames that a network held back are known to be old, as long as they come."""
    packets = stream(
        begin_s + stalled_s * 2 + 5,
        fps=fps,
        stamp=STAMPS[stamps],
        jitter_ms=jitter_ms,
        stall=(begin_s, stalled_s),
        drain=drain,
        seed=seed,
    )
    # Without good stamps it is the usual distance of arrivals that tells how many frames still wait.
    share = 0.02 if stamps in ("right", "a little slow") else 0.1
    tolerance_ns = TOLERANCE_NS + NS_PER_S // fps + round(stalled_s * share * NS_PER_S)
    for row in timed(packets):
        assert row.too_old_ns >= -tolerance_ns, row


def clocks(rows: list[Timed]) -> list[bool]:
    """Return which clock was in force, one after the other."""
    changes = [rows[0].by_stamps]
    for row in rows:
        if row.by_stamps != changes[-1]:
            changes.append(row.by_stamps)
    return changes


def too_old(rows: list[Timed]) -> int:
    return sum(row.too_old_ns > TOLERANCE_NS for row in rows)


def test_stamps_that_run_a_little_slow_are_followed() -> None:
    """A camera that stamps 25 fps and ships 24.75 is answered for ever."""
    rows = timed(stream(120, fps=24.75, stamp=lambda captured_ns: captured_ns * 99 // 100))
    assert too_old(rows) == 0
    assert clocks(rows) == [True]


def test_at_night_the_arrivals_tell_and_by_day_the_stamps_again() -> None:
    """A camera that stamps 25 fps whatever it ships is found out, and believed again when it ships 25."""
    night_ns = [10 * NS_PER_S, 20 * NS_PER_S]

    def stamp(captured_ns: int) -> int:
        slept_ns = min(max(captured_ns - night_ns[0], 0), night_ns[1] - night_ns[0])
        return captured_ns - slept_ns // 2

    rows = timed(stream(30, fps=12.5, stamp=stamp))
    assert too_old(rows) == 0
    assert clocks(rows) == [True, False, True]


def test_a_step_back_costs_less_than_a_second() -> None:
    """Whatever its size: a step that could be a B-frame's is the longest doubtful."""
    for step_ms in (150, 300, 500, 900, 3000, 95_443_718):
        rows = timed(
            stream(30, stamp=lambda captured_ns, back=step_ms: captured_ns - (captured_ns > 10**10) * back * NS_PER_MS)
        )
        assert too_old(rows) * 40 < 1000, step_ms


def test_right_stamps_are_believed_whatever_the_jitter() -> None:
    """A network that delays by 50 ms in the mean bends the rate of arrivals within a second, not that of the stamps."""
    chance = random.Random(1)
    packets = [
        Packet(packet.captured_ns, packet.pts_ns, packet.captured_ns + round(chance.expovariate(1 / 50) * NS_PER_MS))
        for packet in stream(60)
    ]
    rows = timed(in_order(packets))
    believed = sum(row.by_stamps for row in rows)
    assert believed > 0.95 * len(rows)
    taken_for_fresh = sum(row.too_old_ns < -TOLERANCE_NS for row in rows)
    assert taken_for_fresh < 0.01 * len(rows)


def test_b_frames_keep_their_place() -> None:
    """The stamps of pictures that are sent before earlier ones go back and forth without disturbing the clock."""
    rows = timed(reordered(stream(10, jitter_ms=0)))
    assert clocks(rows) == [True]
    captured_ns = sorted((row.packet.pts_ns or 0, row.packet.arrival_ns - row.age_ns) for row in rows[21:-1])
    distances = {later[1] - earlier[1] for earlier, later in pairwise(captured_ns)}
    assert distances == {40 * NS_PER_MS}


def test_a_pause_of_the_camera_itself_is_no_stall() -> None:
    """Stamps that know of the gap say so: the frame after it is fresh."""
    packets = [packet for packet in stream(20) if not 5 * NS_PER_S < packet.captured_ns < 8 * NS_PER_S]
    assert too_old(timed(packets)) == 0


def test_a_new_line_of_stamps_is_tied_to_the_arrivals_at_once() -> None:
    """A sender that says so may begin with any stamp."""
    clock = StampClock()
    for packet in stream(5, jitter_ms=0):
        clock.captured_ns(packet.pts_ns, packet.arrival_ns)
    clock.restart()
    assert clock.captured_ns(7, 5 * NS_PER_S) == 5 * NS_PER_S


@given(
    pts=st.lists(st.none() | st.integers(-(2**62), 2**62), max_size=60),
    passed=st.lists(st.integers(0, 10**12), min_size=60, max_size=60),
)
def test_any_stamps_at_all_give_times_that_are_not_in_the_future(pts: list[int | None], passed: list[int]) -> None:
    """Bytes from a camera can say anything."""
    clock, now_ns = StampClock(), 0
    for pts_ns, passed_ns in zip(pts, passed, strict=False):
        now_ns += passed_ns
        assert clock.captured_ns(pts_ns, now_ns) <= now_ns
