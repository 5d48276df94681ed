"""`framepace check`: can this source, model and machine hold a deadline? Measures, then says."""

from __future__ import annotations

from dataclasses import replace

from pipeline.cli.logs import ConsoleHandler, set_up_logging
from pipeline.cli.options import Flags, built_from_flags
from pipeline.cli.run import execute, make_console
from pipeline.cli.summary import print_summary
from pipeline.errors import ConfigError
from pipeline.report import Report
from pipeline.units import parse_duration_ns


def check_command(flags: Flags, duration: str) -> int:
    """Run without sinks for a while and print a verdict; return the exit code."""
    try:
        limit_ns = parse_duration_ns(duration)
    except ValueError as error:
        raise ConfigError.one("--duration", str(error)) from error
    _, built = built_from_flags(flags)
    built = replace(built, plan=replace(built.plan, sinks=()))
    console = make_console()
    set_up_logging(ConsoleHandler(console), level="warning")
    report = execute(built, console, quiet=False, limit_ns=limit_ns).report
    print_summary(report, console)
    console.print(verdict(report))
    return 0 if report.balanced and report.failure is None else 1


def verdict(report: Report) -> str:
    """Say in one sentence what the measurement means."""
    frames = report.frames
    answered = frames.fresh + frames.forecast + frames.blind
    asked = f"{report.deadline_ms:g} ms"
    if not answered:
        return f"cannot say anything about {asked}: no frame was answered"
    if frames.missed:
        return f"cannot hold {asked}: {frames.missed} of {frames.captured} frames had no answer in time"
    share = frames.fresh / answered
    if share >= 0.995:
        return f"can hold {asked}: fresh answers for every frame"
    if not frames.fresh:
        return f"can hold {asked} with forecasts only: the detector takes longer than that"
    return f"can hold {asked}: fresh answers for about {share:.0%} of frames, forecasts for the rest"
