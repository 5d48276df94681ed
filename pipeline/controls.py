"""What may be changed of a run while it goes: paused or not, the deadline, and what its stages let be tuned.

Several changes are made together or not at all: everything is checked first, then stages are tuned, which may still
refuse, and the rest, which cannot fail, comes last.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue, ValidationError

from pipeline.clock import NS_PER_MS, NS_PER_S, Clock
from pipeline.graph import Plan
from pipeline.live import LiveEngine
from pipeline.logs import about
from pipeline.lossless import LosslessEngine
from pipeline.registry import near
from pipeline.stage import Options, Stage

log = logging.getLogger("framepace.run")

LEAST_DEADLINE_NS = 5 * NS_PER_MS
MOST_DEADLINE_NS = 60 * NS_PER_S
PAUSED = "paused"
DEADLINE = "deadline_ms"
_KEPT = 100
"""Changes remembered for the report."""


@dataclass(frozen=True, slots=True)
class Change:
    """One setting that was changed."""

    at_ns: int
    name: str
    before: JsonValue
    after: JsonValue
    by: str | None
    """Who wanted it, if that is known."""


class Controls:
    """The settings of one run that may be changed; safe to use from any thread, but not from a hand-over.

    Args:
        plan: whose stages may have something tunable.
        engine: is paused, and has a deadline in live mode.
        clock: tells when a change was made.
    """

    def __init__(self, plan: Plan, engine: LiveEngine | LosslessEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._stages = {name: stage for name, stage in plan.stages if stage.tunable}
        self._lock = threading.Lock()  # one change at a time; guards the two below
        self._changes: deque[Change] = deque(maxlen=_KEPT)
        self._count = 0
        self._stopped_by: str | None = None

    def settings(self) -> dict[str, JsonValue]:
        """Return the present values by name, as plain data."""
        settings: dict[str, JsonValue] = {PAUSED: self._engine.paused}
        if isinstance(self._engine, LiveEngine):
            settings[DEADLINE] = self._engine.limit_ns / NS_PER_MS
        for name, stage in self._stages.items():
            values = stage.options.model_dump(mode="json", include=set(stage.tunable))
            settings |= {f"{name}.{option}": value for option, value in values.items()}
        return settings

    def changes(self) -> tuple[list[Change], int]:
        """Return the last changes, and how many there were before those."""
        with self._lock:
            return list(self._changes), self._count - len(self._changes)

    @property
    def stopped_by(self) -> str | None:
        """Who asked for the end of the run first, if that is known."""
        return self._stopped_by

    def note_stop(self, by: str | None) -> None:
        """Remember who asks for the end of the run."""
        with self._lock:
            self._stopped_by = self._stopped_by or by

    def change_all(self, changes: Mapping[str, object], *, by: str | None = None) -> None:
        """Change settings, all of them or, if one cannot be, none; `by`: who wants that, if it is known.

        Raises:
            ValueError: a setting is not known or a value not right; says of each what would be right.
        """
        with self._lock:
            before = self.settings()
            tuned = self._checked(changes, before)
            self._tune(tuned)
            self._steer(changes)
            self._note(before, by)

    def _checked(self, changes: Mapping[str, object], before: Mapping[str, JsonValue]) -> dict[str, Options]:
        """Check all values; return the new options of the stages that get some.

        Raises:
            ValueError: with all that is wrong.
        """
        problems = []
        wanted: dict[str, dict[str, object]] = {}
        for name, value in changes.items():
            problem = None
            if name not in before:
                problem = f"there is no such setting{near(name, list(before))}; there are {', '.join(before)}"
            elif name == PAUSED:
                problem = None if isinstance(value, bool) else f"must be true or false, not {value!r}"
            elif name == DEADLINE:
                problem = _deadline_problem(value)
            elif _is_number(before[name]) and value is not None and not _is_number(value):
                problem = f"must be a number, not {value!r}"
            else:
                stage, _, option = name.rpartition(".")
                wanted.setdefault(stage, {})[option] = value
            if problem is not None:
                problems.append(f"{name}: {problem}")
        tuned = {}
        for stage, options in wanted.items():
            try:
                tuned[stage] = _with(self._stages[stage].options, options)
            except ValidationError as error:
                problems += [f"{stage}.{problem}" for problem in _problems(error)]
        if problems:
            raise ValueError("; ".join(problems))
        return tuned

    def _tune(self, tuned: Mapping[str, Options]) -> None:
        """Give stages their new options; the old ones again to all, if one refuses."""
        done: list[tuple[Stage, Options]] = []
        for name, options in tuned.items():
            stage = self._stages[name]
            old = stage.options
            try:
                stage.tune(options)
            except Exception as error:  # of the stage; whatever it is, nothing may have changed
                for earlier, its_old in done:
                    earlier.tune(its_old)
                if isinstance(error, ValueError):
                    raise ValueError(f"{name}: {error}") from error
                raise
            done.append((stage, old))

    def _steer(self, changes: Mapping[str, object]) -> None:
        """Change what belongs to the engine, if it changes at all; the values are known to be right."""
        engine = self._engine
        limit_ms, paused = changes.get(DEADLINE), changes.get(PAUSED)
        if isinstance(engine, LiveEngine) and isinstance(limit_ms, (int, float)):
            limit_ns = round(limit_ms * NS_PER_MS)
            if limit_ns != engine.limit_ns:
                engine.change_limit(limit_ns)
        if paused is True and not engine.paused:
            engine.pause()
        elif paused is False and engine.paused:
            engine.resume()

    def _note(self, before: Mapping[str, JsonValue], by: str | None) -> None:
        """Remember what is different now."""
        now_ns = self._clock.now_ns()
        for name, value in self.settings().items():
            if value != before[name]:
                self._changes.append(Change(now_ns, name, before[name], value, by))
                self._count += 1
                fields = about("changed", name=name, before=before[name], after=value, by=by)
                log.info("%s changed from %s to %s", name, before[name], value, extra=fields)


def _deadline_problem(value: object) -> str | None:
    least_ms, most_ms = LEAST_DEADLINE_NS // NS_PER_MS, MOST_DEADLINE_NS // NS_PER_MS
    # What is not a number at all compares as false too.
    if isinstance(value, (int, float)) and _is_number(value) and least_ms <= value <= most_ms:
        return None
    return f"must be {least_ms} to {most_ms} milliseconds, not {value!r}"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _with(options: Options, changes: Mapping[str, object]) -> Options:
    """Return options with some of them changed, validated as those of a configuration.

    Raises:
        ValidationError: a value is not right.
    """
    return type(options).model_validate({**options.model_dump(), **changes})


def _problems(error: ValidationError) -> list[str]:
    """Return one line for each wrong option, beginning with its name."""
    lines: dict[int | str, str] = {}
    for details in error.errors():
        message = details["msg"].removeprefix("Value error, ")
        message = message[:1].lower() + message[1:]
        if details["loc"]:
            name = details["loc"][0]
            lines.setdefault(name, f"{name}: {message}, not {_shown(details['input'])}")
        else:  # of all options together, which are too much to show
            lines.setdefault("", message)
    return list(lines.values())


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
