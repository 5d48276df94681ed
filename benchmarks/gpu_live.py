"""Part d: framepace itself, live, on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from gpu_decode import CLIP_FRAMES, make_clip
from gpu_journal import Journal
from gpu_session import Provider

ROOT = Path(__file__).resolve().parents[1]
FPS = 60
DEADLINE = "50ms"
_START_S = 40.0
"""For opening the model, and for stopping."""
_MAX_SAID = 500


def part_d(journal: Journal, provider: Provider, models: Mapping[str, Path], folder: Path, *, seconds: float) -> None:
    """1080p at 60 fps from a paced file."""
    clip = folder / f"1080p60-{seconds:g}s.mp4"
    journal.row("clip", lambda: {"bytes": _long_clip(folder, clip, seconds).stat().st_size}, needs_s=10)
    runs: list[tuple[str, Provider, str]] = [("int8", "cpu", "yolov3-tiny")]
    if provider == "cuda":
        runs = [
            ("fp16", "cuda", str(models["fp16"])),
            ("int8", "cuda", "yolov3-tiny"),
            *runs,
            ("fp32", "cuda", str(models["fp32"])),
            ("fp16-shapes", "cuda", str(models["fp16-shapes"])),
        ]
    for name, where, model in runs:
        journal.row(f"{name} {where}", partial(run_live, clip, where, model, folder, seconds), needs_s=seconds + 8)


def _long_clip(folder: Path, clip: Path, seconds: float) -> Path:
    from stages.bench.clip import repeat

    if not clip.exists():
        part = make_clip(folder / "1080p30.mp4")
        partial = clip.with_suffix(".part.mp4")
        repeat(part, int(-(-seconds * FPS // CLIP_FRAMES)), partial)
        partial.rename(clip)
    return clip


def run_live(clip: Path, where: Provider, model: str, folder: Path, seconds: float) -> Mapping[str, Any]:
    """Run the program once and return what its report says.

    Raises:
        RuntimeError: it failed, or wrote no report; holds the end of what it said.
    """
    report = folder / "report.json"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "framepace", "run", str(clip), "--mode", "live", "--pace", str(FPS)]
    command += ["--deadline", DEADLINE, "--provider", where, "--model", model, "--report", str(report)]
    command += ["--max-frames", str(int(seconds * FPS)), "--sink", f"jsonl:{folder / 'answers.jsonl'}", "--quiet"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=seconds + _START_S, check=False, cwd=ROOT)
    said = " ".join((ended.stdout + ended.stderr).split())[-_MAX_SAID:]
    if not report.exists():
        raise RuntimeError(f"exit status {ended.returncode}: {said}")
    return {**summary(json.loads(report.read_text())), "status": ended.returncode, "said": said or None}


def summary(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of a report that a table needs."""
    frames, ages, detector = report["frames"], report["age_ms"], report["detector"] or {}
    stages = {
        name: {part: (times[part] or {}).get(point) for part, point in (("run_ms", "p50"), ("wait_ms", "p50"))}
        | {"run_p99_ms": (times["run_ms"] or {}).get("p99"), "items": times["items"]}
        for name, times in report["stages"].items()
    }
    return {
        "provider": detector.get("provider"),
        "input": detector.get("input"),
        "fresh_share": round(frames["fresh"] / max(1, frames["captured"]), 5),
        "fresh_age_ms": ages["fresh"],
        "all_age_ms": ages["all"],
        "frames": frames,
        "published_late": report["published_late"],
        "stages": stages,
        "queues": report["queues"],
        "blames": report["blames"][:3],
        "ready_s": report["ready_s"],
        "cpu_cores": round(report["cpu_s"] / max(1e-9, report["duration_s"]), 2),
        "cpu_ms_per_frame": round(1e3 * report["cpu_s"] / max(1, frames["captured"]), 2),
        "peak_rss_mib": report["peak_rss_mib"],
        "failure": report["failure"],
    }
