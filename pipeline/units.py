"""Quantities as people write them, turned into what the engine counts."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

MAX_DURATION_NS = 1_000_000 * 3_600_000_000_000
"""A million hours, 114 years: nothing waits longer, and clocks count as far."""
_NS_PER_UNIT = {"us": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000}
_PATTERN = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(us|ms|s|m|h)\s*", re.IGNORECASE)


def parse_duration_ns(value: object) -> int:
    """Return nanoseconds from a text such as `100ms`, `1.5 s` or `2m`.

    Raises:
        ValueError: it is not a number with a unit, or longer than MAX_DURATION_NS.
    """
    match = _PATTERN.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is not a duration; write a number and a unit, such as 100ms, 2s or 1m")
    duration_ns = float(match[1]) * _NS_PER_UNIT[match[2].lower()]
    if duration_ns > MAX_DURATION_NS:
        raise ValueError(f"is longer than {format_duration(MAX_DURATION_NS)}")
    return round(duration_ns)


def format_duration(duration_ns: int) -> str:
    """Return the shortest text that parse_duration_ns reads back, such as `100ms`."""
    for unit in ("h", "m", "s", "ms"):
        if duration_ns and duration_ns % _NS_PER_UNIT[unit] == 0:
            return f"{duration_ns // _NS_PER_UNIT[unit]}{unit}"
    return f"{duration_ns / 1_000:.3f}".rstrip("0").rstrip(".") + "us" if duration_ns else "0s"


Duration = Annotated[
    int,
    BeforeValidator(parse_duration_ns),
    Field(ge=0),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\s*[0-9.]+\s*(us|ms|s|m|h)\s*$", "examples": ["100ms", "2s"]}),
]
"""A settings field: written as text with a unit, held as integer nanoseconds. Defaults are given in ns."""
