"""One row a track, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io

from pipeline.frame import Answer
from stages.sink.files import TextFileSink
from stages.sink.record import record_from_answer

_FRAME_COLUMNS = (
    "stream", "frame", "pts_s", "captured_s", "clock", "status", "reason", "due_s", "published_s", "age_ms",
    "boxes_at_s", "health", "width", "height", "gap",
)  # fmt: skip
_TRACK_COLUMNS = ("id", "class_id", "class", "score")
_FORMULAS = ("=", "+", "-", "@")
"""What a formula begins with, in some spreadsheet; control characters are in no name."""
_CORNERS = ("x1", "y1", "x2", "y2")
COLUMNS = (
    *_FRAME_COLUMNS,
    *("track_id" if name == "id" else name for name in _TRACK_COLUMNS),
    *_CORNERS,
    *(f"v{corner}" for corner in _CORNERS),
    "measured_age_ms",
)
"""Names as in the result record; `vx1` ... are the four numbers of `velocity`."""


class CsvSink(TextFileSink):
    """Writes one row a track, with the columns of its frame in front.

    A frame without tracks has one row whose track columns are empty; its `status` tells an empty scene from a blind
    answer. Columns that make no sense in lossless mode are there and empty. A name that a spreadsheet would take for a
    formula, such as `=1+1`, has a `'` in front.
    """

    def heading(self) -> str:
        return _lines([COLUMNS])

    def text(self, answer: Answer, *, gap: int) -> str:
        record = record_from_answer(answer, gap=gap)
        frame = [_as_text(record.get(name)) for name in _FRAME_COLUMNS]
        tracks = record["tracks"]
        assert isinstance(tracks, list)
        if not tracks:
            return _lines([[*frame, *[None] * (len(COLUMNS) - len(frame))]])
        return _lines([[*frame, *_track_cells(track)] for track in tracks])


def _track_cells(track: dict[str, object]) -> list[object]:
    box, velocity = track["box"], track["velocity"]
    assert isinstance(box, list)
    assert isinstance(velocity, list)
    return [*(_as_text(track[name]) for name in _TRACK_COLUMNS), *box, *velocity, track["measured_age_ms"]]


def _as_text(cell: object) -> object:
    """Return a cell that no spreadsheet takes for a formula: names come from models and configurations."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULAS) else cell


def _lines(rows: object) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)  # type: ignore[arg-type]  # any iterable of rows
    return text.getvalue()
