"""For authors of stages: a hand-turned clock, fakes with names, and `check_stage`.

Nothing here is used by a run of the real thing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from pipeline.clock import NS_PER_MS, NS_PER_S, Clock
from pipeline.errors import StreamLost, Undecodable
from pipeline.frame import Answer, CaptureClock, FrameInfo, Mode
from pipeline.stage import Decoded, Decoder, OpenContext, Sample, Sink, Source, Stage

_GUARD_S = 30.0
"""A wait on the hand-turned clock that lasts this long in real time is a test gone wrong."""


class ManualClock(Clock):
    """A clock that stands still until it is turned.

    `advance` moves the time and wakes every wait that has run out; `wait_for_waiters` lets a test see that
    threads have come to rest, so that no test needs to sleep.
    """

    def __init__(self, start_ns: int = 0) -> None:
        self._lock = threading.Lock()  # guards the time and the list of waits
        self._now_ns = start_ns
        self._waits: list[tuple[int, threading.Condition]] = []
        self._resting = threading.Condition()

    def now_ns(self) -> int:
        return self._now_ns

    def wait(self, condition: threading.Condition, timeout_ns: int) -> bool:
        if timeout_ns <= 0:
            return False
        with self._lock:
            until_ns = self._now_ns + timeout_ns
            wait = (until_ns, condition)
            self._waits.append(wait)
        with self._resting:
            self._resting.notify_all()
        try:
            if not condition.wait(_GUARD_S):
                raise TimeoutError(f"nobody turned the clock or notified for {_GUARD_S} s")
        finally:
            with self._lock:
                self._waits.remove(wait)
        return self._now_ns < until_ns

    def advance(self, duration_ns: int) -> None:
        """Move the time forward and wake the waits that have run out."""
        with self._lock:
            self._now_ns += duration_ns
            due = [condition for until_ns, condition in self._waits if until_ns <= self._now_ns]
        for condition in due:
            with condition:
                condition.notify_all()

    def wait_for_waiters(self, count: int) -> None:
        """Wait, in real time but bounded, until at least `count` threads wait on this clock."""
        with self._resting:
            if not self._resting.wait_for(lambda: len(self._waits) >= count, _GUARD_S):
                raise TimeoutError(f"{len(self._waits)} threads wait on the clock, not {count}")


def frame_info(frame_id: int = 0, *, captured_ns: int | None = None, limit_ns: int | None = None) -> FrameInfo:
    """Return the FrameInfo of a made-up frame; 30 fps unless a capture time is given."""
    at_ns = frame_id * NS_PER_S // 30 if captured_ns is None else captured_ns
    due_ns = None if limit_ns is None else at_ns + limit_ns
    return FrameInfo("test", frame_id, at_ns / NS_PER_S, at_ns, due_ns)


def open_context(clock: Clock, *, mode: Mode = Mode.LOSSLESS, downstream: object | None = None) -> OpenContext:
    """Return a context to open a part with."""
    deadline_ns = 100 * NS_PER_MS if mode is Mode.LIVE else None
    return OpenContext(mode, "test", clock, cores=1, deadline_ns=deadline_ns, downstream=downstream)


class NumberSource(Source):
    """Counts from 0 to `count`: each sample's payload is its number. With a clock it is live and keeps the pace."""

    produces = int

    def __init__(
        self, count: int, *, period_ns: int = NS_PER_S // 30, clock: Clock | None = None, lost_at: Sequence[int] = ()
    ) -> None:
        self._count = count
        self._period_ns = period_ns
        self._clock = clock
        self._lost_at = set(lost_at)
        self._next = 0
        self._origin_ns: int | None = None
        self._closing = threading.Condition()
        self.opened = 0
        self.closed = 0

    @property
    def live(self) -> bool:
        return self._clock is not None

    @property
    def total_frames(self) -> int | None:
        return self._count

    def open(self, context: OpenContext) -> None:
        self.opened += 1

    def close(self) -> None:
        self.closed += 1

    def read(self) -> Sample | None:
        if self._next in self._lost_at:
            self._lost_at.remove(self._next)
            raise StreamLost("unplugged by the test")
        if self._next >= self._count:
            return None
        number = self._next
        self._next += 1
        pts_ns = number * self._period_ns
        if self._clock is not None:
            self._wait_until(self._clock, pts_ns)
        return Sample(number, pts_ns, None, None, CaptureClock.ARRIVAL if self.live else CaptureClock.FILE)

    def _wait_until(self, clock: Clock, pts_ns: int) -> None:
        if self._origin_ns is None:
            self._origin_ns = clock.now_ns() - pts_ns
        with self._closing:
            while (rest_ns := self._origin_ns + pts_ns - clock.now_ns()) > 0:
                clock.wait(self._closing, rest_ns)


