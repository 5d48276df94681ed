"""Turns flags into a configuration, over a file where one is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.config.build import Built, Overrides, build
from pipeline.config.load import parse, read_yaml
from pipeline.config.model import RunConfig
from pipeline.errors import ConfigError


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
    quiet: bool | None = None


def config_from_flags(flags: Flags) -> RunConfig:
    """Return the typed configuration; raises ConfigError."""
    raw = read_yaml(flags.config) if flags.config is not None else {}
    if flags.source is not None:
        raw["source"] = flags.source
    if "source" not in raw:
        raise ConfigError.one("SOURCE", "is missing; give a file, a URL, webcam:0, or --config with a source")
    plain = {
        "mode": flags.mode,
        "deadline": flags.deadline,
        "stream": flags.stream,
        "report": flags.report,
        "retry_start": flags.retry_start,
        "quiet": flags.quiet,
        "sinks": flags.sinks or None,
    }
    return parse(raw | {key: value for key, value in plain.items() if value is not None})


def overrides_from_flags(flags: Flags) -> Overrides:
    """Return what the flags say about the source, the detector and the tracker."""
    pace: str | float | None = flags.pace
    if pace not in (None, "none", "pts"):
        pace = _frames_per_second(str(pace))
    source = {"pace": pace, "start": flags.start, "duration": flags.duration, "max_frames": flags.max_frames}
    classes = None if flags.classes is None else [name.strip() for name in flags.classes.split(",") if name.strip()]
    detector = {
        "model": flags.model,
        "provider": flags.provider,
        "classes": classes,
        "min_score": flags.min_score,
    }
    tracker = {"min_score": flags.min_score}
    return Overrides(_said(source), _said(detector), _said(tracker))


def built_from_flags(flags: Flags) -> tuple[RunConfig, Built]:
    """Return the configuration and the checked plan; raises ConfigError."""
    config = config_from_flags(flags)
    return config, build(config, overrides_from_flags(flags))


def _said(options: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in options.items() if value is not None}


def _frames_per_second(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError.one("--pace", f"{text!r} is not pts, none or a number of frames per second") from None
