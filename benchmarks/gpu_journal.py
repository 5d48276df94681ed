"""Rows of a benchmark that runs once, on a borrowed machine: each is written down as soon as it is known.

A row that raises is written with its error, and the next one follows. A row that kills the process is found by the next
process that opens the same file, and is not tried again.
"""

from __future__ import annotations

import faulthandler
import json
import math
import os
import re
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Values = Mapping[str, Any]

_MAX_ERROR = 600
"""Letters of an error that are kept."""
_HANG_S = 25.0
_HANG_FACTOR = 3
"""A row hangs when it takes longer than the former, and the latter times what was expected."""
_POISON = re.compile(r"CUDA failure [479]\d\d|CUDA error|CUDNN failure|device-side assert")
"""What onnxruntime says of errors that stay: launch failures, illegal addresses, broken captures."""
_KILLED = "the process ended in this row"


class Skipped(Exception):
    """A row that cannot run here; its text is the reason."""


class Poisoned(Exception):
    """CUDA can do nothing more in this process; another one can go on with the next row."""


class Journal:
    """The rows of one part, in a JSON file.

    Args:
        path: the file; rows in it from an earlier process are kept.
        budget_s: rows are not started unless they should end within this time.
        end_process: end this process when a row hangs.
    """

    def __init__(self, path: Path, budget_s: float, *, end_process: bool = False) -> None:
        self._path = path
        self._end_process = end_process
        self._end_s = time.monotonic() + budget_s
        self.rows: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
        for row in self.rows.values():
            if row.pop("running", False):
                row["error"] = _KILLED

    @property
    def left_s(self) -> float:
        """Seconds until the budget is spent."""
        return self._end_s - time.monotonic()

    def row(self, name: str, measure: Callable[[], Values], *, needs_s: float = 1.0) -> Values | None:
        """Measure, write down, print; return the values, or None where there are none.

        Args:
            name: unlike those of the part's other rows; a row that is in the file already is not measured again.
            measure: returns what JSON can hold; may raise anything.
            needs_s: how long it is expected to take.

        Raises:
            Poisoned: no other row can be measured in this process.
        """
        if name in self.rows:
            return None
        if self.left_s < needs_s:
            self._note(name, {"skipped": "no time left"}, show=False)
            return None
        self._note(name, {"running": True}, show=False)
        started = time.monotonic()
        found: dict[str, Any] | None = None
        if self._end_process:  # of all watchdogs the one that needs no GIL
            faulthandler.dump_traceback_later(_HANG_S + _HANG_FACTOR * needs_s, exit=True)
        try:
            found = dict(measure())
            entry = dict(found)
        except Skipped as reason:
            entry = {"skipped": str(reason)}
        except Exception as error:
            entry = {"error": error_text(error), "where": _where(error)}
        finally:
            if self._end_process:
                faulthandler.cancel_dump_traceback_later()
        self._note(name, entry | {"took_s": round(time.monotonic() - started, 3)}, show=True)
        if _POISON.search(entry.get("error", "")):
            raise Poisoned(name)
        return found

    def _note(self, name: str, entry: dict[str, Any], *, show: bool) -> None:
        self.rows[name] = entry
        write_json(self._path, self.rows)
        if show:
            print(line(name, entry), flush=True)


def write_json(path: Path, value: object) -> None:
    """Replace a JSON file as a whole, so that a reader never sees half of it."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(value, indent=1, default=str))
    os.replace(partial, path)


def line(name: str, entry: Values) -> str:
    """Return one line of the table."""
    for word in ("error", "skipped"):
        if word in entry:
            return f"{name:44} {word.upper()}: {entry[word]}"
    shown = "  ".join(f"{key}={_shown(value)}" for key, value in entry.items() if key != "took_s")
    return f"{name:44} {shown}"


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def error_text(error: BaseException) -> str:
    """Return the kind and the text of an error in one line; of a long one, both ends."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    half = _MAX_ERROR // 2
    return text if len(text) <= _MAX_ERROR else f"{text[:half]} ... {text[-half:]}"


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))


def spread_ms(times_ns: Sequence[int], prefix: str = "") -> dict[str, float | None]:
    """Return p50 and p99 in milliseconds; None where nothing was measured."""
    if not times_ns:
        return {f"{prefix}p50_ms": None, f"{prefix}p99_ms": None}
    p50, p99 = np.percentile(np.asarray(times_ns, dtype=np.float64), [50, 99]) / 1e6
    return {f"{prefix}p50_ms": round(float(p50), 4), f"{prefix}p99_ms": round(float(p99), 4)}


def budget_of(part: str, parts: Sequence[str], weights: Mapping[str, float], left_s: float) -> float:
    """Return the seconds of a part: its share, by weight, of what is left for it and the parts after it."""
    after = parts[parts.index(part) :]
    return max(0.0, left_s) * weights[part] / math.fsum(weights[name] for name in after)
