"""The configurations that we ship."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli.app import Exit
from pipeline.cli.options import Flags, built_from_flags
from pipeline.cli.run import execute, make_console
from pipeline.frame import Mode

PROJECT = Path(__file__).resolve().parents[1]
UNIT = PROJECT / "configs" / "systemd" / "framepace@.service"
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


def test_the_service_starts_the_program(tmp_path: Path) -> None:
    """Its command is one that the program understands, and tries again what a person need not mend."""
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]  # as its documentation has it
    unit.read(UNIT)
    (tmp_path / "entrance.yaml").write_text((PROJECT / "configs" / "rtsp_camera.yaml").read_text())
    program, *arguments = shlex.split(unit["Service"]["ExecStart"].replace("/etc/framepace/%i", f"{tmp_path}/entrance"))
    assert Path(program).name == "framepace"
    command = [str(Path(sys.executable).with_name("framepace")), *arguments, "--show-config"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "rtsp://192.168.1.64/stream1" in done.stdout
    assert unit["Service"]["RestartPreventExitStatus"] == str(int(Exit.USAGE))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not part of the project")
def test_systemd_understands_the_service(tmp_path: Path) -> None:
    """Every setting is known to it."""
    unit = tmp_path / "framepace@entrance.service"
    unit.write_text(UNIT.read_text().replace("/opt/framepace/bin/framepace", sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


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
