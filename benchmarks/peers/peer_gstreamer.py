"""GStreamer: rtspsrc without a jitter buffer's delay, and an appsink that keeps the newest picture."""

from __future__ import annotations

import os
import time

import gi
import numpy as np
from peer import Work, arguments

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
from gi.repository import Gst, GstApp  # noqa: E402  # versions are to be named before

CAMERA = "rtspsrc location={url} protocols=tcp latency=0 ! rtph264depay"
FILE = "filesrc location={url} ! qtdemux"
PIPELINE = (
    " ! h264parse ! avdec_h264 max-threads=1 ! videoconvert ! video/x-raw,format=BGR "
    "! appsink name=sink drop=true max-buffers=1 sync=false"
)


def main() -> None:
    """Answer until the time is up."""
    assert GstApp is not None
    asked = arguments()
    work = Work(asked)
    Gst.init(None)
    source = CAMERA if asked.url.startswith("rtsp://") else FILE
    pipeline = Gst.parse_launch(source.format(url=asked.url) + PIPELINE)
    sink = pipeline.get_by_name("sink")
    pipeline.set_state(Gst.State.PLAYING)
    while not work.is_over:
        sample = sink.try_pull_sample(Gst.SECOND)
        if sample is None:
            continue
        read_s = time.monotonic()
        about = sample.get_caps().get_structure(0)
        width, height = about.get_value("width"), about.get_value("height")
        buffer = sample.get_buffer()
        is_mapped, mapped = buffer.map(Gst.MapFlags.READ)
        assert is_mapped
        picture = np.frombuffer(mapped.data, np.uint8).reshape(height, -1)[:, : width * 3].reshape(height, width, 3)
        picture = picture.copy()
        buffer.unmap(mapped)
        work.answer(*work(picture, read_s))
    os._exit(0)  # nothing is left to say


main()
