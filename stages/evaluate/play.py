"""Plays a labelled clip through the whole program, live and lossless, and scores what a reader would have had."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from pipeline.cli.run import execute
from pipeline.config.build import Built, Overrides, build
from pipeline.config.load import parse
from pipeline.errors import ConfigError
from pipeline.report import Report
from stages.evaluate.held import Given, capture_times, given_from_records, view
from stages.evaluate.scores import Scores, score
from stages.evaluate.truth import NOTHING, Objects, Truth

AGES_S = (0.0, 0.033, 0.067, 0.1, 0.15, 0.2, 0.3)
"""Ages at which accuracy is given, seconds: frames of 30 fps up to 0.1 s, then coarser."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is to be played."""

    clip: Path
    settings: Mapping[str, object]
    """A configuration as written, without source, mode and sinks."""
    pace: str | float = "pts"
    detector_options: Mapping[str, object] = field(default_factory=dict)
    delay: str | None = None
    """Added to every run of the detector in the live run; the lossless run has all the time it wants."""


@dataclass(frozen=True, slots=True)
class Played:
    """One run."""

    given: list[Given]
    report: Report


@dataclass(frozen=True, slots=True)
class Streaming:
    """What a reader of a live run had."""

    held: Scores
    """Of the boxes as they were given."""
    moved: Scores
    """Of the boxes that the reader moved to the moment of use by their velocities."""
    age_ms: Mapping[str, float | None]
    """Of what is held at the moment of use: p50 and p99; None where nothing ever was."""
    blind: int
    """Frames at which the newest answer was blind."""
    empty: int
    """Frames before the first answer."""
    report: Report


@dataclass(frozen=True, slots=True)
class AtAge:
    """Accuracy of lossless answers that are used some time after their capture."""

    age_ms: float
    held: Scores
    moved: Scores


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A clip, scored."""

    frames: int
    fps: float
    """At which the clip was played live."""
    offline: Scores
    """Of the lossless run: every frame scored with its own answer."""
    runs: tuple[Streaming, ...]
    by_age: tuple[AtAge, ...]
    """At whole frames only where the truth has no identities, without which nothing is known between frames."""


def evaluate(case: Case, truth: Truth, *, runs: int = 1, ages_s: Sequence[float] = AGES_S) -> Evaluation:
    """Play a clip lossless once and live some times, and score it; what is wrong is best said before, by `check`.

    Raises:
        PipelineError: it cannot be played, or a run failed.
    """
    offline = play(case, truth, live=False)
    frames = min(len(truth.frames), offline.report.frames.captured)
    if not frames:
        raise ConfigError.one("CLIP", f"{case.clip} has no frame that the truth knows")
    there = truth.frames[:frames]
    live = [play(case, truth, live=True) for _ in range(runs)]
    fps = 1 / float(np.median(np.diff(_instants(live[0], frames)))) if frames > 1 else 1.0
    used_after_s = ages_s if truth.has_identities else _whole_frames(ages_s, fps)
    said = _by_frame(offline.given, frames)
    return Evaluation(
        frames=frames,
        fps=fps,
        offline=score(
            [NOTHING if answer is None else answer.objects for answer in said], there, identities=truth.has_identities
        ),
        runs=tuple(streaming(played, truth, frames) for played in live),
        by_age=tuple(_at_age(said, truth, frames, age_s, fps) for age_s in used_after_s),
    )


def streaming(played: Played, truth: Truth, frames: int) -> Streaming:
    """Score a live run: the truth of each frame against what a reader held when that frame was captured.

    Raises:
        ConfigError: there are too few answers for that.
    """
    seen = view(played.given, [float(at_s) for at_s in _instants(played, frames)])
    ages_ms = 1000 * np.array(seen.ages_s)
    there, identities = truth.frames[:frames], truth.has_identities
    return Streaming(
        held=score(seen.held, there, identities=identities),
        moved=score(seen.moved, there, identities=identities),
        age_ms={
            f"p{share}": round(float(np.percentile(ages_ms, share)), 1) if len(ages_ms) else None for share in (50, 99)
        },
        blind=seen.blind,
        empty=seen.empty,
        report=played.report,
    )


def play(case: Case, truth: Truth, *, live: bool) -> Played:
    """Run the program on the clip and return what it gave.

    Raises:
        PipelineError: it cannot be played, or the run failed.
    """
    with tempfile.TemporaryDirectory(prefix="framepace-eval-") as folder:
        answers = Path(folder) / "answers.jsonl"
        report = execute(built_case(case, answers, live=live), Console(quiet=True), quiet=True).whole()
        records = [json.loads(line) for line in answers.read_text(encoding="utf-8").splitlines()]
    return Played(given_from_records(records, truth.class_names), report)


def built_case(case: Case, answers: Path, *, live: bool) -> Built:
    """Return the plan of a run whose answers go to a file.

    Raises:
        ConfigError: the case is not right.
    """
    source: dict[str, object] = {"kind": "video", "url": str(case.clip)}
    detector = dict(case.detector_options)
    if live:
        source["pace"] = case.pace
        detector |= {} if case.delay is None else {"delay": case.delay}
    raw = {**case.settings, "source": source, "mode": "live" if live else "lossless", "sinks": [f"jsonl:{answers}"]}
    raw.pop("serve", None)  # nobody looks at an evaluation
    return build(parse(raw), Overrides(detector_options=detector))


def _instants(played: Played, frames: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return when each frame was captured in a live run, seconds.

    Raises:
        ConfigError: there are too few answers to tell.
    """
    try:
        return capture_times(played.given, frames)
    except ValueError as error:
        raise ConfigError.one("CLIP", str(error)) from None


