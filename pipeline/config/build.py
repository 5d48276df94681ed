"""Makes the parts and the plan of a run from a typed configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import ValidationError

from pipeline.assembly import RunSettings
from pipeline.clock import NS_PER_S
from pipeline.config.effective import Made, effective_configuration
from pipeline.config.load import as_part, with_options
from pipeline.config.model import PartConfig, RunConfig
from pipeline.config.problems import problems_from
from pipeline.errors import ConfigError, Problem
from pipeline.feed import Backoff
from pipeline.frame import Mode
from pipeline.graph import Graph, Plan
from pipeline.registry import (
    Group,
    find_decoder,
    find_sink,
    find_source,
    find_stage,
    make,
    names,
)
from pipeline.stage import Decoder, Options, Part, Sink, Source, Stage

_DEFAULT_SOURCE = "video"
_DEFAULT_DECODER = "video"
_TRACE_S = 30
_SERVE = PartConfig(kind="serve")


@dataclass(frozen=True, slots=True)
class Overrides:
    """What flags say about parts; None and empty mean: as configured."""

    source_options: Mapping[str, object] = field(default_factory=dict)
    detector_options: Mapping[str, object] = field(default_factory=dict)
    tracker_options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Built:
    """A checked plan and how to run it."""

    plan: Plan
    settings: RunSettings


def build(config: RunConfig, overrides: Overrides | None = None) -> Built:
    """Make every part, check the graph, decide the mode. No I/O.

    Raises:
        ConfigError: with every problem that was found.
    """
    builder = _Builder(config, overrides or Overrides())
    return builder.build()


def part_problems(config: RunConfig, overrides: Overrides) -> list[Problem]:
    """Return what is wrong with the parts of a salvaged configuration. No I/O."""
    return _Builder(config, overrides).problems()


def source_part(text: str) -> PartConfig:
    """Return the source that a SOURCE text names: `KIND:REST` for a registered kind, else a video.

    Raises:
        ConfigError: the text is not understood.
    """
    kind, colon, rest = text.partition(":")
    if not (colon and kind in names(Group.SOURCES) and kind != _DEFAULT_SOURCE):
        kind, rest = _DEFAULT_SOURCE, text
    try:
        return PartConfig.model_validate({"kind": kind, **find_source(kind).options_from_spec(rest)})
    except ValueError as error:
        raise ConfigError.one("$.source", str(error)) from error


def sink_part(text: str, path: str) -> PartConfig:
    """Return the sink that a SPEC text names: `KIND:REST`, or a bare kind.

    Raises:
        ConfigError: the text is not understood.
    """
    kind, _, rest = text.partition(":")
    known = names(Group.SINKS)
    if kind not in known:
        message = f"{text!r} names no sink; write KIND:WHERE with KIND one of {', '.join(known)}"
        raise ConfigError.one(path, message)
    try:
        return PartConfig.model_validate({"kind": kind, **find_sink(kind).options_from_spec(rest)})
    except ValueError as error:
        raise ConfigError.one(path, f"{text!r}: {error}") from error


class _Builder:
    """Collects problems while it makes the parts."""

    def __init__(self, config: RunConfig, overrides: Overrides) -> None:
        self._config = config
        self._overrides = overrides
        self._problems: list[Problem] = []
        self._made: dict[str, list[Made]] = {}  # by the key that they stand under
        self._names: dict[str, int] = {}
        """Names of stages and sinks that are taken, and the number that the last one of a name got."""

    def problems(self) -> list[Problem]:
        source = self._source() if self._config.source else None
        self._stages(source)
        self._sinks()
        return self._problems

    def build(self) -> Built:
        source = self._source()
        stages = self._stages(source)
        sinks = self._sinks()
        decoder = self._decoder(source) if source is not None else None
        mode = self._mode(source)
        if mode is Mode.LOSSLESS and self._config.record_timings is not None:
            self._say("$.record_timings", "only a live run has timings; play the file as a camera with --pace pts")
        if mode is Mode.LOSSLESS and self._config.trace_on_miss is not None:
            self._say("$.trace_on_miss", "only a live run misses frames; play the file as a camera with --pace pts")
        if self._problems or source is None:
            raise ConfigError(self._problems)
        plan = Graph.chain(source, decoder, stages, sinks).check(mode)
        settings = self._settings(mode)
        shown = effective_configuration(self._config, settings, self._made)
        return Built(plan, replace(settings, configuration=shown))

    def _settings(self, mode: Mode) -> RunSettings:
        config = self._config
        cores = len(os.sched_getaffinity(0))
        return RunSettings(
            stream_id=config.stream,
            mode=mode,
            cores=cores,
            deadline_ns=config.deadline,
            credit_limit=config.engine.credits,
            workers=config.engine.workers or cores,
            retry_start=config.retry_start,
            heartbeat_ns=config.engine.heartbeat,
            project_to=config.project_to,
            timings=None if config.record_timings is None else Path(config.record_timings),
            trace_ns=self._trace_ns(),
            trace_on_miss=None if config.trace_on_miss is None else Path(config.trace_on_miss),
            backoff=Backoff(
                config.engine.reconnect_first, config.engine.reconnect_most, give_up_ns=config.give_up_after
            ),
        )

    def _trace_ns(self) -> int | None:
        config = self._config
        if config.trace is None and config.trace_on_miss is None and config.trace_seconds is None:
            return None
        return round((config.trace_seconds or _TRACE_S) * NS_PER_S)

    def _source(self) -> Source | None:
        written = self._config.source
        try:
            part = source_part(written) if isinstance(written, str) else written
        except ConfigError as error:
            self._problems += error.problems
            return None
        part = with_options(part, self._overrides.source_options)
        try:
            kind = find_source(part.kind)
        except LookupError as error:
            self._say("$.source.kind", error)
            return None
        options = self._options(kind, part, "$.source")
        if options is None:
            return None
        source = make(kind, options)
        if self._config.mode == "live" and not source.live and "pace" in kind.options_type.model_fields:
            options = options.model_copy(update={"pace": "pts"})
            source = make(kind, options)
            self._made["source"] = [Made(part, options)]
        return source

    def _mode(self, source: Source | None) -> Mode:
        live = source is not None and source.live
        if self._config.mode == "auto":
            return Mode.LIVE if live else Mode.LOSSLESS
        wanted = Mode(self._config.mode)
        if wanted is Mode.LOSSLESS and live:
            self._say("$.mode", "a live source cannot be lossless; leave out --pace, or use mode live")
        if wanted is Mode.LIVE and source is not None and not live:
            self._say("$.mode", "this source cannot be played live")
        return wanted

    def _decoder(self, source: Source) -> Decoder | None:
        written = self._config.decode
        if written is None:
            usual = find_decoder(_DEFAULT_DECODER)
            if source.produces is object or not issubclass(source.produces, usual.accepts):
                return None
            written = PartConfig(kind=_DEFAULT_DECODER)
        try:
            kind = find_decoder(written.kind)
        except LookupError as error:
            self._say("$.decode.kind", error)
            return None
        options = self._options(kind, written, "$.decode")
        return None if options is None else make(kind, options)

    def _stages(self, source: Source | None) -> list[tuple[str, Stage]]:
        written = self._config.stages
        if written is None:
            defaults = source.default_stages if source is not None else Source.default_stages
            if "model" in self._overrides.detector_options:
                defaults = Source.default_stages
            written = list(defaults)
        stages: list[tuple[str, Stage]] = []
        for place, item in enumerate(written):
            path = f"$.stages[{place}]"
            part = as_part(item)
            try:
                kind = find_stage(part.kind)
            except LookupError as error:
                self._say(f"{path}.kind", error)
                continue
            if part.kind in ("detect", "track"):
                extra = self._overrides.detector_options if part.kind == "detect" else self._overrides.tracker_options
                part = with_options(part, extra)
            options = self._options(kind, part, path)
            if options is not None:
                stages.append((self._name(part), make(kind, options)))
        return stages

    def _sinks(self) -> list[tuple[str, Sink]]:
        sinks: list[tuple[str, Sink]] = []
        for place, item in enumerate(self._config.sinks):
            path = f"$.sinks[{place}]"
            try:
                part = sink_part(item, path) if isinstance(item, str) else item
                kind = find_sink(part.kind)
            except ConfigError as error:
                self._problems += error.problems
                continue
            except LookupError as error:
                self._say(f"{path}.kind", error)
                continue
            options = self._options(kind, part, path)
            if options is not None:
                sinks.append((self._name(part, prefix="sink "), make(kind, options)))
        serve = self._serve()
        if serve is not None:
            sinks.append((self._name(_SERVE, prefix="sink "), serve))
        return sinks

    def _serve(self) -> Sink | None:
        """Return the sink that `serve` asks for."""
        written = self._config.serve
        if written is None:
            return None
        kind = find_sink(_SERVE.kind)
        try:
            given = kind.options_from_spec(written) if isinstance(written, str) else written
        except ValueError as error:
            self._say("$.serve", error)
            return None
        try:
            part = with_options(_SERVE, given)
        except ValidationError as error:  # `name` and `kind` are those of a part
            self._problems += problems_from(error, PartConfig, prefix="$.serve")
            return None
        options = self._options(kind, part, "$.serve")
        return None if options is None else make(kind, options)

    def _options(self, kind: type[Part], part: PartConfig, path: str) -> Options | None:
        try:
            options = kind.options_type.model_validate(part.options)
        except ValidationError as error:
            self._problems += problems_from(error, kind.options_type, prefix=path)
            return None
        key = path.removeprefix("$.").partition("[")[0]
        self._made.setdefault(key, []).append(Made(part, options))
        return options

    def _say(self, path: str, message: object) -> None:
        self._problems.append(Problem(path, str(message)))

    def _name(self, part: PartConfig, *, prefix: str = "") -> str:
        """Return the name of a stage or sink in reports; a second one of a kind gets a number."""
        base = prefix + (part.name or part.kind)
        name, number = base, self._names.get(base, 1)
        while name in self._names:
            number += 1
            name = f"{base} {number}"
        self._names[base] = number
        self._names.setdefault(name, 1)
        return name
