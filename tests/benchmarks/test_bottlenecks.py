"""The benchmark of bottlenecks beside the detector: every case is rehearsed, and none is judged by its speed."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

SECONDS = 0.5
FPS = {"decoder": 60, "4k60": 60, "4k60/b-frames": 60, "undecodable": 60}
DETAILS = {
    "decoder": {"decoded", "damaged"},
    "sink": {"writes", "began late", "worst late ms"},
    "undecodable": {"packets held", "frames held"},
}
CASES = (
    "decoder",
    "4k60",
    "4k60/b-frames",
    "stage/behind",
    "stage/inside",
    "sink",
    "forecast/0ms",
    "forecast/3ms",
    "forecast/10ms",
    "undecodable",
)


@pytest.fixture(scope="module")
def benchmark(rtsp: ModuleType) -> ModuleType:
    """The module of the benchmark; the fixture of the camera makes it importable."""
    return importlib.import_module("bottlenecks")


@pytest.mark.parametrize("case", CASES)
def test_every_case_has_its_figures(
    benchmark: ModuleType, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The books balance, every field is there, and the table can be printed."""
    monkeypatch.setattr(benchmark, "SIZE", (320, 180))
    measured = benchmark.measure(case, benchmark.HERE, seconds=SECONDS, cache=tmp_path)
    report = measured["report"]
    frames = report["frames"]
    assert report["balanced"]
    assert report["failure"] is None
    assert frames["captured"] == round(SECONDS * FPS.get(case, 30))
    assert frames["captured"] == sum(frames.values()) - frames["captured"]
    assert measured["fresh_share"] == pytest.approx(frames["fresh"] / frames["captured"], abs=1e-4)
    assert measured["age_ms"]["count"] >= frames["fresh"]
    assert (measured["age_ms"]["p50"] is None) == (measured["age_ms"]["p99"] is None)
    assert (measured["age_ms"]["p50"] is None) == (measured["age_ms"]["count"] == 0)
    thirds = measured["age_ms_first_third"]["count"] + measured["age_ms_last_third"]["count"]
    assert thirds <= measured["age_ms"]["count"]
    assert set(measured["details"]) == DETAILS.get(case, set())
    assert None not in measured["details"].values()
    assert ("decode" in report["stages"]) == (case in FPS)
    assert benchmark.row(case, "new", measured).startswith(case)
    assert "not fresh" in benchmark.notes(measured)[0]


def test_no_case_is_forgotten(benchmark: ModuleType) -> None:
    """Those rehearsed here, those that have a length, and those that can be played are the same."""
    assert tuple(benchmark.SECONDS) == CASES
    assert benchmark.chosen(None) == list(CASES)
    assert set(benchmark.B_FRAMES) <= set(CASES)


def test_cases_are_chosen_by_name_or_family(benchmark: ModuleType) -> None:
    """A family is the part before the slash; what does not exist is an error."""
    assert benchmark.chosen(["stage", "sink", "stage/inside"]) == ["stage/behind", "stage/inside", "sink"]
    with pytest.raises(ValueError, match="there is no case sinks"):
        benchmark.chosen(["sinks"])


def test_a_measurement_of_the_wrong_code_is_refused(benchmark: ModuleType, tmp_path: Path) -> None:
    """A folder without the project would be measured with the installed one."""
    with pytest.raises(RuntimeError, match="ran the code of"):
        benchmark.measure("stage/inside", tmp_path, seconds=0.1, cache=tmp_path)
