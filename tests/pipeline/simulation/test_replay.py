"""Recorded runs once more."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.clock import NS_PER_MS
from pipeline.simulation.recording import Recording, read_recording
from pipeline.simulation.replay import replay
from pipeline.timings import SCHEMA

HEAD = {"schema": SCHEMA, "deadline_ns": 100 * NS_PER_MS, "credits": 1, "stages": ["detect"], "detector": "detect"}


def recorded(path: Path, events: list[tuple[float, str, int, str, float]]) -> Recording:
    """Return a record; times and values are written in milliseconds here."""
    lines = [
        [round(at * NS_PER_MS), event, frame_id, text, round(value * NS_PER_MS)]
        for at, event, frame_id, text, value in events
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in [HEAD, *lines]))
    return read_recording(path)


# A detector of 60 ms on three frames that come 33 ms apart: the second one is left out for the third.
TWICE_THE_LOAD = [
    (0.0, "warmed", -1, "", 0.0),
    (10.0, "captured", 0, "", 10.0),
    (11.0, "offered", 0, "", 0.0),
    (11.2, "asked", 0, "", 0.0),
    (11.3, "ran", 0, "detect", 60.0),
    (43.0, "captured", 1, "", 43.0),
    (44.0, "offered", 1, "", 0.0),
    (44.1, "asked", 1, "", 0.0),
    (71.4, "measured", 0, "", 0.0),
    (71.5, "answered", 0, "fresh", 0.0),
    (76.0, "captured", 2, "", 76.0),
    (77.0, "offered", 2, "", 0.0),
    (77.0, "answered", 1, "forecast:superseded", 0.0),
    (77.2, "asked", 2, "", 0.0),
    (77.3, "ran", 2, "detect", 60.0),
    (137.4, "measured", 2, "", 0.0),
    (137.5, "answered", 2, "fresh", 0.0),
    (138.0, "ended", -1, "", 0.0),
]


def test_a_run_replays_with_the_same_answers(tmp_path: Path) -> None:
    """The thread that did not look at frame 1 when the detector became free does not look there now."""
    replayed = replay(recorded(tmp_path / "t", TWICE_THE_LOAD))
    assert (replayed.compared, replayed.different) == (3, [])
    assert replayed.outcome.books.balanced


def test_another_answer_is_found(tmp_path: Path) -> None:
    """With what was said, and what is said now."""
    events = [event if event[1:3] != ("answered", 1) else (*event[:3], "blind:late", 0.0) for event in TWICE_THE_LOAD]
    assert replay(recorded(tmp_path / "t", events)).different == [(1, "blind:late", "forecast:superseded")]


def test_a_late_thread_is_late_again(tmp_path: Path) -> None:
    """A publisher that ran 45 ms after its alarm, which was 33 ms before the deadline, missed the frame."""
    events = [event for event in TWICE_THE_LOAD if event[2] in (-1, 0) and event[1] not in ("measured", "answered")]
    events = [event if event[1] != "ran" else (11.3, "ran", 0, "detect", 200.0) for event in events]
    events += [
        (121.667, "woken", -1, "", 45.0),
        (121.7, "answered", 0, "missed", 0.0),
        (211.4, "measured", 0, "", 0.0),
    ]
    assert replay(recorded(tmp_path / "t", events)).different == []
    in_time = [event if event[1] != "woken" else (77.0, "woken", -1, "", 0.3) for event in events]
    assert replay(recorded(tmp_path / "t", in_time)).different == [(0, "missed", "blind:late")]


def test_frames_that_were_never_settled_are_not_compared(tmp_path: Path) -> None:
    """The run was stopped."""
    events = [event for event in TWICE_THE_LOAD if event[:3] != (137.5, "answered", 2)]
    assert replay(recorded(tmp_path / "t", events)).compared == 2


def test_frames_without_a_picture_replay(tmp_path: Path) -> None:
    """Undecodable and shed ones."""
    events = [
        *TWICE_THE_LOAD[:10],
        (76.0, "captured", 2, "", 76.0),
        (78.0, "undecodable", 1, "", 0.0),
        (78.0, "answered", 1, "undecodable", 0.0),
        (79.0, "shed", 2, "", 0.0),
        (79.0, "answered", 2, "forecast:shed", 0.0),
        (80.0, "ended", -1, "", 0.0),
    ]
    events = [event for event in events if event[1:3] not in (("offered", 1), ("asked", 1))]
    assert replay(recorded(tmp_path / "t", events)).different == []


def test_a_run_that_was_controlled_replays(tmp_path: Path) -> None:
    """It is paused, resumed, and given another deadline when it was."""
    events = [
        *TWICE_THE_LOAD[:10],
        (72.0, "paused", -1, "", 0.0),
        (76.0, "captured", 2, "", 76.0),
        (77.0, "offered", 2, "", 0.0),
        (77.0, "answered", 1, "forecast:paused", 0.0),
        (100.0, "limited", -1, "", 400.0),
        (109.0, "captured", 3, "", 99.0),  # captured under the old deadline
        (110.0, "offered", 3, "", 0.0),
        (110.0, "answered", 2, "forecast:paused", 0.0),
        (142.0, "captured", 4, "", 142.0),
        (143.0, "offered", 4, "", 0.0),
        (143.0, "answered", 3, "forecast:paused", 0.0),
        (150.0, "resumed", -1, "", 0.0),
        (150.1, "asked", 4, "", 0.0),
        (150.2, "ran", 4, "detect", 300.0),
        (450.3, "measured", 4, "", 0.0),
        (450.4, "answered", 4, "fresh", 0.0),
        (451.0, "ended", -1, "", 0.0),
    ]
    assert replay(recorded(tmp_path / "t", events)).different == []
    without = [event for event in events if event[1] != "limited"]
    assert replay(recorded(tmp_path / "t", without)).different == [(4, "fresh", "forecast:late")]
    awake = [event for event in events if event[1] not in ("paused", "resumed")]
    assert len(replay(recorded(tmp_path / "t", awake)).different) == 3
