"""Durations that vary."""

from __future__ import annotations

import statistics
from pathlib import Path
from random import Random

import pytest

from pipeline.clock import NS_PER_MS
from pipeline.simulation.distributions import parse_distribution


def drawn(text: str, count: int = 4000) -> list[float]:
    draw = parse_distribution(text, Random(1))
    return sorted(draw() / NS_PER_MS for _ in range(count))


def test_a_duration_is_always_the_same() -> None:
    """No chance in it."""
    assert set(drawn("64ms", 10)) == {64.0}


def test_normal_has_its_mean_and_deviation() -> None:
    """And is never negative."""
    values = drawn("normal:20ms,5ms")
    assert statistics.fmean(values) == pytest.approx(20, rel=0.02)
    assert statistics.stdev(values) == pytest.approx(5, rel=0.05)
    assert drawn("normal:1ms,50ms")[0] == 0


def test_lognormal_has_its_median_and_99th_percentile() -> None:
    """The two numbers that people know of a model."""
    values = drawn("lognormal:25ms,90ms")
    assert statistics.median(values) == pytest.approx(25, rel=0.05)
    assert values[int(0.99 * len(values))] == pytest.approx(90, rel=0.1)


def test_uniform_and_exponential() -> None:
    """Between the bounds; with the mean."""
    values = drawn("uniform:10ms,20ms")
    assert values[0] >= 10
    assert values[-1] <= 20
    assert statistics.fmean(values) == pytest.approx(15, rel=0.02)
    assert statistics.fmean(drawn("exponential:30ms")) == pytest.approx(30, rel=0.05)


def test_a_file_is_gone_through_again_and_again(tmp_path: Path) -> None:
    """One number of milliseconds a line."""
    path = tmp_path / "times.txt"
    path.write_text("10\n\n20.5\n")
    draw = parse_distribution(str(path), Random(1))
    assert [draw() / NS_PER_MS for _ in range(4)] == [10, 20.5, 10, 20.5]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("64", "neither a duration nor a file"),
        ("", "neither a duration nor a file"),
        ("normal:64ms", "normal takes 2 duration"),
        ("normal:64,5", "not a duration"),
        ("uniform:20ms,10ms", "lower bound first"),
        ("lognormal:20ms,10ms", "not below it"),
        ("lognormal:0ms,10ms", "above 0"),
        ("exponential:0ms", "above 0"),
        ("gauss:1ms,2ms", "neither a duration nor a file"),
    ],
)
def test_what_is_not_understood_is_said(text: str, said: str) -> None:
    """With what would be right."""
    with pytest.raises(ValueError, match=said):
        parse_distribution(text, Random(1))


@pytest.mark.parametrize(("line", "said"), [("ten", ":2: 'ten'"), ("-1", ":2: '-1'"), ("nan", ":2:"), ("inf", ":2:")])
def test_a_bad_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    """By file and number."""
    path = tmp_path / "times.txt"
    path.write_text(f"10\n{line}\n")
    with pytest.raises(ValueError, match=said):
        parse_distribution(str(path), Random(1))


def test_an_empty_file_is_said(tmp_path: Path) -> None:
    """It has no durations."""
    (tmp_path / "times.txt").write_text("\n")
    with pytest.raises(ValueError, match="holds no durations"):
        parse_distribution(str(tmp_path / "times.txt"), Random(1))
