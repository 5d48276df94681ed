"""What waits for the clients of a server, and the clients themselves; all of it on the server's thread."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from starlette.types import Scope
from starlette.websockets import WebSocket, WebSocketDisconnect

from stages.sink.record import line_with_gap

GOING_AWAY = 1001
POLICY_VIOLATION = 1008
TRY_LATER = 1013
"""Close codes of RFC 6455 section 7.4.1 and its IANA registry."""
TOO_MANY = TRY_LATER, "too many clients"


def address_of(scope: Scope) -> str:
    """Return from where a request comes; empty, if that is not known."""
    return str((scope.get("client") or ("", 0))[0])


class Outbox(ABC):
    """Messages that wait for one client."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self._finishing = False
        self.goodbye = GOING_AWAY, "the run is over"
        """Close code and reason for the client at the end."""

    def finish(self) -> None:
        """Let nothing come after what waits now."""
        self._finishing = True
        self._changed.set()

    async def wait_next(self) -> str | bytes | None:
        """Wait for the next message; None: nothing will come any more."""
        while (message := self._take()) is None:
            if self._finishing:
                return None
            self._changed.clear()
            await self._changed.wait()
        return message

    @abstractmethod
    def _take(self) -> str | bytes | None:
        """Return the next message, or None if there is none now."""


class RecordQueue(Outbox):
    """Result records; when the client is too slow for them the oldest make room, and it sees how many in `gap`.

    Args:
        capacity: records that the client may lag behind.
        every: of so many answers it gets one. Those left out on purpose are no gap.
    """

    def __init__(self, capacity: int, *, every: int = 1) -> None:
        super().__init__()
        self._capacity = capacity
        self._every = every
        self._waiting: deque[tuple[int | None, str]] = deque()  # the gap before a record, None for a heartbeat
        self._last_frame: int | None = None
        self._seen = 0
        self._missing = 0  # frames without a record since the last record that was queued
        self._skipped = 0  # and since the last one that was sent, those that had to make room

    def wants(self, frame_id: int | None) -> bool:
        """Note the next record, of no frame if `frame_id` is None; return whether the client wants it.

        The gap follows from the frame numbers. What was before the client came is no gap.
        """
        if frame_id is None:
            return True
        if self._last_frame is not None:
            self._missing += frame_id - self._last_frame - 1
        self._last_frame = frame_id
        self._seen += 1
        return (self._seen - 1) % self._every == 0

    def offer(self, frame_id: int | None, line: str) -> int:
        """Queue the record that was just asked about; return how many frames' records had to make room."""
        skipped = 0
        if len(self._waiting) == self._capacity:
            gap, _ = self._waiting.popleft()
            if gap is not None:
                self._skipped += gap + 1
                skipped = 1
        if frame_id is None:
            self._waiting.append((None, line))
        else:
            self._waiting.append((self._missing, line))
            self._missing = 0
        self._changed.set()
        return skipped

    def _take(self) -> str | None:
        if not self._waiting:
            return None
        gap, line = self._waiting.popleft()
        if gap is None:
            return line
        gap, self._skipped = gap + self._skipped, 0
        return line_with_gap(line, gap)


class Newest(Outbox):
    """One place, in which a newer message takes that of an older one."""

    def __init__(self) -> None:
        super().__init__()
        self._message: str | bytes | None = None

    @property
    def waiting(self) -> bool:
        """Whether the last message has not been taken yet."""
        return self._message is not None

    def put(self, message: str | bytes) -> None:
        """Let this be the next message."""
        self._message = message
        self._changed.set()

    def _take(self) -> str | bytes | None:
        message, self._message = self._message, None
        return message


async def send_all(connection: WebSocket, outbox: Outbox) -> None:
    """Send what comes, as fast as the client takes it; say goodbye when nothing comes any more.

    Raises:
        WebSocketDisconnect, RuntimeError: the client is gone.
    """
    while (message := await outbox.wait_next()) is not None:
        if isinstance(message, str):
            await connection.send_text(message)
        else:
            await connection.send_bytes(message)
    await connection.close(*outbox.goodbye)


