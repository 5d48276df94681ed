"""The text format of MOTChallenge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline.frame import Answer, Status
from pipeline.stage import OpenContext
from stages.payloads import Tracks
from stages.sink.files import FileOptions
from stages.sink.mot import MotSink

Make = Callable[..., Answer]
MakeTracks = Callable[..., Tracks]


def test_exact_content(
    tmp_path: Path, make_answer: Make, make_tracks: MakeTracks, lossless_context: OpenContext
) -> None:
    """Frames and pixels count from 1, boxes are corner and size, ten columns; frames without tracks leave no row."""
    path = tmp_path / "out.txt"
    sink = MotSink(FileOptions(path=str(path)))
    sink.open(lossless_context)
    sink.begin()
    sink.write(make_answer(0, tracks=make_tracks([(10, 20, 50, 100), (-3.456, 0.5, 7, 8)]), live=False), gap=0)
    sink.write(make_answer(1, status=Status.BLIND, live=False), gap=0)
    sink.write(make_answer(2, tracks=make_tracks([]), live=False), gap=0)
    sink.write(make_answer(4, status=Status.FORECAST, tracks=make_tracks([(0, 0, 767.996, 576)]), live=False), gap=1)
    sink.close()
    assert path.read_text() == (
        "1,7,11.00,21.00,40.00,80.00,0.8300,-1,-1,-1\n"
        "1,8,-2.46,1.50,10.46,7.50,0.7300,-1,-1,-1\n"
        "5,7,1.00,1.00,768.00,576.00,0.8300,-1,-1,-1\n"
    )


def test_evaluation_tools_can_read_it(tmp_path: Path, make_answer: Make, lossless_context: OpenContext) -> None:
    """It is a table of numbers with ten columns."""
    path = tmp_path / "out.txt"
    sink = MotSink(FileOptions(path=str(path)))
    sink.open(lossless_context)
    sink.begin()
    for number in range(5):
        sink.write(make_answer(number, live=False), gap=0)
    sink.close()
    table = np.loadtxt(path, delimiter=",")
    assert table.shape == (5, 10)
    assert table[:, 0].tolist() == [1, 2, 3, 4, 5]
