"""The runs of bottlenecks.py, one in a process: plays a case with the checkout on PYTHONPATH and prints JSON.

Usage: PYTHONPATH=CHECKOUT python -P benchmarks/bottlenecks_cases.py CASE --seconds 6 [--clip FILE]

Uses only what older checkouts have, too: the fakes of pipeline.testing, and the real parts by their configuration.
"""

from __future__ import annotations

import argparse
import functools
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np

import pipeline
from pipeline.assembly import RunSettings
from pipeline.clock import NS_PER_MS, NS_PER_S, RealClock
from pipeline.config.build import build
from pipeline.config.load import parse
from pipeline.errors import Undecodable
from pipeline.frame import Answer, FrameInfo, Mode, Status
from pipeline.graph import Graph, Plan
from pipeline.run import Run
from pipeline.stage import Decoded, Decoder, Sample, Sink, Source, Stage
from pipeline.testing import NumberSource, PassDecoder, PassDetector, PassStage, SnapshotStage

Details = dict[str, float | int | None]

GOP = 30
SETTLE_S = 0.3
"""Three deadlines: what is still held after it is not on its way to an answer."""
HORIZON_NS = NS_PER_S // 2
SWITCH_INTERVAL_S = 0.0005
"""As `framepace run` sets it."""
CLOCK = RealClock()


@dataclass(frozen=True, slots=True)
class Setup:
    """What a case runs."""

    plan: Plan
    settings: RunSettings
    details: Callable[[], Details] = dict
    """What only this case can tell, asked after the run."""


@dataclass(frozen=True, eq=False)
class Packet:
    """A made-up packet."""

    number: int


@dataclass(slots=True)
class Held:
    """How many objects are in memory when all was read and settled: 1 each where every packet decodes. None before."""

    packets: int | None = None
    frames: int | None = None

    def count(self) -> None:
        """Ask the garbage collector, which knows all of them whoever holds them."""
        kinds = [type(held) for held in gc.get_objects()]
        self.packets, self.frames = kinds.count(Packet), kinds.count(FrameInfo)

    def details(self) -> Details:
        return {"packets held": self.packets, "frames held": self.frames}


