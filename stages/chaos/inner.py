"""Makes the part that a chaos part wraps."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from pipeline.config.model import PartConfig
from pipeline.config.problems import problems_from
from pipeline.registry import make
from pipeline.stage import Part

P = TypeVar("P", bound=Part)


def make_inner(kind: type[P], part: PartConfig) -> P:
    """Make a part of a kind from its options as written.

    Raises:
        ValueError: the options are wrong; the message has one line for all of them.
    """
    try:
        options = kind.options_type.model_validate(part.options)
    except ValidationError as error:
        problems = problems_from(error, kind.options_type, prefix="of")
        raise ValueError("; ".join(str(problem) for problem in problems)) from None
    return make(kind, options)
