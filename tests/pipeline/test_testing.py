"""What authors of stages are given."""

from __future__ import annotations

import itertools

import pytest

from pipeline.frame import FrameInfo
from pipeline.stage import OpenContext, Stage
from pipeline.testing import PassStage, StatelessStage, check_stage


class CountingStage(Stage):
    """Numbers its inputs: not stateless."""

    produces = int

    def open(self, context: OpenContext) -> None:
        self._count = 0

    def process(self, payload: object, info: FrameInfo) -> object:
        self._count += 1
        return self._count


class LyingStage(CountingStage):
    """Says that it is stateless, and is not."""

    stateless = True


class ForeignStage(Stage):
    """Announces text, gives numbers."""

    produces = str

    def process(self, payload: object, info: FrameInfo) -> object:
        return 7


class SpoilingStage(Stage):
    """Changes its input."""

    def process(self, payload: object, info: FrameInfo) -> object:
        assert isinstance(payload, list)
        payload.append(1)
        return payload


class ForgetfulStage(Stage):
    """Gives another result every time, since it counts over all of its kind."""

    count = itertools.count()

    def process(self, payload: object, info: FrameInfo) -> object:
        return next(self.count)


def test_good_stages_pass() -> None:
    """And the outputs come back."""
    assert check_stage(PassStage, [1, 2, 3]) == [1, 2, 3]
    assert check_stage(StatelessStage, [1, 2, 3]) == [1, 2, 3]
    assert check_stage(CountingStage, ["a", "b"]) == [1, 2]


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        (LyingStage, "not stateless"),
        (ForeignStage, "int is not announced"),
        (SpoilingStage, "the input was changed"),
        (ForgetfulStage, "a second run gave another result"),
    ],
)
def test_bad_stages_are_told_why(stage: type[Stage], said: str) -> None:
    """Each with a sentence."""
    with pytest.raises(AssertionError, match=said):
        check_stage(stage, [[], [2], [3]])