class PassDecoder(Decoder):
    """Gives each payload back as its picture; those in `broken` cannot be decoded."""

    accepts = int
    produces = int

    def __init__(self, *, broken: Sequence[int] = ()) -> None:
        self._broken = set(broken)

    def decode(self, payload: object, ticket: int) -> Sequence[Decoded]:
        if payload in self._broken:
            raise Undecodable(f"packet {payload}")
        return [Decoded(ticket, payload, (640, 480))]


class BFrameSource(NumberSource):
    """A NumberSource whose numbers come in decode order, I P B B P B B: 0 3 1 2 6 4 5; give it 1 + 3 n of them."""

    def read(self) -> Sample | None:
        sample = super().read()
        if sample is None:
            return None
        place = self._next - 1
        number = place if place == 0 else place + 2 if place % 3 == 1 else place - 1
        pts_ns, dts_ns = (number + 2) * self._period_ns, place * self._period_ns
        return replace(sample, payload=number, pts_ns=pts_ns, dts_ns=dts_ns)


class ReorderingDecoder(PassDecoder):
    """Gives the numbers of a BFrameSource as pictures in presentation order."""

    def __init__(self) -> None:
        super().__init__()
        self._inside: dict[object, int] = {}
        self._next = 0

    def decode(self, payload: object, ticket: int) -> Sequence[Decoded]:
        self._inside[payload] = ticket
        pictures: list[Decoded] = []
        while self._next in self._inside:
            pictures += super().decode(self._next, self._inside.pop(self._next))
            self._next += 1
        return pictures


class PassStage(Stage):
    """Gives its input back; can take its time on a clock, raise on some frames and skip others."""

    def __init__(
        self,
        *,
        service_ns: int | Callable[[FrameInfo], int] = 0,
        clock: Clock | None = None,
        raises_on: Sequence[int] = (),
        skips: Sequence[int] = (),
    ) -> None:
        self._service_ns = service_ns
        self._clock = clock
        self._raises_on = set(raises_on)
        self._skips = set(skips)
        self._condition = threading.Condition()
        self.seen: list[int] = []
        self.opened = 0
        self.closed = 0

    def open(self, context: OpenContext) -> None:
        self.opened += 1

    def close(self) -> None:
        self.closed += 1

    def process(self, payload: object, info: FrameInfo) -> object | None:
        self.seen.append(info.frame_id)
        if self._clock is not None:
            service_ns = self._service_ns(info) if callable(self._service_ns) else self._service_ns
            end_ns = self._clock.now_ns() + service_ns
            with self._condition:
                while (rest_ns := end_ns - self._clock.now_ns()) > 0:
                    self._clock.wait(self._condition, rest_ns)
        if info.frame_id in self._raises_on:
            raise ValueError(f"asked to fail on frame {info.frame_id}")
        return None if info.frame_id in self._skips else payload


class PassDetector(PassStage):
    """A PassStage in the place of the detector."""

    detector = True


