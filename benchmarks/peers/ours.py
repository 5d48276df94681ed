"""framepace as one of the peers: its own program, its own records."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from task import Answer, Sent, Task

CLOCK_RATE = 90_000
PROGRAM = Path(sys.executable).with_name("framepace")


def command(task: Task, settings: Mapping[str, object], url: str, output: Path) -> list[str]:
    """Write the configuration beside the output and return the command that runs it."""
    what, _, delay = task.detector.partition("+")
    detector: dict[str, object] = {"kind": "detect"}
    if what != "model":
        detector = {"kind": "live:StandIn", "name": "detect", "service_ms": float(what)}
    elif delay:
        detector["delay"] = f"{delay}ms"
    config = {
        "source": {"kind": "video", "url": url, "duration": f"{task.seconds:g}s"},
        "deadline": "100ms",
        "stages": ["preprocess", detector, "track"],
        "sinks": [f"jsonl:{output}"],
        **settings,
    }
    path = output.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(config))
    return [str(PROGRAM), "run", "--config", str(path), "--quiet", "--report", str(output.with_suffix(".report"))]


def read(output: Path, sent: Sequence[Sent]) -> tuple[list[Answer], int]:
    """Return the answers in the records, joined with the camera's log, and how many frames the report misses.

    Only persons are taken, as the other peers track only them.
    """
    number_of = {row.timestamp: row.number for row in sent}
    answers = []
    for line in output.read_text().splitlines():
        record = json.loads(line)
        number = None if record["frame"] is None else number_of.get(round(record["pts_s"] * CLOCK_RATE) & 0xFFFFFFFF)
        if number is None:
            continue
        tracks = [
            [track["id"], *track["box"], track["score"], *track["velocity"]]
            for track in record["tracks"]
            if track["class"] == "person"
        ]
        given_ns = round(record["published_s"] * 1e9)
        true_at_ns = round(record.get("boxes_at_s", record["captured_s"]) * 1e9)
        answers.append(Answer(number, given_ns, tracks, record["status"], true_at_ns))
    frames = json.loads(output.with_suffix(".report").read_text())["frames"]
    return answers, sum(frames[fate] for fate in ("missed", "undecodable", "abandoned"))
