"""Draws what run.py measured: ages and shares in time, a row of the figure for each load.

Usage: python benchmarks/peers/plot.py RUN.json [MORE.json ...] --output FILE.png
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from figures import LIMITS_MS, Figures

mpl.use("Agg")
from matplotlib import pyplot
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

MOST_LOADS = 3
"""More rows are not read any more."""
OTHERS = ("#5b6472", "#98a1ae", "#d3d8de")
OURS = ("#0b6e4f", "#4fb286", "#bfe3d0")
"""Dark to light: answered by the first limit, by the second, by the third."""
WIDTH_IN, ROW_IN, AROUND_IN = 10.5, 0.25, 0.85
DPI = 110
AGE_TICKS_MS = (10, 20, 50, 100, 200, 500, 1000, 3000, 10_000, 30_000)


def draw(rows: Mapping[str, Mapping[str, Figures | str]], path: Path) -> None:
    """Write a picture of the first loads; peers without figures stay out of it.

    Args:
        rows: by load, then by peer.
        path: of the PNG file.
    """
    shown = {load: _with_figures(row) for load, row in list(rows.items())[:MOST_LOADS]}
    shown = {load: row for load, row in shown.items() if row}
    heights = [ROW_IN * len(row) + AROUND_IN for row in shown.values()]
    span = _span([value for row in shown.values() for value in row.values()])
    size = (WIDTH_IN, sum(heights) + 0.6)
    figure, grid = pyplot.subplots(
        len(shown), 2, squeeze=False, figsize=size, layout="constrained", height_ratios=heights
    )
    for place, (load, row) in enumerate(shown.items()):
        ages, shares = grid[place]
        _draw_ages(ages, row, span)
        _draw_shares(shares, row)
        ages.set_title(f"{title_of(load)}: age of fresh answers, ms", fontsize=10, loc="left")
        shares.set_title("pictures that had an answer in time, %", fontsize=10, loc="left")
    figure.legend(handles=_legend(), loc="outside lower center", ncols=4, fontsize=8.5, frameon=False)
    figure.savefig(path, dpi=DPI)
    pyplot.close(figure)


def title_of(load: str) -> str:
    """Return DETECTOR[@FPS][+burn] in words."""
    rest, _, burn = load.partition("+")
    detector, _, fps = rest.partition("@")
    work = "real model" if detector == "model" else f"{detector} ms detector"
    return f"{work}, {fps or 30} fps" + (", busy cores" if burn else "")


def _with_figures(row: Mapping[str, Figures | str]) -> dict[str, Figures]:
    return {name: value for name, value in row.items() if not isinstance(value, str)}


def _colours(name: str) -> tuple[str, ...]:
    return OURS if name.startswith("framepace") else OTHERS


def _rows(axes: Any, names: list[str]) -> None:
    """Name the rows, the first at the top, ours in bold on a ground of their own."""
    axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.set_ylim(len(names) - 0.5, -0.5)
    for place, (label, name) in enumerate(zip(axes.get_yticklabels(), names, strict=True)):
        if _colours(name) is OURS:
            label.set_fontweight("bold")
            axes.axhspan(place - 0.5, place + 0.5, color=OURS[2], alpha=0.3, linewidth=0, zorder=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8.5)


def _span(values: Sequence[Figures]) -> tuple[float, float]:
    """Return the ages between which all loads are drawn, with room for the numbers beside the oldest."""
    values = [value for value in values if value.fresh]
    if not values:
        return AGE_TICKS_MS[0], AGE_TICKS_MS[-1]
    return min(value.age_p50_ms for value in values) / 1.3, max(value.age_max_ms for value in values) * 3


def _draw_ages(axes: Any, row: Mapping[str, Figures], span: tuple[float, float]) -> None:
    """Draw p50 as a dot, p99 as a stroke, and a thin line to the oldest; nothing where no answer was fresh."""
    for place, (name, value) in enumerate(row.items()):
        if not value.fresh:
            continue
        dark, middle, _ = _colours(name)
        axes.plot([value.age_p50_ms, value.age_max_ms], [place, place], color=middle, linewidth=1.2)
        axes.plot([value.age_p50_ms, value.age_p99_ms], [place, place], color=dark, linewidth=3)
        axes.plot(value.age_p50_ms, place, "o", color=dark, markersize=6)
        axes.plot(value.age_p99_ms, place, "|", color=dark, markersize=10, markeredgewidth=2)
        axes.text(
            value.age_max_ms * 1.08, place, f"{value.age_p50_ms:.0f} / {value.age_p99_ms:.0f}", va="center", fontsize=8
        )
    axes.set_xscale("log")
    axes.set_xlim(*span)
    ticks = [tick for tick in AGE_TICKS_MS if span[0] <= tick <= span[1]]
    axes.set_xticks(ticks, [f"{tick:,}".replace(",", " ") for tick in ticks])
    axes.minorticks_off()
    axes.grid(axis="x", color="#e3e6ea", linewidth=0.8)
    axes.set_axisbelow(True)
    _rows(axes, list(row))


def _draw_shares(axes: Any, row: Mapping[str, Figures]) -> None:
    """Draw one bar in another, one a limit; a white mark where fresh answers by the middle limit end."""
    for place, (name, value) in enumerate(row.items()):
        for limit, colour in reversed(list(zip(LIMITS_MS, _colours(name), strict=True))):
            axes.barh(place, 100 * value.answered_by[limit], height=0.72, color=colour)
        middle = LIMITS_MS[1]
        if value.fresh_by[middle] != value.answered_by[middle]:
            axes.plot(100 * value.fresh_by[middle], place, "|", color="white", markersize=13, markeredgewidth=2)
        texts = " / ".join(f"{100 * value.answered_by[limit]:.0f}" for limit in LIMITS_MS)
        axes.text(102, place, texts, va="center", fontsize=8)
    axes.set_xlim(0, 128)  # room for the numbers
    axes.set_xticks(range(0, 101, 25))
    _rows(axes, list(row))
    axes.set_yticklabels([])


def _legend() -> list[Any]:
    dark, middle, _ = OTHERS
    first, second, third = OTHERS
    limits = [
        Patch(color=colour, label=f"by {limit} ms")
        for limit, colour in zip(LIMITS_MS, (first, second, third), strict=True)
    ]
    return [
        Line2D([], [], color=dark, marker="o", linewidth=0, label="p50"),
        Line2D([], [], color=dark, marker="|", linewidth=0, markersize=10, markeredgewidth=2, label="p99"),
        Line2D([], [], color=middle, linewidth=1.2, label="to the oldest"),
        Line2D([], [], color=OURS[0], marker="s", linewidth=0, label="framepace, with its forecasts"),
        *limits,
        Line2D(
            [], [], color="black", marker="|", linewidth=0, markersize=10, label=f"white: fresh by {LIMITS_MS[1]} ms"
        ),
    ]


def read(path: Path) -> dict[str, dict[str, Figures | str]]:
    """Return the rows that run.py wrote with --json."""
    loads: dict[str, dict[str, Any]] = json.loads(path.read_text())
    return {load: {name: _figures(value) for name, value in row.items()} for load, row in loads.items()}


def _figures(value: Any) -> Figures | str:
    if isinstance(value, str):
        return value
    numbers = {name: math.nan for name, number in value.items() if number is None}
    shares = {name: {int(limit): share for limit, share in value[name].items()} for name in ("fresh_by", "answered_by")}
    known = {field.name: value[field.name] for field in dataclasses.fields(Figures)}
    return Figures(**{**known, **numbers, **shares})


def main() -> None:
    """Draw what earlier runs wrote."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="what run.py --json wrote")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    rows: dict[str, Mapping[str, Figures | str]] = {}
    for path in arguments.runs:
        rows |= read(path)
    draw(rows, arguments.output)


if __name__ == "__main__":
    main()
