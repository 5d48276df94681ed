"""The last seconds of a run, kept for traces."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.assembly import RunSettings
from pipeline.chrome import TraceFacts
from pipeline.clock import NS_PER_MS, NS_PER_S, RealClock
from pipeline.errors import SinkOpenError
from pipeline.frame import Mode
from pipeline.graph import Graph
from pipeline.run import Run
from pipeline.testing import ManualClock, NumberSource, PassDecoder, PassDetector, RecordingSink, SnapshotStage
from pipeline.timings import Event
from pipeline.trace import MissBurst, MissTraces, Tracer

Check = Callable[[bytes], list[dict[str, object]]]
FACTS = TraceFacts("cam0", live=True, stages=("detect",), sinks=())
PERIOD_NS = 40 * NS_PER_MS


def tracer(clock: ManualClock | None = None, *, on_miss: MissTraces | None = None, span_s: int = 30) -> Tracer:
    return Tracer(
        FACTS, span_ns=span_s * NS_PER_S, limit_ns=100 * NS_PER_MS, clock=clock or ManualClock(), on_miss=on_miss
    )


def settled(trace: bytes) -> list[object]:
    """The frames whose fate a trace tells."""
    return [
        line["args"]["frame"]
        for line in json.loads(trace)["traceEvents"]
        if "fate" in line.get("args", ()) and line["ph"] == "i"
    ]


def note_frame(target: Tracer, frame_id: int, text: str = "fresh", *, at_ns: int | None = None) -> None:
    at_ns = frame_id * PERIOD_NS if at_ns is None else at_ns
    target.note(Event.CAPTURED, at_ns, frame_id, value=at_ns)
    target.note(Event.ANSWERED, at_ns + 5 * NS_PER_MS, frame_id, text)


def test_only_the_last_seconds_are_kept() -> None:
    """What is older than the span is forgotten as frames come."""
    kept = tracer(span_s=2)
    for frame_id in range(200):
        note_frame(kept, frame_id)
    assert settled(kept.trace()) == list(range(149, 200))


def test_a_fast_run_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a bound on the number of events, too."""
    monkeypatch.setattr("pipeline.trace.EVENTS_MOST", 10)
    kept = tracer()
    for frame_id in range(200):
        note_frame(kept, frame_id)
    assert settled(kept.trace()) == list(range(195, 200))


def test_a_trace_can_be_asked_for_while_events_are_noted(check_trace: Check) -> None:
    """From another thread, again and again."""
    kept = tracer(span_s=1)
    stop = threading.Event()

    def note() -> None:
        frame_id = 0
        while not stop.is_set():
            note_frame(kept, frame_id)
            frame_id += 1

    thread = threading.Thread(target=note)
    thread.start()
    try:
        for _ in range(20):
            check_trace(kept.trace())
    finally:
        stop.set()
        thread.join(10)


def test_a_changed_deadline_is_known() -> None:
    """Also when the event itself is forgotten."""
    kept = tracer(span_s=1)
    note_frame(kept, 0)
    kept.note(Event.LIMITED, 30 * NS_PER_MS, value=80 * NS_PER_MS)
    for frame_id in range(1, 100):
        note_frame(kept, frame_id)
    fates = [line["args"] for line in json.loads(kept.trace())["traceEvents"] if line["ph"] == "i"]
    assert {fate["deadline_ms"] for fate in fates} == {80.0}


def burst_at(answers: list[str]) -> list[int]:
    """Return the answers that completed a burst, at 25 fps."""
    burst = MissBurst()
    return [place for place, text in enumerate(answers) if burst.answered(place * PERIOD_NS, text)]


FRESH = ["fresh"] * 50
LATE, MISSED = "forecast:late", "missed"


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        pytest.param([*FRESH, LATE, MISSED, "blind:late"], [52], id="three in a row"),
        pytest.param([*FRESH, LATE, *FRESH[:10], LATE, *FRESH[:10], LATE], [72], id="three in a second"),
        pytest.param([*FRESH, LATE, *FRESH[:20], LATE, *FRESH[:20], LATE], [], id="three in two seconds"),
        pytest.param([*FRESH, LATE, LATE, "fresh"], [], id="two"),
        pytest.param([*FRESH, *["forecast:superseded"] * 9, *["forecast:would_miss"] * 9], [], id="other reasons"),
        pytest.param([*FRESH[:29], LATE, LATE, LATE], [], id="too little was seen before"),
        pytest.param([*FRESH[:20], *["forecast:superseded"] * 21, LATE, LATE, LATE], [], id="it was not mostly fresh"),
        pytest.param([LATE] * 90, [], id="it was never fresh"),
        pytest.param([*[LATE] * 300, *FRESH * 5, LATE, LATE, LATE], [552], id="a bad time that is over"),
    ],
)
def test_a_burst_of_misses(answers: list[str], expected: list[int]) -> None:
    """Three missed or late within a second, in a run that was mostly fresh in the ten seconds before."""
    assert burst_at(answers) == expected


