"""A stage with bad days."""

from __future__ import annotations

import threading

import pytest

from pipeline.clock import NS_PER_MS, RealClock
from pipeline.testing import ManualClock, check_stage, frame_info, open_context
from stages.chaos.stage import ChaosStage, ChaosStageOptions


def stage(**trouble: object) -> ChaosStage:
    return ChaosStage(ChaosStageOptions.model_validate(trouble))


def test_no_trouble_changes_nothing() -> None:
    """Payloads pass, and the next stage's wishes are handed on."""
    check_stage(stage, ["a", "b", "c"])
    one = stage()
    one.open(open_context(ManualClock(), downstream="wishes"))
    assert one.input_spec == "wishes"
    assert one.process("a", frame_info(0)) == "a"


def test_it_raises_on_the_frames_asked_for() -> None:
    """Only those, and it goes on afterwards."""
    one = stage(raise_on=[1, 3])
    one.open(open_context(ManualClock()))
    failed = []
    for number in range(5):
        try:
            one.process(number, frame_info(number))
        except RuntimeError:
            failed.append(number)
    assert failed == [1, 3]


def test_it_raises_on_a_share() -> None:
    """About the asked share fails, the same frames for the same seed."""

    def failed(seed: int) -> list[int]:
        one = stage(raise_share=0.3, seed=seed)
        one.open(open_context(ManualClock()))
        found = []
        for number in range(200):
            try:
                one.process(number, frame_info(number))
            except RuntimeError:
                found.append(number)
        return found

    assert 40 < len(failed(0)) < 80
    assert failed(0) == failed(0) != failed(1)


def test_it_is_slow() -> None:
    """A slow frame waits on the clock for the asked time."""
    clock = ManualClock()
    one = stage(slow="50ms")
    one.open(open_context(clock))
    worker = threading.Thread(target=one.process, args=("a", frame_info(0)))
    worker.start()
    clock.wait_for_waiters(1)
    clock.advance(49 * NS_PER_MS)
    assert worker.is_alive()
    clock.wait_for_waiters(1)
    clock.advance(NS_PER_MS)
    worker.join(10)
    assert not worker.is_alive()


def test_it_hangs_until_closed() -> None:
    """A hanging frame ends when the stage is closed."""
    one = stage(hang_on=0)
    one.open(open_context(RealClock()))
    worker = threading.Thread(target=one.process, args=("a", frame_info(0)))
    worker.start()
    assert worker.is_alive()
    one.close()
    worker.join(10)
    assert not worker.is_alive()


def test_shares_are_shares() -> None:
    """More than everything cannot fail."""
    with pytest.raises(ValueError, match="less than or equal to 1"):
        ChaosStageOptions(raise_share=1.5)
