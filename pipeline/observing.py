"""What observers see of a run, put together from what all parts counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipeline.controls import Controls
from pipeline.histogram import Histogram
from pipeline.live import LiveEngine
from pipeline.lossless import LosslessEngine
from pipeline.observe import Measures
from pipeline.report import Report


class RunView:
    """One run, as its observers see it; safe to use from any thread.

    Args:
        engine: whose parts count.
        controls: change it.
        configuration: the effective one as plain data, secrets masked.
        report: makes the report so far.
        stop: asks the run to end.
        trace: makes the trace of the last seconds; None when the run is not traced.
    """

    def __init__(
        self,
        engine: LiveEngine | LosslessEngine,
        *,
        controls: Controls,
        configuration: Mapping[str, object],
        report: Callable[[], Report],
        stop: Callable[[], None],
        trace: Callable[[], bytes] | None = None,
    ) -> None:
        self._engine = engine
        self._controls = controls
        self._configuration = configuration
        self._report = report
        self._stop = stop
        self._trace = trace

    @property
    def configuration(self) -> Mapping[str, object]:
        """The effective configuration as plain data, secrets masked."""
        return self._configuration

    @property
    def traced(self) -> bool:
        """Whether there is a trace to ask for."""
        return self._trace is not None

    def report(self) -> Report:
        """Return the report so far."""
        return self._report()

    def measures(self) -> Measures:
        """Return the distributions so far."""
        engine = self._engine
        age_fresh, age_all = engine.publisher.ages() if isinstance(engine, LiveEngine) else (Histogram(), Histogram())
        return Measures(
            age_fresh=age_fresh,
            age_all=age_all,
            stages={name: used.measures() for name, used in engine.statistics.items()},
            depths=engine.depths(),
        )

    def trace(self) -> bytes | None:
        """Return the trace of the last seconds, Chrome JSON; None when the run is not traced."""
        return None if self._trace is None else self._trace()

    def settings(self) -> Mapping[str, object]:
        """Return what can be changed while the run goes, with its present value, by name."""
        return self._controls.settings()

    def change(self, name: str, value: object) -> None:
        """Change a setting from now on.

        Raises:
            ValueError: there is no such setting, or the value is out of its bounds.
        """
        self._controls.change_all({name: value})

    def change_all(self, changes: Mapping[str, object], *, by: str | None = None) -> None:
        """Change several settings, all of them or none, as `by` wants.

        Raises:
            ValueError: as from change().
        """
        self._controls.change_all(changes, by=by)

    def stop(self, *, by: str | None = None) -> None:
        """Ask the run to end, as `by` wants."""
        self._controls.note_stop(by)
        self._stop()
