"""The benchmark of the capture clock, and the laws that the clock keeps in all its scenarios."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def benchmark(rtsp: ModuleType) -> ModuleType:
    """The module of the benchmark."""
    return importlib.import_module("clock")


LEFT_OUT = ("5 min", "stall 1 s", "stall 2 s", "stall 5 s")
"""Scenarios that take long and lie between others."""


def test_the_clock_keeps_its_laws(benchmark: ModuleType) -> None:
    """Healthy networks cost no more than a second, and bursts after stalls are not taken for fresh."""
    for scenario in benchmark.simulated():
        if any(part in scenario.name for part in LEFT_OUT):
            continue
        figures = benchmark.measure(benchmark.StampClock, scenario, 0)
        if scenario.is_healthy:
            assert figures.missed_for_s <= 1, scenario.name
        else:
            assert figures.taken_for_fresh == 0, scenario.name


def test_a_lower_envelope_misses_frames_of_slow_stamps(benchmark: ModuleType) -> None:
    """The figures tell clocks apart."""
    slow = next(scenario for scenario in benchmark.simulated() if scenario.name == "rate 0.99, 5 min")
    assert benchmark.measure(benchmark.LowerEnvelope, slow, 0).missed_share > 0.5
    assert benchmark.measure(benchmark.StampClock, slow, 0).missed_share == 0


def test_recorded_frames_have_true_times(benchmark: ModuleType) -> None:
    """Of our own camera: nothing is missed, and what it holds back comes old."""
    for scenario in benchmark.recorded(4):
        figures = benchmark.measure(benchmark.StampClock, scenario, 0)
        assert figures.missed_for_s <= 1, scenario.name
        if scenario.name == "recorded: holds for 2 s":
            assert figures.taken_for_fresh == 0
            assert max(packet.arrival_ns - packet.captured_ns for packet in scenario.make(0)) > 1.5e9
