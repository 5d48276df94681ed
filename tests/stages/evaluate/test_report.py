"""What people read."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Sequence

import pytest
from rich.console import Console

from stages.evaluate.play import Evaluation, Played, Streaming
from stages.evaluate.report import print_evaluation, print_frontier, run_line
from stages.evaluate.scores import Scores

PlayedMaker = Callable[..., Played]

SCORES = Scores(*[0.5] * 8)


def run(made: Played) -> Streaming:
    """What a reader had of it."""
    return Streaming(SCORES, SCORES, {"p50": 41.0, "p99": 59.0}, 0, 0, made.report)


def evaluation(runs: Sequence[Streaming]) -> Evaluation:
    """Of these live runs."""
    return Evaluation(frames=100, fps=30.0003, offline=SCORES, runs=tuple(runs), by_age=())


@pytest.fixture
def console() -> Console:
    """That keeps what is printed."""
    return Console(file=io.StringIO(), width=200, highlight=False)


def printed(console: Console) -> str:
    """What it was told."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_rates_are_rounded(played: PlayedMaker, console: Console) -> None:
    """A clock is never quite right, and that is not what is told."""
    print_evaluation(evaluation([run(played([None] * 100))]), console)
    assert printed(console).startswith("100 frames at 30 fps,")


def test_comparisons_are_means_over_all_runs(played: PlayedMaker, console: Console) -> None:
    """Fresh answers and ages, too; a run without any has no age."""
    runs = [run(played([None] * 100, fresh=fresh, age_ms=age)) for fresh, age in ((90, 20.0), (60, 40.0), (0, None))]
    print_frontier([("m", evaluation(runs))], console)
    assert printed(console).splitlines()[1].split()[:6] == ["m", "50%", "30", "ms", "60", "ms"]


def test_nothing_held_has_no_age(played: PlayedMaker) -> None:
    """A stroke instead of a number."""
    blind = dataclasses.replace(run(played([None] * 100)), age_ms={"p50": None, "p99": None})
    assert run_line(blind).endswith("none fresh; at use - ms, p99 -")
