"""Noticing a camera that sends the same picture for ever."""

from __future__ import annotations

import av

from pipeline.clock import NS_PER_MS
from stages.capture.freeze import FreezeWatch


def frozen(watch: FreezeWatch, *packets: tuple[bytes, int]) -> list[bool]:
    """Show packets with their arrival times in ms."""
    return [watch.is_frozen(av.Packet(data), at_ms * NS_PER_MS) for data, at_ms in packets]  # type: ignore[arg-type]


def test_the_same_picture_for_long_enough_is_frozen() -> None:
    """Counted from when it came first."""
    watch = FreezeWatch(100 * NS_PER_MS)
    assert frozen(watch, (b"a", 0), (b"a", 60), (b"a", 99), (b"a", 100)) == [False, False, False, True]


def test_any_change_begins_anew() -> None:
    """One bit is enough; a pause alone is silence, which is another matter."""
    watch = FreezeWatch(100 * NS_PER_MS)
    assert not any(frozen(watch, (b"a", 0), (b"a", 90), (b"b", 101), (b"b", 200), (b"a", 201), (b"c", 900)))
