"""What a result says of another moment than its own."""

from __future__ import annotations

import logging

import pytest

from pipeline.forecast import Still, forecast_at
from pipeline.testing import Snapshot


class Broken(Snapshot):
    """Raises when it is asked."""

    def forecast(self, at_ns: int) -> object | None:
        raise ZeroDivisionError("a defect in the stage")


def test_a_snapshot_is_asked() -> None:
    """What it says counts."""
    assert forecast_at(Snapshot(5, "seen"), 8) == ("seen", 3)


def test_a_snapshot_that_raises_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The log says why."""
    with caplog.at_level(logging.WARNING, "framepace.publisher"):
        assert forecast_at(Broken(5, "seen"), 8) is None
    assert "ZeroDivisionError: a defect in the stage" in caplog.text


def test_what_cannot_be_moved_is_good_for_its_own_frame() -> None:
    """And for no other moment."""
    assert forecast_at(Still(5, "boxes"), 5) == "boxes"
    assert forecast_at(Still(5, "boxes"), 6) is None
