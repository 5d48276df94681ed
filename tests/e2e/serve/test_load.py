"""Many who look at once."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.e2e


def test_fifty_readers_and_five_viewers(live: Any, audience: Any) -> None:
    """Everybody gets something until the end, no answer is late, and the books balance."""
    run = live(times=2)
    run.wait_captured(1)
    guests = audience(run, readers=50, viewers=5)
    guests.wait_begun()
    run.wait_captured(run.ask("/report").json()["frames"]["captured"] + 300)
    report = run.stop()
    told = guests.told()
    assert len(told) == 55
    assert all(each["code"] == 1001 for each in told), told
    assert all(each["frames"] >= 250 for each in told[:50]), told
    assert all(each["messages"] > 5 for each in told[50:]), told
    assert report["frames"]["captured"] >= 300
