"""The times of a camera's packets: which clock is in force, and that it is said."""

from __future__ import annotations

import logging

import pytest

from pipeline.clock import NS_PER_MS, NS_PER_S
from pipeline.frame import CaptureClock
from stages.capture.live_input import has_stamps
from stages.capture.timeline import LiveTimeline, Stamps

PERIOD_NS = 40 * NS_PER_MS


def test_formats_whose_stamps_the_demuxer_invents_have_none() -> None:
    """Pictures one after the other, whatever codec, are numbered at 25 fps."""
    assert not any(has_stamps(name) for name in ("mpjpeg", "mjpeg", "jpeg_pipe", "png_pipe", "image2pipe", "h264"))
    assert all(has_stamps(name) for name in ("rtsp", "flv", "mpegts", "mov,mp4,m4a,3gp,3g2,mj2", "video4linux2,v4l2"))


def test_without_stamps_the_arrival_is_the_capture() -> None:
    """And says so."""
    timeline = LiveTimeline("cam", driver_clock=False)
    for number in range(50):
        times = timeline.times(Stamps(None, None, number * PERIOD_NS))
        assert (times.captured_ns, times.clock) == (number * PERIOD_NS, CaptureClock.ARRIVAL)


def test_which_clock_is_in_force_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """A warning when stamps prove to be worth nothing, and a word when they are good again."""
    timeline = LiveTimeline("cam", driver_clock=False)
    used = []
    with caplog.at_level(logging.INFO):
        for number in range(400):
            pts_ns = number * PERIOD_NS if number // 100 % 2 else 0
            used.append(timeline.times(Stamps(pts_ns, None, number * PERIOD_NS)).clock)
    assert {CaptureClock.PTS, CaptureClock.ARRIVAL} == set(used)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert all(record.getMessage().startswith("cam: ") for record in caplog.records)


def test_a_drivers_clock_is_believed_until_it_drifts_away() -> None:
    """Stamps on our own clock that fall behind it more and more are not the driver's any longer."""
    timeline = LiveTimeline("webcam", driver_clock=True)
    used = []
    for number in range(1500):
        arrival_ns = NS_PER_S + number * PERIOD_NS
        drifted_ns = max(number - 500, 0) * PERIOD_NS // 100
        used.append(timeline.times(Stamps(arrival_ns - 30 * NS_PER_MS - drifted_ns, None, arrival_ns)).clock)
    assert set(used[:500]) == {CaptureClock.V4L2}
    assert set(used[-500:]) == {CaptureClock.PTS}
