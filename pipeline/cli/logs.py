"""Log lines on standard error: as text for people, or one JSON object a line for machines."""

from __future__ import annotations

import contextlib
import json
import logging
import logging.handlers
import queue
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Literal

from rich.console import Console

from pipeline.logs import EVENT, FIELDS, about
from pipeline.shown import in_one_line, printable

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]
_ROOT = "framepace"
_WAITING_MOST = 1000
_FLUSH_S = 1.0


class ConsoleHandler(logging.Handler):
    """Prints one line a message, above the status line where there is one."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        text = in_one_line(record.getMessage())
        if record.levelno > logging.INFO:
            text = f"{record.levelname.lower()}: {text}"
        self._console.print(text, style=_style(record.levelno), markup=False)


def _style(level: int) -> str | None:
    if level <= logging.INFO:
        return None
    return "red" if level >= logging.ERROR else "yellow"


class JsonHandler(logging.Handler):
    """Writes one JSON object a line: ts, level, logger, stream, event, message, and what the event brings along."""

    def __init__(self, stream_id: str) -> None:
        super().__init__()
        self._stream_id = stream_id

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError, ValueError):  # nobody may be there to read it
            sys.stderr.write(json_line(record, self._stream_id) + "\n")
            sys.stderr.flush()


def json_line(record: logging.LogRecord, stream_id: str) -> str:
    """Return a log record as JSON without a line break."""
    line: dict[str, object] = {
        "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "stream": stream_id,
        "event": getattr(record, EVENT, "message"),
        "message": record.getMessage(),
    }
    fields = getattr(record, FIELDS, {})
    line |= {key: value for key, value in fields.items() if key not in line}
    unicode = "utf" in (getattr(sys.stderr, "encoding", None) or "").lower()  # what a stream escapes is not JSON
    return printable(json.dumps(line, ensure_ascii=not unicode, default=str))


def set_up_logging(handler: logging.Handler, *, level: LogLevel) -> None:
    """Send the engine's log lines to a handler, and to nobody else."""
    logger = logging.getLogger(_ROOT)
    logger.handlers = [handler]
    logger.setLevel(level.upper())
    # Whoever asked for a page wants to know where it is.
    logging.getLogger("framepace.serve").setLevel(logging.INFO if level == "warning" else level.upper())
    logger.propagate = False


def say_failure(message: str) -> None:
    """Say why the command fails, in one line: as JSON where log lines are."""
    text = in_one_line(message)
    logger = logging.getLogger(_ROOT)
    if any(isinstance(handler, JsonHandler) for handler in logger.handlers):
        logger.error(text, extra=about("failed"))
        return
    with contextlib.suppress(OSError):  # nobody may be there to read it
        sys.stderr.write(f"framepace: {text}\n")


class _Aside(logging.handlers.QueueHandler):
    """Hands records to another thread; what that is too slow for is counted."""

    def __init__(self, records: queue.Queue[logging.LogRecord]) -> None:
        super().__init__(records)
        self.lost = 0

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the name is logging's
        self.lost += 1


class _Writer(logging.handlers.QueueListener):
    """Writes on its own thread."""

    def stop_within(self, timeout_s: float) -> None:
        """Write what waits and end; a thread that is stuck is left behind."""
        with contextlib.suppress(queue.Full):
            self.enqueue_sentinel()
        if self._thread is not None:
            self._thread.join(timeout_s)


@contextmanager
def logging_aside() -> Iterator[None]:
    """Let log lines be written by a thread of their own: a terminal that hangs must not hold up who logs."""
    logger = logging.getLogger(_ROOT)
    handlers = logger.handlers
    if not handlers:
        yield
        return
    records: queue.Queue[logging.LogRecord] = queue.Queue(_WAITING_MOST)
    aside, writer = _Aside(records), _Writer(records, *handlers)
    writer.start()
    logger.handlers = [aside]
    try:
        yield
    finally:
        logger.handlers = handlers
        writer.stop_within(_FLUSH_S)
        if aside.lost:
            logger.error("%d log lines are missing", aside.lost, extra=about("log_lines_lost", count=aside.lost))
