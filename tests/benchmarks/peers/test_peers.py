"""What a peer and a camera leave behind, read back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest


def test_answers_are_read_and_other_lines_left(script: Callable[[str], ModuleType], tmp_path: Path) -> None:
    """Libraries write to standard output, too."""
    path = tmp_path / "answers.txt"
    path.write_text('hello\n{"number": 4, "given_ns": 9, "tracks": []}\ntold 17\n')
    answers, told = script("peers").read_answers(path)
    assert [(answer.number, answer.given_ns, answer.status) for answer in answers] == [(4, 9, "fresh")]
    assert told == 17


def test_a_half_line_of_the_camera_is_left_out(script: Callable[[str], ModuleType], tmp_path: Path) -> None:
    """It is killed while it writes."""
    path = tmp_path / "sent.log"
    path.write_text("3000 1 100\n6000 2 20")
    assert [row.number for row in script("peers").read_sent(path)] == [1]


def test_only_loops_that_track_are_told_so(script: Callable[[str], ModuleType]) -> None:
    """The command has the peer's own options and the task's."""
    peers, task = script("peers"), script("task")
    peer = next(peer for peer in peers.PEERS if peer.options)
    for tracker in (False, True):
        asked = task.Task("64", 3.0, Path("clip.mp4"), 10, tracker=tracker)
        command = peers.peer_command(peer, "python", asked, "rtsp://camera", Path("out"))
        assert ("--tracker" in command) is tracker
        assert set(peer.options) <= set(command)
        assert command[command.index("--fps") + 1] == "10"


def test_framepace_that_fails_to_start_says_why(
    script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In its own words; the report of an earlier run is not taken for its own."""
    peers, task = script("peers"), script("task")
    monkeypatch.setattr(peers, "camera", lambda log, _: _without_camera(log))
    (tmp_path / "answers.report").write_text('{"frames": {}}')
    peer = peers.Peer("framepace", "", peers.OWN, settings={"deadline": "soon"})
    with pytest.raises(RuntimeError, match=r"^ended with 2: framepace: .*'soon' is not a duration"):
        peers.outcome_of(peer, task.Task("model", 1.0, Path("clip.mp4")), tmp_path)


@contextlib.contextmanager
def _without_camera(log: Path) -> Iterator[str]:
    log.write_text("")
    yield "rtsp://127.0.0.1:1/stream"


def test_peers_are_chosen_by_name(script: Callable[[str], ModuleType]) -> None:
    """In the usual order; all of them if nothing is said; an unknown one is refused."""
    peers = script("peers")
    assert [peer.name for peer in peers.chosen(["framepace", "cv2 loop"])] == ["cv2 loop", "framepace"]
    assert peers.chosen(None) == list(peers.PEERS)
    with pytest.raises(ValueError, match="unknown --peer ffmpeg; there are cv2 loop, "):
        peers.chosen(["ffmpeg", "cv2 loop"])
