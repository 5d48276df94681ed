"""Runs the whole program live, in a process of its own, and says how it went."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pipeline.clock import NS_PER_MS
from pipeline.errors import PipelineError
from pipeline.frame import Reason
from pipeline.report import Report
from pipeline.units import format_duration
from stages.bench.figures import LiveFigures

_PROGRAM = "from pipeline.cli.app import main; main()"
_START_S = 60.0
"""Bound for what a run takes besides its pictures: starting, loading the model, stopping."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A model at a size."""

    name: str
    """As people write it."""
    options: dict[str, object]
    """Of the detect stage."""


@dataclass(frozen=True, slots=True)
class LiveCase:
    """A clip played as a camera."""

    clip: Path
    """Long enough."""
    fps: float
    seconds: float
    deadline_ms: float
    choice: Choice

    @property
    def frames(self) -> int:
        """How many are played."""
        return max(1, round(self.seconds * self.fps))

    def config(self, answers: Path) -> dict[str, object]:
        """Return the configuration, as written: everything is usual but the model."""
        return {
            "source": {"kind": "video", "url": str(self.clip), "pace": self.fps, "max_frames": self.frames},
            "mode": "live",
            "deadline": format_duration(round(self.deadline_ms * NS_PER_MS)),
            "stages": ["preprocess", {"kind": "detect", **self.choice.options}, "track"],
            "sinks": [{"kind": "jsonl", "path": str(answers)}],
        }


def play(case: LiveCase) -> Report:
    """Run `framepace run` on the case.

    Raises:
        PipelineError: it could not, or did not come to its end.
    """
    with tempfile.TemporaryDirectory(prefix="framepace-bench-") as folder:
        config, report = Path(folder) / "live.yaml", Path(folder) / "report.json"
        config.write_text(json.dumps(case.config(Path(folder) / "answers.jsonl")), encoding="utf-8")  # JSON is YAML
        flags = ["run", "--config", str(config), "--report", str(report), "--quiet"]
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-c", _PROGRAM, *flags],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=case.seconds + _START_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise PipelineError(f"a live run of {case.seconds:g} s had not ended after {error.timeout:g} s") from None
        if not report.exists():
            said = done.stderr.strip().splitlines()
            raise PipelineError(f"a live run failed: {said[-1] if said else f'exit code {done.returncode}'}")
        played = Report.model_validate_json(report.read_text(encoding="utf-8"))
    # Answers that were late fail a run, too, but they are what is measured here.
    if played.failure is not None:
        raise PipelineError(f"a live run failed: {played.failure}")
    if not played.balanced or played.frames.captured < case.frames or played.frames.abandoned:
        raise PipelineError(f"a live run did not come to its end: {played.frames!r}")
    return played


def live_figures(case: LiveCase, report: Report) -> LiveFigures:
    """Return what counts of a run's report.

    Frames that came before the model was ready say nothing about the machine's pace, and are left out of the shares.
    """
    frames = report.frames
    warming = report.reasons[Reason.WARMING]
    counted = max(1, frames.captured - warming)
    return LiveFigures(
        model=case.choice.name,
        fps=case.fps,
        deadline_ms=case.deadline_ms,
        frames=frames.captured,
        warming=warming,
        fresh_share=round(frames.fresh / counted, 4),
        forecast_share=round(frames.forecast / counted, 4),
        missed=frames.missed,
        published_late=report.published_late,
        age_ms=report.age_ms.fresh,
        cores=round(report.cpu_s / report.duration_s, 2),
        peak_rss_mib=report.peak_rss_mib,
    )
