"""What the RTSP client hands to the decoder: one coded picture at a time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """Everything that belongs to one coded picture."""

    data: bytes
    """Annex B with 4-byte start codes; known parameter sets stand before a key picture that brought none itself."""
    timestamp: int
    """Presentation time, ticks of 1/90000 s, unwrapped over 32 bits; comparable within one epoch only."""
    epoch: int
    """Grows when the sender changes or its time line breaks: a new epoch has a new time line."""
    key: bool
    """Decoding can begin here: an IDR, IRAP or recovery point picture whose parameter sets are known."""
    damaged: bool
    """Not worth decoding: packets are missing in it, or in a picture that it may refer to."""
    arrival_ns: int
    """When the last of its packets arrived, on the receiver's clock."""
    ended_by_marker: bool
    """Whether the sender said that it is complete; False where the next picture's packets had to show it."""