class StatelessStage(PassStage):
    """A PassStage that may run on several threads."""

    stateless = True


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A Forecaster that remembers what was measured and is valid for `horizon_ns`."""

    measured_ns: int
    value: object
    horizon_ns: int = 500 * NS_PER_MS

    def forecast(self, at_ns: int) -> object | None:
        """Return (value, age), or None beyond the horizon."""
        age_ns = at_ns - self.measured_ns
        return (self.value, age_ns) if age_ns <= self.horizon_ns else None


class SnapshotStage(Stage):
    """A tracker that knows nothing of objects: it makes a Snapshot of whatever comes."""

    def process(self, payload: object, info: FrameInfo) -> object | None:
        return Snapshot(info.captured_ns, payload)


class RecordingSink(Sink):
    """Keeps the answers; can fail on one, or wait for the test."""

    def __init__(self, *, fails_on: int | None = None, gate: threading.Event | None = None) -> None:
        self._fails_on = fails_on
        self._gate = gate
        self.answers: list[Answer] = []
        self.gaps: list[int] = []
        self.opened = 0
        self.closed = 0

    def open(self, context: OpenContext) -> None:
        self.opened += 1

    def close(self) -> None:
        self.closed += 1

    def write(self, answer: Answer, *, gap: int) -> None:
        if self._gate is not None:
            self._gate.wait(_GUARD_S)
        if answer.info.frame_id == self._fails_on:
            raise OSError("no space left on the test's device")
        self.answers.append(answer)
        self.gaps.append(gap)


def check_stage(
    make: Callable[[], Stage],
    payloads: Sequence[object],
    *,
    downstream: object | None = None,
    same: Callable[[object, object], bool] | None = None,
) -> list[object | None]:
    """Check what every stage must keep to; raise AssertionError with a sentence where it does not.

    Checked: the constructor and `open` can be repeated, `close` is idempotent, outputs have the announced class,
    the input is not changed (compared by `repr`), a second run gives the same results, a stage that says it is
    stateless gives the same results in reverse order, and what it says can be tuned are options of it.

    Args:
        make: makes a fresh, unopened stage.
        payloads: at least two inputs that the stage takes, in frame order.
        downstream: the input_spec of the next stage, if this one asks for it.
        same: compares two outputs; equality of `repr` if not given.

    Returns:
        The outputs, for further assertions.
    """
    equal = same or (lambda first, second: repr(first) == repr(second))
    first = _run_stage(make, payloads, downstream, range(len(payloads)))
    second = _run_stage(make, payloads, downstream, range(len(payloads)))
    for number, (one, other) in enumerate(zip(first, second, strict=True)):
        assert equal(one, other), f"frame {number}: a second run gave another result"
    if make().stateless:
        backward = _run_stage(make, payloads, downstream, range(len(payloads) - 1, -1, -1))
        for number, (one, other) in enumerate(zip(first, backward, strict=True)):
            assert equal(one, other), f"frame {number}: not stateless, the order of frames changed the result"
    return first


def _run_stage(
    make: Callable[[], Stage], payloads: Sequence[object], downstream: object | None, order: Sequence[int]
) -> list[object | None]:
    stage = make()
    context = replace(open_context(ManualClock()), downstream=downstream)
    outputs: list[object | None] = [None] * len(payloads)
    stage.open(context)
    try:
        stage.warm()
        assert stage.tunable <= set(stage.options_type.model_fields), "something that is no option is tunable"
        if stage.tunable:
            assert isinstance(stage.options, stage.options_type), "its options are not what it announces"
            stage.tune(stage.options)
        for number in order:
            before = repr(payloads[number])
            output = stage.process(payloads[number], frame_info(number))
            assert repr(payloads[number]) == before, f"frame {number}: the input was changed"
            if output is not None:
                produces: ClassVar = type(stage).produces  # type: ignore[misc]  # only to name it
                assert isinstance(output, produces), f"frame {number}: {type(output).__name__} is not announced"
            outputs[number] = output
    finally:
        stage.close()
        stage.close()
    return outputs
