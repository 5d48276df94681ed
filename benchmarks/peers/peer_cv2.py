"""OpenCV: read, detect, emit, one picture after the other; or a thread that keeps the newest."""

from __future__ import annotations

import os
import threading
import time

import cv2
from peer import Newest, Work, arguments, work_on_newest


def main() -> None:
    """Answer until the time is up."""
    asked = arguments(mode="loop", decoder_threads=0)
    if asked.decoder_threads:
        os.environ["OPENCV_FFMPEG_THREADS"] = str(asked.decoder_threads)
    work = Work(asked)
    parameters = [cv2.CAP_PROP_N_THREADS, asked.decoder_threads] if asked.decoder_threads else []
    capture = cv2.VideoCapture(asked.url, cv2.CAP_FFMPEG, parameters)
    if asked.mode == "loop":
        while not work.is_over:
            is_read, picture = capture.read()
            if is_read:
                work.answer(*work(picture, time.monotonic()))
        return
    newest = Newest()

    def read() -> None:
        while True:
            is_read, picture = capture.read()
            if is_read:
                newest.put(picture)

    threading.Thread(target=read, daemon=True).start()
    work_on_newest(work, newest)
    os._exit(0)  # the reading thread sits in OpenCV


main()
