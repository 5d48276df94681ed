"""What waits for a client, and what it gets."""

from __future__ import annotations

import asyncio
import json
from contextlib import ExitStack

import pytest

from stages.sink.clients import GOING_AWAY, TOO_MANY, Clients, Newest, RecordQueue, send_all


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


def give(queue: RecordQueue, *frame_ids: int | None) -> list[int]:
    """Offer the records of these frames, as far as the client wants them; return what each one pushed out."""
    return [
        queue.offer(frame_id, json.dumps({"frame": frame_id}, separators=(",", ":")))
        for frame_id in frame_ids
        if queue.wants(frame_id)
    ]


def taken(queue: RecordQueue) -> list[dict[str, object]]:
    """Take everything that waits."""

    async def take() -> list[dict[str, object]]:
        queue.finish()
        messages = []
        while (message := await queue.wait_next()) is not None:
            messages.append(json.loads(message))
        return messages

    return asyncio.run(take())


def test_the_oldest_record_makes_room() -> None:
    """A full queue loses its oldest record; every gap is that to the record before, and the newest always stays."""

    async def scenario() -> tuple[FakeConnection, list[int]]:
        connection = FakeConnection()
        queue = RecordQueue(2)
        sending = asyncio.create_task(send_all(connection, queue))  # type: ignore[arg-type]
        skipped = give(queue, 5)
        await settle()  # number 5 is being sent, and waits
        skipped += give(queue, 6, 7, 8, 11)
        for _ in range(3):
            connection.free.release()
        await settle()
        skipped += give(queue, 12)
        queue.finish()
        connection.free.release()
        await asyncio.wait_for(sending, 5)
        return connection, skipped

    connection, skipped = asyncio.run(scenario())
    assert connection.sent == [{"frame": 5}, {"frame": 8, "gap": 2}, {"frame": 11, "gap": 2}, {"frame": 12}]
    assert skipped == [0, 0, 0, 1, 1, 0]
    assert connection.closed == [(1001, "the run is over")]


def test_each_client_has_its_own_gaps() -> None:
    """A client that came later counts its gaps from its own first record."""
    queue = RecordQueue(8)
    give(queue, 40, 41, 43)
    assert taken(queue) == [{"frame": 40}, {"frame": 41}, {"frame": 43, "gap": 1}]


@pytest.mark.parametrize(
    ("frame_ids", "records"),
    [
        ([0, 1, 2, 3, 4, 5, 6], [{"frame": 0}, {"frame": 3}, {"frame": 6}]),
        ([0, 1, 3, 4, 7, 8, 9], [{"frame": 0}, {"frame": 4, "gap": 1}, {"frame": 9, "gap": 2}]),
    ],
)
def test_what_is_left_out_on_purpose_is_no_gap(frame_ids: list[int], records: list[dict[str, object]]) -> None:
    """With `every`, the gap counts only frames that nobody has a record of."""
    queue = RecordQueue(8, every=3)
    give(queue, *frame_ids)
    assert taken(queue) == records


def test_pushed_out_records_are_a_gap_with_every_too() -> None:
    """A record that the client wanted and did not get is one, though those between were left out on purpose."""
    queue = RecordQueue(1, every=2)
    assert give(queue, 0, 1, 2, 3, 4) == [0, 1, 1]
    assert taken(queue) == [{"frame": 4, "gap": 2}]


def test_heartbeats_have_no_gap_and_hide_none() -> None:
    """A heartbeat is always wanted; a gap is told by the next record of a frame."""
    queue = RecordQueue(2)
    assert give(queue, 0, None, 3, None) == [0, 0, 1, 0]
    assert taken(queue) == [{"frame": 3, "gap": 3}, {"frame": None}]


def test_the_newest_message_takes_the_place() -> None:
    """Only the last message waits; at the end it is still given."""

    async def scenario() -> list[object]:
        newest = Newest()
        newest.put("old")
        newest.put(b"new")
        assert newest.waiting
        newest.finish()
        return [await newest.wait_next(), await newest.wait_next()]

    assert asyncio.run(scenario()) == [b"new", None]


def test_nobody_keeps_others_out() -> None:
    """When all places are taken, the latest of the address with most of them makes room; its own clients get none."""
    clients: Clients[Newest] = Clients(4, patience_s=1)
    greedy = [Newest() for _ in range(4)]
    others = [Newest(), Newest()]
    with ExitStack() as here:
        for outbox in greedy:
            assert clients.admits("192.0.2.1")
            here.enter_context(clients.having(outbox, "192.0.2.1"))
        assert not clients.admits("192.0.2.1")
        for outbox, address in zip(others, ("192.0.2.2", "192.0.2.3"), strict=True):
            assert clients.admits(address)
            here.enter_context(clients.having(outbox, address))
        assert set(clients.outboxes) == {*greedy[:2], *others}
        assert [outbox.goodbye == TOO_MANY for outbox in greedy] == [False, False, True, True]
        assert others[0].goodbye[0] == GOING_AWAY
        assert not clients.admits("192.0.2.1")
        assert not clients.admits("192.0.2.2")  # as many as the greediest would have
        assert clients.counts().refused == 5
    assert len(clients) == 0


def test_nobody_is_let_in_at_the_end() -> None:
    """However much room there is."""
    clients: Clients[Newest] = Clients(4, patience_s=1)
    clients.finish()
    assert not clients.admits("192.0.2.1")
