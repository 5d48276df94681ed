"""Turns validation errors into problems with a path, what is wrong and what would be right."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pipeline.errors import Problem
from pipeline.masking import masked_settings
from pipeline.registry import near

_UNION_TAG = re.compile(r"^(str|int|float|bool|PartConfig|(function|lax|constrained|nullable)-.*|literal\[.*)$")
"""Names that pydantic puts into a location for the members of a union; people did not write them."""


def problems_from(error: ValidationError, model: type[BaseModel], *, prefix: str = "$") -> list[Problem]:
    """Return one problem per faulty place.

    Args:
        error: what pydantic raised for `model`.
        model: for the allowed keys.
        prefix: the path of the validated mapping inside the whole configuration.
    """
    problems: dict[str, str] = {}
    for details in error.errors():
        path = prefix + _path(details["loc"])
        problems.setdefault(path, _message(details, model))
    return [Problem(path, message) for path, message in problems.items()]


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
