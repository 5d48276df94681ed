"""Tracks in the text format of MOTChallenge, for evaluation tools."""

from __future__ import annotations

from pipeline.frame import Answer
from stages.sink.files import TextFileSink
from stages.sink.record import track_records


class MotSink(TextFileSink):
    """Writes `frame, id, left, top, width, height, confidence, -1, -1, -1`, one row a track.

    Frames and pixels count from 1, as evaluation tools expect: the picture's first pixel is (1, 1), so `left` and `top`
    are larger by one than in records. The format (Milan et al., MOT16: A Benchmark for Multi-Object Tracking, 2016,
    section 4) has no word for class, forecast or blind: frames without tracks leave no row.
    """

    def text(self, answer: Answer, *, gap: int) -> str:
        return "".join(_row(answer.info.frame_id + 1, track) for track in track_records(answer))


def _row(frame: int, track: dict[str, object]) -> str:
    box = track["box"]
    assert isinstance(box, list)
    left, top, right, bottom = box
    return (
        f"{frame},{track['id']},{left + 1:.2f},{top + 1:.2f},{right - left:.2f},{bottom - top:.2f},{track['score']:.4f}"
        ",-1,-1,-1\n"
    )
