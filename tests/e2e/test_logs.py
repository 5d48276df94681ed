"""Log lines of the real program."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

FAILING = """
source:
  kind: chaos
  of: {kind: synthetic, pace: pts, fps: 30, frames: 120}
  lost_every: 2s
  lost_most: 1
stages: [{kind: chaos, raise_share: 1.0}, synthetic_detect, track]
sinks: [stdout]
engine: {reconnect_first: 50ms}
"""


def test_json_lines(framepace: Callable[..., object], tmp_path: Path) -> None:
    """Each line is an object, one per change of state and none per frame; standard output has the results alone."""
    (tmp_path / "failing.yaml").write_text(FAILING)
    done = framepace("run", "--config", "failing.yaml", "--log-format", "json", "--stream", "door")
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in done.err.splitlines()]
    assert all({"ts", "level", "logger", "stream", "event", "message"} <= set(line) for line in lines)
    assert {line["stream"] for line in lines} == {"door"}
    events = [line["event"] for line in lines]
    assert [events.count(event) for event in ("stage_failed", "source_lost", "source_back", "summary")] == [1, 1, 1, 1]
    assert len(lines) < 10
    summary = lines[-1]
    assert summary["event"] == "summary"
    records = [json.loads(line) for line in done.out.splitlines()]
    answers = [record for record in records if record["frame"] is not None]
    assert summary["reasons"]["failed"] == sum(record["reason"] == "failed" for record in answers) > 100
    failed = next(line for line in lines if line["event"] == "stage_failed")
    assert (failed["level"], failed["stage"], failed["frame"]) == ("warning", "chaos", answers[0]["frame"])


def test_a_failure_is_json_too(framepace: Callable[..., object]) -> None:
    """What keeps a run from starting."""
    done = framepace("run", "missing.mp4", "--log-format", "json")
    assert done.code == 3
    line = json.loads(done.err)
    assert (line["level"], line["event"]) == ("error", "failed")
    assert "no such file" in line["message"]


def test_the_level(framepace: Callable[..., object], tmp_path: Path) -> None:
    """With `info` the good news is there, with `error` no warning is; the summary is neither."""
    (tmp_path / "failing.yaml").write_text(FAILING)
    info = framepace("run", "synthetic:", "--pace", "pts", "--max-frames", 30, "--log-level", "info")
    assert "health is ok, was blind" in info.err.splitlines()
    errors = framepace("run", "--config", "failing.yaml", "--log-level", "error")
    assert "warning" not in errors.err
    assert "books balance" in errors.err
