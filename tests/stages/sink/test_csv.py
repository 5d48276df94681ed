"""Rows for spreadsheets."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.frame import Answer, Status
from pipeline.stage import OpenContext
from stages.payloads import Tracks
from stages.sink.csv import COLUMNS, CsvSink
from stages.sink.files import FileOptions

Make = Callable[..., Answer]
MakeTracks = Callable[..., Tracks]

_HEADING = (
    "stream,frame,pts_s,captured_s,clock,status,reason,due_s,published_s,age_ms,boxes_at_s,health,width,height,gap,"
    "track_id,class_id,class,score,x1,y1,x2,y2,vx1,vy1,vx2,vy2,measured_age_ms"
)


def written(path: Path, context: OpenContext, answers: list[tuple[Answer, int]]) -> str:
    sink = CsvSink(FileOptions(path=str(path)))
    sink.open(context)
    sink.begin()
    for answer, gap in answers:
        sink.write(answer, gap=gap)
    sink.close()
    return path.read_bytes().decode("utf-8")


def test_exact_content(tmp_path: Path, make_answer: Make, make_tracks: MakeTracks, live_context: OpenContext) -> None:
    """A heading, then one row a track with its frame in front; one row with empty track columns without tracks."""
    two = make_tracks([(10, 20, 50, 100), (0.07, 1, 2, 3)])
    text = written(
        tmp_path / "out.csv",
        live_context,
        [
            (make_answer(0, status=Status.BLIND, size=None), 0),
            (make_answer(3, tracks=two), 2),
            (make_answer(4, tracks=make_tracks([])), 0),
        ],
    )
    live = "81234.667891,81234.629191,61.3,,ok"
    assert text.split("\n") == [
        _HEADING,
        f"cam0,0,0.0,81234.567891,pts,blind,late,{live},,,,,,,,,,,,,,,,",
        f"cam0,3,0.1,81234.567891,pts,fresh,,{live},768,576,2,7,0,person,0.83,10.0,20.0,50.0,100.0,12.35,0.0,12.35,-3.0,0.0",
        f"cam0,3,0.1,81234.567891,pts,fresh,,{live},768,576,2,8,1,car,0.73,0.07,1.0,2.0,3.0,12.35,0.0,12.35,-3.0,0.0",
        f"cam0,4,0.133333,81234.567891,pts,fresh,,{live},768,576,,,,,,,,,,,,,,",
        "",
    ]
    assert _HEADING.split(",") == list(COLUMNS)


def test_no_name_is_a_formula(
    tmp_path: Path, make_answer: Make, make_tracks: MakeTracks, live_context: OpenContext
) -> None:
    """A model may call its classes what it likes; spreadsheets compute what begins with certain letters."""
    tracks = make_tracks([(10, 20, 50, 100)])
    for name in ("=1+1", "+1", "-1", "@SUM(1)", "person=1"):
        named = replace(tracks, class_names=(name, *tracks.class_names[1:]))
        text = written(tmp_path / "out.csv", live_context, [(make_answer(3, tracks=named), 0)])
        (row,) = csv.DictReader(text.splitlines())
        assert row["class"] == (name if name == "person=1" else f"'{name}")
        assert float(row["vy1"]) <= 0  # numbers are no names


def test_lossless_leaves_live_columns_empty(tmp_path: Path, make_answer: Make, lossless_context: OpenContext) -> None:
    """The columns are the same in both modes, so that one reader reads both."""
    text = written(tmp_path / "out.csv", lossless_context, [(make_answer(3, live=False), 0)])
    [row] = csv.DictReader(text.splitlines())
    assert list(row) == list(COLUMNS)
    assert all(
        row[name] == ""
        for name in ("captured_s", "due_s", "published_s", "age_ms", "boxes_at_s", "health", "reason", "gap")
    )
    assert (row["frame"], row["track_id"], row["measured_age_ms"]) == ("3", "7", "0.0")


@pytest.mark.parametrize("name", ['traffic light, "red"', "two\nlines", "Fußgänger"])
def test_any_class_name_reads_back(
    tmp_path: Path, make_answer: Make, make_tracks: MakeTracks, live_context: OpenContext, name: str
) -> None:
    """Names with commas, quotes and line breaks come back as they were."""
    tracks = replace(make_tracks(), class_names=(name,))
    text = written(tmp_path / "out.csv", live_context, [(make_answer(0, tracks=tracks), 0)])
    [row] = csv.DictReader(text.splitlines(keepends=True))
    assert row["class"] == name
