"""Turns flags into a configuration, over a file where one is given."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.config.build import Built, Overrides, build, part_problems, source_part
from pipeline.config.load import parse, read_yaml, salvaged
from pipeline.config.model import RunConfig
from pipeline.config.references import resolved
from pipeline.errors import ConfigError
from pipeline.registry import find_sink

TOKEN_VARIABLE = "FRAMEPACE_TOKEN"
"""Of the environment. A token on the command line can be read by everybody on the machine."""

_SIZED_MODEL = re.compile(r"(?P<model>.+)@(?P<size>\d{1,9}(x\d{1,9})?)")


@dataclass(frozen=True, slots=True)
class Flags:
    """What was said on the command line; None means: not said."""

    source: str | None = None
    config: Path | None = None
    mode: str | None = None
    deadline: str | None = None
    model: str | None = None
    provider: str | None = None
    classes: str | None = None
    min_score: float | None = None
    sinks: list[str] = field(default_factory=list)
    pace: str | None = None
    start: str | None = None
    duration: str | None = None
    max_frames: int | None = None
    stream: str | None = None
    report: str | None = None
    retry_start: bool | None = None
    give_up_after: str | None = None
    project_to: str | None = None
    record_timings: str | None = None
    trace: str | None = None
    trace_seconds: float | None = None
    trace_on_miss: str | None = None
    log_format: str | None = None
    log_level: str | None = None
    quiet: bool | None = None
    serve: str | None = None
    token: str | None = None
    token_file: str | None = None
    insecure: bool | None = None


def raw_from_flags(flags: Flags) -> dict[str, object]:
    """Return the configuration as written, in the file and, above it, on the command line.

    Raises:
        ConfigError: there is no source, the file cannot be read, or what a text refers to is missing.
    """
    raw = read_yaml(flags.config) if flags.config is not None else {}
    if flags.source is not None:
        source = str(resolved({"SOURCE": flags.source}, os.environ, prefix="")["SOURCE"])
        raw["source"] = _source_over(raw.get("source"), source)
    if "source" not in raw:
        raise ConfigError.one("SOURCE", "is missing; give a file, a URL, webcam:0, or --config with a source")
    plain = {
        "mode": flags.mode,
        "deadline": flags.deadline,
        "stream": flags.stream,
        "report": flags.report,
        "retry_start": flags.retry_start,
        "give_up_after": flags.give_up_after,
        "project_to": flags.project_to,
        "record_timings": flags.record_timings,
        "trace": flags.trace,
        "trace_seconds": flags.trace_seconds,
        "trace_on_miss": flags.trace_on_miss,
        "log_format": flags.log_format,
        "log_level": flags.log_level,
        "quiet": flags.quiet,
        "sinks": flags.sinks or None,
    }
    return raw | _said(plain) | _served(raw.get("serve"), flags)


def overrides_from_flags(flags: Flags) -> Overrides:
    """Return what the flags say about the source, the detector and the tracker."""
    pace: str | float | None = flags.pace
    if pace not in (None, "none", "pts"):
        pace = _frames_per_second(str(pace))
    source = {"pace": pace, "start": flags.start, "duration": flags.duration, "max_frames": flags.max_frames}
    classes = None if flags.classes is None else [name.strip() for name in flags.classes.split(",") if name.strip()]
    detector = {
        **({} if flags.model is None else model_options(flags.model)),
        "provider": flags.provider,
        "classes": classes,
        "min_score": flags.min_score,
    }
    tracker = {"min_score": flags.min_score}
    return Overrides(_said(source), _said(detector), _said(tracker))


def model_options(text: str) -> dict[str, object]:
    """Return the detector's options from MODEL or MODEL@SIZE, such as `yolov3-tiny@608`; SIZE is N or WIDTHxHEIGHT."""
    sized = _SIZED_MODEL.fullmatch(text)
    if sized is None:
        return {"model": text}
    size = sized["size"]
    return {"model": sized["model"], "input_size": int(size) if size.isdecimal() else size}


def built_from_flags(flags: Flags) -> tuple[RunConfig, Built]:
    """Return the configuration and the checked plan.

    Raises:
        ConfigError: with every problem, also of the parts.
    """
    raw = raw_from_flags(flags)
    overrides = overrides_from_flags(flags)
    try:
        config = parse(raw)
    except ConfigError as error:
        raise ConfigError([*error.problems, *part_problems(salvaged(raw), overrides)]) from None
    return config, build(config, overrides)


def _served(written: object, flags: Flags) -> dict[str, object]:
    """Return the setting `serve` of the flags, with the file's other options.

    A token of the environment counts where neither a flag nor the file has one.

    Raises:
        ConfigError: a flag makes no sense, or belongs to a server that nobody asked for.
    """
    own = _said({"token": flags.token, "token_file": flags.token_file, "insecure": flags.insecure})
    if flags.serve is None and written is None:
        if own:
            flag = f"--{next(iter(own)).replace('_', '-')}"
            raise ConfigError.one(flag, "is for --serve HOST:PORT, which is missing")
        return {}
    options: dict[str, object] = dict(written) if isinstance(written, Mapping) else {}
    for text, where in ((written, "$.serve"), (flags.serve, "--serve")):
        if isinstance(text, str):
            options |= _address(text, where)
    if flags.token is not None or flags.token_file is not None:
        options = {name: value for name, value in options.items() if name not in ("token", "token_file")}
    elif not options.keys() & {"token", "token_file"} and (token := os.environ.get(TOKEN_VARIABLE)):
        own["token"] = token
    return {"serve": options | own}


def _address(text: str, where: str) -> dict[str, object]:
    try:
        return find_sink("serve").options_from_spec(text)
    except ValueError as error:
        raise ConfigError.one(where, f"{text!r}: {error}") from error


def _source_over(written: object, text: str) -> object:
    """Return the source of the flag, with the file's other settings of a source of that kind."""
    try:
        part = source_part(text)
    except ConfigError:
        return text  # said again, with all other problems, when parts are made
    if isinstance(written, Mapping) and written.get("kind") == part.kind:
        return {**written, **part.options}
    return text


def _said(options: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in options.items() if value is not None}


def _frames_per_second(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError.one("--pace", f"{text!r} is not pts, none or a number of frames per second") from None
