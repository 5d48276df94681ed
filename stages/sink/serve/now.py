"""The state of the run, once a second, for everybody who looks; nothing is done when nobody does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from starlette.websockets import WebSocket

from pipeline.clock import NS_PER_S, Clock
from pipeline.observe import Observed
from stages.sink.clients import Clients, Newest
from stages.sink.serve.window import Look, Window, look_at

_EVERY_S = 1.0
_SPAN_NS = 5 * NS_PER_S

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


class Now:
    """The pages that are open. Used on the server's thread.

    Args:
        run: what is looked at.
        clock: the engine's.
        limit: pages at a time.
        patience_s: as for Clients.
        controllable: whether the run may be changed.
        viewers: returns how many look at pictures.
    """

    def __init__(
        self,
        run: Observed,
        clock: Clock,
        *,
        limit: int,
        patience_s: float,
        controllable: bool,
        viewers: Callable[[], int],
    ) -> None:
        self.clients: Clients[Newest] = Clients(limit, patience_s=patience_s, on_change=self._look_after)
        self._run = run
        self._clock = clock
        self._controllable = controllable
        self._viewers = viewers
        self._window = Window(_SPAN_NS)
        self._opened = 0
        self._telling: asyncio.Task[None] | None = None

    async def serve(self, connection: WebSocket) -> None:
        """Serve one page until it is gone; it is told the state at once."""
        await self.clients.serve(connection, Newest())

    def message(self, look: Look) -> str:
        """Return what a page is told."""
        return _encode(
            {
                "report": look.report.model_dump(mode="json"),
                "window": self._window.add(look),
                "depths": dict(look.measures.depths),
                "settings": dict(self._run.settings()),
                "controllable": self._controllable,
                "traced": self._run.traced,
                "viewers": self._viewers(),
            }
        )

    def _look_after(self) -> None:
        """Tell everybody at once when a page was opened, so that it need not wait; stop after the last one."""
        opened, self._opened = self._opened, self.clients.counts().total
        if len(self.clients) and self._opened == opened:
            return
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        if len(self.clients):
            self._telling = asyncio.create_task(self._tell())
        else:
            self._window.clear()

    async def _tell(self) -> None:
        while True:
            message = self.message(look_at(self._run, self._clock))
            for page in self.clients.outboxes:
                page.put(message)
            await asyncio.sleep(_EVERY_S)
