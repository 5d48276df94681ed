"""Shows a stage the pictures that it wants to see, admitted or not: its own queue, its own thread, its own failures."""

from __future__ import annotations

import logging

from pipeline.clock import Clock
from pipeline.errors import LinkClosed, LinkEnded
from pipeline.frame import Envelope
from pipeline.link import Link, Policy
from pipeline.logs import about
from pipeline.stage import Stage

log = logging.getLogger("framepace.live")

_CAPACITY = 2
"""Pictures that a watching stage may lag behind; the oldest is left out then."""


class Watcher:
    """A stage that watches. When it raises it is shown no more, and the run goes on.

    Args:
        name: of the stage.
        stage: wants to see pictures.
        clock: every wait goes through it.
    """

    def __init__(self, name: str, stage: Stage, clock: Clock) -> None:
        self.name = name
        self.stage = stage
        self.link: Link[Envelope] = Link(
            f"pictures -> {name}", capacity=_CAPACITY, policy=Policy.DROP_OLDEST, clock=clock
        )
        self._failed = False

    def offer(self, envelope: Envelope) -> None:
        """Show a picture if the stage wants it; never waits.

        Raises:
            LinkClosed: the run was stopped.
        """
        if not self._failed and self._is_wanted(envelope):
            self.link.wait_put(envelope)

    def run(self) -> None:
        """Show what was offered, until the end or the stop. Runs on a thread of its own."""
        try:
            while True:
                envelope, _ = self.link.wait_get()
                self.stage.watch(envelope.payload, envelope.info)
        except (LinkEnded, LinkClosed):
            return
        except Exception as error:  # what it would have learnt is missing, no more
            self._fail(error)

    def _is_wanted(self, envelope: Envelope) -> bool:
        try:
            return self.stage.would_watch(envelope.info)
        except Exception as error:  # as in run()
            self._fail(error)
            return False

    def _fail(self, error: Exception) -> None:
        self._failed = True
        text = f"stage {self.name} is shown no more pictures: {type(error).__name__}: {error}"
        log.warning(text, extra=about("watching_failed", stage=self.name))
