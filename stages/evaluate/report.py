"""What was scored, as people read it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from stages.evaluate.play import Evaluation, Streaming
from stages.evaluate.scores import Scores

_NAMES = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "hota": "HOTA",
    "det_a": "DetA",
    "ass_a": "AssA",
    "mota": "MOTA",
    "idf1": "IDF1",
}

_LEGEND = (
    "offline: each frame with its own answer, lossless; held: at each frame, the newest answer published by then; "
    "moved: the same, its boxes moved to that moment by the reader"
)


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """Print scores offline and streaming, what lateness costs, and accuracy by age."""
    last = evaluation.runs[-1]
    detector = last.report.detector
    assert detector is not None  # the check of a live graph saw to it
    console.print(
        f"{evaluation.frames} frames at {evaluation.fps:.4g} fps, deadline {last.report.deadline_ms:g} ms; "
        f"{detector.model}, {detector.provider}, {detector.input}"
    )
    for run in evaluation.runs:
        console.print(run_line(run))
    table = _table("in percent", *_NAMES.values())
    _add(table, "offline", [evaluation.offline])
    _add(table, "held", [run.held for run in evaluation.runs])
    _add(table, "moved", [run.moved for run in evaluation.runs])
    console.print(table)
    console.print(_LEGEND, style="dim")
    console.print(lateness_line(evaluation))
    console.print()
    table = _table("used after", "AP50 held", "moved", "HOTA held", "moved")
    for at in evaluation.by_age:
        values = (at.held.ap50, at.moved.ap50, at.held.hota, at.moved.hota)
        table.add_row(f"{at.age_ms:.3g} ms", *map(_percent, values))
    console.print(table)


def run_line(run: Streaming) -> str:
    """Return what became of the frames of a live run, in one line."""
    report = run.report
    frames, ages = report.frames, report.age_ms.fresh
    fresh = "none fresh" if ages is None else f"fresh answers {ages.p50:.0f} ms old, p99 {ages.p99:.0f}"
    return (
        f"live: {frames.fresh / max(1, frames.captured):.0%} fresh, {frames.forecast} forecast, {frames.blind} blind, "
        f"{frames.missed} missed; {fresh}; at use {_whole(run.age_ms['p50'])} ms, p99 {_whole(run.age_ms['p99'])}"
    )


def lateness_line(evaluation: Evaluation) -> str:
    """Return in one sentence how much of the offline score is left."""
    name = "AP" if evaluation.offline.hota is None else "HOTA"
    whole = figure(evaluation.offline)
    held = statistics.fmean(figure(run.held) for run in evaluation.runs)
    moved = statistics.fmean(figure(run.moved) for run in evaluation.runs)
    if not whole:
        return f"{name}: the model finds nothing on this clip, even with all the time it wants"
    return (
        f"lateness costs {100 * (whole - held):.1f} of {100 * whole:.1f} {name} ({held / whole:.0%} are left), and "
        f"{100 * (whole - moved):.1f} when the reader moves the boxes ({moved / whole:.0%} are left)"
    )


def figure(scores: Scores) -> float:
    """Return the one number by which things are compared: HOTA, or AP where the truth has no identities."""
    return scores.ap if scores.hota is None else scores.hota


def print_frontier(rows: Sequence[tuple[str, Evaluation]], console: Console) -> None:
    """Print a line for each model, means over its runs, and the one to pick."""
    name = "AP" if rows[0][1].offline.hota is None else "HOTA"
    table = _table("model", "fresh", "age p50", "p99", f"{name} offline", "held", "moved", "AP50 moved")
    for model, evaluation in rows:
        counts = [run.report.frames for run in evaluation.runs]
        ages = [age for run in evaluation.runs if (age := run.report.age_ms.fresh) is not None]
        table.add_row(
            model,
            f"{statistics.fmean(frames.fresh / max(1, frames.captured) for frames in counts):.0%}",
            f"{statistics.fmean(age.p50 for age in ages):.0f} ms" if ages else "-",
            f"{statistics.fmean(age.p99 for age in ages):.0f} ms" if ages else "-",
            _percent(figure(evaluation.offline)),
            _spread([figure(each.held) for each in evaluation.runs]),
            _spread([figure(each.moved) for each in evaluation.runs]),
            _spread([each.moved.ap50 for each in evaluation.runs]),
        )
    console.print(table)
    best = pick(rows)
    deadline_ms = rows[0][1].runs[0].report.deadline_ms
    console.print(
        f"pick {best}: the best of what a reader holds who moves the boxes, at a deadline of {deadline_ms:g} ms"
    )


def pick(rows: Sequence[tuple[str, Evaluation]]) -> str:
    """Return the model with the best streaming score, moved boxes; of equals the first."""
    return max(rows, key=lambda row: statistics.fmean(figure(run.moved) for run in row[1].runs))[0]


def plot_frontier(rows: Sequence[tuple[str, Evaluation]], path: Path) -> None:
    """Draw score against age, one point a model offline, held and moved.

    Raises:
        ImportError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    name = "AP" if rows[0][1].offline.hota is None else "HOTA"
    drawing, axes = pyplot.subplots(figsize=(8, 4.2), layout="constrained")
    for model, evaluation in rows:
        at = _age_ms(evaluation)
        scores = [
            100 * figure(evaluation.offline),
            100 * statistics.fmean(figure(run.held) for run in evaluation.runs),
            100 * statistics.fmean(figure(run.moved) for run in evaluation.runs),
        ]
        (line,) = axes.plot([at, at], [min(scores), max(scores)], linewidth=3, alpha=0.5, label=Path(model).name)
        for score, marker in zip(scores, ("_", "o", "^"), strict=True):
            axes.plot(at, score, marker, color=line.get_color(), markersize=9, alpha=0.8)
    for marker, meaning in (("_", "offline"), ("o", "held"), ("^", "moved to the moment of use")):
        axes.plot([], [], marker, color="grey", label=meaning)
    axes.set(xlabel="age of answers, ms (median)", ylabel=f"{name}, %", title="What a reader holds at each moment")
    axes.set_xlim(0, 1.1 * max(_age_ms(evaluation) for _, evaluation in rows))
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    drawing.legend(loc="outside right center", frameon=False)
    drawing.savefig(path, dpi=150)
    pyplot.close(drawing)


def _age_ms(evaluation: Evaluation) -> float:
    """Return how old answers were when they were given, the median of each run; 0 where there were none."""
    ages = [run.report.age_ms.all for run in evaluation.runs]
    return statistics.fmean(age.p50 for age in ages if age is not None) if any(ages) else 0.0


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left")
    return table


def _add(table: Table, name: str, runs: Sequence[Scores]) -> None:
    cells = []
    for score_name in _NAMES:
        values = [getattr(scores, score_name) for scores in runs]
        cells.append("-" if None in values else _spread(values))
    table.add_row(name, *cells)


def _spread(values: Sequence[float]) -> str:
    """Return the mean, with half the distance between the extremes where there are several."""
    mean = _percent(statistics.fmean(values))
    return mean if len(values) == 1 else f"{mean}±{50 * (max(values) - min(values)):.1f}"


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
