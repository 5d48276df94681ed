"""What a reader holds at each moment."""

from __future__ import annotations

import numpy as np
import pytest

from stages.evaluate.held import Given, capture_times, given_from_records, view


def record(frame: int, *, published_s: float, status: str = "fresh", **changes: object) -> dict[str, object]:
    track = {"id": 7, "class": "person", "score": 0.8, "box": [10, 20, 30, 40], "velocity": [100, 0, 100, 0]}
    tracks = [] if status == "blind" else [track, track | {"class": "car"}]
    said = {"frame": frame, "pts_s": frame / 10, "captured_s": 50 + frame / 10, "published_s": published_s}
    return said | {"status": status, "tracks": tracks} | changes


def given(*records: dict[str, object]) -> list[Given]:
    return given_from_records(list(records), ["person"])


def test_the_newest_published_answer_is_held() -> None:
    """At its publishing already; an answer that comes later is not known yet."""
    answers = given(record(0, published_s=50.05), record(1, published_s=50.18))
    seen = view(answers, [50.04, 50.05, 50.1, 50.18])
    assert [len(objects) for objects in seen.held] == [0, 1, 1, 1]
    assert seen.empty == 1
    assert seen.ages_s == pytest.approx([0.05, 0.1, 0.08])


def test_boxes_move_to_the_moment_of_use() -> None:
    """From the capture, or from the moment that they were moved to already."""
    (answer,) = given(record(0, published_s=50.05))
    (ahead,) = given(record(0, published_s=50.05, boxes_at_s=50.05))
    np.testing.assert_allclose(view([answer], [50.1]).moved[0].boxes, [[20, 20, 40, 40]])
    np.testing.assert_allclose(view([ahead], [50.1]).moved[0].boxes, [[15, 20, 35, 40]])
    np.testing.assert_allclose(view([answer], [50.1]).held[0].boxes, [[10, 20, 30, 40]])


def test_a_blind_answer_takes_away_what_was_held() -> None:
    """It says that nothing is known any more, and is counted."""
    seen = view(given(record(0, published_s=50.05), record(1, published_s=50.2, status="blind")), [50.1, 50.2])
    assert [len(objects) for objects in seen.held] == [1, 0]
    assert (seen.blind, seen.empty) == (1, 0)


def test_classes_that_the_truth_does_not_know_are_left_out() -> None:
    """Nobody can say whether they are right."""
    assert len(given(record(0, published_s=50))[0].objects) == 1


def test_heartbeats_are_no_answers() -> None:
    """They belong to no frame."""
    assert [answer.frame_id for answer in given(record(0, published_s=50), {"frame": None})] == [0]


def test_lossless_records_have_their_capture_as_the_moment_of_everything() -> None:
    """They were given at no time."""
    lossless = {
        key: value for key, value in record(3, published_s=0).items() if key not in ("captured_s", "published_s")
    }
    (answer,) = given(lossless)
    assert answer.published_s == answer.true_at_s == answer.captured_s == pytest.approx(0.3)


def test_frames_without_an_answer_were_captured_between_the_others() -> None:
    """And before the first and after the last at the same rate."""
    answers = given(record(1, published_s=51), record(2, published_s=51), record(5, published_s=51))
    np.testing.assert_allclose(capture_times(answers, 7), 50 + np.arange(7) / 10)


def test_a_single_answer_gives_no_times() -> None:
    """There is nothing to go by."""
    with pytest.raises(ValueError, match="fewer than two frames"):
        capture_times(given(record(1, published_s=51)), 7)
