"""Many who look at once."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.e2e

FRAMES = 25 * 30


def test_fifty_readers_and_five_viewers(live: Any, audience: Any) -> None:
    """For 25 seconds: everybody gets records or is told of the gap, no answer is late, and the books balance."""
    run = live(times=3)
    run.wait_captured(1)
    guests = audience(run, readers=50, viewers=5)
    guests.wait_begun()
    run.wait_captured(run.ask("/report").json()["frames"]["captured"] + FRAMES, within_s=100)
    report = run.stop()
    told = guests.told()
    assert len(told) == 55
    assert all(each["code"] == 1001 for each in told), told
    assert all(each["frames"] + each["gaps"] == each["ends"][1] - each["ends"][0] + 1 for each in told[:50]), told
    assert all(each["frames"] > FRAMES // 4 for each in told[:50]), told  # they have little of the processor
    assert all(each["messages"] > 5 for each in told[50:]), told
    assert report["frames"]["captured"] >= FRAMES
