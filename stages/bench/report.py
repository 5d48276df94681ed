"""What was measured, as people read it."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from pipeline.report import Percentiles
from stages.bench.figures import Figures, LiveFigures
from stages.bench.verdict import HOLDS, share

_LEGEND = (
    "age: from capture to fresh answer. Live runs are the whole program in a process of its own, the clip played as a "
    f"camera. yes: at least {share(HOLDS)} of the frames of such a run were fresh, and none missed."
)


def print_figures(figures: Figures, console: Console) -> None:
    """Print everything, the conclusions last."""
    machine, first = figures.machine, figures.loads[0].live
    quick = "quick, " if figures.quick else ""
    _line(
        f"{machine.processor}, {machine.cores} cores; framepace {machine.framepace}, Python {machine.python}; "
        f"{quick}{figures.duration_s:.0f} s",
        console,
    )
    console.print()
    console.print(_alone(figures))
    console.print()
    _line(f"live with {first.model} at {first.deadline_ms:g} ms, load as multiples of what it can do alone", console)
    console.print(_loads(figures))
    _line(_LEGEND, console, style="dim")
    console.print()
    for line in figures.summary:
        _line(line, console)


def _line(text: str, console: Console, *, style: str = "") -> None:
    """Print a line as it is: it may go into a file, and is not for us to wrap."""
    console.print(text, style=style, soft_wrap=True)


def _alone(figures: Figures) -> Table:
    """Return what was measured part by part, with nothing else running."""
    table = _table("alone", "p50 ms", "p99 ms", "frames/s")
    engine, tracker = figures.engine, figures.tracker
    table.add_row("engine, capture to answer", *_spread(engine.age_ms), _rate(1e6 / engine.flat_out_us))
    for decode in figures.decode:
        table.add_row(f"decode {decode.clip}, live", *_spread(decode.live_ms), _rate(decode.live_fps))
        table.add_row(f"decode {decode.clip}, lossless", "", "", _rate(decode.recorded_fps))
    for one in figures.detectors:
        table.add_row(f"preprocess for {one.name}", *_spread(one.preprocess_ms), "")
    for one in figures.detectors:
        table.add_row(f"detect {one.name} ({one.provider})", *_spread(one.detect_ms), _rate(one.fps))
    table.add_row(f"track {tracker.boxes} boxes", *_spread(tracker.process_ms), "")
    table.add_row(f"forecast {tracker.boxes} boxes", *_spread(tracker.forecast_ms), "")
    return table


def _loads(figures: Figures) -> Table:
    table = _table("load", "fps", "fresh", "forecast", "missed", "late", "age p50 ms", "p99 ms", "cores", "MiB")
    for load in figures.loads:
        table.add_row(f"{load.load:g}x", *_live_cells(load.live))
    return table


def _live_cells(live: LiveFigures) -> tuple[str, ...]:
    ages = ("-", "-") if live.age_ms is None else _spread(live.age_ms)
    counts = (str(live.missed), str(live.published_late))
    shares = (share(live.fresh_share), share(live.forecast_share))
    return (f"{live.fps:g}", *shares, *counts, *ages, f"{live.cores:.2f}", f"{live.peak_rss_mib:.0f}")


def _spread(values: Percentiles) -> tuple[str, str]:
    return f"{values.p50:.2f}", f"{values.p99:.2f}"


def _rate(per_second: float) -> str:
    return f"{per_second:.0f}" if per_second >= 100 else f"{per_second:.1f}"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left")
    return table
