"""JSON lines in a file and on standard output."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import SinkOpenError
from pipeline.frame import Answer, Status
from pipeline.stage import OpenContext, Options
from stages.sink.files import FileOptions
from stages.sink.jsonl import JsonlSink, StdoutSink
from stages.sink.record import line_from_answer

Make = Callable[..., Answer]


def answers(make_answer: Make) -> list[Answer]:
    return [make_answer(0, status=Status.BLIND, size=None), make_answer(1, status=Status.FORECAST), make_answer(4)]


def expected(make_answer: Make) -> str:
    blind, forecast, fresh = answers(make_answer)
    return f"{line_from_answer(blind)}\n{line_from_answer(forecast)}\n{line_from_answer(fresh, gap=2)}\n"


def test_a_file_has_one_record_a_line(tmp_path: Path, make_answer: Make, live_context: OpenContext) -> None:
    """The file is the records in order, with the gap where there is one, and nothing else."""
    path = tmp_path / "out.jsonl"
    sink = JsonlSink(FileOptions(path=str(path)))
    sink.open(live_context)
    sink.begin()
    for answer, gap in zip(answers(make_answer), (0, 0, 2), strict=True):
        sink.write(answer, gap=gap)
        assert path.read_bytes().endswith(b"}\n")
    sink.close()
    assert path.read_text("utf-8") == expected(make_answer)


def test_a_broken_number_leaves_no_half_line(tmp_path: Path, make_answer: Make, live_context: OpenContext) -> None:
    """An answer that cannot be written raises and leaves the file as it was."""
    path = tmp_path / "out.jsonl"
    sink = JsonlSink(FileOptions(path=str(path)))
    sink.open(live_context)
    sink.begin()
    good, bad = make_answer(0), make_answer(1)
    sink.write(good, gap=0)
    assert bad.payload is not None
    bad.payload.boxes[0, 0] = float("nan")  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="not finite"):
        sink.write(bad, gap=0)
    sink.close()
    assert path.read_text("utf-8") == line_from_answer(good) + "\n"


def test_standard_output_has_the_same_lines(
    make_answer: Make, live_context: OpenContext, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each line is out at once, after what was printed before; closing leaves standard output open."""
    sink = StdoutSink(Options())
    print("before", end="|")
    sink.open(live_context)
    sink.begin()
    seen = ""
    for answer, gap in zip(answers(make_answer), (0, 0, 2), strict=True):
        sink.write(answer, gap=gap)
        seen += capfd.readouterr().out
        assert seen.endswith("}\n")
    sink.close()
    sink.close()
    assert seen == "before|" + expected(make_answer)
    print("after", flush=True)
    assert capfd.readouterr().out == "after\n"


def test_a_reader_that_goes_away_is_an_error(
    make_answer: Make, live_context: OpenContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the program behind the pipe ends, the next line raises, and closing does not."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        sink = StdoutSink(Options())
        sink.open(live_context)
        sink.begin()
        os.close(reader)
        with pytest.raises(BrokenPipeError):
            sink.write(make_answer(0), gap=0)
        sink.close()


@pytest.mark.parametrize("stream", [None, io.StringIO()])
def test_standard_output_that_is_not_there(
    stream: object, live_context: OpenContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a real standard output the sink cannot be opened, and says so in one line."""
    monkeypatch.setattr(sys, "stdout", stream)
    sink = StdoutSink(Options())
    with pytest.raises(SinkOpenError, match=r"^standard output: is closed or not a real file$"):
        sink.open(live_context)
    sink.close()


def test_standard_output_can_be_had_once() -> None:
    """Two sinks on standard output would mix their lines: both name the same resource."""
    assert StdoutSink(Options()).resource == StdoutSink(Options()).resource == "standard output"
    with pytest.raises(ValueError, match="no argument"):
        StdoutSink.options_from_spec("x")
