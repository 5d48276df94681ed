"""Ages, shares and silent losses, from hand-made runs."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

MS = 1_000_000
PERIOD_MS = 100
PICTURES = 60
START_MS = 10_000
"""Of the camera; the programs start 1.5 s before."""


@pytest.fixture
def at(script: Callable[[str], ModuleType]) -> SimpleNamespace:
    """What a test needs to make a run up."""
    task, peers, figures = script("task"), script("peers"), script("figures")
    sent = [task.Sent(9000 * n, n, (START_MS + PERIOD_MS * n) * MS) for n in range(PICTURES)]

    def answer(number: int, age_ms: float, status: str = "fresh") -> Any:
        return task.Answer(number, sent[number].at_ns + round(age_ms * MS), [], status)

    def figures_of(answers: list[Any], **more: object) -> Any:
        return figures.figures(peers.Outcome(answers, sent, 3, (START_MS - 1500) * MS, 0.5, 100.2, **more))

    return SimpleNamespace(answer=answer, figures_of=figures_of)


def test_ages_are_from_the_sending_to_the_answer(at: SimpleNamespace) -> None:
    """Median, tail, and the share by each limit, of what is counted."""
    ages = [40 if number % 4 else 120 for number in range(PICTURES)]
    found = at.figures_of([at.answer(number, age) for number, age in enumerate(ages)])
    assert (found.age_p50_ms, found.age_max_ms) == (40, 120)
    assert found.fresh == found.sent
    assert found.fresh_by[50] == pytest.approx(0.75, abs=0.03)
    assert found.fresh_by[100] == found.fresh_by[50]
    assert found.fresh_by[200] == 1
    assert (found.silent, found.told, found.cpu_cores, found.peak_rss_mib) == (0, 3, 0.5, 100)


def test_the_first_and_the_last_seconds_do_not_count(at: SimpleNamespace) -> None:
    """Two after the first fresh answer, one before the last answer: 6 s of pictures leave 3."""
    found = at.figures_of([at.answer(number, 10) for number in range(PICTURES)])
    assert found.sent == 29
    assert found.first_answer_s == 1.51


def test_a_picture_without_any_answer_is_a_silent_loss(at: SimpleNamespace) -> None:
    """It counts in the shares; a picture of which `blind` was said is not silent, and not answered either."""
    answers = [at.answer(n, 10, "blind" if n == 31 else "fresh") for n in range(PICTURES) if n != 30]
    found = at.figures_of(answers)
    assert found.silent == 1
    assert found.fresh == found.sent - 2
    assert found.answered_by[200] == pytest.approx((found.sent - 2) / found.sent, abs=1e-4)


def test_forecasts_are_answers_but_not_fresh(at: SimpleNamespace) -> None:
    """Every second picture forecast: half are fresh by any limit, all answered."""
    found = at.figures_of([at.answer(n, 20, "forecast" if n % 2 else "fresh") for n in range(PICTURES)])
    assert found.answered_by[50] == 1
    assert found.fresh_by[200] == pytest.approx(0.5, abs=0.03)


def test_the_first_of_two_answers_to_a_picture_counts(at: SimpleNamespace) -> None:
    """Whatever is said of it later."""
    found = at.figures_of([at.answer(n, age) for n in range(PICTURES) for age in (30, 90)])
    assert found.age_max_ms == 30


def test_an_answer_from_before_the_sending_is_to_another_picture(at: SimpleNamespace) -> None:
    """Of the round before; but the camera may have noted the sending a little late."""
    early = [at.answer(n, -50 if n == 30 else -2 if n == 31 else 10) for n in range(PICTURES)]
    found = at.figures_of(early)
    assert found.silent == 1


def test_a_run_without_answers_says_why(at: SimpleNamespace) -> None:
    """With the peer's own last words, where there are some."""
    with pytest.raises(ValueError, match="ended with 1: no such camera"):
        at.figures_of([], failure="ended with 1: no such camera")
    with pytest.raises(ValueError, match="too short a run"):
        at.figures_of([at.answer(number, 10) for number in range(5)])


def test_a_program_whose_every_answer_is_a_forecast(at: SimpleNamespace, script: Callable[[str], ModuleType]) -> None:
    """It answered all of them; there is no age of fresh ones, which JSON says as null."""
    found = at.figures_of([at.answer(number, 40, "forecast") for number in range(PICTURES)])
    assert (found.fresh, found.answered_by[50], found.silent) == (0, 1, 0)
    run = script("run")
    assert run.as_data(found)["age_p50_ms"] is None
    assert run.line("framepace 50 ms", found).split()[3:9] == ["-", "-", "-", "0.0", "0.0", "0.0"]


def test_a_program_that_is_blind_all_the_time(at: SimpleNamespace, script: Callable[[str], ModuleType]) -> None:
    """It has its row, too: nothing is answered, and nothing is lost in silence."""
    found = at.figures_of([at.answer(number, 40, "blind") for number in range(PICTURES)])
    assert (found.sent, found.fresh, found.answered_by[200], found.silent) == (29, 0, 0, 0)
    assert script("run").as_data(found)["first_answer_s"] is None
    assert "nan" not in script("run").line("framepace", found)
