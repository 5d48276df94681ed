"""Draws conclusions from what was measured: which model can answer which camera by which deadline.

The parts, measured alone, say what cannot be: a detector that takes longer than a frame interval cannot have every
frame, and one whose way through decoding, preprocessing and tracking is longer than the deadline has none. Of those
that remain, the one that does the most work is tried in a live run, then the next, until one holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stages.bench.figures import EngineFigures, LiveFigures, LoadFigures, Verdict

HOLDS = 0.95
"""An answer counts as `yes` from this share of fresh answers on, if no frame was missed."""
BUSY = 0.95
"""How much of a detector's time a camera may want, for it to be tried."""
MOST_TRIES = 3
"""Live runs for one question."""
FPS_OF_CAMERAS = (10.0, 30.0, 60.0)
DEADLINES_MS = (50.0, 100.0)


@dataclass(frozen=True, slots=True)
class Question:
    """Can a camera of that rate be answered by that deadline?"""

    fps: float
    deadline_ms: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model at a size, as measured alone."""

    name: str
    detect_ms: float
    """Typical."""
    way_ms: float
    """From packet to tracks, with detection, typical."""


def questions(deadline_ms: float) -> list[Question]:
    """Return what is asked: usual cameras, usual deadlines, and the one that was given."""
    deadlines = sorted({*DEADLINES_MS, deadline_ms})
    return [Question(fps, deadline) for fps in FPS_OF_CAMERAS for deadline in deadlines]


def possible(question: Question, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return who is worth a try, the one that does the most work first; the quickest if nobody is."""
    if not candidates:
        raise ValueError("there is nobody to choose from")
    interval_ms = 1000 / question.fps
    by_work = sorted(candidates, key=lambda candidate: -candidate.detect_ms)
    fitting = [
        candidate
        for candidate in by_work
        if candidate.detect_ms <= BUSY * interval_ms and candidate.way_ms < question.deadline_ms
    ]
    return fitting or by_work[-1:]


def holds(live: LiveFigures) -> bool:
    """Return whether a live run answered practically every frame freshly, and every one in time."""
    return live.fresh_share >= HOLDS and not live.missed and not live.published_late


def answer(
    question: Question, candidates: Sequence[Candidate], run_live: Callable[[Question, Candidate], LiveFigures]
) -> Verdict:
    """Answer a question by live runs.

    Args:
        question: what is asked.
        candidates: at least one.
        run_live: plays the camera of the question to a candidate.

    Returns:
        The verdict; where nobody holds, it rests on the run with the most fresh answers.
    """
    worth = possible(question, candidates)
    # The quickest is the last resort: it is among those that are tried.
    chosen = worth if len(worth) <= MOST_TRIES else [*worth[: MOST_TRIES - 1], worth[-1]]
    best: LiveFigures | None = None
    for candidate in chosen:
        live = run_live(question, candidate)
        if best is None or holds(live) or live.fresh_share > best.fresh_share:
            best = live
        if holds(live):
            break
    assert best is not None  # at least one was tried
    return Verdict(
        fps=question.fps, deadline_ms=question.deadline_ms, holds=holds(best), live=best, sentence=sentence(best)
    )


def sentence(live: LiveFigures) -> str:
    """Say in one line what a live run means for who has such a camera and such a deadline."""
    asked = f"{live.fps:g} fps at {live.deadline_ms:g} ms"
    if holds(live):
        assert live.age_ms is not None  # of fresh answers, which there were
        return (
            f"{asked}: yes, with {live.model} (fresh {share(live.fresh_share)}, "
            f"age {live.age_ms.p50:.0f} ms, p99 {live.age_ms.p99:.0f})"
        )
    trouble = f"; {live.missed} of {live.frames} frames had no answer in time" if live.missed else ""
    trouble += f"; {live.published_late} answers came too late" if live.published_late else ""
    if not live.fresh_share:
        return f"{asked}: no, forecasts only: {live.model} takes longer than that{trouble}"
    if live.fresh_share >= HOLDS:
        return f"{asked}: no, not reliably: {live.model} is fresh for {share(live.fresh_share)}{trouble}"
    return f"{asked}: in part: {live.model} is fresh for {share(live.fresh_share)}, forecasts for the rest{trouble}"


def share(value: float) -> str:
    """Return a share in percent, rounded down, so that 100 % means all."""
    return f"{math.floor(round(100 * value, 6))} %"


def engine_line(engine: EngineFigures) -> str:
    """Say what the engine itself costs."""
    core = engine.paced_us * 30 / 1e6
    return (
        f"the engine itself takes {engine.paced_us:.0f} us of processor a frame, "
        f"{100 * core:.1f} % of a core at 30 fps, "
        f"and {engine.age_ms.p50:.1f} ms of the deadline (p99 {engine.age_ms.p99:.1f})"
    )


def overload_line(loads: Sequence[LoadFigures]) -> str | None:
    """Say what becomes of the answers when there are more frames than the detector can take.

    Returns:
        None if no overload was played.
    """
    most = max(loads, key=lambda load: load.load, default=None)
    if most is None or most.load <= 1:
        return None
    live, least = most.live, min(loads, key=lambda load: load.load).live
    said = f"at {most.load:g} times what {live.model} can do: fresh {share(live.fresh_share)}"
    if live.age_ms is not None and least.age_ms is not None:
        said += f", fresh answers {live.age_ms.p50:.0f} ms old ({least.age_ms.p50:.0f} ms at little load)"
    return said + f", {live.missed} of {live.frames} frames without an answer in time"
