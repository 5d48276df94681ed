"""PyAV: a thread demuxes and decodes with slice threads and keeps the newest picture."""

from __future__ import annotations

import os
import threading

import av
from peer import Newest, Work, arguments, work_on_newest


def main() -> None:
    """Answer until the time is up."""
    asked = arguments()
    work, newest = Work(asked), Newest()
    container = av.open(asked.url, options={"rtsp_transport": "tcp", "fflags": "nobuffer", "flags": "low_delay"})
    stream = container.streams.video[0]
    stream.thread_type = "SLICE"

    def read() -> None:
        for frame in container.decode(stream):
            newest.put(frame)

    threading.Thread(target=read, daemon=True).start()
    work_on_newest(work, newest, lambda frame: frame.to_ndarray(format="bgr24"))
    os._exit(0)  # the reading thread sits in FFmpeg


main()
