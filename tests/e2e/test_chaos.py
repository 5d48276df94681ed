"""The whole program on bad days."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

BAD_DAY = """
source:
  kind: chaos
  of: {kind: synthetic, pace: pts, fps: 30, frames: 150}
  jitter: 10ms
  loss: 0.05
  same_stamp: 0.02
  backward_stamp: 0.02
  lost_every: 1500ms
  lost_most: 2
deadline: 150ms
stages:
  - {kind: chaos, slow: 25ms, slow_share: 0.5, raise_on: [20, 21]}
  - synthetic_detect
  - track
sinks:
  - {kind: chaos, name: full, of: {kind: jsonl, path: full.jsonl}, fail_on: 40}
  - {kind: chaos, name: slow, of: {kind: jsonl, path: slow.jsonl}, slow: 300ms}
  - jsonl:good.jsonl
engine: {reconnect_first: 50ms}
report: report.json
"""


def test_a_bad_day_in_the_books(framepace: Callable[..., object], tmp_path: Path) -> None:
    """Loss, breaks, jitter, wrong stamps, a failing stage, a full disk, a slow sink: all of it is accounted for."""
    (tmp_path / "bad.yaml").write_text(BAD_DAY)
    done = framepace("run", "--config", "bad.yaml")
    assert done.code == 1  # a sink failed
    assert "sink full failed" in done.err
    assert "Traceback" not in done.err
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["balanced"]
    assert report["published_late"] == 0
    assert report["source"]["reconnects"] == 2
    assert report["reasons"]["failed"] == 2
    assert report["sinks"]["sink slow"]["skipped"] > 0
    lines = [json.loads(line) for line in (tmp_path / "good.jsonl").read_text().splitlines()]
    lines = [line for line in lines if line["frame"] is not None]  # the others are heartbeats
    frames = report["frames"]
    assert len(lines) == frames["fresh"] + frames["forecast"] + frames["blind"]
    assert all(line["published_s"] <= line["due_s"] for line in lines)
    assert [line["reason"] for line in lines].count("failed") == 2
    full = (tmp_path / "full.jsonl").read_text().splitlines()
    assert 0 < len(full) <= 40
    assert json.loads(full[-1])["frame"] < 40
