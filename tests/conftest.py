"""What holds for all tests."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

NOT_SHIPPED = "not part of the project"
"""The reason of a skip that is right everywhere: evaluation data lies beside the checkout, where there is any."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where FRAMEPACE_REQUIRE_ALL is set, a test that skips because something is not installed has failed."""
    report = yield
    if report.skipped and os.environ.get("FRAMEPACE_REQUIRE_ALL") and NOT_SHIPPED not in str(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and may not be here: {report.longrepr}"
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what has to have the machine for itself."""
    here = Path(__file__).parent
    for item in items:
        watches = item.path.is_relative_to(here / "e2e") or item.path.is_relative_to(here / "realtime")
        if watches and item.get_closest_marker("unhurried") is None:
            item.add_marker("alone")


Line = dict[str, object]
_NEEDED = {
    "X": {"ts", "dur"},
    "i": {"ts", "s"},
    "C": {"ts", "args"},
    "M": {"args"},
    "b": {"ts", "id", "cat"},
    "e": {"ts", "id", "cat"},
    "s": {"ts", "id", "cat"},
    "t": {"ts", "id", "cat"},
    "f": {"ts", "id", "cat", "bp"},
}
"""What an event of each phase must have besides name, pid and tid (Trace Event Format; `bp` is our own wish)."""
_TOLERANCE_US = 1e-3
"""Times are float microseconds of a clock that may have run for weeks."""


def check_trace(trace: bytes) -> list[Line]:
    """Check what a trace in the Trace Event Format must keep to, and return its events.

    Each phase has its fields; time goes forward; every thread has a name; the spans of a thread are one inside the
    other or apart; asynchronous events and flows begin before they end; a flow touches spans only.
    """
    held = json.loads(trace)
    assert held["displayTimeUnit"] in ("ms", "ns")
    lines: list[Line] = held["traceEvents"]
    for line in lines:
        assert {"ph", "name", "pid", "tid"} | _NEEDED[str(line["ph"])] <= set(line), line
    times = [line["ts"] for line in lines if line["ph"] != "M"]
    assert times == sorted(times)
    named = {line["tid"] for line in lines if line["name"] == "thread_name"}
    assert {line["tid"] for line in lines if line["ph"] not in "MC"} <= named
    _check_spans(lines)
    _check_pairs(lines)
    return lines


def _check_spans(lines: list[Line]) -> None:
    open_until: dict[object, list[float]] = {}
    for line in lines:
        if line["ph"] == "X":
            start, dur = line["ts"], line["dur"]
            assert isinstance(start, float)
            assert isinstance(dur, float)
            assert dur >= 0, line
            ends = open_until.setdefault(line["tid"], [])
            while ends and ends[-1] <= start + _TOLERANCE_US:
                ends.pop()
            assert not ends or start + dur <= ends[-1] + _TOLERANCE_US, line
            ends.append(start + dur)


def _check_pairs(lines: list[Line]) -> None:
    starts = {(line["tid"], line["ts"]) for line in lines if line["ph"] == "X"}
    seen: dict[tuple[object, object], str] = {}
    for line in lines:
        phase = str(line["ph"])
        if phase not in "besft":
            continue
        if phase in "sft":
            assert (line["tid"], line["ts"]) in starts, line
        before = seen.get((line["cat"], line["id"]), "")
        assert before in {"b": [""], "e": ["b"], "s": [""], "t": ["s", "t"], "f": ["s", "t"]}[phase], line
        seen[line["cat"], line["id"]] = phase
    assert set(seen.values()) <= {"e", "f"}


@pytest.fixture(name="check_trace", scope="session")
def check_trace_fixture() -> Callable[[bytes], list[Line]]:
    """See check_trace."""
    return check_trace
