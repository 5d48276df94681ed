"""Makes the fuzzing code importable, as `python -m tests.fuzz` finds it."""

from __future__ import annotations

import sys
from pathlib import Path

PROJECT = str(Path(__file__).resolve().parents[2])

if PROJECT not in sys.path:
    sys.path.append(PROJECT)
