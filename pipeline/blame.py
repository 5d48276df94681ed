"""Finds the step of a frame's way that made it miss: which stage, in it or in front of it, against what is usual.

    capture wait -> decode wait, run -> stage wait, run -> ... -> publish wait

A frame that ran out of time is still somewhere on its way; the step that it is in counts with what it has taken so far,
a stage that it has not reached with what it usually takes. When even the usual way is longer than the deadline allows,
the longest step is to blame; otherwise the one that most exceeds what is usual. Behind a long wait for a stage there
may be a long run on an earlier frame: then that is to blame. A frame that could not even be answered has its blame
before or behind the stages: an answer needs none of them.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pipeline.clock import NS_PER_MS
from pipeline.estimator import Window
from pipeline.frame import Blame, Spent
from pipeline.report import BlameReport
from pipeline.timings import Event, Timings

_FRAMES_MOST = 4096
"""Frames whose way is remembered: those that wait for their answer, some minutes' worth at the most."""
_RUNS_KEPT = 4
"""Of each stage: those that a frame may have waited for."""
_MEDIAN = 0.5
CAPTURE, DECODE, PUBLISH = "capture", "decode", "publish"


@dataclass(frozen=True, slots=True)
class Step:
    """One part of a frame's way, finished or not."""

    stage: str
    part: Spent
    took_ns: int
    usual_ns: int
    until_ns: int = 0
    """When the wait for a stage was over."""

    @property
    def excess_ns(self) -> int:
        """How much longer it took than usual."""
        return self.took_ns - self.usual_ns


@dataclass(slots=True)
class _Visit:
    """A frame's stay in one stage."""

    stage: str
    wait_ns: int
    start_ns: int
    run_ns: int | None = None
    """None while it is there."""

    def ran_ns(self, now_ns: int) -> int:
        """Return how long it has been there."""
        return now_ns - self.start_ns if self.run_ns is None else self.run_ns


@dataclass(slots=True)
class _Marks:
    """When one frame was where."""

    captured_ns: int
    registered_ns: int
    decoding_ns: int | None = None
    """When the decoder began with the packet that its picture came out of."""
    offered_ns: int | None = None
    visits: list[_Visit] = field(default_factory=list)


def judge(steps: Sequence[Step], allowed_ns: int) -> Step | None:
    """Return the step that is to blame; None when there is none.

    Args:
        steps: of the whole way.
        allowed_ns: how long the whole way may take.
    """
    if not steps:
        return None
    if sum(step.usual_ns for step in steps) > allowed_ns:
        return max(steps, key=lambda step: step.took_ns)
    return max(steps, key=lambda step: step.excess_ns)