class PacketSource(NumberSource):
    """A camera: packets at a steady pace, a key picture every GOP; each other one refers to the one before it.

    Args:
        count: how many packets.
        fps: their rate.
        at_end: called when all were read and the rest of the run has settled, before the end is told.
    """

    produces = Packet

    def __init__(self, count: int, *, fps: int, at_end: Callable[[], None] | None = None) -> None:
        super().__init__(count, period_ns=NS_PER_S // fps, clock=CLOCK)
        self._at_end = at_end
        self._fields = {known.name for known in fields(Sample)}

    def read(self) -> Sample | None:
        sample = super().read()
        if sample is None:
            if self._at_end is not None:
                time.sleep(SETTLE_S)
                self._at_end()
            return None
        number = sample.payload
        assert isinstance(number, int)
        told = {"payload": Packet(number), "is_key": number % GOP == 0, "is_reference": True}
        return replace(sample, **{name: value for name, value in told.items() if name in self._fields})


class SlowDecoder(PassDecoder):
    """Takes its time for each packet, as hardware would, and counts pictures whose reference was left out."""

    accepts = Packet

    def __init__(self, service_ms: float) -> None:
        super().__init__()
        self._service_s = service_ms / 1000
        self._next: int | None = None  # the packet that refers to what was decoded last
        self._decoded = 0
        self._damaged = 0

    def decode(self, payload: object, ticket: int) -> Sequence[Decoded]:
        assert isinstance(payload, Packet)
        time.sleep(self._service_s)
        intact = payload.number % GOP == 0 or payload.number == self._next
        self._next = payload.number + 1 if intact else None
        self._decoded += 1
        self._damaged += not intact
        return super().decode(payload.number, ticket)

    def details(self) -> Details:
        return {"decoded": self._decoded, "damaged": self._damaged}


class BrokenDecoder(PassDecoder):
    """Cannot decode anything."""

    accepts = Packet

    def decode(self, payload: object, ticket: int) -> Sequence[Decoded]:
        raise Undecodable("packet of the benchmark")


class TimedSink(Sink):
    """Takes its time for each answer, and notes how long after the deadline each write began."""

    def __init__(self, service_ms: float) -> None:
        self._service_s = service_ms / 1000
        self._lateness_ms: list[float] = []

    def write(self, answer: Answer, *, gap: int) -> None:
        assert answer.info.due_ns is not None
        self._lateness_ms.append((CLOCK.now_ns() - answer.info.due_ns) / NS_PER_MS)
        time.sleep(self._service_s)

    def details(self) -> Details:
        late = [lateness_ms for lateness_ms in self._lateness_ms if lateness_ms > 0]
        worst_ms = round(max(late, default=0.0), 1)
        return {"writes": len(self._lateness_ms), "began late": len(late), "worst late ms": worst_ms}


@dataclass(frozen=True, slots=True)
class SlowSnapshot:
    """A Forecaster that computes for a while, in Python, before it says anything."""

    measured_ns: int
    cost_ns: int

    def forecast(self, at_ns: int) -> object | None:
        """Return the age, or None beyond the horizon."""
        end_ns = time.perf_counter_ns() + self.cost_ns
        while time.perf_counter_ns() < end_ns:
            pass
        age_ns = at_ns - self.measured_ns
        return age_ns if age_ns <= HORIZON_NS else None


class SlowSnapshotStage(Stage):
    """A tracker whose forecasts cost something."""

    def __init__(self, cost_ms: float) -> None:
        self._cost_ns = round(cost_ms * NS_PER_MS)

    def process(self, payload: object, info: FrameInfo) -> object | None:
        return SlowSnapshot(info.captured_ns, self._cost_ns)


@dataclass(slots=True)
class Answers:
    """Notes the age of every fresh answer, and holds on to nothing of the run."""

    fresh: list[tuple[int, float]] = field(default_factory=list)
    """Frame number and age, ms."""

    def note(self, answer: Answer) -> None:
        """Take note of one."""
        if answer.status is Status.FRESH and answer.published_ns is not None:
            age_ms = (answer.published_ns - answer.info.captured_ns) / NS_PER_MS
            self.fresh.append((answer.info.frame_id, age_ms))

    def ages(self, first: float, last: float) -> dict[str, float | int | None]:
        """Return the ages of fresh answers among frames `first` (included) to `last` (not)."""
        ages_ms = [age_ms for frame_id, age_ms in self.fresh if first <= frame_id < last]
        p50, p99 = (round(float(value), 1) for value in np.percentile(ages_ms, (50, 99))) if ages_ms else (None, None)
        return {"count": len(ages_ms), "p50": p50, "p99": p99}


def detector(service_ms: float) -> tuple[str, Stage]:
    """Return a detector that takes its time without the processor."""
    return "detect", PassDetector(service_ns=round(service_ms * NS_PER_MS), clock=CLOCK)


def fakes(
    source: Source,
    stages: list[tuple[str, Stage]],
    *,
    deadline_ms: int,
    decoder: Decoder | None = None,
    sink: TimedSink | None = None,
    details: Callable[[], Details] = dict,
) -> Setup:
    """Return a run of fakes."""
    plan = Graph.chain(source, decoder, stages, [("sink", sink or TimedSink(0))]).check(Mode.LIVE)
    cores = len(os.sched_getaffinity(0))
    settings = RunSettings("bench", Mode.LIVE, cores=cores, deadline_ns=deadline_ms * NS_PER_MS)
    return Setup(plan, settings, details)


def numbers(seconds: float, fps: int = 30) -> NumberSource:
    """Return a camera that needs no decoder."""
    return NumberSource(round(seconds * fps), period_ns=NS_PER_S // fps, clock=CLOCK)


def slow_decoder(seconds: float) -> Setup:
    """50 ms a picture, where one comes every 17."""
    decoder = SlowDecoder(50)
    source = PacketSource(round(seconds * 60), fps=60)
    stages = [detector(5), ("track", SnapshotStage())]
    return fakes(source, stages, deadline_ms=100, decoder=decoder, details=decoder.details)


def real_decoder(seconds: float, clip: Path) -> Setup:
    """The real parts on one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    source = {"kind": "video", "url": str(clip), "pace": "pts", "max_frames": round(seconds * 60)}
    stages = ["preprocess", "detect", "track"]
    config = {"mode": "live", "source": source, "deadline": "100ms", "stages": stages, "sinks": [f"jsonl:{os.devnull}"]}
    built = build(parse(config))
    return Setup(built.plan, built.settings)


def slow_stage(seconds: float, *, detector_ms: float, behind_ms: float) -> Setup:
    """A stage behind the detector; with 0 ms there is none."""
    behind = PassStage(service_ns=round(behind_ms * NS_PER_MS), clock=CLOCK)
    between: list[tuple[str, Stage]] = [("behind", behind)] if behind_ms else []
    return fakes(numbers(seconds), [detector(detector_ms), *between, ("track", SnapshotStage())], deadline_ms=250)


def slow_sink(seconds: float) -> Setup:
    """60 ms a write, where an answer comes every 33."""
    sink = TimedSink(60)
    stages = [detector(5), ("track", SnapshotStage())]
    return fakes(numbers(seconds), stages, deadline_ms=100, sink=sink, details=sink.details)


def slow_forecast(seconds: float, *, cost_ms: float) -> Setup:
    """Forecasts that compute."""
    return fakes(numbers(seconds), [detector(60), ("track", SlowSnapshotStage(cost_ms))], deadline_ms=100)


def undecodable(seconds: float) -> Setup:
    """Not one packet gives a picture."""
    held = Held()
    source = PacketSource(round(seconds * 60), fps=60, at_end=held.count)
    stages = [detector(5), ("track", SnapshotStage())]
    return fakes(source, stages, deadline_ms=100, decoder=BrokenDecoder(), details=held.details)


FAKES: dict[str, Callable[[float], Setup]] = {
    "decoder": slow_decoder,
    "stage/behind": functools.partial(slow_stage, detector_ms=20, behind_ms=100),
    "stage/inside": functools.partial(slow_stage, detector_ms=120, behind_ms=0),
    "sink": slow_sink,
    "forecast/0ms": functools.partial(slow_forecast, cost_ms=0),
    "forecast/3ms": functools.partial(slow_forecast, cost_ms=3),
    "forecast/10ms": functools.partial(slow_forecast, cost_ms=10),
    "undecodable": undecodable,
}


def play(setup: Setup) -> dict[str, object]:
    """Run it to its end and return what there is to say."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    answers = Answers()
    run = Run(setup.plan, setup.settings, on_answer=answers.note)
    gc.collect()
    gc.freeze()  # as `framepace run` does
    run.start()
    report = run.join().model_dump(mode="json")
    captured = report["frames"]["captured"]
    return {
        "checkout": str(Path(pipeline.__file__).resolve().parents[1]),
        "fresh_share": round(report["frames"]["fresh"] / captured, 4) if captured else None,
        "shed": report["reasons"].get("shed", 0),
        "age_ms": answers.ages(0, captured),
        "age_ms_first_third": answers.ages(0, captured / 3),
        "age_ms_last_third": answers.ages(captured * 2 / 3, captured),
        "details": setup.details(),
        "report": report,
    }


def main() -> None:
    """Play one case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", help="one of the fakes; with a clip, only a name")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--clip", type=Path, help="played by the real parts, on one core")
    arguments = parser.parse_args()
    seconds, clip = arguments.seconds, arguments.clip
    print(json.dumps(play(FAKES[arguments.case](seconds) if clip is None else real_decoder(seconds, clip))))


if __name__ == "__main__":
    main()
