"""framepace as one of the peers: its own program, its own records, as they come through a pipe.

An answer counts from when its line was there, in the process that measures: later than the record's own `published_s`
by the way through the sink's thread and the pipe, and nobody's word is needed. The others note the moment themselves,
right before they write.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import yaml
from task import Answer, Sent, Task

CLOCK_RATE = 90_000
PROGRAM = Path(sys.executable).with_name("framepace")
END_S = 5.0
"""Bound for reading what is left in a pipe after its program has ended."""


def command(task: Task, settings: Mapping[str, object], url: str, output: Path) -> list[str]:
    """Write the configuration beside the output and return the command that runs it; answers go to standard output.

    A report of an earlier run is removed.
    """
    config = {
        "source": {"kind": "video", "url": url, "duration": f"{task.seconds:g}s"},
        "deadline": "100ms",
        "stages": ["preprocess", detector_of(task), "track"],
        "sinks": ["stdout"],
        **settings,
    }
    path, report = output.with_suffix(".yaml"), report_of(output)
    path.write_text(yaml.safe_dump(config))
    report.unlink(missing_ok=True)
    return [str(PROGRAM), "run", "--config", str(path), "--quiet", "--report", str(report)]


def lossless_command(clip: Path, output: Path) -> list[str]:
    """Write a configuration beside the output and return the command that gives each frame of a clip its own answer."""
    stages = ["preprocess", {"kind": "detect", "threads": 1}, "track"]
    path = output.with_suffix(".yaml")
    path.write_text(yaml.safe_dump({"source": str(clip), "mode": "lossless", "stages": stages, "sinks": ["stdout"]}))
    return [str(PROGRAM), "run", "--config", str(path), "--quiet"]


def detector_of(task: Task) -> dict[str, object]:
    """Return the stage; the model on one thread, as the other programs run it."""
    what, _, delay = task.detector.partition("+")
    if what != "model":
        return {"kind": "live:StandIn", "name": "detect", "service_ms": float(what)}
    return {"kind": "detect", "threads": 1} | ({"delay": f"{delay}ms"} if delay else {})


def report_of(output: Path) -> Path:
    """Return where a run's report is, which is missing when it failed to start."""
    return output.with_suffix(".report")


class Arrivals:
    """Notes when each line of a pipe was there. Its thread sleeps between lines.

    Args:
        pipe: standard output of a program, in bytes; closed at its end.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._rows: list[tuple[int, bytes]] = []
        self._thread = threading.Thread(target=self._read, name="arrivals", daemon=True)
        self._thread.start()

    def write(self, output: Path) -> None:
        """Wait for the end of the pipe and write rows of the monotonic clock in ns and the line that came then."""
        self._thread.join(END_S)
        output.write_bytes(b"".join(b"%d %s" % row for row in self._rows))

    def _read(self) -> None:
        with self._pipe:
            for line in self._pipe:
                self._rows.append((time.monotonic_ns(), line))


def read(output: Path, sent: Sequence[Sent]) -> tuple[list[Answer], int]:
    """Return the answers in what `Arrivals` wrote, joined with the camera's log, and how many frames the report misses.

    Only persons are taken, as the other peers track only them.
    """
    number_of = {row.timestamp: row.number for row in sent}
    answers = []
    for line in output.read_text().splitlines(keepends=True):
        arrived, _, text = line.partition(" ")
        if not text.endswith("\n"):
            continue  # it was ended while it wrote
        record = json.loads(text)
        number = None if record["frame"] is None else number_of.get(round(record["pts_s"] * CLOCK_RATE) & 0xFFFFFFFF)
        if number is None:
            continue
        tracks = [
            [track["id"], *track["box"], track["score"], *track["velocity"]]
            for track in record["tracks"]
            if track["class"] == "person"
        ]
        true_at_ns = round(record.get("boxes_at_s", record["captured_s"]) * 1e9)
        said_ns = round(record["published_s"] * 1e9)
        answers.append(Answer(number, int(arrived), tracks, record["status"], true_at_ns, said_ns))
    frames = json.loads(report_of(output).read_text())["frames"]
    return answers, sum(frames[fate] for fate in ("missed", "undecodable", "abandoned"))
