"""What a peer and a camera leave behind, read back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType


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