class Missing:
    """A tracer on a hand-turned clock whose run misses when it is told to."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.traces = MissTraces(folder, "door/1")
        self.tracer = tracer(self.clock, on_miss=self.traces)
        self.frames = 0
        self.thread = threading.Thread(target=self.tracer.run)

    def answer(self, *texts: str) -> None:
        for text in texts:
            note_frame(self.tracer, self.frames, text, at_ns=self.clock.now_ns())
            self.frames += 1
            self.clock.advance(PERIOD_NS)

    def close(self) -> None:
        """Let the thread write what it is to write, and end."""
        self.tracer.close()
        self.tracer.run()


def test_a_burst_leaves_a_trace(tmp_path: Path, check_trace: Check) -> None:
    """In the folder, which is made; the frames of the burst are in it."""
    missing = Missing(tmp_path / "misses")
    missing.tracer.open()
    missing.answer(*FRESH, LATE, LATE, LATE, "fresh")
    missing.close()
    [path] = (tmp_path / "misses").iterdir()
    assert path.name.startswith("door_1-")
    assert path.suffix == ".json"
    check_trace(path.read_bytes())
    assert settled(path.read_bytes()) == list(range(54))
    report = missing.tracer.report()
    assert report is not None
    assert (report.written, report.failed) == (1, 0)


def test_a_trace_shows_what_came_of_the_burst(tmp_path: Path) -> None:
    """It is made a second later, by the tracer's own thread."""
    missing = Missing(tmp_path)
    missing.thread.start()
    missing.clock.wait_for_waiters(1)
    missing.answer(*FRESH, LATE, LATE, LATE)
    missing.answer(*FRESH[:30])
    while not list(tmp_path.glob("*.json")):
        missing.clock.wait_for_waiters(1)
        missing.clock.advance(250 * NS_PER_MS)
    missing.tracer.close()
    missing.thread.join(10)
    assert not missing.thread.is_alive()
    [path] = tmp_path.iterdir()
    assert max(settled(path.read_bytes())) >= 53 + 24  # type: ignore[type-var,operator]


def test_a_second_burst_within_half_a_minute_is_left_alone(tmp_path: Path) -> None:
    """The disk and the processor have other things to do."""
    missing = Missing(tmp_path)
    for _ in range(4):
        missing.answer(*FRESH, LATE, LATE, LATE)
    missing.close()
    missing.clock.advance(40 * NS_PER_S)
    missing.answer(*FRESH * 6, LATE, LATE, LATE)
    missing.close()
    assert len(list(tmp_path.iterdir())) == 2


def test_the_newest_traces_are_kept(tmp_path: Path) -> None:
    """At most twenty of a stream, over all its runs; what others wrote there stays."""
    (tmp_path / "other.json").write_text("{}")
    (tmp_path / "cam0-2-20200101T000000-001.json").write_text("{}")
    (tmp_path / "cam0-20200101T000000-001.json").write_text("of an earlier run")
    traces = MissTraces(tmp_path, "cam0")
    traces.open()
    for number in range(25):
        traces.write(str(number).encode())
    assert (tmp_path / "cam0-2-20200101T000000-001.json").exists()
    mine = sorted(tmp_path.glob("cam0-????????T*"), key=lambda path: path.stem.rsplit("-")[-1])
    assert [path.read_text() for path in mine] == [str(number) for number in range(5, 25)]
    assert (tmp_path / "other.json").exists()
    assert traces.report().written == 25


def test_a_disk_that_takes_nothing_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The run goes on, and each failure counts."""
    traces = MissTraces(tmp_path / "gone", "cam0")
    with caplog.at_level(logging.ERROR, "framepace"):
        traces.write(b"{}")
        traces.write(b"{}")
    assert len(caplog.records) == 1
    assert (traces.report().written, traces.report().failed) == (0, 2)


def test_a_folder_that_cannot_be_made_is_said_at_the_start(tmp_path: Path) -> None:
    """Before anything runs."""
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "none" / "misses", tmp_path / "file"):
        with pytest.raises(SinkOpenError):
            Missing(folder).tracer.open()


@pytest.mark.parametrize("mode", list(Mode))
def test_a_run_is_traced(mode: Mode, check_trace: Check) -> None:
    """Each frame is there once, with its stages, in both modes; nothing when no trace is wanted."""
    clock = RealClock()
    live = clock if mode is Mode.LIVE else None
    stages = [("detect", PassDetector()), ("track", SnapshotStage())]
    source = NumberSource(20, period_ns=5 * NS_PER_MS, clock=live)
    plan = Graph.chain(source, PassDecoder(broken=[3]), stages, [("sink", RecordingSink())]).check(mode)
    run = Run(plan, RunSettings("cam", mode, cores=2, workers=2, trace_ns=30 * NS_PER_S), clock=clock)
    run.start()
    report = run.join()
    trace = run.trace()
    assert trace is not None
    lines = check_trace(trace)
    assert sorted(settled(trace)) == list(range(20))  # type: ignore[type-var]
    names = {line["args"]["name"] for line in lines if line["name"] == "thread_name"}  # type: ignore[index]
    assert {"decode", "detect", "track", "publish", "sink"} <= names
    ran = [line for line in lines if line["ph"] == "X" and line["name"] == "detect"]
    assert len(ran) == report.stages["detect"].items
    untraced = Run(plan, RunSettings("cam", mode, cores=2))
    assert untraced.trace() is None
