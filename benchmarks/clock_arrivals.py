"""Frames of live streams whose true capture times are known: simulated ones, and recorded ones from our RTSP camera."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

from rtsp_behaviour import Behaviour
from rtsp_server import Camera, numbered_clip

from pipeline.clock import NS_PER_MS, NS_PER_S, RealClock
from stages.capture.rtsp.handshake import ClientSettings
from stages.capture.rtsp_input import RtspInput
from stages.capture.targets import parse_target

FPS = 25
DISTURBED_S = 20.0
"""When what happens once begins."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One frame on its way; monotonic nanoseconds."""

    captured_ns: int
    pts_ns: int | None
    arrival_ns: int


@dataclass(frozen=True)
class Scenario:
    """A camera and a network."""

    name: str
    make: Callable[[int], list[Packet]]
    """Takes a random seed."""
    is_healthy: bool = True
    """Whether the network neither stalls nor delays by more than some tens of milliseconds."""
    begin_s: float = 0.0
    """When the disturbance begins."""
    end_s: float = 0.0
    """When it ends."""


Stamp = Callable[[float], float]
"""Gives the time stamp of a capture time, both in seconds."""


def straight(captured_s: float) -> float:
    """Stamp as the clock goes."""
    return captured_s


def camera(
    seconds: float, *, fps: float = FPS, stamp: Stamp = straight, closed: tuple[float, float] = (0, 0)
) -> list[Packet]:
    """Return the frames of a camera, on a network that takes no time.

    Args:
        seconds: how long.
        fps: frames per second.
        stamp: what the camera writes on them.
        closed: when it captures nothing, and for how long.
    """
    packets = []
    for number in range(round(seconds * fps)):
        captured_s = number / fps
        if not closed[0] < captured_s < sum(closed):
            captured_ns = round(captured_s * NS_PER_S)
            packets.append(Packet(captured_ns, round(stamp(captured_s) * NS_PER_S), captured_ns))
    return packets


@dataclass(frozen=True)
class Network:
    """What happens to frames on their way; the defaults are those of a quiet local one."""

    jitter_ms: float = 2.0
    """Mean of the exponential delays."""
    loss: float = 0.0
    """Share of frames that do not come."""
    stall: tuple[float, float] = (0.0, 0.0)
    """When nothing arrives, and for how long."""
    drain: float = 1000.0
    """How many times faster than they were captured the frames come that a stall held back."""
    loses_stalled: bool = False
    """Whether the frames of a stall are lost instead."""
    keeps_order: bool = True
    """As TCP does."""
    copies: int = 1
    """How often each frame comes."""

    def carry(self, packets: list[Packet], seed: int) -> list[Packet]:
        """Return the frames in the order of arrival."""
        chance = random.Random(seed)
        carried, latest_ns = [], 0
        begin_ns, stalled_ns = (round(seconds * NS_PER_S) for seconds in self.stall)
        for packet in packets:
            delay_ns = round(chance.expovariate(1 / (self.jitter_ms * NS_PER_MS))) if self.jitter_ms else 0
            arrival_ns = packet.arrival_ns
            if stalled_ns and arrival_ns >= begin_ns:
                if self.loses_stalled and arrival_ns < begin_ns + stalled_ns:
                    continue
                free_ns = begin_ns + stalled_ns + round((arrival_ns - begin_ns) / self.drain)
                arrival_ns = max(arrival_ns, 0 if self.loses_stalled else free_ns)
            arrival_ns += delay_ns
            if chance.random() < self.loss:
                continue
            if self.keeps_order:
                latest_ns = arrival_ns = max(arrival_ns, latest_ns)
            carried += [Packet(packet.captured_ns, packet.pts_ns, arrival_ns)] * self.copies
        return sorted(carried, key=lambda packet: packet.arrival_ns)


def with_b_frames(packets: list[Packet]) -> list[Packet]:
    """Send every third frame before the two that are shown before it, each as soon as the encoder can."""
    sent = []
    for place in range(0, len(packets) - 2, 3):
        first, second, reference = packets[place : place + 3]
        for packet, slot in zip((reference, first, second), packets[place + 2 : place + 5], strict=False):
            sent.append(Packet(packet.captured_ns, packet.pts_ns, slot.captured_ns))
    return sent


