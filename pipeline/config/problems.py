"""Turns validation errors into problems with a path, what is wrong and what would be right."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pipeline.errors import Problem
from pipeline.masking import masked_settings
from pipeline.registry import near
from pipeline.units import format_duration

_UNION_TAG = re.compile(r"^(str|int|float|bool|PartConfig|(function|lax|constrained|nullable)-.*|literal\[.*)$")
"""Names that pydantic puts into a location for the members of a union; people did not write them."""

_BOUNDS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}
"""Kinds of faults of numbers and durations: the word, and what pydantic calls the bound."""


def problems_from(error: ValidationError, model: type[BaseModel], *, prefix: str = "$") -> list[Problem]:
    """Return one problem per faulty place.

    Args:
        error: what pydantic raised for `model`.
        model: for the allowed keys.
        prefix: the path of the validated mapping inside the whole configuration.
    """
    faults: dict[str, list[ErrorDetails]] = {}
    for details in error.errors():
        faults.setdefault(prefix + _path(details["loc"]), []).append(details)
    return [Problem(path, _told(of_place, model)) for path, of_place in faults.items()]


def _told(of_place: Sequence[ErrorDetails], model: type[BaseModel]) -> str:
    """Return one message for one place, whose union may have one fault for each of its members."""
    first = of_place[0]
    wanted = list(dict.fromkeys(_wanted(details) for details in of_place))
    is_one_of_some = len(of_place) == 1 and first["type"] == "literal_error"  # the usual words will do
    if None in wanted or is_one_of_some:
        return _message(first, model)
    return _with_input(f"must be {', or '.join(text for text in wanted if text is not None)}", first)


def _wanted(details: ErrorDetails) -> str | None:
    """Return what would be right, in the unit in which people write it; None if that takes a sentence."""
    context = details.get("ctx", {})
    if details["type"] == "literal_error":
        return str(context["expected"])
    if details["type"] not in _BOUNDS:
        return None
    word, key = _BOUNDS[details["type"]]
    bound = context[key]
    is_duration = isinstance(details["input"], str) and isinstance(bound, int)
    return f"{word} {format_duration(bound) if is_duration and bound else f'{bound:g}'}"


def _path(location: Iterable[int | str]) -> str:
    """Return `.sinks[1].port`, without the names that pydantic gives to the members of a union."""
    steps = []
    for step in location:
        if isinstance(step, int):
            steps.append(f"[{step}]")
        elif not _UNION_TAG.match(step):
            steps.append(f".{masked_settings(step)}")
    return "".join(steps)


def _message(details: ErrorDetails, model: type[BaseModel]) -> str:
    if details["type"] == "extra_forbidden":
        allowed = _allowed_keys(model, details["loc"])
        wrong = str(details["loc"][-1])
        return f"unknown key{near(wrong, allowed)}; allowed: {', '.join(allowed)}"
    if details["type"] == "missing":
        return "is missing"
    message = details["msg"].removeprefix("Value error, ")
    return _with_input(message, details)


def _with_input(message: str, details: ErrorDetails) -> str:
    """Return the message with what was written, unless that could be a secret."""
    shown = repr(details["input"])
    told = isinstance(details["input"], Mapping) or shown in message
    if told or "://" in shown or details["loc"][-1:] == ("token",):  # a URL may hold a password
        return message
    return f"{message}, not {shown if len(shown) <= 60 else shown[:57] + '...'}"


def _allowed_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Return the keys of the model in which the unknown key stands."""
    for step in location[:-1]:
        if isinstance(step, str) and step in model.model_fields:
            annotation = model.model_fields[step].annotation
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                model = annotation
    return sorted(field.alias or name for name, field in model.model_fields.items())
