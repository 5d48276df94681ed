"""Loops over a recorded clip as one would write them: every picture detected and tracked, one record a line.

Imported code is framepace's own stages and record, so that only the loops differ, and their output can be compared
line by line. The last line of standard output is JSON: frames, seconds after the model was loaded and warm, and the
processor seconds of those.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from peer import byte_track

from pipeline.clock import RealClock
from pipeline.frame import Answer, CaptureClock, FrameInfo, Status
from pipeline.testing import open_context
from stages.detect.onnx import DetectOptions, OnnxDetector
from stages.payloads import Detections, Picture, Tracks
from stages.preprocess.letterbox import Letterbox
from stages.sink.record import line_from_answer
from stages.track.tracker import Tracker, TrackerOptions

SPINNING_CORES = 64
"""With so many, framepace leaves the runtime's threads spinning, which is the runtime's own default."""
WAITING_PICTURES = 32
LONGEST_WAIT_S = 30.0


def cv2_pictures(clip: str) -> Iterator[tuple[Picture, float]]:
    """Read with OpenCV as it comes."""
    import cv2

    capture = cv2.VideoCapture(clip)
    fps, number = capture.get(cv2.CAP_PROP_FPS), 0
    while True:
        is_read, pixels = capture.read()
        if not is_read:
            return
        yield Picture(array=pixels), number / fps
        number += 1


def queued_pictures(clip: str) -> Iterator[tuple[Picture, float]]:
    """Read with OpenCV on a thread of its own, through a queue."""
    waiting: queue.Queue[tuple[Picture, float] | None] = queue.Queue(maxsize=WAITING_PICTURES)

    def read() -> None:
        for item in cv2_pictures(clip):
            waiting.put(item)
        waiting.put(None)

    threading.Thread(target=read, daemon=True).start()
    while (item := waiting.get(timeout=LONGEST_WAIT_S)) is not None:
        yield item


def pyav_pictures(clip: str) -> Iterator[tuple[Picture, float]]:
    """Decode with PyAV on frame threads; pictures keep the decoder's format, and are scaled from it."""
    import av

    with av.open(clip) as container:
        stream = container.streams.video[0]
        stream.thread_type = "FRAME"
        for video in container.decode(stream):
            yield Picture(video=video), video.time


def pyav_arrays(clip: str) -> Iterator[tuple[Picture, float]]:
    """Decode with PyAV on frame threads, and turn pictures into BGR arrays, as most programs do."""
    for picture, pts_s in pyav_pictures(clip):
        assert picture.video is not None
        yield Picture(array=picture.video.to_ndarray(format="bgr24")), pts_s


LOOPS = {"cv2": cv2_pictures, "queue": queued_pictures, "pyav": pyav_pictures, "pyav-bgr": pyav_arrays}


class OwnTracker:
    """framepace's."""

    def __init__(self) -> None:
        self._stage = Tracker(TrackerOptions())

    def __call__(self, found: Detections, info: FrameInfo) -> Tracks | None:
        """Return the tracks of this frame."""
        return self._stage.process(found, info).forecast(info.captured_ns)


class ByteTrack:
    """Of the package `trackers`, set as in peer.py."""

    def __init__(self, fps: float) -> None:
        self._tracker = byte_track(fps)

    def __call__(self, found: Detections, info: FrameInfo) -> Tracks | None:
        """Return the tracks of this frame."""
        import supervision

        detections = supervision.Detections(xyxy=found.boxes, confidence=found.scores, class_id=found.class_ids)
        tracked = self._tracker.update(detections, timestamp=info.pts_s)
        known = tracked[tracked.tracker_id >= 0] if tracked.tracker_id is not None else tracked[:0]
        count = len(known)
        return Tracks(
            boxes=known.xyxy.astype(np.float32),
            scores=known.confidence.astype(np.float32),
            class_ids=known.class_id.astype(np.int32),
            track_ids=np.asarray(known.tracker_id if count else [], np.int64),
            velocities=np.zeros((count, 4), np.float32),
            measured_ns=np.full(count, info.captured_ns, np.int64),
            position_std=np.zeros(count, np.float32),
            class_names=found.class_names,
            image_size=found.image_size,
        )


def record(info: FrameInfo, size: tuple[int, int], tracks: Tracks | None) -> str:
    """Return framepace's record of an answer."""
    return line_from_answer(
        Answer(
            info=info,
            status=Status.FRESH,
            reason=None,
            payload=tracks,
            clock=CaptureClock.FILE,
            published_ns=None,
            health=None,
            size=size,
            picture=None,
        )
    )


def main() -> None:
    """Loop over the clip and say how long it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clip", required=True)
    parser.add_argument("--loop", choices=LOOPS, required=True)
    parser.add_argument("--threads", type=int, required=True, help="of the runtime")
    parser.add_argument("--spin", action="store_true", help="let its threads spin while they have nothing to do")
    parser.add_argument("--tracker", choices=["own", "bytetrack"], default="own")
    parser.add_argument("--fps", type=float, default=10)
    parser.add_argument("--frames", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    asked = parser.parse_args()
    clock = RealClock()
    detector, letterbox = OnnxDetector(DetectOptions(threads=asked.threads)), Letterbox(Letterbox.options_type())
    context = open_context(clock)
    detector.open(replace(context, cores=SPINNING_CORES) if asked.spin else context)
    letterbox.open(open_context(clock, downstream=detector.input_spec))
    detector.warm()
    track = OwnTracker() if asked.tracker == "own" else ByteTrack(asked.fps)
    start_s, start_cpu_s = time.monotonic(), time.process_time()
    with asked.output.open("w") as output, contextlib.closing(LOOPS[asked.loop](asked.clip)) as pictures:
        for number, (picture, pts_s) in enumerate(pictures):
            info = FrameInfo("cam0", number, pts_s, round(pts_s * 1e9), None)
            found = detector.process(letterbox.process(picture, info), info)
            output.write(record(info, picture.size, track(found, info)) + "\n")
            if number + 1 == asked.frames:
                break
    seconds, cpu_s = time.monotonic() - start_s, time.process_time() - start_cpu_s
    print(json.dumps({"frames": number + 1, "seconds": seconds, "cpu_s": cpu_s}), flush=True)


main()
