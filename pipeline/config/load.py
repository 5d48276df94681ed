"""Reads a configuration file and lays the command line's flags over it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import ValidationError

from pipeline.config.model import PartConfig, RunConfig
from pipeline.config.problems import problems_from
from pipeline.config.references import resolved
from pipeline.config.text import strict_yaml
from pipeline.errors import ConfigError


def read_yaml(path: Path) -> dict[str, object]:
    """Return the mapping in a YAML file, with what its texts refer to.

    Raises:
        ConfigError: the file cannot be read, is not YAML, or is not a mapping; what a text refers to is missing.
    """
    try:
        loaded = strict_yaml(Path(os.path.expanduser(path)).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError.one("--config", f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError.one("--config", f"{path} is not a text file") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        why = getattr(error, "problem", None) or "cannot be parsed"
        raise ConfigError.one("--config", f"{path}{where}: not valid YAML: {why}") from error
    if not isinstance(loaded, dict):
        raise ConfigError.one("--config", f"{path} must hold a mapping of settings, not {type(loaded).__name__}")
    return resolved(loaded, os.environ)


def parse(raw: Mapping[str, object]) -> RunConfig:
    """Return the typed configuration.

    Raises:
        ConfigError: with every problem.
    """
    try:
        return RunConfig.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(problems_from(error, RunConfig)) from error


def salvaged(raw: Mapping[str, object]) -> RunConfig:
    """Return what is well-formed in a configuration that is not, so that the rest can be checked too.

    Returns:
        A configuration with defaults in place of what is wrong or missing; its source is empty text then.
    """
    good: dict[str, object] = {"source": ""}
    for key, value in raw.items():
        try:
            RunConfig.model_validate(good | {key: value})
        except ValidationError:
            continue
        good[key] = value
    return RunConfig.model_validate(good)


def as_part(item: str | PartConfig) -> PartConfig:
    """Return a part that was written as a bare kind in its long form."""
    return PartConfig(kind=item) if isinstance(item, str) else item


def with_options(part: PartConfig, options: Mapping[str, object]) -> PartConfig:
    """Return the part with some options replaced."""
    return PartConfig.model_validate({"kind": part.kind, "name": part.name, **part.options, **options})
