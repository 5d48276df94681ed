"""What is said of wrong values."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from pipeline.config.problems import problems_from
from pipeline.stage import Options
from pipeline.units import Duration


class _Options(Options):
    limit: Annotated[Duration, Field(ge=5_000_000, le=60_000_000_000)] = 5_000_000
    wait: Annotated[Duration, Field(gt=0)] = 1
    pace: Literal["none", "pts"] | Annotated[float, Field(gt=0, le=1000)] = "none"
    count: Annotated[int, Field(ge=1)] | None = None
    kind: Literal["a", "b"] = "a"


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("limit", "1ms", "$.limit: must be at least 5ms, not '1ms'"),
        ("limit", "2h", "$.limit: must be at most 1m, not '2h'"),
        ("wait", "0s", "$.wait: must be above 0, not '0s'"),
        ("pace", 0, "$.pace: must be 'none' or 'pts', or above 0"),
        ("pace", 1e9, "$.pace: must be 'none' or 'pts', or at most 1000, not 1000000000.0"),
        ("count", 0, "$.count: must be at least 1, not 0"),
        ("kind", "c", "$.kind: Input should be 'a' or 'b', not 'c'"),
    ],
)
def test_bounds_are_told_as_people_write_them(key: str, value: object, said: str) -> None:
    """Durations with a unit, and all that a value may be."""
    with pytest.raises(ValidationError) as wrong:
        _Options.model_validate({key: value})
    (problem,) = problems_from(wrong.value, _Options)
    assert str(problem) == said


def test_an_address_as_a_key_is_masked() -> None:
    """It may hold a password."""
    with pytest.raises(ValidationError) as wrong:
        _Options.model_validate({"rtsp://user:hidden@cam/a": 1})
    (problem,) = problems_from(wrong.value, _Options)
    assert problem.path == "$.rtsp://***@cam/a"
    assert "hidden" not in str(problem)
