"""Result records as JSON lines, to a file or to standard output."""

from __future__ import annotations

import os
import sys

from pipeline.errors import SinkOpenError
from pipeline.frame import Answer, Heartbeat
from pipeline.stage import OpenContext, Options, Sink
from stages.sink.files import TextFileSink
from stages.sink.record import line_from_answer, line_from_heartbeat


class JsonlSink(TextFileSink):
    """Writes one result record a line; each line is in the file before the next answer is taken."""

    def text(self, answer: Answer, *, gap: int) -> str:
        return line_from_answer(answer, gap=gap) + "\n"

    def beat(self, heartbeat: Heartbeat) -> None:
        assert self._file is not None
        self._file.write(line_from_heartbeat(heartbeat).encode() + b"\n")


class StdoutSink(Sink):
    """Writes one result record a line to standard output, past every buffer, for a program that reads it live."""

    def __init__(self, options: Options) -> None:
        self._fd: int | None = None

    @property
    def resource(self) -> str | None:
        return "standard output"

    def open(self, context: OpenContext) -> None:
        try:
            sys.stdout.flush()
            # A copy, because what is left in Python's own buffer when a reader goes away would spoil the exit code.
            self._fd = os.dup(sys.stdout.fileno())
        except (OSError, ValueError, AttributeError) as error:  # closed, replaced, or None
            raise SinkOpenError("standard output", "is closed or not a real file") from error

    def write(self, answer: Answer, *, gap: int) -> None:
        self._write_line(line_from_answer(answer, gap=gap))

    def beat(self, heartbeat: Heartbeat) -> None:
        self._write_line(line_from_heartbeat(heartbeat))

    def _write_line(self, line: str) -> None:
        assert self._fd is not None
        rest = memoryview(line.encode() + b"\n")
        while rest:
            rest = rest[os.write(self._fd, rest) :]

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
