"""Opens the parts of a plan, and closes those that were opened, whatever happens in between."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace

from pipeline.clock import NS_PER_MS, NS_PER_S, Flag
from pipeline.errors import SourceOpenError
from pipeline.feed import Backoff
from pipeline.frame import Mode
from pipeline.graph import Plan
from pipeline.logs import about
from pipeline.observe import Observer
from pipeline.stage import OpenContext, Part

log = logging.getLogger("framepace.run")

_POLL_S = 20 * NS_PER_MS / NS_PER_S
_LEAVE_S = 200 * NS_PER_MS / NS_PER_S
"""A source that is being opened gets this long when the run is over before it began."""


class OpenParts:
    """The parts of a plan that are open; safe to use from several threads.

    Args:
        plan: whose parts are not open.
        context: handed to every part, with its `downstream`.
        retry: how to wait for a source that cannot be opened; None: that is an error.
        stopping: ends all waiting.
        start_thread: starts a named thread.
    """

    def __init__(
        self,
        plan: Plan,
        context: OpenContext,
        *,
        retry: Backoff | None,
        stopping: Flag,
        start_thread: Callable[[str, Callable[[], None]], threading.Thread],
    ) -> None:
        self._plan = plan
        self._context = context
        self._retry = retry
        self._stopping = stopping
        self._start_thread = start_thread
        self._source_error: BaseException | None = None
        self._lock = threading.Lock()  # guards the two below
        self._open_parts: list[Part] = []
        self._shut = False

    def open_all(self, cancelled: Callable[[], bool]) -> threading.Thread:
        """Open the stages from the last to the first, while the source is being opened; then the sinks.

        Sinks come last, so that nothing is written when something else cannot be opened. Only observers come first:
        they show people what is being waited for.

        Args:
            cancelled: asked while the source is waited for; when it says yes, the stop flag is set.

        Returns:
            The thread that opens the source; it may still run if the stop flag is set.

        Raises:
            Exception: of the first part that could not be opened.
        """
        for _, sink in self._plan.sinks:
            if isinstance(sink, Observer):
                self._open(sink)
        opener = self._start_thread("open source", self._open_source)
        try:
            self._open_stages()
        except BaseException:
            self._stopping.set()  # nobody needs the source any more
            raise
        finally:
            while opener.is_alive() and not self._stopping.is_set:  # every source bounds its own opening
                opener.join(_POLL_S)
                if cancelled():
                    self._stopping.set()
            if self._stopping.is_set:
                self._plan.source.interrupt()
            opener.join(_LEAVE_S)
        if not self._stopping.is_set:
            if self._source_error is not None:
                raise self._source_error
            if self._context.mode is Mode.LOSSLESS:
                for _, stage in self._plan.stages:
                    stage.warm()
            for _, sink in self._plan.sinks:
                if not isinstance(sink, Observer):
                    self._open(sink)
        return opener

    def close(self, *, except_for: Iterable[Part] = ()) -> None:
        """Close what is open, in the order of opening; what is opened from now on is closed again at once.

        Args:
            except_for: parts that somebody still uses, or closes himself.
        """
        in_use = {id(part) for part in except_for}
        with self._lock:
            self._shut = True
            parts = [part for part in self._open_parts if id(part) not in in_use]
            self._open_parts.clear()
        for part in parts:
            _close(part)

    def _open_stages(self) -> None:
        downstream: object | None = None
        for _, stage in reversed(self._plan.stages):
            self._open(stage, downstream)
            downstream = stage.input_spec
        if self._plan.decoder is not None:
            self._open(self._plan.decoder)

    def _open_source(self) -> None:
        """Open the source, again and again if asked to; an error is kept for the thread that called open_all."""
        attempt = 0
        since_ns = self._context.clock.now_ns()
        while True:
            try:
                self._open(self._plan.source)
                return
            except SourceOpenError as error:
                passed_ns = self._context.clock.now_ns() - since_ns
                if self._retry is None or self._retry.is_over(passed_ns):
                    self._source_error = error
                    return
                log.warning("source not there yet: %s", error, extra=about("source_absent", attempts=attempt + 1))
            except BaseException as error:
                self._source_error = error
                return
            if self._stopping.wait(self._retry.delay_ns(attempt, passed_ns)):
                return
            attempt += 1

    def _open(self, part: Part, downstream: object | None = None) -> None:
        part.open(replace(self._context, downstream=downstream))
        with self._lock:
            if not self._shut:
                self._open_parts.append(part)
                return
        _close(part)


def _close(part: Part) -> None:
    try:
        part.close()
    except Exception as error:  # one part that cannot be closed must not keep the others open
        log.warning("%s could not be closed: %s", type(part).__name__, error)
