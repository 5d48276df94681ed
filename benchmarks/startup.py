"""Measure how long the program takes from its start to the first answer on the shipped clip, and its peak memory.

Usage: python benchmarks/startup.py [--rounds 5]

Everything counts: the interpreter, imports, opening the clip, loading and warming the model, the first frames. Medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("framepace")
CLIP = Path(__file__).resolve().parents[1] / "sample_videos" / "pedestrians.mp4"
MODES = {
    "lossless": ["--max-frames", "200"],
    "live at 10 fps": ["--mode", "live", "--max-frames", "60"],
    "live at 30 fps": ["--pace", "30", "--max-frames", "200"],
}


def measure(flags: list[str], report: Path) -> tuple[float, float, dict[str, object]]:
    """Return seconds to the first record, to the first fresh one, and the report."""
    command = [str(PROGRAM), "run", str(CLIP), "--sink", "stdout", "--report", str(report), "--quiet", *flags]
    start = time.perf_counter()
    first = fresh = float("nan")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if first != first:
                first = time.perf_counter() - start
            if fresh != fresh and json.loads(line)["status"] == "fresh":
                fresh = time.perf_counter() - start
    return first, fresh, json.loads(report.read_text())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, flags in MODES.items():
            rounds = [measure(flags, Path(folder) / "report.json") for _ in range(arguments.rounds)]
            first, fresh = (statistics.median(values[place] for values in rounds) for place in (0, 1))
            ready = statistics.median(report["ready_s"] for _, _, report in rounds)
            peak = max(report["peak_rss_mib"] for _, _, report in rounds)
            print(
                f"{name:15} first answer {first:.2f} s, first fresh one {fresh:.2f} s "
                f"(of which opening {ready:.2f} s), peak memory {peak:.0f} MiB"
            )


if __name__ == "__main__":
    main()
