"""The deadline after capture, which may be changed."""

from __future__ import annotations

from pipeline.limits import Limits


def test_a_frame_has_the_limit_of_its_capture() -> None:
    """Also when it is asked for after the next change."""
    limits = Limits(100)
    limits.change(20, 1_000)
    limits.change(400, 2_000)
    assert [limits.of(at) for at in (0, 999, 1_000, 1_999, 2_000, 9_000)] == [100, 100, 20, 20, 400, 400]
    assert limits.present_ns == 400


def test_only_the_last_changes_are_remembered() -> None:
    """An older frame has the oldest limit that is known."""
    limits = Limits(5)
    for number in range(1, 1001):
        limits.change(number, number)
    assert limits.of(1000) == 1000
    assert limits.of(0) == limits.of(980) > 900
