"""What a result says of another moment than its own."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.logs import Complaints
from pipeline.stage import Forecaster


def forecast_at(snapshot: Forecaster, at_ns: int, complaints: Complaints) -> object | None:
    """Return what a snapshot says of a time. It is code of a stage, which may raise anything: that is nothing said."""
    try:
        return snapshot.forecast(at_ns)
    except Exception as error:
        complaints.warn("forecast", f"no forecast: {type(error).__name__}: {error}", event="forecast_failed")
        return None


@dataclass(frozen=True, slots=True)
class Still:
    """A result that cannot be moved in time: good for its own frame only."""

    measured_ns: int
    payload: object

    def forecast(self, at_ns: int) -> object | None:
        return self.payload if at_ns == self.measured_ns else None
