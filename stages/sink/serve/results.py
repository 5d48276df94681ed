"""Records for many clients, each with its own wishes; what several wish for is made once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.websockets import WebSocket

from stages.sink.clients import Clients, RecordQueue

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def _names(value: object) -> object:
    """Turn `person,car` into names; nothing named is no filter."""
    if not isinstance(value, str):
        return value
    return frozenset(name.strip() for name in value.split(",") if name.strip()) or None


class Wishes(BaseModel):
    """What a client asks for in its query."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    classes: Annotated[
        frozenset[str] | None, BeforeValidator(_names), Field(description="Only tracks of these, such as person,car.")
    ] = None
    min_score: Annotated[float | None, Field(ge=0, le=1, description="Only tracks with at least this score.")] = None
    every: Annotated[int, Field(ge=1, le=1_000_000, description="Of so many records, one.")] = 1

    @property
    def wants_all_tracks(self) -> bool:
        """Whether no track is left out."""
        return self.classes is None and self.min_score is None

    def wants(self, track: Mapping[str, object]) -> bool:
        """Return whether a track of a record is asked for."""
        score = track["score"]
        assert isinstance(score, float)
        return (self.classes is None or track["class"] in self.classes) and score >= (self.min_score or 0.0)


_Filter = tuple[frozenset[str] | None, float | None]
"""The part of the wishes that decides what a line looks like."""


class ResultQueue(RecordQueue):
    """Records for one client with its wishes."""

    def __init__(self, capacity: int, wishes: Wishes) -> None:
        super().__init__(capacity, every=wishes.every)
        self.wishes = wishes
        self.filter: _Filter = (wishes.classes, wishes.min_score)


class Results:
    """The clients that want records. Used on the server's thread; counters may be read from others.

    Args:
        limit: clients at a time.
        client_queue: records that each may lag behind.
        patience_s: as for Clients.
    """

    def __init__(self, limit: int, *, client_queue: int, patience_s: float) -> None:
        self.clients: Clients[ResultQueue] = Clients(limit, patience_s=patience_s)
        self.skipped = 0
        self._client_queue = client_queue

    def queue(self, wishes: Wishes) -> ResultQueue:
        """Return the queue of a new client."""
        return ResultQueue(self._client_queue, wishes)

    def offer(self, frame_id: int | None, record: Mapping[str, object]) -> None:
        """Hand a record, of no frame if `frame_id` is None, to every client that wants it."""
        lines: dict[_Filter, str] = {}
        for queue in self.clients.outboxes:
            if queue.wants(frame_id):
                self.skipped += queue.offer(frame_id, _line(record, queue, lines))

    async def serve(self, connection: WebSocket, wishes: Wishes) -> None:
        """Serve one client until it is gone."""
        await self.clients.serve(connection, self.queue(wishes))


def line_of(record: Mapping[str, object]) -> str:
    """Return a record as compact JSON without a line break."""
    return _encode(record)


def _line(record: Mapping[str, object], queue: ResultQueue, lines: dict[_Filter, str]) -> str:
    line = lines.get(queue.filter)
    if line is None:
        tracks, wishes = record["tracks"], queue.wishes
        assert isinstance(tracks, list)
        shown = tracks if wishes.wants_all_tracks else [track for track in tracks if wishes.wants(track)]
        line = lines[queue.filter] = _encode({**record, "tracks": shown})
    return line
