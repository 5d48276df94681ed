"""A sink with bad days."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.clock import RealClock
from pipeline.frame import Answer, CaptureClock, Status
from pipeline.testing import ManualClock, frame_info, open_context
from stages.chaos.sink import ChaosSink, ChaosSinkOptions


def sink(path: Path, **trouble: object) -> ChaosSink:
    return ChaosSink(ChaosSinkOptions.model_validate({"of": {"kind": "jsonl", "path": str(path)}, **trouble}))


def answer(number: int) -> Answer:
    return Answer(frame_info(number), Status.FRESH, None, None, CaptureClock.FILE, None, None, (64, 48), None)


def test_no_trouble_changes_nothing(tmp_path: Path) -> None:
    """Answers reach the wrapped sink, which keeps its claim on the file."""
    one = sink(tmp_path / "o.jsonl")
    assert one.resource == f"file:{(tmp_path / 'o.jsonl').resolve()}"
    one.open(open_context(ManualClock()))
    one.begin()
    for number in range(3):
        one.write(answer(number), gap=0)
    one.close()
    assert len((tmp_path / "o.jsonl").read_text().splitlines()) == 3


def test_the_disk_is_full_from_a_frame_on(tmp_path: Path) -> None:
    """What was written before stays."""
    one = sink(tmp_path / "o.jsonl", fail_on=2)
    one.open(open_context(ManualClock()))
    one.begin()
    one.write(answer(0), gap=0)
    one.write(answer(1), gap=0)
    with pytest.raises(OSError, match="No space left"):
        one.write(answer(2), gap=0)
    one.close()
    assert len((tmp_path / "o.jsonl").read_text().splitlines()) == 2


def test_it_blocks_until_closed(tmp_path: Path) -> None:
    """A blocked write ends when the sink is closed."""
    one = sink(tmp_path / "o.jsonl", block_on=0)
    one.open(open_context(RealClock()))
    one.begin()
    errors: list[BaseException] = []

    def write() -> None:
        try:
            one.write(answer(0), gap=0)
        except BaseException as error:
            errors.append(error)

    worker = threading.Thread(target=write)
    worker.start()
    assert worker.is_alive()
    one.close()
    worker.join(10)
    assert not worker.is_alive()


def test_what_it_wraps_is_checked() -> None:
    """A wrong inner sink is a problem of the configuration."""
    with pytest.raises(ValidationError, match="did you mean jsonl"):
        ChaosSinkOptions.model_validate({"of": {"kind": "json"}})


def test_observers_cannot_be_wrapped() -> None:
    """Nobody would show them the run."""
    with pytest.raises(ValidationError, match="serve looks at the run itself"):
        ChaosSinkOptions.model_validate({"of": {"kind": "serve"}})
