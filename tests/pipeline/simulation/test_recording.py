"""Records of timings, read back."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.simulation.recording import is_recording, read_recording
from pipeline.simulation.services import RecordedServices
from pipeline.timings import SCHEMA, Event

HEAD = {"schema": SCHEMA, "deadline_ns": 100, "credits": 2, "stages": ["pre", "detect"], "detector": "detect"}
FRAME = [
    [10, "captured", 0, "", 8],
    [12, "offered", 0, "", 0],
    [13, "asked", 0, "", 0],
    [15, "ran", 0, "pre", 5],
    [21, "ran", 0, "detect", 40],
    [64, "measured", 0, "", 0],
    [65, "answered", 0, "fresh", 2],
]


def written(path: Path, events: list[list[object]], head: object = HEAD) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in [head, *events]))
    return path


def test_a_frame_has_its_times(tmp_path: Path) -> None:
    """From capture to answer."""
    frame = read_recording(written(tmp_path / "t", FRAME)).frames[0]
    assert (frame.captured_ns, frame.registered_ns, frame.ready_ns) == (8, 10, 12)
    assert frame.runs == [("pre", 15, 5), ("detect", 21, 40)]
    assert (frame.outcome, frame.outcome_ns) == (Event.MEASURED, 64)
    assert (frame.answer, frame.hand_over_ns) == ("fresh", 2)


def test_what_a_replay_has_no_use_for_is_passed_over(tmp_path: Path) -> None:
    """Waits, the decoder's runs and blame say nothing of what came from outside."""
    more = [[11, "began", -1, "decode", 1], [11, "decoded", -1, "", 1], [15, "began", 0, "pre", 3]]
    later = [[66, "blamed", 0, "detect run", 40], [67, "limited", -1, "", 200]]
    frame = read_recording(written(tmp_path / "t", [FRAME[0], *more, *FRAME[1:], *later])).frames[0]
    assert frame == read_recording(written(tmp_path / "u", FRAME)).frames[0]


def test_times_between_the_stages_are_kept(tmp_path: Path) -> None:
    """Threads take their time to wake up, and the hand-over to the publisher too."""
    service = RecordedServices(read_recording(written(tmp_path / "t", FRAME))).of(0)
    assert service.gaps_ns == (2, 1, 3)
    assert service.runs_ns == (5, 40)


def test_a_frame_that_never_ran_takes_what_the_one_before_took(tmp_path: Path) -> None:
    """Another policy may admit other frames than the recorded run did."""
    services = RecordedServices(read_recording(written(tmp_path / "t", [*FRAME, [70, "captured", 1, "", 69]])))
    assert services.of(1) == services.of(0)


def test_a_record_without_a_measured_frame_has_no_services(tmp_path: Path) -> None:
    """There is nothing to go by."""
    with pytest.raises(ValueError, match="no frame that went through"):
        RecordedServices(read_recording(written(tmp_path / "t", FRAME[:2])))


def test_a_frame_with_a_gap_in_its_way_gives_no_service(tmp_path: Path) -> None:
    """An event that is missing would make a stage seem to take no time."""
    events = [event for event in FRAME if event[3] != "pre"]
    with pytest.raises(ValueError, match="no frame that went through"):
        RecordedServices(read_recording(written(tmp_path / "t", events)))


def test_lost_frames_say_how(tmp_path: Path) -> None:
    """And when."""
    frame = read_recording(written(tmp_path / "t", [FRAME[0], [11, "shed", 0, "", 0]])).frames[0]
    assert (frame.lost, frame.lost_ns, frame.ready_ns) == (Event.SHED, 11, None)


def test_a_last_line_that_was_cut_off_is_passed_over(tmp_path: Path) -> None:
    """The disk was full, or the machine went down."""
    path = written(tmp_path / "t", FRAME)
    path.write_text(path.read_text() + '[70, "capt')
    assert len(read_recording(path).frames) == 1


@pytest.mark.parametrize(
    "line",
    ['[70, "captured"]', '[70, "exploded", 1, "", 0]', "{}", '["a", "asked", 0, "", 0]', "[[[", "null", "[" * 100_000],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    """By its number."""
    path = written(tmp_path / "t", FRAME)
    path.write_text(path.read_text() + line + "\n" + json.dumps(FRAME[1]) + "\n")
    with pytest.raises(ValueError, match=":9: is no event"):
        read_recording(path)


@pytest.mark.parametrize("head", [{}, [], {"schema": "other"}, {"schema": SCHEMA}, 5])
def test_another_file_is_not_taken_for_a_record(tmp_path: Path, head: object) -> None:
    """What writes one is said."""
    with pytest.raises(ValueError, match=":1: is no record of timings"):
        read_recording(written(tmp_path / "t", FRAME, head))


def test_a_beginning_that_nests_deeply_is_no_record(tmp_path: Path) -> None:
    """A reader that recurses would break."""
    path = tmp_path / "t"
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match=":1: is no record of timings"):
        read_recording(path)


def test_missing_events_are_said(tmp_path: Path) -> None:
    """A frame whose capture was lost would give all later ones other numbers."""
    with pytest.raises(ValueError, match="events are missing"):
        read_recording(written(tmp_path / "t", [[10, "captured", 1, "", 8]]))
    with pytest.raises(ValueError, match="no frame was recorded"):
        read_recording(written(tmp_path / "t", []))


def test_a_record_is_known_by_its_beginning(tmp_path: Path) -> None:
    """Also in a file that is large."""
    assert is_recording(written(tmp_path / "t", FRAME))
    (tmp_path / "u").write_bytes(b"\xff10\n20\n")
    assert not is_recording(tmp_path / "u")


@settings(max_examples=200, deadline=None)
@given(place=st.integers(0, 400), byte=st.integers(0, 255))
def test_damage_is_said_or_harmless(place: int, byte: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A byte that flipped gives a ValueError or another record, never anything else."""
    path = written(tmp_path_factory.mktemp("damage") / "t", FRAME)
    content = bytearray(path.read_bytes())
    content[place % len(content)] = byte
    path.write_bytes(content)
    with contextlib.suppress(ValueError):
        read_recording(path)
