"""Fuzzes the parsers of foreign bytes for as long as you like: python -m tests.fuzz --seconds 60 [TARGET...]."""

from __future__ import annotations

import argparse
import logging
import random
import sys
import time
import warnings
from pathlib import Path

from tests.fuzz.engine import check, fuzz
from tests.fuzz.targets import TARGETS


def main() -> int:
    """Fuzz every target that is named, or all; return 1 if one fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"any of {', '.join(TARGETS)}; all if absent")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target (default: 60)")
    parser.add_argument("--seed", type=int, default=None, help="random seed; a new one if absent")
    parser.add_argument("--failures", type=Path, default=Path("fuzz_failures"), help="folder for inputs that fail")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run one target once, on this file")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.targets if name not in TARGETS]
    if unknown or (chosen.replay is not None and len(chosen.targets) != 1):
        parser.error(f"no such target: {', '.join(unknown)}" if unknown else "--replay needs one TARGET")
    logging.disable()
    warnings.simplefilter("error")
    if chosen.replay is not None:
        failure = check(TARGETS[chosen.targets[0]], chosen.replay.read_bytes())
        print(failure.report if failure is not None else "passes")
        return int(failure is not None)
    seed = random.randrange(1 << 32) if chosen.seed is None else chosen.seed
    print(f"seed {seed}", flush=True)
    return max([_fuzz(name, seed, chosen.seconds, chosen.failures) for name in chosen.targets or TARGETS])


def _fuzz(name: str, seed: int, seconds: float, folder: Path) -> int:
    start = time.monotonic()
    runs, failure = fuzz(TARGETS[name], chance=random.Random(f"{name} {seed}"), runs=None, seconds=seconds)
    rate = runs / max(time.monotonic() - start, 1e-9)
    print(f"{name:<14} {runs:>9} runs {rate:>8.0f}/s  {'ok' if failure is None else 'FAILED'}", flush=True)
    if failure is None:
        return 0
    path = failure.save(folder)
    print(f"{failure.report}\n{path}: python -m tests.fuzz --replay {path} {name}", flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
