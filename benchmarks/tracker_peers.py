"""Run one tracker of the PyPI package `trackers` over detections; called by benchmarks/tracker.py in its own venv.

Usage: python tracker_peers.py NAME FRAME_RATE < detections.json > tracks.json

Reads a list of frames {"time_s", "boxes", "scores"}; writes {"frames": [{"ids", "boxes"}], "seconds"}.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time

import numpy as np
import supervision
import trackers

TRACKERS = {
    "SORT": trackers.SORTTracker,
    "ByteTrack": trackers.ByteTrackTracker,
    "OC-SORT": trackers.OCSORTTracker,
    "BoT-SORT": trackers.BoTSORTTracker,
}


def main(name: str, frame_rate: float) -> dict[str, object]:
    """Track all frames with the tracker's defaults; pictures are not given, so camera motion is not looked for."""
    extra = {"enable_cmc": False} if name == "BoT-SORT" else {}
    tracker = TRACKERS[name](frame_rate=frame_rate, **extra)
    answers = []
    seconds = 0.0
    for frame in json.load(sys.stdin):
        count = len(frame["scores"])
        detections = supervision.Detections(
            xyxy=np.asarray(frame["boxes"], dtype=np.float32).reshape(count, 4),
            confidence=np.asarray(frame["scores"], dtype=np.float32),
            class_id=np.zeros(count, dtype=int),
        )
        start = time.perf_counter()
        tracked = tracker.update(detections, timestamp=frame["time_s"])
        seconds += time.perf_counter() - start
        ids = tracked.tracker_id if tracked.tracker_id is not None else np.zeros(0, dtype=int)
        known = ids >= 0
        answers.append({"ids": ids[known].tolist(), "boxes": tracked.xyxy[known].tolist()})
    return {"frames": answers, "seconds": seconds}


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        result = main(sys.argv[1], float(sys.argv[2]))
    json.dump(result, sys.stdout)
