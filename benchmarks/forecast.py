"""What does a reader of a slow detector's tracks hold, and what do the pictures in between add to it?

Usage: python benchmarks/forecast.py --truth gt.txt [--fps 30] [--service-ms 85] [--seeds 4]

The shipped clip, whose frames are those of PETS09-S2L1, is measured once by the embedded model. A live run on it is
then played on simulated time: the newest frame has the detector as soon as it is free, every other one is answered by a
forecast when the next one comes. No clock is involved, so that changes of the tracker can be told from noise; service
times vary from run to run, since one swap of identities more or less is worth a point or two. Scores are those of a
reader who moves boxes to the moment of use (as `moved` of framepace eval), for a tracker that sees the pictures and for
one that does not.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

import av
import numpy as np

from pipeline.config.build import build
from pipeline.config.load import parse
from pipeline.run import Run
from pipeline.stage import Stage
from pipeline.testing import frame_info
from stages.evaluate.held import Given, view
from stages.evaluate.scores import Scores, score
from stages.evaluate.truth import NOTHING, Objects, Truth, read_truth
from stages.payloads import Detections, Picture, Tracks
from stages.track.snapshot import Snapshot
from stages.track.tracker import Tracker, TrackerOptions

CLIP = Path(__file__).resolve().parents[1] / "sample_videos" / "pedestrians.mp4"
LEFT_OUT_S = 3.0
"""In which a real program would start."""
READY_S = 0.006
"""From the capture to the decoded picture, as measured by benchmarks/rtsp.py."""
NS_PER_S = 1_000_000_000
DETECTIONS: list[Detections] = []


class Keep(Stage):
    """Detections in, the same out; keeps them for the benchmark."""

    accepts = produces = Detections

    def process(self, payload: object, info: object) -> object:
        assert isinstance(payload, Detections)
        DETECTIONS.append(payload)
        return payload


def measure() -> None:
    """Run the embedded model over the clip."""
    with tempfile.TemporaryDirectory() as folder:
        config = {
            "source": str(CLIP),
            "stages": ["preprocess", "detect", {"kind": f"{__name__}:Keep", "name": "keep"}, "track"],
            "sinks": [f"jsonl:{folder}/out.jsonl"],
        }
        built = build(parse(config))
        run = Run(built.plan, built.settings)
        run.start()
        run.join()


def pictures() -> list[Picture]:
    """Return the decoded clip."""
    with av.open(str(CLIP)) as container:
        return [Picture(video=frame) for frame in container.decode(video=0)]


class LiveRun:
    """One live run on simulated time.

    Args:
        shown: the pictures of the clip.
        fps: rate of the camera.
        service_s: of each run of the detector.
        follow: whether the tracker sees the pictures.
    """

    def __init__(self, shown: Sequence[Picture], *, fps: float, service_s: Iterator[float], follow: bool) -> None:
        self._shown = shown
        self._fps = fps
        self._service_s = service_s
        self._tracker = Tracker(TrackerOptions(follow=follow))
        self._known: list[tuple[int, Snapshot]] = []
        self._job: tuple[int, float] | None = None  # the frame that is measured, and when that ends
        self.given: list[Given] = []

    def captured_s(self, frame_id: int) -> float:
        """Return the capture time of a frame."""
        return 1 + frame_id / self._fps

    def run(self) -> None:
        """Answer every frame but the last."""
        waiting: int | None = None
        for frame_id in range(len(self._shown)):
            ready_s = self.captured_s(frame_id) + READY_S
            waiting = self._finish_until(ready_s, waiting)
            info = frame_info(frame_id, captured_ns=self._ns(self.captured_s(frame_id)))
            if self._tracker.would_watch(info):
                self._tracker.watch(self._shown[frame_id], info)
            if waiting is not None:
                self._answer(waiting, ready_s)
            waiting = frame_id if self._job is not None else self._begin(frame_id, ready_s)

    def _finish_until(self, now_s: float, waiting: int | None) -> int | None:
        """End the job if it ends by then, and give the detector what waits; return what still waits."""
        if self._job is None or self._job[1] > now_s:
            return waiting
        frame_id, end_s = self._job
        info = frame_info(frame_id, captured_ns=self._ns(self.captured_s(frame_id)))
        self._known = [*self._known[-3:], (frame_id, self._tracker.process(DETECTIONS[frame_id], info))]
        self._job = None
        return None if waiting is None else self._begin(waiting, end_s)

    def _begin(self, frame_id: int, now_s: float) -> None:
        self._answer(frame_id, now_s)  # it cannot be in time
        self._job = (frame_id, now_s + next(self._service_s))

    def _answer(self, frame_id: int, now_s: float) -> None:
        snapshot = next((known for number, known in reversed(self._known) if number < frame_id), None)
        tracks = None if snapshot is None else snapshot.forecast(self._ns(now_s))
        self.given.append(given(tracks, frame_id, now_s, self.captured_s(frame_id)))

    @staticmethod
    def _ns(at_s: float) -> int:
        return round(at_s * NS_PER_S)


def given(tracks: Tracks | None, frame_id: int, now_s: float, captured_s: float) -> Given:
    """Return an answer, true for the moment at which it is given."""
    if tracks is None:
        return Given(frame_id, now_s, now_s, captured_s, "blind", NOTHING, np.empty((0, 4)))
    rows = np.flatnonzero(np.array(tracks.class_names)[tracks.class_ids] == "person")
    objects = Objects(
        tracks.boxes[rows].astype(np.float64),
        np.zeros(len(rows), np.int64),
        tracks.track_ids[rows],
        tracks.scores[rows].astype(np.float64),
    )
    return Given(frame_id, now_s, now_s, captured_s, "forecast", objects, tracks.velocities[rows].astype(np.float64))


def service_times(mean_s: float, seed: int) -> Iterator[float]:
    """Give run times of the detector: its mean differs by some ms from seed to seed, and each run from the mean."""
    random = np.random.default_rng(seed)
    mean_s += random.uniform(-0.005, 0.005)
    while True:
        yield mean_s + abs(random.normal(0, 0.003))


def scored(shown: Sequence[Picture], truth: Truth, *, fps: float, service_s: Iterator[float], follow: bool) -> Scores:
    """Return what a reader has who moves the boxes."""
    live = LiveRun(shown, fps=fps, service_s=service_s, follow=follow)
    live.run()
    counted = range(round(LEFT_OUT_S * fps), len(shown))
    seen = view(live.given, [live.captured_s(frame_id) for frame_id in counted])
    return score(seen.moved, [truth.frames[frame_id] for frame_id in counted])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--fps", type=float, default=30)
    parser.add_argument("--service-ms", type=float, default=85)
    parser.add_argument("--seeds", type=int, default=4)
    arguments = parser.parse_args()
    truth = read_truth(arguments.truth)
    measure()
    shown = pictures()
    print(f"{'':22}" + "".join(f"{field.name:>8}" for field in fields(Scores)))
    for name, follow in (("velocities alone", False), ("with the pictures", True)):
        runs = [
            scored(
                shown,
                truth,
                fps=arguments.fps,
                service_s=service_times(arguments.service_ms / 1000, seed),
                follow=follow,
            )
            for seed in range(arguments.seeds)
        ]
        means = [100 * statistics.fmean(getattr(run, field.name) for run in runs) for field in fields(Scores)]
        print(f"{name:22}" + "".join(f"{mean:8.1f}" for mean in means), flush=True)


if __name__ == "__main__":
    main()
