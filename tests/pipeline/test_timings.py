"""The record of a run's timings."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from pipeline.assembly import RunSettings
from pipeline.clock import NS_PER_MS, RealClock
from pipeline.errors import SinkOpenError
from pipeline.frame import Mode
from pipeline.graph import Graph
from pipeline.run import Run
from pipeline.testing import ManualClock, NumberSource, PassDetector, SnapshotStage
from pipeline.timings import SCHEMA, Event, TimingsFile


def test_events_are_written_in_order_behind_the_settings(tmp_path: Path) -> None:
    """One line each; what was noted before the close is there after it."""
    path = tmp_path / "timings.jsonl"
    timings = TimingsFile(path, settings={"credits": 2}, clock=ManualClock())
    timings.open()
    timings.note(Event.CAPTURED, 5, 0, value=3)
    timings.note(Event.RAN, 7, 0, "detect", 2)
    timings.close()
    timings.run()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [{"schema": SCHEMA, "credits": 2}, [5, "captured", 0, "", 3], [7, "ran", 0, "detect", 2]]


def test_a_path_that_cannot_be_written_is_said_at_the_start(tmp_path: Path) -> None:
    """Before anything runs."""
    timings = TimingsFile(tmp_path / "none" / "timings.jsonl", settings={}, clock=ManualClock())
    with pytest.raises(SinkOpenError, match="No such file"):
        timings.open()


def test_a_full_disk_costs_events_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    """They are counted, and it is said once how many are missing."""
    timings = TimingsFile(Path("/dev/full"), settings={}, clock=ManualClock())
    with caplog.at_level(logging.ERROR, "framepace"):
        timings.open()
        for number in range(3):
            timings.note(Event.CAPTURED, number, number)
        timings.close()
        timings.run()
    assert timings.lost == 4
    assert [record.getMessage() for record in caplog.records][1:] == ["4 events are missing in /dev/full"]


def test_a_disk_that_hangs_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What finds no room is counted as lost."""
    monkeypatch.setattr("pipeline.timings._WAITING_MOST", 2)
    timings = TimingsFile(tmp_path / "timings.jsonl", settings={}, clock=ManualClock())
    for number in range(5):
        timings.note(Event.CAPTURED, number, number)
    assert timings.lost == 3


def test_a_live_run_notes_the_whole_way_of_a_frame(tmp_path: Path) -> None:
    """From capture to its answer, with the settings that decisions depend on."""
    path = tmp_path / "timings.jsonl"
    source = NumberSource(5, period_ns=5 * NS_PER_MS, clock=RealClock())
    plan = Graph.chain(source, None, [("detect", PassDetector()), ("track", SnapshotStage())], []).check(Mode.LIVE)
    run = Run(plan, RunSettings("cam", Mode.LIVE, cores=1, timings=path))
    run.start()
    run.join()
    head, *events = [json.loads(line) for line in path.read_text().splitlines()]
    assert head["stages"] == ["detect", "track"]
    assert (head["detector"], head["credits"], head["deadline_ns"]) == ("detect", 2, 100 * NS_PER_MS)
    of_last = [(event, text) for _, event, frame_id, text, _ in events if frame_id == 4]
    assert of_last[:3] == [("captured", ""), ("offered", ""), ("asked", "")]
    assert [text for event, text in of_last if event == "ran"] == ["detect", "track"]
    assert of_last[-2:] == [("measured", ""), ("answered", "fresh")]
    assert {event for _, event, frame_id, _, _ in events if frame_id == -1} >= {"warmed", "ended"}


def test_a_run_that_cannot_start_leaves_no_thread(tmp_path: Path) -> None:
    """The file is completed, too."""
    path = tmp_path / "timings.jsonl"
    source = NumberSource(5, clock=RealClock(), period_ns=NS_PER_MS)
    source.open = None  # type: ignore[assignment,method-assign]  # cannot be called
    plan = Graph.chain(source, None, [("detect", PassDetector()), ("track", SnapshotStage())], []).check(Mode.LIVE)
    run = Run(plan, RunSettings("cam", Mode.LIVE, cores=1, timings=path))
    with pytest.raises(TypeError):
        run.start()
    for thread in run._sink_threads:
        thread.join(10)
        assert not thread.is_alive()
    assert json.loads(path.read_text())["schema"] == SCHEMA
