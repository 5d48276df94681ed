"""References to secrets in texts: ${NAME} for a variable of the environment, ${file:PATH} for a file's first line."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import quote

from pipeline.errors import ConfigError, Problem
from pipeline.files import read_secret
from pipeline.masking import hide

_REFERENCE = re.compile(r"(\$?)\$\{([^{}]*)\}?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_IN_PATH = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_END_OF_AUTHORITY = re.compile(r"[/?#]")
_FILE = "file:"


class _Unresolved(Exception):
    """A reference that stands for nothing; the text says why."""


def resolved(raw: Mapping[str, object], environment: Mapping[str, str], *, prefix: str = "$.") -> dict[str, object]:
    """Return settings with each reference in their texts replaced by its value.

    Within an address, the value is percent-encoded (so that a password may hold any character) and never shown; a
    variable that holds the beginning of an address, or all of it, is taken as it is.

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
        return _filled(value, environment)
    except _Unresolved as error:
        problems.append(Problem(place, str(error)))
        return value


def _filled(text: str, environment: Mapping[str, str]) -> str:
    """Replace the references from left to right: what each one means depends on what stands before it then."""
    done, end = "", 0
    for found in _REFERENCE.finditer(text):
        done += text[end : found.start()]
        end = found.end()
        done += _value(found, done, _REFERENCE.sub("", text[end:]), environment)
    return done + text[end:]


def _value(found: re.Match[str], before: str, after: str, environment: Mapping[str, str]) -> str:
    """Return what stands for one reference, written as its place wants it."""
    if found[1]:
        return found[0][1:]  # $${ is a ${ that means nothing
    if not found[0].endswith("}"):
        raise _Unresolved("${ has no }; write $${ for a literal ${")
    secret = _meaning(found[2], environment)
    _, is_address, begun = before.partition("://")
    if not is_address:
        return secret
    is_path = _END_OF_AUTHORITY.search(begun) is not None
    if not is_path and "@" not in _END_OF_AUTHORITY.split(after, maxsplit=1)[0]:
        return secret  # the host, or the port
    written = quote(os.fsencode(secret), safe="/" if is_path and "?" not in begun else "")
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
        raise _Unresolved(
            f"${{{name[:60]}}} is no reference; write ${{NAME}}, ${{file:PATH}}, or $${{ for a literal ${{"
        )
    return _variable(name, environment)


def _variable(name: str, environment: Mapping[str, str]) -> str:
    if not environment.get(name):
        raise _Unresolved(f"the variable {name} is not set, or empty")
    return environment[name]
