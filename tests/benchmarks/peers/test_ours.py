"""framepace as one of those that are compared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

RECORD = {
    "frame": 0,
    "pts_s": 0.1,
    "captured_s": 5.0,
    "published_s": 5.02,
    "status": "fresh",
    "tracks": [
        {"id": 3, "class": "person", "box": [1, 2, 3, 4], "score": 0.5, "velocity": [0, 0, 0, 0]},
        {"id": 4, "class": "car", "box": [1, 2, 3, 4], "score": 0.5, "velocity": [0, 0, 0, 0]},
    ],
}
FRAMES = {"frames": {"missed": 2, "undecodable": 1, "abandoned": 0}}


@pytest.fixture
def task(script: Callable[[str], ModuleType]) -> Callable[..., Any]:
    """A function that makes a task for a detector."""
    return lambda detector: script("task").Task(detector, 3.0, Path("clip.mp4"))


def test_the_model_runs_on_one_thread(script: Callable[[str], ModuleType], task: Callable[..., Any]) -> None:
    """As in the other programs, whatever the machine; a stand-in has no threads."""
    ours = script("ours")
    assert ours.detector_of(task("model")) == {"kind": "detect", "threads": 1}
    assert ours.detector_of(task("model+64")) == {"kind": "detect", "threads": 1, "delay": "64ms"}
    assert ours.detector_of(task("64")) == {"kind": "live:StandIn", "name": "detect", "service_ms": 64.0}


def test_a_run_leaves_no_report_of_an_earlier_one(
    script: Callable[[str], ModuleType], task: Callable[..., Any], tmp_path: Path
) -> None:
    """Its settings win over the usual ones."""
    ours = script("ours")
    output = tmp_path / "answers.txt"
    ours.report_of(output).write_text("old")
    command = ours.command(task("model"), {"deadline": "50ms"}, "rtsp://camera", output)
    assert not ours.report_of(output).exists()
    written = yaml.safe_load((tmp_path / "answers.yaml").read_text())
    assert (written["deadline"], written["sinks"]) == ("50ms", ["stdout"])
    assert command[-1] == str(ours.report_of(output))


def test_answers_count_from_when_they_arrive(script: Callable[[str], ModuleType], tmp_path: Path) -> None:
    """By the clock of who reads; the record's own word is kept beside it. Cars and half lines are left out."""
    ours, task = script("ours"), script("task")
    output = tmp_path / "answers.txt"
    heartbeat = {"frame": None}
    rows = [(5_021_000_000, RECORD), (5_050_000_000, heartbeat), (5_060_000_000, RECORD | {"pts_s": 77})]
    output.write_text("".join(f"{at} {json.dumps(record)}\n" for at, record in rows) + '5070000000 {"frame": 9')
    ours.report_of(output).write_text(json.dumps(FRAMES))
    (answer,), told = ours.read(output, [task.Sent(9000, 17, 5_000_000_000)])
    assert (answer.number, answer.given_ns, answer.said_ns) == (17, 5_021_000_000, 5_020_000_000)
    assert answer.true_at_ns == 5_000_000_000
    assert [row[0] for row in answer.tracks] == [3]
    assert told == 3


def test_lines_are_noted_when_they_come(script: Callable[[str], ModuleType], tmp_path: Path) -> None:
    """Not when the program ends: the second is written only after the first was seen."""
    arrivals_of = script("ours").Arrivals
    program = "import sys; print('one', flush=True); sys.stdin.readline(); print('two')"
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    read_end, write_end = os.pipe()
    assert process.stdout is not None

    class Passing:
        """Tells of each line that was taken."""

        def __enter__(self) -> Passing:
            return self

        def __exit__(self, *_: object) -> None:
            process.stdout.close()
            os.close(write_end)

        def __iter__(self) -> Any:
            for line in process.stdout:
                os.write(write_end, b".")
                yield line

    arrivals = arrivals_of(Passing())
    assert os.read(read_end, 1) == b"."  # waits for the first
    process.stdin.write(b"\n")
    process.stdin.close()
    assert process.wait(10) == 0
    arrivals.write(tmp_path / "answers.txt")
    os.close(read_end)
    rows = [line.split() for line in (tmp_path / "answers.txt").read_text().splitlines()]
    assert [text for _, text in rows] == ["one", "two"]
    assert int(rows[0][0]) < int(rows[1][0])
