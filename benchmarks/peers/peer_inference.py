"""Roboflow's InferencePipeline (PyPI `streamvision`) with our detector as its custom logic."""

from __future__ import annotations

import os
import time

from peer import Work, arguments
from streamvision.stream.pipeline import InferencePipeline


def main() -> None:
    """Answer until the time is up."""
    asked = arguments(mode="default")
    work = Work(asked)
    dropped = 0

    def on_frames(frames: list[object]) -> list[object]:
        return [work(frame.image, time.monotonic()) for frame in frames]

    def on_prediction(predictions: object, _: object) -> None:
        for prediction in predictions if isinstance(predictions, list) else [predictions]:
            if prediction is not None:
                work.answer(*prediction)

    def on_status(update: object) -> None:
        nonlocal dropped
        if "DROPPED" in update.event_type.upper():
            dropped += update.payload.get("count", 1) if isinstance(update.payload, dict) else 1

    mode = {} if asked.mode == "default" else {"video_processing_mode": asked.mode}
    pipeline = InferencePipeline.init_with_custom_logic(
        video_reference=asked.url,
        on_video_frame=on_frames,
        on_prediction=on_prediction,
        status_update_handlers=[on_status],
        **mode,
    )
    pipeline.start(use_main_thread=False)
    while not work.is_over:
        time.sleep(0.05)
    work.tell(dropped)
    os._exit(0)  # its threads may sit in OpenCV


main()
