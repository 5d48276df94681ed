"""Which line is a first answer, and who is left out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        ('{"number": 0, "given_ns": 1, "tracks": []}', True),
        ('{"status": "fresh", "tracks": []}', True),
        ('{"status": "blind", "tracks": []}', False),
        ("loading a model", False),
    ],
)
def test_only_fresh_answers_count(script: Callable[[str], ModuleType], line: str, counts: bool) -> None:  # noqa: FBT001
    """Peers have no status; what they say else, and what is said before the model is ready, is no answer."""
    assert script("startup").is_answer(line) is counts


def test_who_cannot_start_is_left_out(script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an environment, or without an answer; the others go on."""
    startup, peers = script("startup"), script("peers")
    said = {"answers": "print('{}')", "silent": "pass"}

    def command_of(peer: Any, *_: object) -> list[str]:
        if peer.name not in said:
            raise RuntimeError("no module named gi")
        return [sys.executable, "-c", said[peer.name]]

    monkeypatch.setattr(startup, "command_of", command_of)
    three = [peers.Peer(name, "", peers.OPENCV) for name in ("homeless", "answers", "silent")]
    times, failures = startup.times_of(three, "file", None, "clip.mp4", 1)
    assert {name: len(values) for name, values in times.items()} == {"answers": 1}
    assert failures == {"homeless": "no module named gi", "silent": "no answer"}


def test_the_model_has_one_thread_at_the_camera_as_the_others_have(
    script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And answers come through standard output, without a report."""
    startup, peers, task = script("startup"), script("peers"), script("task")
    monkeypatch.setattr(startup, "FOLDER", tmp_path)
    own = next(peer for peer in peers.PEERS if peer.is_ours)
    command = startup.command_of(own, "camera", task.Task("model", 3.0, Path("clip.mp4")), "rtsp://camera")
    written = (tmp_path / "startup.yaml").read_text()
    assert "threads: 1" in written
    assert "- stdout" in written
    assert "--report" not in command


@pytest.mark.parametrize("name", ["run", "startup", "accuracy"])
def test_an_unknown_peer_is_refused(  # type: ignore[no-untyped-def]
    script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, capsys, tmp_path: Path, name: str
) -> None:
    """In one line with the names that there are, before anything is made or run."""
    (tmp_path / "gt.txt").write_text("1,1,10,10,20,20,1\n")
    truth = ["--truth", str(tmp_path / "gt.txt")] if name == "accuracy" else []
    monkeypatch.setattr(sys, "argv", [name, *truth, "--peer", "ffmpeg"])
    with pytest.raises(SystemExit) as ended:
        script(name).main()
    assert ended.value.code == 2
    assert "unknown --peer ffmpeg; there are cv2 loop," in capsys.readouterr().err