def stepping(by_s: float) -> Stamp:
    """Return stamps that jump once."""
    return lambda captured_s: captured_s + 5000 + (by_s if captured_s >= DISTURBED_S else 0)


def standing(from_s: float, for_s: float) -> Stamp:
    """Return stamps that stand still for a while, and go on where they stood."""
    return lambda captured_s: captured_s - min(max(captured_s - from_s, 0), for_s)


def rated(rate: float) -> Stamp:
    """Return stamps that run so many times as fast as time."""
    return lambda captured_s: captured_s * rate


def slowing(captured_s: float) -> float:
    """Stamp half as fast as time after a while."""
    return captured_s - max(captured_s - DISTURBED_S, 0) / 2


def in_pairs(captured_s: float) -> float:
    """Give every two frames the same stamp."""
    return round(captured_s * FPS) // 2 * 2 / FPS


def wrapping(captured_s: float) -> float:
    """Stamp with 32 bits of 90 kHz that begin anew."""
    return (captured_s - DISTURBED_S) % (2**32 / 90_000)


def ship(seed: int, packets: list[Packet], network: Network) -> list[Packet]:
    """Return what arrives."""
    return network.carry(packets, seed)


def steady(name: str, packets: list[Packet], network: Network | None = None, *, is_healthy: bool = True) -> Scenario:
    """Return a scenario that is the same all the time."""
    return Scenario(name, partial(ship, packets=packets, network=network or Network()), is_healthy)


def once(name: str, packets: list[Packet], network: Network | None = None, *, lasts_s: float = 0.0) -> Scenario:
    """Return a scenario in which something happens at `DISTURBED_S`; unhealthy if the network does it."""
    make = partial(ship, packets=packets, network=network or Network())
    return Scenario(name, make, network is None, DISTURBED_S, DISTURBED_S + lasts_s)


def simulated() -> list[Scenario]:
    """Return all cameras and networks that are simulated."""
    return [*_rates(), *_steps(), *_odd_stamps(), *_jitter_and_loss(), *_stalls()]


def _rates() -> list[Scenario]:
    rates = (0.5, 0.9, 0.93, 0.95, 0.97, 1.03, 1.05, 1.07, 1.1, 2.0)
    return [
        *(steady(f"rate {rate:g}", camera(60, stamp=rated(rate))) for rate in rates),
        *(steady(f"rate {rate:g}, 5 min", camera(300, stamp=rated(rate))) for rate in (0.99, 1.01)),
        once("rate 0.5 after 20 s", camera(60, stamp=slowing)),
    ]


def _steps() -> list[Scenario]:
    sizes = (0.15, 0.3, 0.5, 0.9, 3, 60, 3600)
    return [
        once(f"step {way} {size:g} s", camera(60, stamp=stepping(sign * size)))
        for sign, way in ((-1, "back"), (1, "forward"))
        for size in sizes
    ]


def _odd_stamps() -> list[Scenario]:
    return [
        once("wrap of 32 bits", camera(60, stamp=wrapping)),
        steady("stamps in milliseconds", camera(60, stamp=rated(1 / 90))),
        steady("stamps in microseconds", camera(60, stamp=rated(1e6 / 90_000))),
        steady("stamps all equal", camera(60, stamp=rated(0))),
        steady("stamps in pairs", camera(60, stamp=in_pairs)),
        once("stamps stand still for 5 s", camera(60, stamp=standing(DISTURBED_S, 5)), lasts_s=5),
        once("camera pauses for 3 s", camera(60, closed=(DISTURBED_S, 3)), lasts_s=3),
        once(
            "camera and its stamps pause for 3 s",
            camera(60, closed=(DISTURBED_S, 3), stamp=standing(DISTURBED_S, 3)),
            lasts_s=3,
        ),
        steady("B-frames", with_b_frames(camera(60))),
        steady("right, 5 fps", camera(60, fps=5)),
    ]


