"""Ways to choose the next picture for the detector: framepace's own, and what loops do that people write."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pipeline.admission import Admit, Decision, Prediction, Situation, WaitUntil, decide
from pipeline.clock import Clock
from pipeline.estimator import Estimator
from pipeline.frame import Envelope, Reason
from pipeline.gate import Gate


class Head(Protocol):
    """What stands in front of the detector; a Gate is one."""

    def offer(self, envelope: Envelope) -> None: ...
    def warmed(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def detector_started(self) -> None: ...
    def detector_finished(self, frame_id: int) -> None: ...
    def release(self, frame_id: int) -> None: ...
    def end(self) -> None: ...
    def try_take(self) -> tuple[Envelope | None, int | None]: ...


@dataclass(frozen=True, slots=True)
class Setting:
    """What a head needs to know."""

    clock: Clock
    estimator: Estimator
    stages: tuple[str, ...]
    detector: str
    credit_limit: int
    margin_ns: Callable[[], int]
    refuse: Callable[[int, Reason], None]


def own(setting: Setting) -> Head:
    """Admission as live runs have it."""
    return _gate(setting, decide)


def newest(setting: Setting) -> Head:
    """The newest picture as soon as nothing else is in work: cv2 with a thread that keeps the last picture."""
    return _gate(setting, _when_idle)


def in_order(setting: Setting) -> Head:
    """Every picture in its turn, however long that takes: the plain loop over a capture."""
    return _Queue(setting.refuse)


POLICIES: dict[str, Callable[[Setting], Head]] = {"framepace": own, "newest": newest, "in-order": in_order}


def _gate(setting: Setting, policy: Callable[[Situation, Prediction], Decision]) -> Gate:
    place = setting.stages.index(setting.detector)
    return Gate(
        clock=setting.clock,
        estimator=setting.estimator,
        before=setting.stages[:place],
        detector=setting.detector,
        after=setting.stages[place + 1 :],
        credit_limit=setting.credit_limit,
        margin_ns=setting.margin_ns,
        refuse=setting.refuse,
        policy=policy,
    )


def _when_idle(situation: Situation, _: Prediction) -> Decision:
    return WaitUntil(None) if situation.in_flight else Admit()


class _Queue:
    """Lets pictures pass one at a time, in order, and forgets none."""

    def __init__(self, refuse: Callable[[int, Reason], None]) -> None:
        self._refuse = refuse
        self._waiting: deque[Envelope] = deque()
        self._busy: int | None = None
        self._warm = False
        self._paused = False

    def offer(self, envelope: Envelope) -> None:
        self._waiting.append(envelope)

    def warmed(self) -> None:
        self._warm = True

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    def detector_started(self) -> None:
        pass

    def detector_finished(self, frame_id: int) -> None:
        self._busy = None

    def release(self, frame_id: int) -> None:
        self._busy = None

    def end(self) -> None:
        """The run is over; what still waits is never looked at."""
        self._waiting.clear()

    def try_take(self) -> tuple[Envelope | None, int | None]:
        if not self._warm or self._paused or self._busy is not None or not self._waiting:
            return None, None
        envelope = self._waiting.popleft()
        self._busy = envelope.info.frame_id
        return envelope, None
