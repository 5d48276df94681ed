"""What a result says of another moment than its own."""

from __future__ import annotations

import logging

import pytest

from pipeline.forecast import Still, forecast_at
from pipeline.logs import Complaints
from pipeline.testing import ManualClock, Snapshot


@pytest.fixture
def complaints() -> Complaints:
    """Where defects are told."""
    return Complaints(logging.getLogger("framepace.publisher"), ManualClock())


class Broken(Snapshot):
    """Raises when it is asked."""

    def forecast(self, at_ns: int) -> object | None:
        raise ZeroDivisionError("a defect in the stage")


def test_a_snapshot_is_asked(complaints: Complaints) -> None:
    """What it says counts."""
    assert forecast_at(Snapshot(5, "seen"), 8, complaints) == ("seen", 3)


def test_a_snapshot_that_raises_says_nothing(complaints: Complaints, caplog: pytest.LogCaptureFixture) -> None:
    """The log says why, and does not repeat it on every frame."""
    with caplog.at_level(logging.WARNING, "framepace.publisher"):
        assert forecast_at(Broken(5, "seen"), 8, complaints) is None
        assert forecast_at(Broken(5, "seen"), 9, complaints) is None
    assert [record.getMessage() for record in caplog.records] == [
        "no forecast: ZeroDivisionError: a defect in the stage"
    ]


def test_what_cannot_be_moved_is_good_for_its_own_frame(complaints: Complaints) -> None:
    """And for no other moment."""
    assert forecast_at(Still(5, "boxes"), 5, complaints) == "boxes"
    assert forecast_at(Still(5, "boxes"), 6, complaints) is None
