"""How long the stages take for a frame: drawn, or as it was recorded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.simulation.distributions import Draw
from pipeline.simulation.recording import Recorded, Recording
from pipeline.timings import Event


@dataclass(frozen=True, slots=True)
class Service:
    """What the stages do with one frame, in ns."""

    gaps_ns: tuple[int, ...]
    """Until each stage's thread runs, and from the end of the last stage to the publisher."""
    runs_ns: tuple[int, ...]
    """Of each stage; the frame leaves after the last one given."""
    outcome: Event = Event.MEASURED
    """Else `failed` or `skipped`, in the last stage given."""


class Services(ABC):
    """Knows how long things take."""

    @abstractmethod
    def of(self, frame_id: int) -> Service:
        """Return what happens to a frame that was admitted."""


class DrawnServices(Services):
    """Run times by chance or in turn.

    Args:
        stages: their names, in order.
        runs: run times per stage; a stage that is not named takes no time.
        lateness: how late a thread runs that is woken.
    """

    def __init__(self, stages: Sequence[str], runs: Mapping[str, Draw], *, lateness: Draw) -> None:
        self._draws = [runs.get(name) for name in stages]
        self._lateness = lateness

    def of(self, frame_id: int) -> Service:
        runs_ns = tuple(0 if draw is None else draw() for draw in self._draws)
        gaps_ns = (0, *(self._lateness() for _ in runs_ns[1:]), 0)
        return Service(gaps_ns, runs_ns)


class RecordedServices(Services):
    """As in a recorded run; a frame that was not admitted then takes what the one before it took.

    Raises:
        ValueError: no frame was admitted.
    """

    def __init__(self, recording: Recording) -> None:
        asks = {frame_id: at_ns for at_ns, frame_id in recording.asks}  # the last one is the one that took it
        stages = recording.settings.stages
        ran = [frame for frame in recording.frames.values() if frame.frame_id in asks and _is_whole(frame, stages)]
        if not ran:
            raise ValueError("the record holds no frame that went through the stages")
        ran.sort(key=lambda frame: frame.frame_id)
        self._frame_ids = [frame.frame_id for frame in ran]
        self._services = [_service(frame, asks[frame.frame_id]) for frame in ran]

    def of(self, frame_id: int) -> Service:
        return self._services[max(0, bisect_right(self._frame_ids, frame_id) - 1)]


def _is_whole(frame: Recorded, stages: Sequence[str]) -> bool:
    """Whether a frame went through the stages, or through the first of them until it was dropped."""
    ran = tuple(name for name, _, _ in frame.runs)
    if frame.outcome is Event.MEASURED:
        return ran == tuple(stages)
    return frame.outcome is not None and bool(ran) and ran == tuple(stages[: len(ran)])


def _service(frame: Recorded, taken_ns: int) -> Service:
    gaps_ns, before_ns = [], taken_ns
    for _, start_ns, run_ns in frame.runs:
        gaps_ns.append(max(0, start_ns - before_ns))
        before_ns = start_ns + run_ns
    gaps_ns.append(max(0, frame.outcome_ns - before_ns))
    assert frame.outcome is not None
    return Service(tuple(gaps_ns), tuple(run_ns for _, _, run_ns in frame.runs), frame.outcome)
