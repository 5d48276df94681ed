"""What may be seen and changed of a run while it goes, for sinks that show it to people and machines."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pipeline.histogram import Histogram
from pipeline.report import Report
from pipeline.stage import Sink


@dataclass(frozen=True, slots=True)
class StageMeasures:
    """How long frames waited for one stage and how long it worked on them, since the run began."""

    wait: Histogram
    run: Histogram


@dataclass(frozen=True, slots=True)
class Measures:
    """What a report has no place for: whole distributions and present depths. Copies; nobody else changes them."""

    age_fresh: Histogram
    age_all: Histogram
    stages: Mapping[str, StageMeasures]
    depths: Mapping[str, int]
    """Frames that wait in each link now, by the link's name in the report."""


class Observed(Protocol):
    """A run, as its observers see it; safe to use from any thread, and nothing in it waits for the run."""

    @property
    def configuration(self) -> Mapping[str, object]:
        """The effective configuration as plain data, secrets masked."""

    @property
    def traced(self) -> bool:
        """Whether there is a trace to ask for."""

    def report(self) -> Report:
        """Return the report so far."""

    def measures(self) -> Measures:
        """Return the distributions so far."""

    def trace(self) -> bytes | None:
        """Return the trace of the last seconds, Chrome JSON; None when the run is not traced."""

    def settings(self) -> Mapping[str, object]:
        """Return what can be changed while the run goes, with its present value, by name.

        `paused` (bool), `deadline_ms` (float; live only), and what stages let be changed, such as `detect.classes`
        (list of class names, or None for all) and `track.min_score` (0 to 1). All values are plain data.

        While paused nothing is detected. Live: frames are answered all the same, with forecasts as long as there are
        any, then blind. Lossless: capture waits, and nothing is lost. Another deadline holds for frames that are
        captured from then on, a setting of a stage from its next frame on.
        """

    def change(self, name: str, value: object) -> None:
        """Change a setting from now on; noted in the report.

        Raises:
            ValueError: there is no such setting, or the value is out of its bounds; says what would be right.
        """

    def change_all(self, changes: Mapping[str, object], *, by: str | None = None) -> None:
        """Change several settings, all of them or, if one cannot be, none; else as change().

        Args:
            changes: the new values by name.
            by: who wants that, such as the address of a client; stands in the report.

        Raises:
            ValueError: as from change(), with all that is wrong.
        """

    def stop(self, *, by: str | None = None) -> None:
        """Ask the run to end; `by`: who wants that, for the report."""


class Observer(Sink):
    """A sink that also looks at the run as a whole."""

    @abstractmethod
    def attach(self, run: Observed) -> None:
        """Take the run; called once, before open."""
