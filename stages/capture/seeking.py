"""Finds the place in a recording from which a given time can be decoded."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import av
from av.container import InputContainer

from pipeline.clock import NS_PER_S
from stages.capture.demux import VideoPacket, packets
from stages.capture.targets import Target

_STEPS_BACK_S = (0, 5, 30)
"""How far before the wanted time to look for a key frame; an index usually hits at once, MPEG-TS has none."""


def packets_from(
    container: InputContainer, stream: av.VideoStream, target: Target, start_pts: int
) -> Iterator[VideoPacket]:
    """Yield packets from a key frame at or before `start_pts` on; from the very beginning if none is found nearer.

    Args:
        container: freshly opened.
        stream: one of its streams.
        target: what it was opened from.
        start_pts: in units of the stream's time base.
    """
    for step_s in _STEPS_BACK_S:
        if not _moved(container, stream, start_pts - ticks(step_s * NS_PER_S, stream)):
            return packets(container, stream, target)
        read = packets(container, stream, target)
        key = next((packet for packet in read if packet.is_keyframe), None)
        if key is not None and key.pts is not None and key.pts <= start_pts:
            return chain([key], read)
    _moved(container, stream, stream.start_time or 0)
    return packets(container, stream, target)


def _moved(container: InputContainer, stream: av.VideoStream, pts: int) -> bool:
    """Seek; return False where the input cannot (a plain HTTP stream), which leaves it where it is."""
    try:
        container.seek(max(pts, stream.start_time or 0), stream=stream)
    except (av.error.FFmpegError, OSError):
        return False
    return True


def ticks(duration_ns: int, stream: av.VideoStream) -> int:
    """Return a duration in units of the stream's time base, rounded up so that a frame at that time counts."""
    assert stream.time_base is not None
    return -(-duration_ns * stream.time_base.denominator // (stream.time_base.numerator * NS_PER_S))
