"""Keeps what happened in the last seconds of a run, for a trace: at the end, on demand, and after a burst of misses.

Noting an event is an append to a queue of bounded length; traces are made from a copy of it, on the thread that asks.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections import deque
from datetime import UTC, datetime
from pathlib import Path

from pipeline.chrome import Noted, TraceFacts, chrome_trace
from pipeline.clock import NS_PER_MS, NS_PER_S, Clock, Flag, unix_ns
from pipeline.errors import SinkOpenError
from pipeline.files import write_whole
from pipeline.frame import Fate, Reason, Status
from pipeline.logs import about
from pipeline.report import TracesReport
from pipeline.timings import Event, Timings

log = logging.getLogger("framepace.trace")

EVENTS_MOST = 60_000
"""Events kept at the most, some 12 MB: two minutes at 30 fps."""
_LIMITS_MOST = 64
_BURST = 3
_BURST_NS = NS_PER_S
_BEFORE_NS = 10 * NS_PER_S
_BEFORE_LEAST = 30
_MOSTLY = 0.5
_AFTERMATH_NS = NS_PER_S
"""A trace is made so long after the burst: it shows what came of it."""
_APART_NS = 30 * NS_PER_S
_FILES_MOST = 20
_POLL_NS = 250 * NS_PER_MS
_OUT_OF_TIME = f":{Reason.LATE}"


class MissBurst:
    """Notices when a run that was mostly fresh misses several frames at once. Not locked.

    A burst: three frames missed or late within one second, after ten seconds (or what there was of them, but at least
    30 answers) of which half or more were fresh.
    """

    def __init__(self) -> None:
        self._answers: deque[tuple[int, bool]] = deque()  # when, and whether it was fresh
        self._misses: deque[int] = deque(maxlen=_BURST)

    def answered(self, at_ns: int, text: str) -> bool:
        """Take a frame's answer, as it is noted; return whether it completes a burst."""
        self._answers.append((at_ns, text == Status.FRESH))
        while self._answers[0][0] < at_ns - _BEFORE_NS - _BURST_NS:
            self._answers.popleft()
        if text != Fate.MISSED and not text.endswith(_OUT_OF_TIME):
            return False
        self._misses.append(at_ns)
        if len(self._misses) < _BURST or at_ns - self._misses[0] > _BURST_NS:
            return False
        before = [fresh for answered_ns, fresh in self._answers if answered_ns < self._misses[0]]
        return len(before) >= _BEFORE_LEAST and sum(before) >= _MOSTLY * len(before)


class MissTraces:
    """The files of the traces that are written when frames are missed: the newest of a stream, not too many.

    Args:
        folder: where they go; is made if need be.
        stream_id: part of their names.
    """

    def __init__(self, folder: Path, stream_id: str) -> None:
        self._folder = folder
        self._stem = re.sub(r"[^\w.-]+", "_", stream_id)
        self._files: deque[Path] = deque()
        self._written = 0
        self._failed = 0

    def open(self) -> None:
        """Make the folder.

        Raises:
            SinkOpenError: that is not possible.
        """
        try:
            self._folder.mkdir(exist_ok=True)
            self._files.extend(sorted(self._folder.glob(f"{self._stem}-????????T??????-*.json")))  # of earlier runs
        except OSError as error:
            raise SinkOpenError("trace-on-miss", f"{self._folder}: {error.strerror}") from error

    def write(self, trace: bytes) -> None:
        """Write a file as a whole or not at all; a failure is counted, and said once."""
        moment = datetime.fromtimestamp(unix_ns() / NS_PER_S, UTC)
        path = self._folder / f"{self._stem}-{moment:%Y%m%dT%H%M%S}-{self._written + 1:03}.json"
        try:
            write_whole(path, trace)
        except OSError as error:
            if not self._failed:
                log.error("a trace could not be written: %s", error, extra=about("trace_failed"))
            self._failed += 1
            return
        self._written += 1
        log.warning("frames were missed; see %s", path, extra=about("missed", trace=str(path)))
        self._files.append(path)
        while len(self._files) > _FILES_MOST:
            with contextlib.suppress(OSError):
                self._files.popleft().unlink()

    def report(self) -> TracesReport:
        """Return the report's part."""
        return TracesReport(written=self._written, failed=self._failed)


class Tracer(Timings):
    """Takes note of events, remembers the newest, and makes traces of them.

    Args:
        facts: what traces say of the run.
        span_ns: how far back they reach.
        limit_ns: the deadline; None in lossless mode.
        on_miss: where traces go that are made after a burst of misses; None: nowhere.
    """

    name = "trace"

    def __init__(
        self, facts: TraceFacts, *, span_ns: int, limit_ns: int | None, clock: Clock, on_miss: MissTraces | None = None
    ) -> None:
        self._facts = facts
        self._span_ns = span_ns
        self._limits: deque[tuple[int, int]] = deque([] if limit_ns is None else [(0, limit_ns)], maxlen=_LIMITS_MOST)
        self._clock = clock
        self._on_miss = on_miss
        self._events: deque[Noted] = deque(maxlen=EVENTS_MOST)
        self._burst = MissBurst()
        self._burst_ns: int | None = None  # when there was one that is not written yet
        self._quiet_until_ns = 0
        self._closing = Flag(clock)

    def open(self) -> None:
        """Make room for traces.

        Raises:
            SinkOpenError: that is not possible.
        """
        if self._on_miss is not None:
            self._on_miss.open()

    def note(self, event: Event, at_ns: int, frame_id: int = -1, text: str = "", value: int = 0) -> None:
        if event is Event.ASKED:
            return
        self._events.append((at_ns, event, frame_id, text, value))
        if event is Event.CAPTURED:  # one thread at a time
            while self._events[0][0] < at_ns - self._span_ns:
                self._events.popleft()
        elif event is Event.LIMITED:
            self._limits.append((at_ns, value))
        elif event is Event.ANSWERED and self._on_miss is not None and self._burst.answered(at_ns, text):
            self._missed(at_ns)

    def trace(self, *, over: bool = False) -> bytes:
        """Return the trace of the last seconds; takes some tenths of a second.

        Args:
            over: whether the run is; frames that are still inside were abandoned then.
        """
        return chrome_trace(
            self._snapshot(), self._facts, limits=list(self._limits), now_ns=self._clock.now_ns(), over=over
        )

    def run(self) -> None:
        """Write a trace after each burst of misses until closed."""
        while not self._closing.wait(_POLL_NS):
            if self._burst_ns is not None and self._clock.now_ns() - self._burst_ns >= _AFTERMATH_NS:
                self._write_miss()
        if self._burst_ns is not None:
            self._write_miss()

    def close(self) -> None:
        """Make `run` write what is to be written and return."""
        self._closing.set()

    def report(self) -> TracesReport | None:
        """Return the report's part; None when misses are not traced."""
        return None if self._on_miss is None else self._on_miss.report()

    def _missed(self, at_ns: int) -> None:
        """Have a trace made, if the last one is old enough; answers are noted one at a time."""
        if at_ns >= self._quiet_until_ns:
            self._quiet_until_ns = at_ns + _APART_NS
            self._burst_ns = at_ns

    def _write_miss(self) -> None:
        self._burst_ns = None
        if self._on_miss is not None:
            self._on_miss.write(self.trace())

    def _snapshot(self) -> list[Noted]:
        while True:
            try:
                return list(self._events)
            except RuntimeError:  # an event was noted meanwhile; a copy is much quicker than events are
                continue