def _whole_frames(ages_s: Sequence[float], fps: float) -> list[float]:
    """Return the nearest ages of whole frames, each once, seconds."""
    return [late / fps for late in sorted({round(age_s * fps) for age_s in ages_s})]


def _by_frame(given: Sequence[Given], frames: int) -> list[Given | None]:
    by_id = {answer.frame_id: answer for answer in given}
    return [by_id.get(number) for number in range(frames)]


def _at_age(said: Sequence[Given | None], truth: Truth, frames: int, age_s: float, fps: float) -> AtAge:
    """Score lossless answers that are used late.

    The clip may have been played live at another rate than its own, by which lossless answers have their times: an age
    is so many frames, and boxes move by so much time of the clip.
    """
    late = age_s * fps
    held: list[Objects] = []
    moved: list[Objects] = []
    there: list[Objects] = []
    period_s = _period_s(said)
    for number, answer in enumerate(said):
        if number + late > frames - 1:
            break
        there.append(truth.between(number + late))
        held.append(NOTHING if answer is None else answer.objects)
        moved.append(NOTHING if answer is None else answer.moved_to(answer.true_at_s + late * period_s))
    identities = truth.has_identities
    return AtAge(
        round(1000 * age_s, 3), score(held, there, identities=identities), score(moved, there, identities=identities)
    )


def _period_s(said: Sequence[Given | None]) -> float:
    times = [answer.captured_s for answer in said if answer is not None]
    return float(np.median(np.diff(times))) if len(times) > 1 else 0.0


def as_data(evaluation: Evaluation) -> dict[str, Any]:
    """Return everything as plain data, for JSON."""
    return {
        "frames": evaluation.frames,
        "fps": round(evaluation.fps, 3),
        "offline": evaluation.offline.as_data(),
        "runs": [
            {
                "held": run.held.as_data(),
                "moved": run.moved.as_data(),
                "age_ms": dict(run.age_ms),
                "blind": run.blind,
                "before_first_answer": run.empty,
                "report": run.report.model_dump(mode="json"),
            }
            for run in evaluation.runs
        ],
        "by_age": [
            {"age_ms": at.age_ms, "held": at.held.as_data(), "moved": at.moved.as_data()} for at in evaluation.by_age
        ],
    }
