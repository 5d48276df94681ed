"""Log lines on standard error."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator
from datetime import datetime

import pytest
from rich.console import Console

from pipeline.cli.logs import (
    ConsoleHandler,
    JsonHandler,
    LogLevel,
    json_line,
    logging_aside,
    say_failure,
    set_up_logging,
)
from pipeline.logs import about

GUARD_S = 30.0
LOG = logging.getLogger("framepace.test")


@pytest.fixture(autouse=True)
def logger() -> Iterator[logging.Logger]:
    """The logger of all lines, afterwards as it was before."""
    root = logging.getLogger("framepace")
    before = root.handlers, root.level, root.propagate
    yield root
    root.handlers, root.level, root.propagate = before


def test_a_line_for_people() -> None:
    """Level and text, whatever line breaks are in it; what is below the level is left out."""
    err = io.StringIO()
    console = Console(file=err, width=200)
    set_up_logging(ConsoleHandler(console), level="warning")
    LOG.warning("source lost\n(ended)", extra=about("source_lost", outage="ended"))
    LOG.info("still away")
    assert err.getvalue() == "warning: source lost (ended)\n"
    set_up_logging(ConsoleHandler(console), level="info")
    LOG.info("still away")
    assert err.getvalue() == "warning: source lost (ended)\nstill away\n"


@pytest.mark.parametrize(("level", "heard"), [("warning", True), ("info", True), ("error", False)])
def test_where_the_page_is_is_said(level: LogLevel, *, heard: bool) -> None:
    """Whoever asked for it wants to know, unless only errors are wanted."""
    err = io.StringIO()
    set_up_logging(ConsoleHandler(Console(file=err, width=200)), level=level)
    logging.getLogger("framepace.serve").info("see http://127.0.0.1:8080")
    assert (err.getvalue() == "see http://127.0.0.1:8080\n") == heard


def test_a_line_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    """One object with time, level, logger, stream, event, text and what the event brings along."""
    set_up_logging(JsonHandler("door"), level="info")
    LOG.info("lost:\n%s", "é", extra=about("source_lost", outage="ended", frame=7))
    written = capsys.readouterr()
    assert (written.out, written.err.count("\n")) == ("", 1)
    line = json.loads(written.err)
    moment = datetime.fromisoformat(line.pop("ts"))
    assert moment.utcoffset() is not None
    assert line == {
        "level": "info",
        "logger": "framepace.test",
        "stream": "door",
        "event": "source_lost",
        "message": "lost:\né",
        "outage": "ended",
        "frame": 7,
    }


def test_an_event_cannot_forge_who_says_it() -> None:
    """Its particulars do not replace what every line has; what is no JSON becomes text."""
    record = LOG.makeRecord(
        "framepace.x", logging.ERROR, "", 0, "text", (), None, extra=about("e", level="debug", o=LOG)
    )
    line = json.loads(json_line(record, "cam0"))
    assert (line["level"], line["event"]) == ("error", "e")
    assert isinstance(line["o"], str)
    plain = LOG.makeRecord("framepace.x", logging.ERROR, "", 0, "text", (), None)
    assert json.loads(json_line(plain, "cam0"))["event"] == "message"


def test_nothing_that_a_terminal_would_obey_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """A model's names and a camera's words are quoted; letters of all scripts stay."""
    say_failure("its output \x1b[2Jis \x9b31m\x07\x00 größer \u202e日本")
    assert capsys.readouterr().err == (
        "framepace: its output \\u001b[2Jis \\u009b31m\\u0007\\u0000 größer \\u202e日本\n"
    )


def test_json_lines_escape_what_cannot_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """They end up on terminals, too, and mean the same to a machine."""
    set_up_logging(JsonHandler("cam0"), level="info")
    LOG.info("a\x9b\u202e\u2028日")
    written = capsys.readouterr().err
    assert written.strip().isprintable()
    assert json.loads(written)["message"] == "a\x9b\u202e\u2028日"


def test_a_failure_is_said_as_log_lines_are(capsys: pytest.CaptureFixture[str]) -> None:
    """In one line either way."""
    set_up_logging(ConsoleHandler(Console()), level="error")
    say_failure("cannot\nopen")
    assert capsys.readouterr().err == "framepace: cannot open\n"
    set_up_logging(JsonHandler("cam0"), level="error")
    say_failure("cannot\nopen")
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["message"]) == ("failed", "cannot open")


class Stuck(logging.Handler):
    """A terminal that hangs until the test is over."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.written: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.begun.set()
        self.go_on.wait(GUARD_S)
        self.written.append(record.getMessage())


def test_a_terminal_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who logs goes on; what finds no room is counted; the end does not wait for ever."""
    monkeypatch.setattr("pipeline.cli.logs._WAITING_MOST", 2)
    monkeypatch.setattr("pipeline.cli.logs._FLUSH_S", 0.01)
    stuck = Stuck()
    set_up_logging(stuck, level="warning")
    with logging_aside():
        LOG.warning("first")
        assert stuck.begun.wait(GUARD_S)
        for number in range(5):
            LOG.warning("number %d", number)
        stuck.go_on.set()
    assert stuck.written[0] == "first"
    assert "3 log lines are missing" in stuck.written


def test_lines_of_a_run_are_written_by_its_end() -> None:
    """In order, with their particulars, and directly again afterwards."""
    kept = Stuck()
    kept.go_on.set()
    set_up_logging(kept, level="warning")
    with logging_aside():
        for number in range(50):
            LOG.warning("number %d", number)
    assert kept.written == [f"number {number}" for number in range(50)]
    LOG.warning("after")
    assert kept.written[-1] == "after"