def _jitter_and_loss() -> list[Scenario]:
    return [
        *(steady(f"jitter {mean} ms", camera(60), Network(jitter_ms=mean)) for mean in (5, 20, 50)),
        steady("jitter 20 ms, out of order", camera(60), Network(jitter_ms=20, keeps_order=False)),
        steady("jitter 50 ms, rate 0.5", camera(60, stamp=rated(0.5)), Network(jitter_ms=50)),
        *(steady(f"loss {share:.0%}", camera(60), Network(loss=share)) for share in (0.02, 0.1, 0.3)),
        steady("loss 10%, rate 0.5", camera(60, stamp=rated(0.5)), Network(loss=0.1)),
        steady("each frame twice", camera(60), Network(copies=2)),
    ]


def _stalls() -> list[Scenario]:
    kinds = (("", straight), (", rate 0.99", rated(0.99)), (", rate 0.5", rated(0.5)), (", all equal", rated(0)))
    bursts = [
        once(
            f"stall {stalled_s:g} s, drains {name}{stamps}",
            camera(60, stamp=stamp),
            Network(stall=(DISTURBED_S, stalled_s), drain=drain),
            lasts_s=stalled_s,
        )
        for stamps, stamp in kinds
        for stalled_s in (0.5, 1, 2, 5, 10)
        for drain, name in ((1000, "at once"), (2, "at twice the rate"))
    ]
    lost = once("stall 3 s, frames lost", camera(60), Network(stall=(DISTURBED_S, 3), loses_stalled=True), lasts_s=3)
    return [*bursts, lost]


@dataclass(frozen=True)
class Recording:
    """A camera to record, and what it does wrong."""

    name: str
    behaviour: Behaviour = field(default_factory=Behaviour)
    fps: int = FPS
    holds_s: float = 0.0
    """After a third of the time, it keeps pictures back for so long."""


RECORDINGS = (
    Recording("recorded: well"),
    Recording("recorded: half the rate", Behaviour(ticks_per_s=45_000), fps=12),
    Recording("recorded: milliseconds", Behaviour(ticks_per_s=1000)),
    Recording("recorded: all equal", Behaviour(ticks_per_s=0)),
    Recording("recorded: holds for 2 s", holds_s=2),
)
SETTINGS = ClientSettings(
    transport="tcp",
    open_timeout_ns=5 * NS_PER_S,
    stall_timeout_ns=10 * NS_PER_S,
    reorder_ns=100 * NS_PER_MS,
    verify_tls=True,
)


def recorded(seconds: float) -> list[Scenario]:
    """Record all cameras at the same time, over loopback, by our own client."""
    with ThreadPoolExecutor(len(RECORDINGS)) as pool:
        return list(pool.map(partial(record, seconds=seconds), RECORDINGS))


def record(recording: Recording, seconds: float) -> Scenario:
    """Record one camera; a picture counts as captured when the camera should have sent it."""
    clip = numbered_clip(width=192, height=112, fps=recording.fps, pictures=50, gop=25)
    units = []
    begin_s = seconds / 3
    with Camera(clip, behaviour=replace(recording.behaviour)) as source:
        connection = RtspInput(
            parse_target(source.url), SETTINGS, RealClock(), synchronised_clocks=False, is_interrupted=lambda: False
        )
        for place in range(round(seconds * recording.fps)):
            if recording.holds_s:
                is_held = begin_s * recording.fps <= place < (begin_s + 0.5) * recording.fps
                source.behaviour.hold_s = recording.holds_s if is_held else 0.0
            units.append(connection.read().stamps)
        connection.close()
        sent = list(source.sent)
    # Each picture arrives, and in order: the connection is TCP.
    packets = [Packet(shot.due_ns, stamps.pts_ns, stamps.arrival_ns) for shot, stamps in zip(sent, units, strict=False)]
    origin_ns = packets[0].captured_ns
    moved = [Packet(packet.captured_ns - origin_ns, packet.pts_ns, packet.arrival_ns - origin_ns) for packet in packets]

    def make(_seed: int) -> list[Packet]:
        return moved

    if not recording.holds_s:
        return Scenario(recording.name, make)
    return Scenario(recording.name, make, False, begin_s, begin_s + recording.holds_s)
