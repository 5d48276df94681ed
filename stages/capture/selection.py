"""Chooses the packets of a recording that count, exact to the frame, and keeps those that they need.

With B-frames the order of decoding is not the order of presentation: the first N frames, or the frames after a
point in time, are not the first N packets or the packets after a point. Packets that do not count but that
later ones may refer to travel along as preroll.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from stages.capture.demux import VideoPacket


@dataclass(frozen=True, slots=True)
class Chosen:
    """A packet that counts, and those before it that only must be decoded."""

    packet: VideoPacket
    preroll: tuple[VideoPacket, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """What of a recording counts; times in units of the stream's time base."""

    start_pts: int | None = None
    end_pts: int | None = None
    """The first time that does not count any more."""
    max_frames: int | None = None

    def choose(self, packets: Iterable[VideoPacket]) -> Iterator[Chosen]:
        """Yield the packets that count, in decode order."""
        marked = self._marked(packets)
        if self.max_frames is not None:
            marked = first_presented(marked, self.max_frames)
        preroll: list[VideoPacket] = []
        for packet, counts in marked:
            if counts:
                yield Chosen(packet, tuple(preroll))
                preroll = []
            else:
                preroll.append(packet)

    def _marked(self, packets: Iterable[VideoPacket]) -> Iterator[tuple[VideoPacket, bool]]:
        for packet in packets:
            if self.end_pts is not None and frontier(packet, 0) >= self.end_pts:
                return
            pts = packet.pts
            inside = pts is None or (
                (self.start_pts is None or pts >= self.start_pts) and (self.end_pts is None or pts < self.end_pts)
            )
            # Discarded by an edit list, or a VP8 reference that is never shown: decoded, but no frame.
            yield packet, inside and not packet.is_discard and not is_hidden(packet)


def frontier(packet: VideoPacket, otherwise: int) -> int:
    """Return the time before which no later packet will be presented."""
    if packet.dts is not None:
        return packet.dts
    return packet.pts if packet.pts is not None else otherwise


def is_hidden(packet: VideoPacket) -> bool:
    """Whether this VP8 packet is a reference that is never shown: bit 4 of its first byte (RFC 6386 section 9.1)."""
    return packet.stream.codec_context.name == "vp8" and not bytes(packet)[0] & 0x10


def first_presented(marked: Iterable[tuple[VideoPacket, bool]], count: int) -> Iterator[tuple[VideoPacket, bool]]:
    """Yield the packets up to the last of the first `count` in presentation order, the others marked as not counting.

    Reads ahead no further than the reordering goes: a packet's rank is known once a decode time has reached
    its presentation time.
    """
    waiting: deque[tuple[VideoPacket, bool, int]] = deque()
    unranked: list[int] = []
    ranked = 0
    reached = 0
    for packet, counts in marked:
        reached = frontier(packet, reached)
        pts = packet.pts if packet.pts is not None else reached
        waiting.append((packet, counts, pts))
        if counts:
            heapq.heappush(unranked, pts)
        while unranked and unranked[0] <= reached:
            last_pts = heapq.heappop(unranked)
            ranked += 1
            if ranked == count:
                yield from ((kept, inside and at <= last_pts) for kept, inside, at in waiting)
                return
        while waiting and (waiting[0][2] <= reached or not waiting[0][1]):
            kept, inside, _ = waiting.popleft()
            yield kept, inside
    last_ranks = heapq.nsmallest(count - ranked, unranked)
    yield from ((kept, inside and at <= last_ranks[-1]) for kept, inside, at in waiting if last_ranks)