class Blames(Timings):
    """Follows the frames of one stream by what is noted of them, and counts who made them miss.

    Safe to use from several threads; never waits for anything but its own lock.

    Args:
        stages: names in flow order.
    """

    def __init__(self, stages: Sequence[str]) -> None:
        self._stages = tuple(stages)
        self._lock = threading.Lock()  # guards all fields
        self._usual: dict[tuple[str, Spent], Window] = {}
        self._marks: dict[int, _Marks] = {}  # of frames that were not answered yet
        self._runs: dict[str, deque[_Visit]] = {stage: deque(maxlen=_RUNS_KEPT) for stage in stages}
        self._decoding_ns: int | None = None
        self._tally: dict[tuple[str, Spent], _Count] = {}
        self._takers = {
            Event.CAPTURED: self._captured,
            Event.BEGAN: self._began,
            Event.DECODED: self._decoded,
            Event.OFFERED: self._offered,
            Event.RAN: self._ran,
            Event.WOKEN: self._woken,
            Event.ANSWERED: self._answered,
            Event.UNDECODABLE: self._answered,
        }

    def note(self, event: Event, at_ns: int, frame_id: int = -1, text: str = "", value: int = 0) -> None:
        take = self._takers.get(event)
        if take is not None:
            with self._lock:
                take(at_ns, frame_id, text, value)

    def out_of_time(self, frame_id: int, now_ns: int, *, latest_ns: int) -> Blame | None:
        """Return what made a frame miss whose result is not there in time, and count it.

        Args:
            now_ns: the present moment.
            latest_ns: when its answer is given at the latest.
        """
        with self._lock:
            marks = self._marks.get(frame_id)
            if marks is None:
                return None
            worst = judge(list(self._steps(marks, now_ns)), latest_ns - marks.captured_ns)
            if worst is not None and worst.part is Spent.WAIT and worst.stage in self._stages:
                worst = self._run_behind(worst, now_ns)
            return self._count(worst)

    def unanswered(self, frame_id: int, now_ns: int, *, latest_ns: int) -> Blame | None:
        """Return what made a frame miss that could not be answered at all, and count it; see out_of_time."""
        with self._lock:
            marks = self._marks.get(frame_id)
            if marks is None:
                return None
            waking_ns = now_ns - max(latest_ns, marks.registered_ns)
            steps = [
                self._step(CAPTURE, Spent.WAIT, marks.registered_ns - marks.captured_ns),
                self._step(PUBLISH, Spent.WAIT, waking_ns),
            ]
            return self._count(judge(steps, latest_ns - marks.captured_ns))

    def top(self) -> list[BlameReport]:
        """Return who made frames miss so far, the most frequent first."""
        with self._lock:
            counts = sorted(self._tally.items(), key=lambda item: (-item[1].frames, item[0]))
            return [
                BlameReport(
                    stage=stage,
                    part=part,
                    frames=count.frames,
                    typical_ms=round(count.usual_ns / count.frames / NS_PER_MS, 3),
                    excess_ms=round((count.took_ns - count.usual_ns) / count.frames / NS_PER_MS, 3),
                )
                for (stage, part), count in counts
            ]

    # What is noted; all under the lock

    def _captured(self, at_ns: int, frame_id: int, text: str, value: int) -> None:
        if len(self._marks) >= _FRAMES_MOST:
            del self._marks[next(iter(self._marks))]
        self._marks[frame_id] = _Marks(captured_ns=value, registered_ns=at_ns)
        self._learn(CAPTURE, Spent.WAIT, at_ns - value)

    def _began(self, at_ns: int, frame_id: int, text: str, value: int) -> None:
        if frame_id < 0:
            self._decoding_ns = at_ns
            return
        self._learn(text, Spent.WAIT, value)
        visit = _Visit(text, value, at_ns)
        self._runs[text].append(visit)
        if frame_id in self._marks:
            self._marks[frame_id].visits.append(visit)

    def _decoded(self, at_ns: int, frame_id: int, text: str, value: int) -> None:
        self._decoding_ns = None

    def _offered(self, at_ns: int, frame_id: int, text: str, value: int) -> None:
        marks = self._marks.get(frame_id)
        if marks is None:
            return
        marks.offered_ns, marks.decoding_ns = at_ns, self._decoding_ns
        for step in self._decode_steps(marks, at_ns):
            self._learn(step.stage, step.part, step.took_ns)

    def _ran(self, at_ns: int, frame_id: int, text: str, value: int) -> None:
        self._learn(text, Spent.RUN, value)
        for visit in self._runs[text]:
            if visit.start_ns == at_ns:
                visit.run_ns = value

    def _woken(self, at_ns: int, frame_id: int, text: str, value: int) -> None:
        self._learn(PUBLISH, Spent.WAIT, value)

    def _answered(self, at_ns: int, frame_id: int, text: str, value: int) -> None:
        self._marks.pop(frame_id, None)

    # The way

    def _steps(self, marks: _Marks, now_ns: int) -> Iterator[Step]:
        yield self._step(CAPTURE, Spent.WAIT, marks.registered_ns - marks.captured_ns)
        yield from self._decode_steps(marks, now_ns)
        since_ns = marks.offered_ns
        for visit in marks.visits:
            yield self._step(visit.stage, Spent.WAIT, visit.wait_ns, until_ns=visit.start_ns)
            yield self._step(visit.stage, Spent.RUN, visit.ran_ns(now_ns))
            since_ns = None if visit.run_ns is None else visit.start_ns + visit.run_ns
        for stage in self._stages[len(marks.visits) :]:
            if since_ns is not None:
                yield self._step(stage, Spent.WAIT, now_ns - since_ns, until_ns=now_ns)
                since_ns = None
            yield self._step(stage, Spent.RUN, None)

    def _decode_steps(self, marks: _Marks, now_ns: int) -> Iterator[Step]:
        end_ns = now_ns if marks.offered_ns is None else marks.offered_ns
        began_ns = self._decoding_ns if marks.offered_ns is None else marks.decoding_ns
        if began_ns is None:
            if marks.offered_ns is None:
                yield self._step(DECODE, Spent.WAIT, end_ns - marks.registered_ns)
            return
        began_ns = max(began_ns, marks.registered_ns)  # it may have begun with an earlier packet
        yield self._step(DECODE, Spent.WAIT, began_ns - marks.registered_ns)
        yield self._step(DECODE, Spent.RUN, end_ns - began_ns)

    def _run_behind(self, wait: Step, now_ns: int) -> Step:
        """Return the run that a frame waited for, if that explains half of the wait or more, else the wait itself.

        It may be of any stage further on: what waits in front of the first one waits for the detector.
        """
        worst = wait
        for stage in self._stages[self._stages.index(wait.stage) :]:
            for visit in self._runs[stage]:
                run = self._step(stage, Spent.RUN, visit.ran_ns(now_ns))
                begins_ns = wait.until_ns - wait.took_ns
                overlaps = visit.start_ns < wait.until_ns and visit.start_ns + run.took_ns > begins_ns
                least_ns = wait.excess_ns // 2 if worst is wait else worst.excess_ns
                if overlaps and run.excess_ns > least_ns:
                    worst = run
        return worst

    def _step(self, stage: str, part: Spent, took_ns: int | None, *, until_ns: int = 0) -> Step:
        """Return a step; one that was not reached takes what is usual."""
        window = self._usual.get((stage, part))
        usual_ns = 0 if window is None else window.percentile(_MEDIAN)
        return Step(stage, part, usual_ns if took_ns is None else max(0, took_ns), usual_ns, until_ns)

    def _learn(self, stage: str, part: Spent, took_ns: int) -> None:
        window = self._usual.get((stage, part))
        if window is None:
            window = self._usual[stage, part] = Window()
        window.add(max(0, took_ns))

    def _count(self, step: Step | None) -> Blame | None:
        if step is None:
            return None
        count = self._tally.setdefault((step.stage, step.part), _Count())
        count.frames += 1
        count.took_ns += step.took_ns
        count.usual_ns += step.usual_ns
        return Blame(step.stage, step.part, step.took_ns, step.usual_ns)


@dataclass(slots=True)
class _Count:
    """How often one step was to blame, and its times together."""

    frames: int = 0
    took_ns: int = 0
    usual_ns: int = 0
