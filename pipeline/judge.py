"""Says what is true of a frame at the moment it is answered: its own result, else a forecast, else nothing."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from pipeline.clock import Clock
from pipeline.forecast import forecast_at
from pipeline.frame import FrameInfo, ProjectTo, Reason, Status
from pipeline.logs import Complaints
from pipeline.stage import Forecaster

_SNAPSHOTS_KEPT = 4
"""Two frames may be between admission and detection; a forecast must never use a measurement of the future."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is true of a frame."""

    status: Status
    reason: Reason | None
    """Why it is not fresh."""
    payload: object | None
    """None: blind."""
    payload_at_ns: int | None
    """Of which moment the payload is true, if that is not the frame's capture."""

    def because(self, reason: Reason) -> Verdict:
        """Return the same with another reason."""
        return replace(self, reason=reason)


@dataclass(frozen=True, slots=True)
class Question:
    """What a verdict on a frame rests on."""

    captured_ns: int
    result: Forecaster | None
    """What was made of the frame itself."""
    basis: Forecaster | None
    """The newest measurement of an earlier frame."""
    reason: Reason
    """Why the frame is not fresh, if it has no result."""


class Judge:
    """Remembers the last results of one stream. Not locked, but for `verdict`, which looks at nothing that changes.

    Args:
        clock: the present, for answers that are true for it.
        complaints: about forecasts that raise.
        project_to: the moment that answers are true for.
    """

    def __init__(self, clock: Clock, complaints: Complaints, project_to: ProjectTo) -> None:
        self._clock = clock
        self._complaints = complaints
        self._project_to = project_to
        self._snapshots: deque[tuple[int, Forecaster]] = deque(maxlen=_SNAPSHOTS_KEPT)  # with their frame ids
        self.warming = True
        """The model is not ready yet."""
        self.paused = False
        """Nothing is admitted, on purpose."""

    def remember(self, frame_id: int, snapshot: Forecaster) -> None:
        """Take a result that serves later forecasts."""
        self._snapshots.append((frame_id, snapshot))

    def question(
        self, info: FrameInfo, *, result: Forecaster | None, reason: Reason | None, admitted: bool
    ) -> Question:
        """Return what a verdict on a frame rests on now.

        Args:
            info: the frame.
            result: what was made of it; None: nothing in time.
            reason: why it was refused; None: it was not.
            admitted: whether it was on its way to be measured.
        """
        basis = None
        for measured_id, snapshot in reversed(self._snapshots):
            # Capture times may be equal, or go back: neither a later frame nor a later time may be looked at.
            if measured_id < info.frame_id and snapshot.measured_ns <= info.captured_ns:
                basis = snapshot
                break
        return Question(info.captured_ns, result, basis, reason or self._unresolved(admitted=admitted))

    def verdict(self, question: Question) -> Verdict:
        """Say what is true of a frame now. Runs the code of a stage, which may take its time."""
        reason = question.reason
        if question.result is not None:
            payload, payload_at_ns = self._project(question.result, question.captured_ns)
            if payload is not None:
                return Verdict(Status.FRESH, None, payload, payload_at_ns)
            reason = Reason.FAILED  # a result that has nothing to say of its own frame
        if question.basis is None:
            return Verdict(Status.BLIND, reason, None, None)
        payload, payload_at_ns = self._project(question.basis, question.captured_ns)
        status = Status.BLIND if payload is None else Status.FORECAST
        return Verdict(status, reason, payload, payload_at_ns)

    def _unresolved(self, *, admitted: bool) -> Reason:
        """Say why there is no result of a frame, nor anybody who refused it."""
        if self.warming:
            return Reason.WARMING
        return Reason.PAUSED if self.paused and not admitted else Reason.LATE

    def _project(self, snapshot: Forecaster, captured_ns: int) -> tuple[object | None, int | None]:
        """Return what a snapshot says of now, if that is wanted and possible, else of the capture of a frame."""
        if self._project_to is ProjectTo.PUBLISH:
            now_ns = self._clock.now_ns()
            payload = forecast_at(snapshot, now_ns, self._complaints)
            if payload is not None:
                return payload, now_ns
        return forecast_at(snapshot, captured_ns, self._complaints), None
