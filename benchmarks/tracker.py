"""Measure the track stage against the trackers of the PyPI package `trackers`, in one run.

Usage:
    python benchmarks/tracker.py --truth gt.txt --detections det.txt --rate 7 --peers-python /path/to/venv/bin/python

`--truth` and `--detections` are MOTChallenge text files; without them only the synthetic scenes and the timing run.
`--peers-python` is the Python of an environment of its own that has `trackers>=2.6`; without it only our tracker runs.
Scores are HOTA, MOTA and IDF1 by trackeval (install the extra `bench`), in percent; `ids` counts track ids, of which
the truth has as many as the heading says. Every tracker runs with its defaults; frame rate and capture times are given.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from trackeval.metrics import CLEAR, HOTA, Identity

from pipeline.testing import frame_info
from stages.bench.parts import tracker_figures
from stages.boxes import iou_matrix
from stages.payloads import Detections
from stages.track.tracker import Tracker, TrackerOptions

PEERS = ("SORT", "ByteTrack", "OC-SORT", "BoT-SORT")
PEER_SCRIPT = Path(__file__).with_name("tracker_peers.py")
NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class Boxes:
    """Boxes of one frame: boxes (N, 4) xyxy px; ids (N,) of objects or tracks; scores (N,)."""

    boxes: np.ndarray
    ids: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class Scene:
    """What a detector saw in a clip, and what was there."""

    name: str
    rate: float
    """Frames per second."""
    size: tuple[int, int]
    times_s: np.ndarray
    detections: list[Boxes]
    truth: list[Boxes]


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    hota: float
    det_a: float
    ass_a: float
    mota: float
    idf1: float
    ids: int
    ms_per_frame: float

    def __str__(self) -> str:
        scores = "".join(f"{100 * v:7.1f}" for v in (self.hota, self.det_a, self.ass_a, self.mota, self.idf1))
        return f"  {self.name:<11}{scores}{self.ids:6d}{self.ms_per_frame:9.2f}"


def read_mot(path: Path, frames: int | None = None) -> list[Boxes]:
    """Return the boxes of frames 1, 2, ... of a MOTChallenge file, without rows of confidence 0."""
    rows = np.loadtxt(path, delimiter=",", ndmin=2)
    rows = rows[rows[:, 6] > 0]
    rows[:, 2:4] -= 1  # its pixels count from 1
    result = []
    for number in range(1, (frames or int(rows[:, 0].max())) + 1):
        of_frame = rows[rows[:, 0] == number]
        boxes = np.concatenate([of_frame[:, 2:4], of_frame[:, 2:4] + of_frame[:, 4:6]], axis=1)
        result.append(Boxes(boxes, of_frame[:, 1].astype(int), of_frame[:, 6]))
    return result


def clip_scenes(truth_path: Path, detections_path: Path, rate: float) -> Iterator[Scene]:
    """Give the clip at its own rate, with other time stamps, and with frames missing."""
    truth = read_mot(truth_path)
    detections = read_mot(detections_path, len(truth))
    size = (
        int(max(b.boxes[:, 2].max(initial=1) for b in truth)),
        int(max(b.boxes[:, 3].max(initial=1) for b in truth)),
    )
    for shown in (rate, 10.0, 30.0):
        yield Scene(f"clip at {shown:g} fps", shown, size, np.arange(len(truth)) / shown, detections, truth)
    for share in (0.3, 0.6):
        kept = np.flatnonzero(np.random.default_rng(1).random(len(truth)) >= share)
        yield Scene(
            f"clip at {rate:g} fps, {share:.0%} of the frames missing at random",
            rate,
            size,
            kept / rate,
            [detections[i] for i in kept],
            [truth[i] for i in kept],
        )


def synthetic_scene(kind: str, rate: float, *, seed: int = 0, duration_s: float = 30.0) -> Scene:
    """Make a scene of walking, crossing or driving boxes seen by a noisy detector.

    Boxes that are hidden behind a nearer one by more than half are seen with a low score or not at all.
    """
    random = np.random.default_rng(seed)
    size = (1280, 720)
    count, height, speed, noise, misses, false_rate = {
        "walkers": (12, (80, 160), 1.0, 0.03, 0.05, 0.1),
        "crossing": (24, (80, 160), 1.3, 0.03, 0.05, 0.1),
        "noisy": (10, (60, 140), 1.0, 0.08, 0.25, 0.5),
        "cars": (10, (40, 120), 5.0, 0.03, 0.05, 0.1),
    }[kind]
    aspect = 2.2 if kind == "cars" else 0.42
    objects = _objects(random, count, height, speed, size, duration_s)
    times = np.arange(round(duration_s * rate)) / rate
    truth, detections = [], []
    for at_s in times:
        alive = [o for o in objects if o["from"] <= at_s < o["to"]]
        ids = np.array([o["id"] for o in alive], dtype=int)
        boxes = np.array([_box(o, at_s, aspect) for o in alive]).reshape(-1, 4)
        inside = _visible_share(boxes, size) > 0.5
        ids, boxes = ids[inside], boxes[inside]
        truth.append(Boxes(boxes, ids, np.ones(len(ids))))
        detections.append(_seen(random, boxes, noise, misses, false_rate, size))
    return Scene(f"{kind} at {rate:g} fps", rate, size, times, detections, truth)


def _objects(
    random: np.random.Generator,
    count: int,
    height: tuple[int, int],
    speed: float,
    size: tuple[int, int],
    duration: float,
) -> list[dict[str, float]]:
    """Return objects that enter at a side, cross the picture with a swaying speed, and are replaced when gone."""
    objects = []
    for lane in range(count):
        start = random.uniform(-10, 2)
        while start < duration:
            tall = random.uniform(*height)
            velocity = random.choice([-1, 1]) * speed * tall * random.uniform(0.7, 1.3)
            objects.append(
                {
                    "id": len(objects) + 1,
                    "from": start,
                    "to": (end := start + (size[0] + 200) / abs(velocity)),
                    "x": -100 if velocity > 0 else size[0] + 100,
                    "y": random.uniform(0.3, 0.8) * size[1],
                    "vx": velocity,
                    "vy": random.normal(0, 0.1) * abs(velocity),
                    "h": tall,
                    "grow": random.normal(0, 0.02),
                    "sway": random.uniform(0, 0.4) * tall * min(speed, 2),
                    "phase": random.uniform(0, 6.28),
                }
            )
            start = end + random.uniform(0, 2) + 0 * lane
    return objects


def _box(o: dict[str, float], at_s: float, aspect: float) -> tuple[float, float, float, float]:
    age = at_s - o["from"]
    tall = o["h"] * (1 + o["grow"] * age)
    x = o["x"] + o["vx"] * age + o["sway"] * np.sin(1.2 * age + o["phase"])
    y = o["y"] + o["vy"] * age
    return (x - aspect * tall / 2, y - tall / 2, x + aspect * tall / 2, y + tall / 2)


def _visible_share(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    cut = np.clip(boxes, 0, np.array([*size, *size]))
    return np.prod(cut[:, 2:] - cut[:, :2], axis=1) / np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)


def _seen(
    random: np.random.Generator,
    boxes: np.ndarray,
    noise: float,
    misses: float,
    false_rate: float,
    size: tuple[int, int],
) -> Boxes:
    """Return what a detector makes of true boxes; who stands lower in the picture is nearer and hides others."""
    hidden = np.zeros(len(boxes))
    for i, far in enumerate(boxes):
        for near in boxes[boxes[:, 3] > far[3]]:
            overlap = np.maximum(np.minimum(far[2:], near[2:]) - np.maximum(far[:2], near[:2]), 0).prod()
            hidden[i] = max(hidden[i], overlap / (far[2:] - far[:2]).prod())
    scores = np.clip(0.95 - 0.9 * hidden + random.normal(0, 0.08, len(boxes)), 0.02, 0.99)
    seen = (random.random(len(boxes)) >= misses) & (hidden < 0.75)
    tall = boxes[:, 3:] - boxes[:, 1:2]
    noisy = boxes + random.normal(0, 1, boxes.shape) * noise * tall
    false_count = random.poisson(false_rate)
    corner = random.uniform(0, 1, (false_count, 2)) * np.array(size) * 0.85
    false = np.concatenate([corner, corner + random.uniform(40, 120, (false_count, 2))], axis=1)
    false_scores = random.uniform(0.1, 0.6, false_count)
    all_boxes = np.concatenate([np.clip(noisy[seen], 0, np.array([*size, *size])), false])
    return Boxes(all_boxes, np.full(len(all_boxes), -1), np.concatenate([scores[seen], false_scores]))


def run_ours(scene: Scene, options: TrackerOptions) -> tuple[list[Boxes], float]:
    """Return our tracks of every frame and the seconds that tracking took."""
    tracker = Tracker(options)
    answers = []
    seconds = 0.0
    for number, (at_s, seen) in enumerate(zip(scene.times_s, scene.detections, strict=True)):
        captured_ns = round(at_s * NS_PER_S)
        detections = Detections(
            boxes=seen.boxes.astype(np.float32),
            scores=seen.scores.astype(np.float32),
            class_ids=np.zeros(len(seen.scores), dtype=np.int32),
            class_names=("object",),
            image_size=scene.size,
        )
        info = frame_info(number, captured_ns=captured_ns)
        start = time.perf_counter()
        tracks = tracker.process(detections, info).forecast(captured_ns)
        seconds += time.perf_counter() - start
        assert tracks is not None
        answers.append(Boxes(tracks.boxes, tracks.track_ids, tracks.scores))
    return answers, seconds


def run_peer(scene: Scene, name: str, python: str) -> tuple[list[Boxes], float]:
    """Return a peer's tracks of every frame and the seconds that tracking took."""
    frames = [
        {"time_s": float(at_s), "boxes": seen.boxes.tolist(), "scores": seen.scores.tolist()}
        for at_s, seen in zip(scene.times_s, scene.detections, strict=True)
    ]
    done = subprocess.run(
        [python, str(PEER_SCRIPT), name, str(scene.rate)],
        input=json.dumps(frames),
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    result = json.loads(done.stdout)
    answers = [
        Boxes(np.array(f["boxes"]).reshape(-1, 4), np.array(f["ids"], dtype=int), np.ones(len(f["ids"])))
        for f in result["frames"]
    ]
    return answers, result["seconds"]


def evaluated(name: str, scene: Scene, answers: list[Boxes], seconds: float) -> Row:
    """Score tracks against the truth."""
    truth_ids = {j: i for i, j in enumerate(sorted({int(j) for f in scene.truth for j in f.ids}))}
    track_ids = {j: i for i, j in enumerate(sorted({int(j) for f in answers for j in f.ids}))}
    data = {
        "num_timesteps": len(answers),
        "num_gt_ids": len(truth_ids),
        "num_tracker_ids": len(track_ids),
        "num_gt_dets": sum(len(f.ids) for f in scene.truth),
        "num_tracker_dets": sum(len(f.ids) for f in answers),
        "gt_ids": [np.array([truth_ids[int(j)] for j in f.ids], dtype=int) for f in scene.truth],
        "tracker_ids": [np.array([track_ids[int(j)] for j in f.ids], dtype=int) for f in answers],
        "similarity_scores": [
            iou_matrix(t.boxes.astype(float), a.boxes.astype(float)) for t, a in zip(scene.truth, answers, strict=True)
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        hota, clear, identity = HOTA(), CLEAR(), Identity()
    hota_scores = hota.eval_sequence(data)
    return Row(
        name=name,
        hota=float(hota_scores["HOTA"].mean()),
        det_a=float(hota_scores["DetA"].mean()),
        ass_a=float(hota_scores["AssA"].mean()),
        mota=float(clear.eval_sequence(data)["MOTA"]),
        idf1=float(identity.eval_sequence(data)["IDF1"]),
        ids=len(track_ids),
        ms_per_frame=1000 * seconds / len(answers),
    )


def scenes(arguments: argparse.Namespace) -> Iterator[Scene]:
    """Give everything that is measured."""
    if arguments.truth and arguments.detections:
        yield from clip_scenes(arguments.truth, arguments.detections, arguments.rate)
    for kind in ("walkers", "crossing", "noisy", "cars"):
        for rate in (7.0, 15.0, 30.0):
            yield synthetic_scene(kind, rate)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", type=Path, help="MOTChallenge ground truth")
    parser.add_argument("--detections", type=Path, help="MOTChallenge detections")
    parser.add_argument("--rate", type=float, default=7.0, help="true frames per second of the clip")
    parser.add_argument("--peers-python", help="Python of an environment with `trackers`")
    arguments = parser.parse_args()
    for scene in scenes(arguments):
        count = len({int(j) for f in scene.truth for j in f.ids})
        print(f"{scene.name}, {count} objects\n  {'':<11}   HOTA   DetA   AssA   MOTA   IDF1   ids ms/frame")
        print(evaluated("framepace", scene, *run_ours(scene, TrackerOptions())), flush=True)
        for peer in PEERS if arguments.peers_python else ():
            print(evaluated(peer, scene, *run_peer(scene, peer, arguments.peers_python)), flush=True)
    timing = tracker_figures(frames=300)
    process_ms, forecast_ms = timing.process_ms.p50, timing.forecast_ms.p50
    print(f"{timing.boxes} boxes: process {process_ms:.3f} ms, forecast {forecast_ms:.3f} ms (medians of 300)")


if __name__ == "__main__":
    main()
