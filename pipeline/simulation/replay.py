"""A recorded run once more: its arrivals, run times and wake-ups, and the engine's decisions made anew.

Pinned are the times at which things came from outside: packets, pictures, run times, when the operating system let a
thread run. Made anew are all decisions: which picture is admitted and when, and each frame's answer.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import partial

from pipeline.clock import NS_PER_MS
from pipeline.frame import Answer, Fate, Reason
from pipeline.ledger import Ledger
from pipeline.simulation.arrivals import recorded_arrivals
from pipeline.simulation.policies import own
from pipeline.simulation.recording import Recording
from pipeline.simulation.services import RecordedServices
from pipeline.simulation.world import Outcome, Shape, World
from pipeline.timings import Event

_LATEST_WAKE_NS = 100 * NS_PER_MS
"""A recorded wake-up longer after an alarm than this belongs to another alarm."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """The same run twice."""

    outcome: Outcome
    compared: int
    """Frames that were settled in the recorded run."""
    different: list[tuple[int, str, str]]
    """Frame, what the recorded run said of it, and what the replay says."""


class _Fates(Ledger):
    """Remembers what was said of each frame."""

    def __init__(self) -> None:
        super().__init__()
        self.said: dict[int, str] = {}

    def settle(self, frame_id: int, fate: Fate, reason: Reason | None = None, *, late: bool = False) -> None:
        super().settle(frame_id, fate, reason, late=late)
        self.said[frame_id] = fate if reason is None else f"{fate}:{reason}"


class _Replay(World):
    """Runs threads when they ran."""

    def __init__(self, recording: Recording, fates: _Fates) -> None:
        settings = recording.settings
        super().__init__(
            Shape(settings.deadline_ns, settings.credits, settings.stages, settings.detector),
            arrivals=recorded_arrivals(recording),
            services=RecordedServices(recording),
            make_head=own,
            warmed_ns=recording.warmed_ns or 0,
            ended_ns=recording.ended_ns,
            ledger=fates,
        )
        self._recording = recording
        self._wakes_ns = [at_ns for at_ns, _ in recording.wakes]
        for at_ns, event, value in recording.changes:
            self.at(at_ns, partial(self._change, event, value))
        for at_ns, _ in recording.asks:
            self.at(at_ns, self.ask)

    def _change(self, event: Event, value: int) -> None:
        """Do what whoever controlled the run did."""
        if event is Event.LIMITED:
            self.change_limit(value)
        elif event is Event.PAUSED:
            self.head.pause()
            self.publisher.pause()
        else:
            self.publisher.resume()
            self.head.resume()

    def hand_over(self, answer: Answer) -> int | None:
        """Take as long as it took, and fail if it failed."""
        frame, begun_ns = self._recording.frames.get(answer.info.frame_id), self.clock.current_ns
        self.clock.current_ns += 0 if frame is None else frame.hand_over_ns
        return None if frame is not None and frame.answer == Fate.MISSED and frame.hand_over_ns else begun_ns

    def wake_lateness_ns(self, alarm_ns: int) -> int:
        place = bisect_left(self._wakes_ns, alarm_ns)
        if place < len(self._wakes_ns) and self._wakes_ns[place] - alarm_ns < _LATEST_WAKE_NS:
            return self._wakes_ns[place] - alarm_ns
        return 0

    def look(self) -> None:
        """Do nothing: it looks when it looked."""

    def look_on(self) -> None:
        """Do nothing: it looks when it looked."""

    def look_again(self, wake_ns: int) -> None:
        """Do nothing: it looks when it looked."""


def replay(recording: Recording) -> Replayed:
    """Play a recorded run again and compare what became of each frame.

    Raises:
        ValueError: no frame went through the stages.
    """
    fates = _Fates()
    outcome = _Replay(recording, fates).run()
    settled = {frame.frame_id: frame.answer for frame in recording.frames.values() if frame.answer is not None}
    different = [
        (frame_id, answer, fates.said.get(frame_id, "nothing"))
        for frame_id, answer in sorted(settled.items())
        if fates.said.get(frame_id) != answer
    ]
    return Replayed(outcome, len(settled), different)
