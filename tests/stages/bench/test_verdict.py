"""From figures to advice."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from pipeline.report import Percentiles
from stages.bench.figures import EngineFigures, LiveFigures, LoadFigures
from stages.bench.verdict import (
    Candidate,
    Question,
    answer,
    engine_line,
    holds,
    overload_line,
    possible,
    questions,
    sentence,
    share,
)

SMALL = Candidate("m@320", detect_ms=14, way_ms=20)
MIDDLE = Candidate("m@416", detect_ms=23, way_ms=30)
LARGE = Candidate("m@480", detect_ms=30, way_ms=37)
HUGE = Candidate("m@608", detect_ms=48, way_ms=56)
ALL = (SMALL, HUGE, MIDDLE, LARGE)


Live = Callable[..., LiveFigures]


class Camera:
    """Plays live runs: the models that are named are fresh for so much, all others for everything."""

    def __init__(self, live: Live, fresh_share: Mapping[str, float] | None = None) -> None:
        self._live = live
        self._fresh_share = fresh_share or {}
        self.tried: list[str] = []

    def __call__(self, question: Question, candidate: Candidate) -> LiveFigures:
        self.tried.append(candidate.name)
        fresh_share = self._fresh_share.get(candidate.name, 1.0)
        return self._live(candidate.name, fps=question.fps, deadline_ms=question.deadline_ms, fresh_share=fresh_share)


@pytest.mark.parametrize(
    ("fps", "deadline_ms", "wanted"),
    [
        (10, 100, [HUGE, LARGE, MIDDLE, SMALL]),  # 100 ms between frames: all can have every one
        (10, 50, [LARGE, MIDDLE, SMALL]),  # 56 ms of way are too long
        (30, 100, [LARGE, MIDDLE, SMALL]),  # 48 ms do not fit into 33
        (60, 100, [SMALL]),
        (100, 100, [SMALL]),  # nobody can: the quickest shows what is possible
        (10, 5, [SMALL]),
    ],
)
def test_who_is_worth_a_try(fps: float, deadline_ms: float, wanted: list[Candidate]) -> None:
    """Who keeps up and fits into the deadline, the most work first; the quickest if nobody does."""
    assert possible(Question(fps, deadline_ms), ALL) == wanted


def test_a_detector_needs_a_little_air() -> None:
    """One that would be busy all the time is not tried while another one would not."""
    exactly = Candidate("full", detect_ms=100, way_ms=110)
    assert possible(Question(10, 500), [exactly, SMALL]) == [SMALL]


def test_nobody_to_choose_from_is_a_mistake() -> None:
    """There is no advice without a model."""
    with pytest.raises(ValueError, match="nobody"):
        possible(Question(30, 50), [])


def test_the_first_that_holds_is_the_answer(live: Live) -> None:
    """Nothing smaller is tried then."""
    camera = Camera(live)
    verdict = answer(Question(30, 50), ALL, camera)
    assert camera.tried == ["m@480"]
    assert verdict.holds
    assert (verdict.fps, verdict.deadline_ms, verdict.live.model) == (30, 50, "m@480")


def test_what_does_not_hold_gives_way_to_the_next(live: Live) -> None:
    """What was measured part by part may not hold when everything runs."""
    camera = Camera(live, {"m@480": 0.7})
    verdict = answer(Question(30, 50), ALL, camera)
    assert camera.tried == ["m@480", "m@416"]
    assert verdict.holds
    assert verdict.live.model == "m@416"


def test_where_nobody_holds_the_best_counts(live: Live) -> None:
    """Also where a later one did worse."""
    camera = Camera(live, {"m@480": 0.5, "m@416": 0.8, "m@320": 0.6})
    verdict = answer(Question(30, 50), ALL, camera)
    assert not verdict.holds
    assert verdict.live.model == "m@416"


def test_tries_are_few_and_the_quickest_is_among_them(live: Live) -> None:
    """Four could, three are tried."""
    camera = Camera(live, {"m@608": 0, "m@480": 0, "m@416": 0})
    verdict = answer(Question(10, 100), ALL, camera)
    assert camera.tried == ["m@608", "m@480", "m@320"]
    assert verdict.live.model == "m@320"


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, True),
        ({"fresh_share": 0.95}, True),
        ({"fresh_share": 0.949}, False),
        ({"published_late": 1}, False),
        ({"missed": 1}, False),  # a frame without an answer breaks the promise, however fresh the others are
    ],
)
def test_what_holds(live: Live, changes: dict[str, object], *, wanted: bool) -> None:
    """Practically all fresh, and nothing missed."""
    assert holds(live(**changes)) is wanted


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "30 fps at 50 ms: yes, with m@416 (fresh 99 %, age 31 ms, p99 43)"),
        ({"fresh_share": 0.61}, "30 fps at 50 ms: in part: m@416 is fresh for 61 %, forecasts for the rest"),
        ({"fresh_share": 0.0, "age_ms": None}, "30 fps at 50 ms: no, forecasts only: m@416 takes longer than that"),
        (
            {"missed": 3},
            "30 fps at 50 ms: no, not reliably: m@416 is fresh for 99 %; 3 of 150 frames had no answer in time",
        ),
        (
            {"published_late": 2},
            "30 fps at 50 ms: no, not reliably: m@416 is fresh for 99 %; 2 answers came too late",
        ),
        (
            {"fresh_share": 0.5, "missed": 1},
            "30 fps at 50 ms: in part: m@416 is fresh for 50 %, forecasts for the rest; "
            "1 of 150 frames had no answer in time",
        ),
    ],
)
def test_what_it_means_in_words(live: Live, changes: dict[str, object], said: str) -> None:
    """One line that can be read by itself."""
    assert sentence(live(**changes)) == said


def test_a_share_is_not_rounded_up() -> None:
    """100 % means all."""
    assert [share(value) for value in (1.0, 0.9999, 0.57, 0.0)] == ["100 %", "99 %", "57 %", "0 %"]


def test_the_given_deadline_is_asked_too() -> None:
    """Beside the usual ones, and only once."""
    assert {question.deadline_ms for question in questions(80)} == {50, 80, 100}
    assert questions(50) == questions(100)
    assert len(questions(50)) == len(set(questions(50)))


def test_what_the_engine_costs_in_words() -> None:
    """Of a core, and of the deadline."""
    ages = Percentiles(p50=0.44, p95=0.8, p99=1.24, max=3)
    line = engine_line(EngineFigures(flat_out_us=90, paced_us=500, age_ms=ages, frames=150))
    assert line == (
        "the engine itself takes 500 us of processor a frame, 1.5 % of a core at 30 fps, "
        "and 0.4 ms of the deadline (p99 1.2)"
    )


def test_what_overload_means_in_words(live: Live) -> None:
    """The most that was played, beside the least."""
    old = {"p50": 36.0, "p95": 40, "p99": 55, "max": 60}
    loads = [
        LoadFigures(load=0.5, live=live()),
        LoadFigures(load=4, live=live(fresh_share=0.255, age_ms=old, frames=800, missed=1)),
        LoadFigures(load=2, live=live(fresh_share=0.5)),
    ]
    assert overload_line(loads) == (
        "at 4 times what m@416 can do: fresh 25 %, fresh answers 36 ms old (31 ms at little load), "
        "1 of 800 frames without an answer in time"
    )


def test_without_overload_nothing_is_said_of_it(live: Live) -> None:
    """Nor where nothing was played, nor where nothing was fresh is an age made up."""
    assert overload_line([]) is None
    assert overload_line([LoadFigures(load=1, live=live())]) is None
    blind = live(fresh_share=0.0, age_ms=None)
    line = overload_line([LoadFigures(load=2, live=blind)])
    assert line == "at 2 times what m@416 can do: fresh 0 %, 0 of 150 frames without an answer in time"
