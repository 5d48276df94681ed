"""The server's own thread: what becomes of a sink whose server breaks, and of waiting records."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable

import pytest
import uvicorn

from pipeline.frame import Answer
from pipeline.stage import OpenContext
from stages.sink.broadcast import Client
from stages.sink.websocket import WebsocketOptions, WebsocketSink

Make = Callable[..., Answer]


class FakeConnection:
    """Takes messages; each send waits until the test lets it go."""

    def __init__(self) -> None:
        self.sent: list[dict[str, object]] = []
        self.closed: list[tuple[int, str]] = []
        self.free = asyncio.Semaphore(0)

    async def send_text(self, text: str) -> None:
        await self.free.acquire()
        self.sent.append(json.loads(text))

    async def close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


def line(frame_id: int) -> str:
    return json.dumps({"frame": frame_id}, separators=(",", ":"))


def test_the_oldest_record_makes_room() -> None:
    """A full queue loses its oldest record; every gap is that to the record before, and the newest always stays."""

    async def scenario() -> tuple[FakeConnection, list[int]]:
        connection = FakeConnection()
        client = Client(connection, capacity=2)  # type: ignore[arg-type]
        sending = asyncio.create_task(client.send_all())
        skipped = [client.offer(5, line(5))]
        await settle()  # number 5 is being sent, and waits
        skipped += [client.offer(number, line(number)) for number in (6, 7, 8, 11)]
        for _ in range(3):
            connection.free.release()
        await settle()
        skipped.append(client.offer(12, line(12)))
        client.finish()
        connection.free.release()
        await asyncio.wait_for(sending, 5)
        return connection, skipped

    connection, skipped = asyncio.run(scenario())
    assert connection.sent == [{"frame": 5}, {"frame": 8, "gap": 2}, {"frame": 11, "gap": 2}, {"frame": 12}]
    assert skipped == [0, 0, 0, 1, 1, 0]
    assert connection.closed == [(1001, "the run is over")]


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


def test_each_client_has_its_own_gaps() -> None:
    """A client that came later counts its gaps from its own first record."""

    async def scenario() -> list[dict[str, object]]:
        connection = FakeConnection()
        client = Client(connection, capacity=8)  # type: ignore[arg-type]
        for number in (40, 41, 43):
            client.offer(number, line(number))
            connection.free.release()
        client.finish()
        await asyncio.wait_for(client.send_all(), 5)
        return connection.sent

    assert asyncio.run(scenario()) == [{"frame": 40}, {"frame": 41}, {"frame": 43, "gap": 1}]
