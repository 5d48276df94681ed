"""What happened in the last seconds, as the difference of two looks at counts that only grow."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from pipeline.clock import NS_PER_MS, NS_PER_S, Clock
from pipeline.histogram import Histogram
from pipeline.observe import Measures, Observed
from pipeline.report import Frames, Report


@dataclass(frozen=True, slots=True)
class Look:
    """A run at one moment."""

    at_ns: int
    report: Report
    measures: Measures


def look_at(run: Observed, clock: Clock) -> Look:
    """Return the run as it is now."""
    return Look(clock.now_ns(), run.report(), run.measures())


class Window:
    """The looks of the last seconds."""

    def __init__(self, span_ns: int) -> None:
        self._span_ns = span_ns
        self._looks: deque[Look] = deque()

    def clear(self) -> None:
        """Forget them."""
        self._looks.clear()

    def add(self, look: Look) -> dict[str, object]:
        """Take a look into account; return what happened from the oldest one that still counts to this."""
        self._looks.append(look)
        while len(self._looks) > 2 and look.at_ns - self._looks[1].at_ns >= self._span_ns:
            self._looks.popleft()
        return between(self._looks[0], look)


def between(before: Look, after: Look) -> dict[str, object]:
    """Return what happened between two looks as plain data; null where nothing did that could be measured."""
    span_s = (after.at_ns - before.at_ns) / NS_PER_S
    old, new = before.report.frames, after.report.frames
    answers = _answered(new) - _answered(old)
    return {
        "span_s": round(span_s, 3),
        "fps_in": _rate(new.captured - old.captured, span_s),
        "fps_out": _rate(answers, span_s),
        "fresh_share": round((new.fresh - old.fresh) / answers, 4) if answers > 0 else None,
        "age_ms": _ages(after.measures.age_all.since(before.measures.age_all)),
        "stages": _stages(before.measures, after.measures),
        "reasons": {
            reason.value: count - before.report.reasons.get(reason, 0) for reason, count in after.report.reasons.items()
        },
        "missed": new.missed - old.missed,
    }


def _answered(frames: Frames) -> int:
    return frames.fresh + frames.forecast + frames.blind


def _rate(count: int, span_s: float) -> float:
    return round(count / span_s, 2) if span_s > 0 else 0.0


def _ages(ages: Histogram) -> dict[str, float | None]:
    def at(share: float) -> float | None:
        return round(ages.percentile_ns(share) / NS_PER_MS, 3) if ages.count > 0 else None

    return {"p50": at(0.5), "p99": at(0.99)}


def _stages(before: Measures, after: Measures) -> dict[str, dict[str, float | int | None]]:
    stages: dict[str, dict[str, float | int | None]] = {}
    for name, new in after.stages.items():
        old = before.stages.get(name)
        wait = new.wait.since(old.wait) if old else new.wait
        run = new.run.since(old.run) if old else new.run
        stages[name] = {"wait_ms": _mean_ms(wait), "run_ms": _mean_ms(run), "items": run.count}
    return stages


def _mean_ms(durations: Histogram) -> float | None:
    return round(durations.total_ns / durations.count / NS_PER_MS, 3) if durations.count > 0 else None
