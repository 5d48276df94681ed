"""Clips that the camera serves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import av
import pytest


def test_a_clip_at_another_rate_has_the_same_pictures_at_other_times(
    script: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    """As the camera gives them: packet by packet the same, a tenth of a second apart."""
    clip = script("clip")
    clip.make(tmp_path / "clip.mp4", 12, (192, 112))
    slow = clip.at_rate(tmp_path / "clip.mp4", 10)
    with av.open(str(tmp_path / "clip.mp4")) as before, av.open(str(slow)) as after:
        wanted = [bytes(packet) for packet in before.demux(video=0) if packet.size]
        packets = [packet for packet in after.demux(video=0) if packet.size]
        assert [bytes(packet) for packet in packets] == wanted
        assert len(wanted) == 12
        times = [float(packet.pts * packet.time_base) for packet in packets]
    assert times == pytest.approx([number / 10 for number in range(12)])
