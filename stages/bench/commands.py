"""`framepace bench`: what can this machine do, and what does that mean?

Part of the command line: it prints.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.errors import ConfigError, PipelineError


def bench(
    *,
    clip: Annotated[Path | None, typer.Option(help="Decode and play your own clip instead of test pictures.")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Measure your model as well, NAME, PATH or NAME@SIZE; live runs and advice are then about it."
        ),
    ] = None,
    deadline: Annotated[str, typer.Option(help="Of the live runs, capture to answer.")] = "100ms",
    quick: Annotated[bool, typer.Option("--quick", help="Take some seconds: fewer things, rougher figures.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure this machine in about two minutes, and say what it can do."""
    # With the arrays and the settings, which other commands may do without.
    from pipeline.cli.console import PlainConsole
    from pipeline.cli.options import model_options
    from pipeline.cli.run import make_console
    from stages.bench.live import Choice
    from stages.bench.measure import FULL, QUICK, Wishes, measure
    from stages.bench.report import print_figures

    progress = make_console()
    own = [Choice(name, model_options(name)) for name in model or ()]
    wishes = Wishes(clip, _milliseconds(deadline), own)
    try:
        figures = measure(
            wishes,
            QUICK if quick else FULL,
            lambda what: progress.print(f"measuring: {what}", style="dim"),
        )
    except KeyboardInterrupt:
        raise PipelineError("interrupted; nothing is said of half a measurement") from None
    if as_json:
        typer.echo(figures.model_dump_json())
    else:
        print_figures(figures, PlainConsole())


def _milliseconds(text: str) -> float:
    from pipeline.clock import NS_PER_MS
    from pipeline.controls import LEAST_DEADLINE_NS, MOST_DEADLINE_NS
    from pipeline.units import format_duration, parse_duration_ns

    try:
        deadline_ns = parse_duration_ns(text)
    except ValueError as error:
        raise ConfigError.one("--deadline", str(error)) from error
    if not LEAST_DEADLINE_NS <= deadline_ns <= MOST_DEADLINE_NS:
        least, most = format_duration(LEAST_DEADLINE_NS), format_duration(MOST_DEADLINE_NS)
        raise ConfigError.one("--deadline", f"{text!r} is not between {least} and {most}")
    return deadline_ns / NS_PER_MS
