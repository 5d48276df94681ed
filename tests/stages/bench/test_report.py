"""What people read."""

from __future__ import annotations

import io

from pipeline.cli.console import PlainConsole
from stages.bench.figures import Figures
from stages.bench.report import print_figures


def printed(figures: Figures) -> list[str]:
    out = io.StringIO()
    print_figures(figures, PlainConsole(file=out, width=80))
    return out.getvalue().splitlines()


def cells(lines: list[str], start: str) -> list[str]:
    (line,) = (line for line in lines if line.startswith(start))
    return line.removeprefix(start).split()


def test_everything_is_there(figures: Figures) -> None:
    """The machine first, each part with its figures, the conclusions at the end."""
    lines = printed(figures)
    assert lines[0] == "An Abacus, 2 cores; framepace 0.1.0, Python 3.11.7; quick, 12 s"
    assert cells(lines, "engine, capture to answer") == ["31.20", "42.60", "12500"]
    assert cells(lines, "decode 1280x720, live") == ["31.20", "42.60", "347"]
    assert cells(lines, "decode 1280x720, lossless") == ["483"]
    assert cells(lines, "preprocess for m@416") == ["31.20", "42.60"]
    assert cells(lines, "detect m@416 (cpu)") == ["31.20", "42.60", "43.2"]
    assert cells(lines, "track 30 boxes") == ["31.20", "42.60"]
    assert lines[-2:] == figures.summary


def test_loads_are_shares_counts_and_ages(figures: Figures) -> None:
    """Where nothing was fresh there is no age."""
    lines = printed(figures)
    assert "live with m@416 at 50 ms, load as multiples of what it can do alone" in lines
    assert cells(lines, "0.5x") == ["30", "99", "%", "0", "%", "0", "0", "31.20", "42.60", "1.10", "200"]
    assert cells(lines, "2x") == ["30", "0", "%", "0", "%", "3", "0", "-", "-", "1.10", "200"]


def test_sentences_are_not_cut(figures: Figures) -> None:
    """Nor read as markup: the output may go into a file."""
    long = "a sentence [with brackets] that is longer than any terminal " * 3
    lines = printed(figures.model_copy(update={"summary": [long.strip()]}))
    assert long.strip() in lines
