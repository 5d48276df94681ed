"""What log lines say, and how often."""

from __future__ import annotations

import logging

import pytest

from pipeline.clock import NS_PER_S
from pipeline.logs import Complaints
from pipeline.testing import ManualClock

LOG = logging.getLogger("framepace.test")


def test_what_goes_on_going_wrong_is_said_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    """The first one at once, then one every ten seconds with how many there were."""
    clock = ManualClock()
    complaints = Complaints(LOG, clock)
    for frame_id in range(630):
        complaints.warn("detect", f"failed on {frame_id}", event="stage_failed", frame=frame_id)
        clock.advance(NS_PER_S // 30)
    assert [record.getMessage() for record in caplog.records] == [
        "failed on 0",
        "failed on 301 (and 300 more since the last line)",
        "failed on 602 (and 300 more since the last line)",
    ]
    assert [record.fields for record in caplog.records][:2] == [  # type: ignore[attr-defined]
        {"count": 1, "frame": 0},
        {"count": 301, "frame": 301},
    ]


def test_another_kind_is_another_matter(caplog: pytest.LogCaptureFixture) -> None:
    """It is heard at once, and one that comes back after a long time, too, without a count of what was said."""
    clock = ManualClock()
    complaints = Complaints(LOG, clock)
    complaints.warn("detect", "a", event="e")
    complaints.warn("track", "b", event="e")
    clock.advance(60 * NS_PER_S)
    complaints.warn("detect", "c", event="e")
    assert [record.getMessage() for record in caplog.records] == ["a", "b", "c"]


def test_what_is_no_warning_is_none(caplog: pytest.LogCaptureFixture) -> None:
    """The level is that of the complaint."""
    with caplog.at_level(logging.INFO, LOG.name):
        Complaints(LOG, ManualClock()).warn("decode", "100 %", event="undecodable", level=logging.INFO)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [("INFO", "100 %")]
