"""The configurations that we ship."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pipeline.cli.options import Flags, built_from_flags
from pipeline.cli.run import execute, make_console
from pipeline.frame import Mode

PROJECT = Path(__file__).resolve().parents[1]
CONFIGS = sorted((PROJECT / "configs").glob("*.yaml"))


def test_there_is_one_per_use() -> None:
    """Webcam, network camera, recording, driver assistance."""
    assert [file.stem for file in CONFIGS] == ["driver_assist", "recorded_file", "rtsp_camera", "webcam"]


@pytest.mark.parametrize("file", CONFIGS, ids=[file.stem for file in CONFIGS])
def test_configurations_are_right(file: Path) -> None:
    """Every key and value is understood, the graph is whole, and the mode is what the comment promises."""
    _, built = built_from_flags(Flags(config=file))
    assert built.settings.mode is (Mode.LOSSLESS if file.stem == "recorded_file" else Mode.LIVE)
    assert built.plan.sinks
    assert built.plan.detector == "detect"


@pytest.mark.parametrize("file", CONFIGS, ids=[file.stem for file in CONFIGS])
def test_configurations_run(file: Path, tmp_path: Path) -> None:
    """With the shipped clip in the camera's place, each runs and answers."""
    clip = str(PROJECT / "sample_videos" / "pedestrians.mp4")
    output = tmp_path / "o.jsonl"
    _, built = built_from_flags(Flags(config=file, source=clip, max_frames=12, sinks=[f"jsonl:{output}"], pace=None))
    executed = execute(built, make_console(), quiet=True)
    report = executed.report
    assert executed.run.failure is None
    assert report.balanced
    records = [json.loads(line) for line in output.read_text().splitlines()]
    answers = [record for record in records if record["frame"] is not None]  # the others are heartbeats
    assert len(answers) == 12 - report.frames.missed


def test_driver_assist_holds_50_ms() -> None:
    """The limit usually named for safety-critical use."""
    _, built = built_from_flags(Flags(config=PROJECT / "configs" / "driver_assist.yaml"))
    assert built.settings.deadline_ns == 50_000_000


def test_readme_shows_what_exists() -> None:
    """Files that the README links to are there, and its sample record has the keys of the real one."""
    readme = (PROJECT / "README.md").read_text()
    links = [target for target in re.findall(r"\]\(([^)#]+)\)", readme) if "://" not in target]
    assert links
    assert [target for target in links if not (PROJECT / target).exists()] == []
    keys = set(re.findall(r'"(\w+)":', readme.partition('{"schema": "framepace/1"')[2].partition("]}")[0]))
    from stages.sink.record import ResultRecord

    properties = ResultRecord.model_json_schema(mode="serialization")
    known = set(properties["properties"])
    for definition in properties["$defs"].values():
        known |= set(definition.get("properties", {}))
    assert keys <= known, json.dumps(sorted(keys - known))
