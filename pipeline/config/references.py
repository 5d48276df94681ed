"""Texts that name a secret instead of holding it: ${NAME} of the environment, ${file:PATH}, a file's first line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

from pipeline.errors import ConfigError, Problem
from pipeline.files import read_secret
from pipeline.masking import hide

_REFERENCE = re.compile(r"(\$?)\$\{([^{}]*)\}?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_IN_PATH = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_FILE = "file:"


class _Unresolved(Exception):
    """A reference that stands for nothing; the text says why."""


def resolved(raw: Mapping[str, object], environment: Mapping[str, str], *, prefix: str = "$.") -> dict[str, object]:
    """Return settings with what their texts refer to in place of each reference.

    Within an address, what is put in is percent-encoded (so that a password may hold any character) and never shown.

    Args:
        raw: settings as written: mappings, lists, texts, numbers.
        environment: the variables by name.
        prefix: what stands before each key where a problem is told.

    Raises:
        ConfigError: a variable or a file is missing; with every such problem.
    """
    problems: list[Problem] = []
    settings = {key: _resolved(value, f"{prefix}{key}", environment, problems) for key, value in raw.items()}
    if problems:
        raise ConfigError(problems)
    return settings


def _resolved(value: object, place: str, environment: Mapping[str, str], problems: list[Problem]) -> object:
    if isinstance(value, Mapping):
        return {key: _resolved(item, f"{place}.{key}", environment, problems) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolved(item, f"{place}[{index}]", environment, problems) for index, item in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value
    try:
        return _REFERENCE.sub(lambda found: _put_in(found, environment), value)
    except _Unresolved as error:
        problems.append(Problem(place, str(error)))
        return value


def _put_in(found: re.Match[str], environment: Mapping[str, str]) -> str:
    """Return what stands for one reference, written as its place wants it."""
    if found[1]:
        return found[0][1:]  # $${ is a ${ that means nothing
    if not found[0].endswith("}"):
        raise _Unresolved("${ has no }; write $${ for one that is meant as it stands")
    secret = _meaning(found[2], environment)
    before, after = found.string[: found.start()], found.string[found.end() :]
    _, is_address, begun = before.partition("://")
    if not is_address:
        return secret
    is_path = "/" in begun or "?" in begun
    if not is_path and "@" not in after:
        return secret  # the host, or the port
    written = quote(secret, safe="/" if is_path and "?" not in begun else "")
    hide(secret, written)
    return written


def _meaning(name: str, environment: Mapping[str, str]) -> str:
    if name.startswith(_FILE):
        path = _IN_PATH.sub(lambda found: _variable(found[1], environment), name.removeprefix(_FILE))
        try:
            return read_secret(path)
        except ValueError as error:
            raise _Unresolved(f"{path}: {error}") from None
    if not _VARIABLE.fullmatch(name):
        raise _Unresolved(f"${{{name[:60]}}} is no reference; write ${{NAME}}, ${{file:PATH}}, or $${{ for a mere ${{")
    return _variable(name, environment)


def _variable(name: str, environment: Mapping[str, str]) -> str:
    if not environment.get(name):
        raise _Unresolved(f"the environment has no variable {name}")
    return environment[name]
