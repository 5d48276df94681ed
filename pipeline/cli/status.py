"""What is shown while a run goes on: a status line for live, a progress bar for lossless."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from pipeline.frame import Health, Mode
from pipeline.report import Report

_HEALTH_STYLES = {Health.OK: "green", Health.DEGRADED: "yellow", Health.BLIND: "red", Health.FAILED: "bold red"}
_PLAIN_EVERY_S = 10.0
"""Without a terminal, one line in this many seconds."""


class StatusDisplay(AbstractContextManager["StatusDisplay"]):
    """Shows how a run is doing; on a terminal in place, else as a line now and then."""

    def __init__(self, console: Console, mode: Mode, total_frames: int | None, *, quiet: bool = False) -> None:
        self._console = console
        self._mode = mode
        self._total = total_frames
        self._live: Live | None = None
        self._progress: Progress | None = None
        self._previous: Report | None = None
        self._said_s = 0.0
        self._quiet = quiet
        if quiet or not console.is_terminal:
            return
        if mode is Mode.LIVE:
            self._live = Live(console=console, auto_refresh=False, transient=True)
        else:
            columns = (SpinnerColumn(), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
            self._progress = Progress(*columns, TimeRemainingColumn(), console=console, transient=True)
            self._task = self._progress.add_task("frames", total=total_frames, rate="")

    def __enter__(self) -> StatusDisplay:
        for shown in (self._live, self._progress):
            if shown is not None:
                shown.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for shown in (self._live, self._progress):
            if shown is not None:
                shown.stop()

    def show(self, report: Report) -> None:
        """Show the state of the run, unless quiet."""
        if self._quiet:
            return
        if self._live is not None:
            self._live.update(self._line(report), refresh=True)
        elif self._progress is not None:
            done = _answered(report)
            self._progress.update(self._task, completed=done, rate=f"{done / max(report.duration_s, 0.001):.1f} fps")
        elif report.duration_s - self._said_s >= _PLAIN_EVERY_S:
            self._console.print(self._line(report))
            self._said_s = report.duration_s
        else:
            return
        if self._previous is None or report.duration_s - self._previous.duration_s >= 1.0:
            self._previous = report

    def _line(self, report: Report) -> Text:
        frames = report.frames
        answered = max(1, frames.fresh + frames.forecast + frames.blind)
        line = Text(f"{report.stream} ")
        if report.health is not None:
            line.append(f"{report.health.value:<8}", style=_HEALTH_STYLES[report.health])
            line.append(f"  fresh {frames.fresh / answered:4.0%}")
            if report.age_ms.all is not None:
                line.append(f"  age p99 {report.age_ms.all.p99:.0f} ms")
        total = f"/{self._total}" if self._total else ""
        line.append(f"  {_capture_rate(report, self._previous):.1f} fps  frames {frames.captured}{total}")
        drops = [f"{reason.value} {count}" for reason, count in report.reasons.items() if count]
        if frames.missed:
            drops.append(f"missed {frames.missed}")
        line.append(f"  {', '.join(drops)}", style="dim")
        return line


def _answered(report: Report) -> int:
    frames = report.frames
    return frames.fresh + frames.forecast + frames.blind + frames.undecodable


def _capture_rate(report: Report, previous: Report | None) -> float:
    """Return captured frames per second since the previous report, or since the start."""
    before_s = previous.duration_s if previous else 0.0
    before = previous.frames.captured if previous else 0
    span_s = report.duration_s - before_s
    return (report.frames.captured - before) / span_s if span_s > 0 else 0.0
