"""What does a reader hold at each moment? framepace and what one would use instead, on labelled pictures, side by side.

Usage: python benchmarks/peers/accuracy.py --truth gt.txt [--fps 30] [--detector model+64] [--peer NAME] [--json FILE]

The camera serves the shipped clip, numbered in its pixels, at its own size and the asked rates; the truth is that of
PETS09-S2L1 (MOTChallenge form), whose frames are the clip's. Peers run as in run.py, with framepace's embedded model on
one thread, `+64` for 64 ms more in each run of it, and ByteTrack of the package `trackers`. For each picture that the
camera sends, what counts is the newest answer that had been given by then (streaming accuracy, Li et al. 2020): its
boxes as they are. framepace's readers may also move them to that moment by the velocities in the record: `moved`. The
first seconds, in which programs start, are left out for all alike. `offline` is what the same detector and framepace's
tracker say of the same pictures, at the same rate, with all the time they want: what is less is lost by lateness.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

import clip
import numpy as np
import ours
from peers import PEERS, Outcome, Peer, chosen, outcome_of, peer_environment
from run import FOLDER
from task import Answer, Sent, Task

from stages.evaluate.held import Given, given_from_records, view
from stages.evaluate.scores import Scores, score
from stages.evaluate.truth import NOTHING, Objects, Truth, read_truth

PICTURES = 795
LEFT_OUT_S = 3.0
START_S = 4.0
"""That a peer may need to start, beyond the clip's length."""


def given_of(answer: Answer, index: int) -> Given:
    """Return an answer as the scores take it."""
    rows = np.array(answer.tracks, dtype=np.float64)
    rows = rows.reshape(len(answer.tracks), -1 if len(rows) else 10)
    objects = Objects(rows[:, 1:5], np.zeros(len(rows), np.int64), rows[:, 0].astype(np.int64), rows[:, 5])
    velocities = rows[:, 6:10] if rows.shape[1] >= 10 else np.zeros((len(rows), 4))
    true_at_ns = answer.given_ns if answer.true_at_ns is None else answer.true_at_ns
    return Given(index, answer.given_ns / 1e9, true_at_ns / 1e9, true_at_ns / 1e9, answer.status, objects, velocities)


def last_viewing(sent: Sequence[Sent]) -> Sequence[Sent]:
    """Return the first round of the clip that the last client saw; a peer may look at the stream before it plays it."""
    begins = [
        place
        for place, row in enumerate(sent)
        if row.number == 0 and (place == 0 or sent[place - 1].number != PICTURES - 1)
    ]
    return sent[begins[-1] : begins[-1] + PICTURES]


def scored(outcome: Outcome, truth: Truth, fps: int) -> tuple[Scores, Scores, int]:
    """Return the scores of boxes as they were given and moved by their reader, and how many pictures were scored.

    Raises:
        ValueError: the peer gave no answers.
    """
    if not outcome.answers:
        raise ValueError(outcome.failure or "no answer")
    sent = [row for row in last_viewing(outcome.sent) if row.number >= LEFT_OUT_S * fps]
    given = [given_of(answer, place) for place, answer in enumerate(outcome.answers)]
    seen = view(given, [row.at_ns / 1e9 for row in sent])
    there = [truth.frames[row.number] for row in sent]
    return score(seen.held, there), score(seen.moved, there), len(sent)


def offline(truth: Truth, fps: int, path: Path) -> tuple[Scores, int]:
    """Return framepace's lossless scores of the clip at a rate, and of how many pictures: those that count live.

    Raises:
        RuntimeError: it failed.
    """
    command = ours.lossless_command(clip.at_rate(path, fps), path.with_name("offline.jsonl"))
    done = subprocess.run(command, env=peer_environment(), capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise RuntimeError(f"ended with {done.returncode}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
    given = given_from_records([json.loads(text) for text in done.stdout.splitlines()], truth.class_names)
    said = {answer.frame_id: answer.objects for answer in given}
    counted = [number for number in range(PICTURES) if number >= LEFT_OUT_S * fps]
    return score([said.get(number, NOTHING) for number in counted], [truth.frames[n] for n in counted]), len(counted)


def line(name: str, scores: Scores) -> str:
    """Return a row of the table."""
    values = [getattr(scores, field.name) for field in dataclasses.fields(Scores)]
    return f"{name:26}" + "".join(f"{100 * value:8.1f}" for value in values)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--fps", type=int, action="append", help="of the camera; repeatable; 10, 20, 30")
    parser.add_argument("--detector", action="append", help="repeatable; model, model+64")
    parser.add_argument("--peer", action="append", help=f"repeatable; {', '.join(peer.name for peer in PEERS)}")
    parser.add_argument("--json", type=Path, help="write all scores here")
    arguments = parser.parse_args()
    try:
        truth, peers = read_truth(arguments.truth), chosen(arguments.peer)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if len(truth.frames) < PICTURES:
        parser.error(f"{arguments.truth} labels {len(truth.frames)} frames, the clip has {PICTURES}")
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"numbered-{PICTURES}.mp4"
    clip.make(path, PICTURES)
    rows: list[dict[str, object]] = []
    offline_of = functools.cache(lambda fps: offline(truth, fps, path))
    for detector in arguments.detector or ("model", "model+64"):
        for fps in arguments.fps or (10, 20, 30):
            task = Task(detector, PICTURES / fps + START_S, path, fps, tracker=True)
            print(f"\n{detector}, {fps} fps\n{'':26}{HEAD}", flush=True)
            if any(peer.is_ours for peer in peers):
                rows += _offline_row(task, offline_of)
            rows += _side_by_side(task, truth, peers)
            if arguments.json:
                arguments.json.write_text(json.dumps(rows, indent=1))


HEAD = "".join(f"{name:>8}" for name in ("sAP", "sAP50", "sAP75", "HOTA", "DetA", "AssA", "MOTA", "IDF1"))


def _offline_row(task: Task, offline_of: Callable[[int], tuple[Scores, int]]) -> list[dict[str, object]]:
    name = "framepace, offline"
    try:
        scores, count = offline_of(task.fps)
    except RuntimeError as error:
        print(f"{name:26}left out: {error}", flush=True)
        return []
    print(line(name, scores), flush=True)
    about = {"detector": task.detector, "fps": task.fps, "peer": name, "pictures": count}
    return [about | scores.as_data()]


def _side_by_side(task: Task, truth: Truth, peers: Sequence[Peer]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for peer in peers:
        try:
            held, moved, count = scored(outcome_of(peer, task, FOLDER), truth, task.fps)
        except (RuntimeError, ValueError) as error:
            print(f"{peer.name:26}left out: {error}", flush=True)
            continue
        ways = {"": held} if not peer.is_ours else {"": held, ", moved": moved}
        for way, scores in ways.items():
            print(line(peer.name + way, scores), flush=True)
            about = {"detector": task.detector, "fps": task.fps, "peer": peer.name + way, "pictures": count}
            rows.append(about | scores.as_data())
    return rows


if __name__ == "__main__":
    main()
