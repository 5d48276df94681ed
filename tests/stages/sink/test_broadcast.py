"""The server's own thread: what becomes of a sink whose server breaks, and of waiting records."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import uvicorn

from pipeline.frame import Answer
from pipeline.stage import OpenContext
from stages.sink.websocket import WebsocketOptions, WebsocketSink

Make = Callable[..., Answer]


@pytest.mark.parametrize("ends_by_itself", [True, False])
def test_a_server_that_breaks_fails_its_sink(
    *, monkeypatch: pytest.MonkeyPatch, make_answer: Make, live_context: OpenContext, ends_by_itself: bool
) -> None:
    """The next write raises with the cause, so that the sink is reported as failed; closing works."""

    async def broken(self: uvicorn.Server, sockets: object = None) -> None:
        if not ends_by_itself:
            raise MemoryError("out of file descriptors")

    monkeypatch.setattr(uvicorn.Server, "serve", broken)
    sink = WebsocketSink(WebsocketOptions(port=0))
    sink.open(live_context)
    sink.begin()
    for thread in threading.enumerate():
        if thread.name == "sink ws":
            thread.join(10)
    cause = "it ended by itself" if ends_by_itself else "out of file descriptors"
    with pytest.raises(RuntimeError, match=f"the websocket server broke: {cause}"):
        sink.write(make_answer(0), gap=0)
    sink.close()
