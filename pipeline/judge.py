"""Says what is true of a frame at the moment it is answered: its own result, else a forecast, else nothing."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

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


class Judge:
    """Remembers the last results of one stream. Not locked: the publisher owns it.

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

    def verdict(self, info: FrameInfo, *, result: Forecaster | None, reason: Reason | None, admitted: bool) -> Verdict:
        """Say what is true of a frame now.

        Args:
            info: the frame.
            result: what was made of it; None: nothing in time.
            reason: why it was refused; None: it was not.
            admitted: whether it was on its way to be measured.
        """
        reason = reason or self._unresolved(admitted=admitted)
        if result is not None:
            payload, payload_at_ns = self._project(result, info.captured_ns)
            if payload is not None:
                return Verdict(Status.FRESH, None, payload, payload_at_ns)
            reason = Reason.FAILED  # a result that has nothing to say of its own frame
        for measured_id, snapshot in reversed(self._snapshots):
            # Capture times may be equal, or go back: neither a later frame nor a later time may be looked at.
            if measured_id < info.frame_id and snapshot.measured_ns <= info.captured_ns:
                payload, payload_at_ns = self._project(snapshot, info.captured_ns)
                status = Status.BLIND if payload is None else Status.FORECAST
                return Verdict(status, reason, payload, payload_at_ns)
        return Verdict(Status.BLIND, reason, None, None)

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
