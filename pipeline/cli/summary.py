"""The report as people read it."""

from __future__ import annotations

import logging

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.frame import Mode
from pipeline.logs import about
from pipeline.report import BlameReport, Percentiles, Report

log = logging.getLogger("framepace.run")

_LOGGED = {
    "mode",
    "frames",
    "reasons",
    "published_late",
    "balanced",
    "age_ms",
    "health",
    "blames",
    "changes",
    "stopped_by",
    "duration_s",
    "cpu_s",
}
_CHANGES_SHOWN = 5
_STYLES = {"fresh": "green", "forecast": "yellow", "blind": "red", "missed": "bold red"}


def print_summary(report: Report, console: Console) -> None:
    """Print what became of the frames, how old the answers were and where the time went."""
    console.print(_frames_line(report))
    reasons = [f"{reason.value} {count}" for reason, count in report.reasons.items() if count]
    if reasons:
        console.print(f"  not fresh because: {', '.join(reasons)}")
    if report.age_ms.all is not None:
        fresh = "none" if report.age_ms.fresh is None else _spread(report.age_ms.fresh)
        console.print(f"  age ms (p50 / p95 / p99 / max): fresh {fresh}; all {_spread(report.age_ms.all)}")
        console.print(f"  published late: {report.published_late}   health: {report.health}")
    if report.detector is not None:
        detector = report.detector
        read = f", read as {detector.family}" if detector.family else ""
        line = f"  detector: {detector.model}{read}, {detector.provider}, {detector.input}, {detector.runs} runs"
        console.print(line)
    source = report.source
    if any(source.losses.values()):
        losses = ", ".join(f"{count} {outage}" for outage, count in source.losses.items() if count)
        console.print(f"  source lost: {losses}; {source.reconnects} reconnects, away for {source.away_s:.1f} s")
    if report.blames:
        console.print(f"  missed because of: {'; '.join(map(_blame, report.blames[:3]))}")
    console.print(_stages(report))
    for name, sink in report.sinks.items():
        late = f", {sink.late} of them after their deadline" if sink.late else ""
        skipped = f", {sink.skipped} skipped" if sink.skipped else ""
        failed = f", FAILED: {sink.failed}" if sink.failed else ""
        console.print(f"  {name}: {sink.written} written{late}{skipped}{failed}", style="red" if sink.failed else "")
    if report.changes:
        changes = [f"{one.name} to {one.after} after {one.at_s:.1f} s" for one in report.changes[-_CHANGES_SHOWN:]]
        earlier = report.changes_left_out + len(report.changes) - len(changes)
        more = f"{earlier} settings, and then " if earlier else ""
        console.print(f"  changed while it ran: {more}{', '.join(changes)}")
    if report.stopped_by is not None:
        console.print(f"  stopped by a request from {report.stopped_by}")
    if report.stuck:
        console.print(f"  left behind, would not stop: {', '.join(report.stuck)}", style="red")
    rate = report.frames.captured / report.duration_s if report.duration_s else 0.0
    console.print(
        f"  {report.duration_s:.1f} s, {rate:.1f} frames/s, {report.cpu_s:.1f} s of processor, "
        f"{report.peak_rss_mib:.0f} MiB at most"
    )


def log_summary(report: Report) -> None:
    """Log what became of the frames, for machines: the numbers are those of the report."""
    fields = about("summary", **report.model_dump(mode="json", include=_LOGGED))
    text = str(_frames_line(report))
    # Whatever the level: it is the one line that a run that goes well has.
    log.handle(log.makeRecord(log.name, logging.INFO, __file__, 0, text, (), None, extra=fields))


def _frames_line(report: Report) -> Text:
    frames = report.frames
    line = Text(f"{report.stream} ({report.mode.value}): {frames.captured} frames = ")
    counts = frames.model_dump(exclude={"captured"})
    if report.mode is Mode.LOSSLESS:
        counts = {name: count for name, count in counts.items() if count or name == "fresh"}
    for place, (name, count) in enumerate(counts.items()):
        line.append(" + " if place else "")
        line.append(f"{count} {name}", style=_STYLES.get(name, "red") if count else "dim")
    if report.balanced:
        line.append("   books balance", style="green")
    else:
        line.append("   BOOKS DO NOT BALANCE", style="bold red")
    return line


def _stages(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    for column in ("  stage", "items", "wait p50", "p99 ms", "run p50", "p99 ms"):
        table.add_column(column, justify="left" if column == "  stage" else "right", style="dim")
    for name, times in report.stages.items():
        waits, runs = times.wait_ms, times.run_ms
        numbers = (waits.p50, waits.p99, runs.p50, runs.p99)
        table.add_row(f"  {name}", str(times.items), *(f"{number:.2f}" for number in numbers))
    return table


def _blame(blame: BlameReport) -> str:
    usual = f"usually {blame.typical_ms:.1f} ms, {blame.excess_ms:+.1f} ms"
    return f"{blame.stage} {blame.part} {blame.frames} ({usual})"


def _spread(values: Percentiles) -> str:
    return f"{values.p50:.1f} / {values.p95:.1f} / {values.p99:.1f} / {values.max:.1f}"
