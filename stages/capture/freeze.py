"""Notices a camera that sends the very same picture for ever."""

from __future__ import annotations

from stages.capture.demux import VideoPacket


class FreezeWatch:
    """Compares each packet with the one before it, byte by byte.

    A sensor's noise never repeats, and an encoder numbers the pictures of a scene that stands still (`frame_num`,
    ITU-T H.264 7.4.3): only what is sent again as it was is the same.

    Args:
        timeout_ns: so long the same picture is frozen.
    """

    def __init__(self, timeout_ns: int) -> None:
        self._timeout_ns = timeout_ns
        self._last = b""
        self._since_ns = 0

    def is_frozen(self, packet: VideoPacket, arrival_ns: int) -> bool:
        """Take the next packet; return whether nothing has changed for too long."""
        data = bytes(packet)
        if data != self._last:
            self._last, self._since_ns = data, arrival_ns
        return arrival_ns - self._since_ns >= self._timeout_ns