async def wait_gone(connection: WebSocket) -> bool:
    """Read, and throw away, until the client is gone; return whether there was a goodbye."""
    while True:
        message = await connection.receive()
        if message["type"] == "websocket.disconnect":
            # A connection that is just lost has a code, but no reason, not even an empty one.
            return "reason" in message


O = TypeVar("O", bound=Outbox)  # noqa: E741  # as short as type variables are


@dataclass(frozen=True, slots=True)
class ClientCounts:
    """Clients of one kind."""

    now: int
    total: int
    refused: int
    dropped: int
    """Those that went without a goodbye."""


class Clients(Generic[O]):
    """The clients of one kind: at most so many, each with its outbox.

    Args:
        limit: beyond it, clients of the busiest address are refused with close code 1013.
        patience_s: how long to wait for the end of a connection on which sending has failed.
        on_change: called when somebody came or went.
    """

    def __init__(self, limit: int, *, patience_s: float, on_change: Callable[[], None] = lambda: None) -> None:
        self._limit = limit
        self._patience_s = patience_s
        self._on_change = on_change
        self._outboxes: dict[O, str] = {}
        """With the address of its client, in the order in which they came."""
        self._total = 0
        self._refused = 0
        self._dropped = 0
        self._closing = False

    def __len__(self) -> int:
        return len(self._outboxes)

    @property
    def outboxes(self) -> tuple[O, ...]:
        """The outbox of each client that is here now."""
        return tuple(self._outboxes)

    def counts(self) -> ClientCounts:
        """Return how many there are and were; may be asked from any thread."""
        return ClientCounts(len(self._outboxes), self._total, self._refused, self._dropped)

    def finish(self) -> None:
        """Turn new clients away, and let those that are here go when they have what waits for them."""
        self._closing = True
        for outbox in self._outboxes:
            outbox.finish()

    def admits(self, address: str) -> bool:
        """Whether one more client of an address may come; a refusal is counted.

        When all places are taken, the newest client of the busiest address makes room, unless the newcomer's address
        would then have as many. A websocket client is told why; a stream of lines just ends.
        """
        if not self._closing and (len(self._outboxes) < self._limit or self._make_room(address)):
            return True
        self._refused += 1
        return False

    def _make_room(self, address: str) -> bool:
        counts = Counter(self._outboxes.values())
        if not counts:
            return False
        greediest, most = counts.most_common(1)[0]
        if counts[address] + 1 >= most:
            return False
        latest = next(outbox for outbox, its in reversed(self._outboxes.items()) if its == greediest)
        latest.goodbye = TOO_MANY
        latest.finish()
        self._remove(latest)
        self._refused += 1
        return True

    async def serve(self, connection: WebSocket, outbox: O) -> None:
        """Serve a client that has just connected, until one of the two sides ends it."""
        address = address_of(connection.scope)
        if not self.admits(address):
            await connection.accept()  # a refusal before that could not carry a close code
            await connection.close(*(outbox.goodbye if self._closing else TOO_MANY))
            return
        with self.having(outbox, address):
            try:
                await connection.accept()
                self._dropped += not await self._attend(connection, outbox)
            except (WebSocketDisconnect, RuntimeError):  # gone before it was let in
                self._dropped += 1

    @contextmanager
    def having(self, outbox: O, address: str) -> Iterator[None]:
        """Count a client in, for as long as this lasts; it has been admitted."""
        self._add(outbox, address)
        try:
            yield
        finally:
            self._remove(outbox)

    def _add(self, outbox: O, address: str) -> None:
        self._outboxes[outbox] = address
        self._total += 1
        self._on_change()

    def _remove(self, outbox: O) -> None:
        self._outboxes.pop(outbox, None)
        self._on_change()

    async def _attend(self, connection: WebSocket, outbox: O) -> bool:
        """Send until the client is gone; return whether there was a goodbye."""
        sending = asyncio.create_task(send_all(connection, outbox))
        gone = asyncio.create_task(wait_gone(connection))
        try:
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
            # A send fails on a client that is gone; how it went is known a moment later.
            await asyncio.wait({gone}, timeout=self._patience_s)
            return gone.done() and gone.result()
        finally:
            sending.cancel()
            gone.cancel()
            await asyncio.gather(sending, gone, return_exceptions=True)
