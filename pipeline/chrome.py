"""Turns events of a run into a trace in the Trace Event Format (JSON), as chrome://tracing and Perfetto open it.

    capture      from the capture to when the engine learnt of a frame
    STAGE wait   frames that wait in front of a stage
    STAGE        what the stage's thread does
    publish      answers, with the fate as an instant event
    SINK         what the sink's thread writes

A track on which things overlap, such as frames that wait for the same stage, is drawn in several lanes. Flow events
lead through what happened to one frame, an asynchronous event spans its time from capture to answer, and counters show
how many frames wait for their answer and how old the answers are. Time stamps are microseconds of the run's clock.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TypeVar

from pipeline.clock import NS_PER_MS, NS_PER_S
from pipeline.frame import Fate
from pipeline.timings import Event

Noted = tuple[int, Event, int, str, int]
"""An event as it was noted: when, what, frame, text, value."""
T = TypeVar("T")

_PID = 1
_FLOW, _FRAME, _AGES, _LINE = "flow", "frame", "age", "frames inside"
_LOST = {
    Event.UNDECODABLE: Fate.UNDECODABLE.value,
    Event.SHED: "shed",
    Event.FAILED: "failed",
    Event.SKIPPED: "skipped",
}

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


@dataclass(frozen=True, slots=True)
class TraceFacts:
    """What a trace says of its run."""

    stream: str
    live: bool
    stages: tuple[str, ...]
    """All that have a thread, in flow order, the decoder too."""
    sinks: tuple[str, ...]


@dataclass(slots=True)
class _Span:
    """Something that took time on a track."""

    track: str
    name: str
    start_ns: int
    end_ns: int
    args: dict[str, object]
    lane: int = 0


@dataclass(slots=True)
class _Frame:
    """What became of one frame."""

    begin_ns: int | None = None
    """When it was captured; None: before the trace begins."""
    limit_ns: int | None = None
    way: list[_Span] = field(default_factory=list)
    blame: str | None = None
    end_ns: int | None = None
    fate: str = ""


def chrome_trace(
    events: Iterable[Noted], facts: TraceFacts, *, limits: Sequence[tuple[int, int]], now_ns: int, over: bool
) -> bytes:
    """Return the trace.

    Args:
        events: in the order in which they were noted.
        facts: of the run.
        limits: deadlines of the run: since when, and how long; the first from the beginning.
        now_ns: what is not finished is drawn until then.
        over: whether the run is; frames that are still inside are abandoned then.
    """
    drawn = _Drawing(facts, limits)
    with _no_collection():
        for at_ns, event, frame_id, text, value in events:
            drawn.take(at_ns, event, frame_id, text, value)
        drawn.finish(now_ns, over=over)
        head = _encode({"displayTimeUnit": "ms", "otherData": {"stream": facts.stream, "live": facts.live}})
        lines = ",\n".join(drawn.lines())
    return f'{head[:-1]},"traceEvents":[\n{lines}\n]}}\n'.encode()


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the garbage collector away from the many small objects of a trace.

    It would look through all of them several times, and all threads of the run would wait for that: 20 ms and more.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _Drawing:
    """Collects spans and instants, and then gives them lanes and order."""

    def __init__(self, facts: TraceFacts, limits: Sequence[tuple[int, int]]) -> None:
        self._facts = facts
        self._limits = limits
        self._spans: list[_Span] = []
        self._instants: list[tuple[int, str, str, dict[str, object]]] = []  # when, track, name, arguments
        self._counts: list[tuple[int, str, float]] = []
        self._frames: dict[int, _Frame] = {}
        self._inside = 0
        self._running: dict[tuple[str, int], int] = {}  # stage and frame, since when
        self._decoding_ns: int | None = None
        self._offered: list[int] = []  # since the decoder began with its present packet

    def take(self, at_ns: int, event: Event, frame_id: int, text: str, value: int) -> None:
        """Take the next event."""
        match event:
            case Event.CAPTURED:
                self._captured(at_ns, frame_id, value)
            case Event.OFFERED:
                self._offered.append(frame_id)
            case Event.BEGAN:
                self._began(at_ns, frame_id, text, value)
            case Event.DECODED:
                self._decoded(at_ns, value)
            case Event.RAN:
                self._running.pop((text, frame_id), None)
                self._on_way(frame_id, self._span(text, text, at_ns, at_ns + value, {"frame": frame_id}))
            case Event.WOKEN:
                self._span("publish wait", "woken late", at_ns - value, at_ns, {})
            case Event.BLAMED:
                self._frame(frame_id).blame = f"{text} {_ms(value)} ms"
            case Event.ANSWERED:
                self._answered(at_ns, frame_id, text, value)
            case Event.WRITTEN:
                self._span(text, "write", at_ns, at_ns + value, {"frame": frame_id})
            case Event.UNDECODABLE | Event.SHED | Event.FAILED | Event.SKIPPED:
                self._lost(at_ns, frame_id, event)
            case Event.WARMED | Event.ENDED | Event.PAUSED | Event.RESUMED:
                self._instants.append((at_ns, "publish", event.value, {}))

    def finish(self, now_ns: int, *, over: bool) -> None:
        """Draw what is not finished."""
        for (stage, frame_id), start_ns in self._running.items():
            args: dict[str, object] = {"frame": frame_id, "unfinished": True}
            self._on_way(frame_id, self._span(stage, stage, start_ns, max(start_ns, now_ns), args))
        if self._decoding_ns is not None:
            self._span("decode", "decode", self._decoding_ns, max(self._decoding_ns, now_ns), {"unfinished": True})
        for frame_id, frame in self._frames.items():
            if frame.end_ns is None and frame.begin_ns is not None:
                frame.end_ns = max(now_ns, frame.begin_ns)
                frame.fate = Fate.ABANDONED.value if over else "open"
                if over:
                    self._instants.append(
                        (frame.end_ns, "publish", frame.fate, {"frame": frame_id, "fate": frame.fate})
                    )

    def lines(self) -> Iterator[str]:
        """Give the events of the trace as JSON: names first, then by time.

        The threads of the run must not wait for it, so each event is encoded by itself.
        """
        lanes = _give_lanes(self._spans)
        tids = self._tids(lanes)
        yield from map(_encode, self._names(tids))
        events = itertools.chain(
            self._span_lines(tids), self._instant_lines(tids), self._frame_lines(tids), self._count_lines()
        )
        for _, text in _in_order(((place, _encode(line)) for place, line in events), itemgetter(0)):
            yield text

    # Events

    def _frame(self, frame_id: int) -> _Frame:
        return self._frames.setdefault(frame_id, _Frame())

    def _span(self, track: str, name: str, start_ns: int, end_ns: int, args: dict[str, object]) -> _Span:
        span = _Span(track, name, start_ns, end_ns, args)
        self._spans.append(span)
        return span

    def _on_way(self, frame_id: int, span: _Span) -> None:
        self._frame(frame_id).way.append(span)

    def _captured(self, at_ns: int, frame_id: int, captured_ns: int) -> None:
        frame = self._frame(frame_id)
        frame.begin_ns = at_ns
        if self._facts.live:
            frame.begin_ns = min(captured_ns, at_ns)
            frame.limit_ns = next((limit for since, limit in reversed(self._limits) if since <= frame.begin_ns), None)
            self._on_way(frame_id, self._span("capture", "capture", frame.begin_ns, at_ns, {"frame": frame_id}))
        self._count_inside(at_ns, 1)

    def _began(self, at_ns: int, frame_id: int, stage: str, wait_ns: int) -> None:
        args: dict[str, object] = {}
        if frame_id < 0:
            self._decoding_ns = at_ns
            self._offered.clear()
        else:
            self._running[stage, frame_id] = at_ns
            args["frame"] = frame_id
        if wait_ns > 0:
            self._span(f"{stage} wait", f"{stage} wait", at_ns - wait_ns, at_ns, args)

    def _decoded(self, at_ns: int, run_ns: int) -> None:
        self._decoding_ns = None
        span = self._span("decode", "decode", at_ns, at_ns + run_ns, {"frames": list(self._offered)})
        for frame_id in self._offered:
            self._on_way(frame_id, span)
        self._offered.clear()

    def _answered(self, at_ns: int, frame_id: int, text: str, value: int) -> None:
        frame = self._frame(frame_id)
        fate, _, reason = text.partition(":")
        args: dict[str, object] = {"frame": frame_id, "fate": fate}
        if reason:
            args["reason"] = reason
        if self._facts.live and frame.begin_ns is not None and frame.limit_ns is not None:
            args |= {"age_ms": _ms(at_ns - frame.begin_ns), "deadline_ms": _ms(frame.limit_ns)}
            self._counts.append((at_ns, _AGES, _ms(at_ns - frame.begin_ns)))
        if frame.blame is not None:
            args["blame"] = frame.blame
        if fate != Fate.MISSED:
            self._on_way(frame_id, self._span("publish", "answer", at_ns, at_ns + value, {"frame": frame_id}))
        self._settle(at_ns, frame_id, text, args)

    def _lost(self, at_ns: int, frame_id: int, event: Event) -> None:
        if event is not Event.UNDECODABLE:  # such a frame is answered all the same
            self._instants.append((at_ns, "publish", _LOST[event], {"frame": frame_id}))
        elif self._frame(frame_id).end_ns is None:
            self._settle(at_ns, frame_id, _LOST[event], {"frame": frame_id, "fate": _LOST[event]})

    def _settle(self, at_ns: int, frame_id: int, fate: str, args: dict[str, object]) -> None:
        frame = self._frame(frame_id)
        frame.end_ns, frame.fate = at_ns, fate
        self._instants.append((at_ns, "publish", fate, args))
        if frame.begin_ns is not None:
            self._count_inside(at_ns, -1)

    def _count_inside(self, at_ns: int, step: int) -> None:
        self._inside += step
        self._counts.append((at_ns, _LINE, self._inside))

    # Lines, each with its place in the order: time, then the longer span first

    def _tids(self, lanes: dict[str, int]) -> dict[tuple[str, int], int]:
        stages = [name for stage in self._facts.stages for name in (f"{stage} wait", stage)]
        order = ["capture", *stages, "publish wait", "publish", *self._facts.sinks]
        order += sorted(set(lanes) - set(order))
        tids: dict[tuple[str, int], int] = {}
        for track in order:
            for lane in range(lanes.get(track, 1 if track == "publish" else 0)):
                tids[track, lane] = len(tids) + 1
        return tids

    def _names(self, tids: dict[tuple[str, int], int]) -> Iterator[dict[str, object]]:
        name = f"framepace {self._facts.stream}"
        yield {"ph": "M", "name": "process_name", "pid": _PID, "tid": 0, "ts": 0, "args": {"name": name}}
        for (track, lane), tid in tids.items():
            label = track if not lane else f"{track} {lane + 1}"
            yield {"ph": "M", "name": "thread_name", "pid": _PID, "tid": tid, "ts": 0, "args": {"name": label}}
            index = {"sort_index": tid}
            yield {"ph": "M", "name": "thread_sort_index", "pid": _PID, "tid": tid, "ts": 0, "args": index}

    def _span_lines(self, tids: dict[tuple[str, int], int]) -> Iterator[tuple[tuple[int, int], dict[str, object]]]:
        for span in self._spans:
            took_ns = span.end_ns - span.start_ns
            line = _line("X", span.name, span.start_ns, tids[span.track, span.lane])
            yield (span.start_ns, -took_ns), line | {"cat": "stage", "dur": took_ns / 1000, "args": span.args}

    def _instant_lines(self, tids: dict[tuple[str, int], int]) -> Iterator[tuple[tuple[int, int], dict[str, object]]]:
        for at_ns, track, name, args in self._instants:
            yield (at_ns, 1), _line("i", name, at_ns, tids[track, 0]) | {"cat": "fate", "s": "t", "args": args}

    def _frame_lines(self, tids: dict[tuple[str, int], int]) -> Iterator[tuple[tuple[int, int], dict[str, object]]]:
        for frame_id, frame in self._frames.items():
            if frame.begin_ns is not None and frame.end_ns is not None:
                end_ns = max(frame.begin_ns, frame.end_ns)
                ends = (("b", frame.begin_ns, {"frame": frame_id}), ("e", end_ns, {"fate": frame.fate}))
                for phase, at_ns, args in ends:
                    line = _line(phase, _FRAME, at_ns, tids["publish", 0])
                    yield (at_ns, 2), line | {"cat": _FRAME, "id": frame_id, "args": args}
            way = sorted(frame.way, key=lambda span: span.start_ns)
            for place, span in enumerate(way if len(way) > 1 else ()):
                phase = "s" if place == 0 else "f" if place == len(way) - 1 else "t"
                line = _line(phase, _FRAME, span.start_ns, tids[span.track, span.lane])
                yield (span.start_ns, 3), line | {"cat": _FLOW, "id": frame_id} | ({"bp": "e"} if phase == "f" else {})

    def _count_lines(self) -> Iterator[tuple[tuple[int, int], dict[str, object]]]:
        for at_ns, name, value in self._counts:
            key = "ms" if name == _AGES else "frames"
            yield (at_ns, 4), _line("C", name, at_ns, 0) | {"args": {key: value}}


def _line(phase: str, name: str, at_ns: int, tid: int) -> dict[str, object]:
    return {"ph": phase, "name": name, "pid": _PID, "tid": tid, "ts": at_ns / 1000}


def _in_order(items: Iterable[T], place: Callable[[T], tuple[int, int]]) -> Iterator[T]:
    """Sort by place, a time and what decides between equal ones, a second of the run at a time.

    A sort as a whole would keep the interpreter lock for too long.
    """
    seconds: dict[int, list[T]] = {}
    for item in items:
        seconds.setdefault(place(item)[0] // NS_PER_S, []).append(item)
    for second in sorted(seconds):
        yield from sorted(seconds.pop(second), key=place)


def _give_lanes(spans: list[_Span]) -> dict[str, int]:
    """Let no two spans of one lane overlap; return how many lanes each track has."""
    ends: dict[str, list[int]] = {}
    for span in _in_order(spans, lambda span: (span.start_ns, span.end_ns)):
        lanes = ends.setdefault(span.track, [])
        span.lane = next((lane for lane, end_ns in enumerate(lanes) if end_ns <= span.start_ns), len(lanes))
        if span.lane == len(lanes):
            lanes.append(span.end_ns)
        else:
            lanes[span.lane] = span.end_ns
    return {track: len(lanes) for track, lanes in ends.items()}


def _ms(duration_ns: int) -> float:
    return round(duration_ns / NS_PER_MS, 3)
