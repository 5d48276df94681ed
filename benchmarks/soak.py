"""Run at twice the load that the detector can take, for long: ages, memory, threads and files must stay what they are.

Usage: python benchmarks/soak.py [--seconds 600] [--reconnect-every 10] [--json]

A camera of its own process (rtsp_server.py), 720p at 30 fps, a stand-in detector of 64 ms, a deadline of 100 ms. The
first part of the run is warm-up. Ages are those of fresh answers, compared between the second and the last part.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
import threading
from pathlib import Path

import numpy as np
from live import FPS, make_clip
from rich.console import Console
from rtsp import camera

from pipeline.cli.run import execute
from pipeline.config.build import build
from pipeline.config.load import parse

_SAMPLE_S = 0.5
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Gauges(threading.Thread):
    """Notes memory, threads and open files of this process, twice a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._over = threading.Event()
        self.samples: list[tuple[float, int, int]] = []
        """MiB, threads, files."""

    def run(self) -> None:
        while not self._over.wait(_SAMPLE_S):
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            self.samples.append((pages * _PAGE / 2**20, threading.active_count(), len(os.listdir("/proc/self/fd"))))

    def stop(self) -> None:
        self._over.set()
        self.join()


def soak(seconds: float, reconnect_every: float | None, folder: Path) -> dict[str, object]:
    """Run and return what there is to say."""
    clip = folder / f"720p30-10s-gop{FPS}.mp4"
    if not clip.exists():
        make_clip(clip, 10, FPS)
    arguments = ["--clip", str(clip)] + (["--cut-every", str(reconnect_every)] if reconnect_every else [])
    answers = folder / "soak.jsonl"
    gauges = Gauges()
    with camera(folder / "soak.log", *arguments) as url:
        config = parse(
            {
                "source": {"kind": "video", "url": url, "duration": f"{seconds:g}s"},
                "deadline": "100ms",
                "stages": ["preprocess", {"kind": "live:StandIn", "name": "detect", "service_ms": 64.0}, "track"],
                "sinks": [f"jsonl:{answers}"],
            }
        )
        gauges.start()
        report = execute(build(config), Console(quiet=True), quiet=True).whole()
        gauges.stop()
    part_s = min(60.0, seconds / 4)
    records = [json.loads(line) for line in answers.read_text().splitlines()]
    fresh = [record for record in records if record["status"] == "fresh"]
    begin_s, end_s = fresh[0]["published_s"] + part_s, fresh[-1]["published_s"]
    first = [record["age_ms"] for record in fresh if begin_s <= record["published_s"] < begin_s + part_s]
    last = [record["age_ms"] for record in fresh if record["published_s"] > end_s - part_s]
    warm = gauges.samples[round(part_s / _SAMPLE_S) :]
    minutes = np.arange(len(warm)) * _SAMPLE_S / 60
    return {
        "seconds": seconds,
        "fresh_first": len(first),
        "fresh_last": len(last),
        "age_ms_first": {"p50": _percentile(first, 50), "p99": _percentile(first, 99)},
        "age_ms_last": {"p50": _percentile(last, 50), "p99": _percentile(last, 99)},
        "age_p99_ratio": _percentile(last, 99) / _percentile(first, 99),
        "mib": {
            "warm": warm[0][0],
            "end": warm[-1][0],
            "each": [round(sample[0], 1) for sample in gauges.samples[::20]],
        },
        "mib_per_minute": np.polyfit(minutes, [sample[0] for sample in warm], 1)[0],
        "threads": sorted({sample[1] for sample in warm}),
        "files": sorted({sample[2] for sample in warm}),
        "frames": report.frames.model_dump(),
        "late": report.published_late,
        "balanced": report.balanced,
        "reconnects": report.source.reconnects,
        "away_s": report.source.away_s,
        "heartbeats": report.source.heartbeats,
        "failure": report.failure,
    }


def _percentile(values: list[float], percent: float) -> float:
    """Return it; not a number where there are no values, on a machine too busy for one fresh answer."""
    return float(np.percentile(values, percent)) if values else math.nan


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--reconnect-every", type=float, help="the camera hangs up every so many seconds")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="framepace-soak-"))
    found = soak(options.seconds, options.reconnect_every, folder)
    if options.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        shown = f"{value:.3f}" if isinstance(value, float) else value
        print(f"{name:16} {shown}")


if __name__ == "__main__":
    main()
