"""Traces of the real program."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

Check = Callable[[bytes], list[dict[str, object]]]
STALL = """
from pipeline.clock import Flag
from pipeline.stage import Stage

class Stall(Stage):
    def __init__(self, options):
        pass

    def open(self, context):
        self.never = Flag(context.clock)

    def process(self, payload, info):
        if 60 <= info.frame_id < 90:
            self.never.wait(150_000_000)
        return payload
"""
STALLED = """
source: {kind: synthetic, pace: pts, fps: 30, frames: 120}
deadline: 100ms
stages: [{kind: "stall:Stall", name: stall}, synthetic_detect, track]
sinks: [jsonl:o.jsonl]
report: report.json
"""


def settled(lines: list[dict[str, object]]) -> list[dict[str, object]]:
    """What the trace says became of each frame."""
    args = [line["args"] for line in lines if line["ph"] == "i"]
    return [one for one in args if isinstance(one, dict) and "fate" in one]


def counted(report: dict[str, dict[str, int]], field: str) -> dict[str, int]:
    return {name: count for name, count in report[field].items() if count and name != "captured"}


def test_a_live_run(pedestrians: Path, framepace: Callable[..., object], tmp_path: Path, check_trace: Check) -> None:
    """Every frame of the report is in the trace once, with the same fate and reason, and with its stages."""
    outputs = ["--trace", "trace.json", "--report", "report.json", "--sink", "jsonl:o.jsonl"]
    done = framepace("run", pedestrians, "--pace", "25", "--deadline", "150ms", "--max-frames", 100, *outputs)
    assert done.code == 0, done.err
    report = json.loads((tmp_path / "report.json").read_text())
    lines = check_trace((tmp_path / "trace.json").read_bytes())
    fates = settled(lines)
    assert sorted(fate["frame"] for fate in fates) == list(range(100))  # type: ignore[type-var]
    assert Counter(fate["fate"] for fate in fates) == counted(report, "frames")
    assert Counter(fate["reason"] for fate in fates if "reason" in fate) == counted(report, "reasons")
    assert {fate["deadline_ms"] for fate in fates} == {150.0}
    runs = Counter(line["name"] for line in lines if line["ph"] == "X")
    assert {name: runs[name] for name in report["stages"]} == {
        name: stage["items"] for name, stage in report["stages"].items()
    }
    assert runs["write"] == report["sinks"]["sink jsonl"]["written"]
    assert not list(tmp_path.glob("*.part"))


def test_a_lossless_run(
    pedestrians: Path, framepace: Callable[..., object], tmp_path: Path, check_trace: Check
) -> None:
    """Every frame is in the trace once, as far as it reaches back."""
    done = framepace("run", pedestrians, "--max-frames", 60, "--trace", "t.json", "--trace-seconds", 600)
    assert done.code == 0, done.err
    lines = check_trace((tmp_path / "t.json").read_bytes())
    assert sorted(fate["frame"] for fate in settled(lines)) == list(range(60))  # type: ignore[type-var]


def test_a_burst_of_misses(framepace: Callable[..., object], tmp_path: Path, check_trace: Check) -> None:
    """A stage that stalls leaves a trace, and is to blame, in the records, in the report and in the summary."""
    (tmp_path / "stall.py").write_text(STALL)
    (tmp_path / "stalled.yaml").write_text(STALLED)
    done = framepace("run", "--config", "stalled.yaml", "--trace-on-miss", "misses")
    assert done.code == 0, done.err
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["traces"] == {"written": 1, "failed": 0}
    [path] = (tmp_path / "misses").iterdir()
    fates = settled(check_trace(path.read_bytes()))
    assert any(str(fate.get("blame", "")).startswith("stall run ") for fate in fates)
    first = report["blames"][0]
    assert (first["stage"], first["part"]) == ("stall", "run")
    assert "missed because of: stall run" in done.err
    records = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    blames = [record["blame"] for record in records if "blame" in record]
    assert sum(blame["stage"] == "stall" for blame in blames) == first["frames"]
    assert {record["reason"] for record in records if "blame" in record} <= {"late", "would_miss"}
    assert len(blames) + report["frames"]["missed"] == sum(blame["frames"] for blame in report["blames"])
