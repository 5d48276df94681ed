"""Events as a trace in JSON."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.chrome import Noted, TraceFacts, chrome_trace
from pipeline.clock import NS_PER_MS
from pipeline.timings import Event

MS = NS_PER_MS
LIVE = TraceFacts("cam0", live=True, stages=("decode", "detect", "track"), sinks=("sink jsonl",))
FRESH: list[Noted] = [
    (1 * MS, Event.CAPTURED, 0, "", 0),
    (2 * MS, Event.BEGAN, -1, "decode", 1 * MS),
    (5 * MS, Event.OFFERED, 0, "", 0),
    (2 * MS, Event.DECODED, -1, "", 4 * MS),
    (7 * MS, Event.BEGAN, 0, "detect", 2 * MS),
    (7 * MS, Event.RAN, 0, "detect", 30 * MS),
    (38 * MS, Event.BEGAN, 0, "track", 1 * MS),
    (38 * MS, Event.RAN, 0, "track", 2 * MS),
    (40 * MS, Event.MEASURED, 0, "", 0),
    (41 * MS, Event.ANSWERED, 0, "fresh", 1 * MS),
    (43 * MS, Event.WRITTEN, 0, "sink jsonl", 1 * MS),
]
Line = dict[str, object]
Check = Callable[[bytes], list[Line]]


def drawn(events: list[Noted], facts: TraceFacts = LIVE, *, now_ms: int = 100, over: bool = True) -> bytes:
    return chrome_trace(events, facts, limits=[(0, 100 * MS)], now_ns=now_ms * MS, over=over)


def tracks(lines: list[Line]) -> dict[object, str]:
    return {line["tid"]: line["args"]["name"] for line in lines if line["name"] == "thread_name"}  # type: ignore[index]


def spans(lines: list[Line]) -> list[tuple[str, str, float, float]]:
    """Track, name, start and duration in ms."""
    names = tracks(lines)
    return [
        (names[line["tid"]], str(line["name"]), line["ts"] / 1000, line["dur"] / 1000)  # type: ignore[operator]
        for line in lines
        if line["ph"] == "X"
    ]


def fates(lines: list[Line]) -> dict[object, Line]:
    """The arguments of the instant events that settle frames, by frame."""
    args = [line["args"] for line in lines if line["ph"] == "i"]
    return {one["frame"]: one for one in args if isinstance(one, dict) and "fate" in one}


def test_the_way_of_a_frame(check_trace: Check) -> None:
    """Waits and runs on the tracks of their threads, in flow order."""
    lines = check_trace(drawn(FRESH))
    assert list(tracks(lines).values()) == [
        "capture", "decode wait", "decode", "detect wait", "detect", "track wait", "track", "publish", "sink jsonl"
    ]  # fmt: skip
    assert spans(lines) == [
        ("capture", "capture", 0, 1),
        ("decode wait", "decode wait", 1, 1),
        ("decode", "decode", 2, 4),
        ("detect wait", "detect wait", 5, 2),
        ("detect", "detect", 7, 30),
        ("track wait", "track wait", 37, 1),
        ("track", "track", 38, 2),
        ("publish", "answer", 41, 1),
        ("sink jsonl", "write", 43, 1),
    ]


def test_the_fate_of_a_frame(check_trace: Check) -> None:
    """With reason, age, deadline and blame."""
    late: list[Noted] = [*FRESH[:5], (90 * MS, Event.BLAMED, 0, "detect run", 83 * MS)]
    late += [(90 * MS, Event.ANSWERED, 0, "forecast:late", MS)]
    assert fates(check_trace(drawn(FRESH)))[0] == {"frame": 0, "fate": "fresh", "age_ms": 41.0, "deadline_ms": 100.0}
    assert fates(check_trace(drawn(late)))[0] == {
        "frame": 0,
        "fate": "forecast",
        "reason": "late",
        "age_ms": 90.0,
        "deadline_ms": 100.0,
        "blame": "detect run 83.0 ms",
    }


def test_what_belongs_to_a_frame_is_tied_together(check_trace: Check) -> None:
    """A flow through its spans, and one asynchronous event from capture to answer."""
    lines = check_trace(drawn(FRESH))
    names = tracks(lines)
    flow = [(line["ph"], names[line["tid"]]) for line in lines if line.get("cat") == "flow"]
    assert flow == [("s", "capture"), ("t", "decode"), ("t", "detect"), ("t", "track"), ("f", "publish")]
    whole = [(line["ph"], line["ts"]) for line in lines if line.get("cat") == "frame"]
    assert whole == [("b", 0.0), ("e", 41_000.0)]


def test_counters(check_trace: Check) -> None:
    """How many frames are inside, and how old the answers are."""
    lines = check_trace(drawn(FRESH))
    counted = [(line["name"], line["args"]) for line in lines if line["ph"] == "C"]
    assert counted == [("frames inside", {"frames": 1}), ("age", {"ms": 41.0}), ("frames inside", {"frames": 0})]


def test_what_overlaps_gets_a_lane_of_its_own(check_trace: Check) -> None:
    """Two frames wait for the same stage; the first lane is used again."""
    events: list[Noted] = [(at * MS, Event.BEGAN, at, "track", wait * MS) for at, wait in ((10, 8), (12, 8), (20, 8))]
    waits = [span for span in spans(check_trace(drawn(events))) if "wait" in span[0]]
    assert waits == [
        ("track wait", "track wait", 2, 8),
        ("track wait 2", "track wait", 4, 8),
        ("track wait", "track wait", 12, 8),
    ]


@pytest.mark.parametrize(("over", "fate"), [(True, "abandoned"), (False, "open")])
def test_what_is_not_finished_is_drawn_until_now(check_trace: Check, *, over: bool, fate: str) -> None:
    """A stage that is stuck is what one wants to see; a frame that is still inside is abandoned if the run is over."""
    lines = check_trace(drawn(FRESH[:5], over=over))
    assert ("detect", "detect", 7, 93) in spans(lines)
    assert [line["args"] for line in lines if line["ph"] == "e"] == [{"fate": fate}]
    assert (0 in fates(lines)) == over
    stuck = check_trace(drawn(FRESH[:2]))
    assert ("decode", "decode", 2, 98) in spans(stuck)


def test_frames_without_a_picture(check_trace: Check) -> None:
    """An answer that was given before that was known stands."""
    assert fates(check_trace(drawn([FRESH[0], (3 * MS, Event.UNDECODABLE, 0, "", 0)])))[0]["fate"] == "undecodable"
    answered: list[Noted] = [FRESH[0], (90 * MS, Event.ANSWERED, 0, "blind:late", MS)]
    late = check_trace(drawn([*answered, (95 * MS, Event.UNDECODABLE, 0, "", 0)]))
    assert fates(late)[0]["fate"] == "blind"
    assert [line["args"] for line in late if line["ph"] == "e"] == [{"fate": "blind:late"}]


def test_a_missed_frame_has_no_answer(check_trace: Check) -> None:
    """Its fate is there, and nothing was handed over."""
    lines = check_trace(drawn([FRESH[0], (101 * MS, Event.ANSWERED, 0, "missed", 0)], now_ms=102))
    assert fates(lines)[0]["fate"] == "missed"
    assert "answer" not in [name for _, name, _, _ in spans(lines)]


def test_a_deadline_that_was_changed(check_trace: Check) -> None:
    """Each frame has that of its capture."""
    events: list[Noted] = [FRESH[0], (50 * MS, Event.CAPTURED, 1, "", 49 * MS)]
    events += [(60 * MS, Event.ANSWERED, frame, "fresh", 0) for frame in (0, 1)]
    trace = chrome_trace(events, LIVE, limits=[(0, 100 * MS), (20 * MS, 80 * MS)], now_ns=70 * MS, over=True)
    assert [fate["deadline_ms"] for fate in fates(check_trace(trace)).values()] == [100.0, 80.0]


def test_a_lossless_run_has_no_ages(check_trace: Check) -> None:
    """Its capture times are those of the recording; the frame begins when it was read."""
    facts = TraceFacts("cam0", live=False, stages=("detect",), sinks=())
    events: list[Noted] = [(9 * MS, Event.CAPTURED, 0, "", 77_000 * MS), (12 * MS, Event.ANSWERED, 0, "fresh", 0)]
    lines = check_trace(drawn(events, facts))
    assert fates(lines)[0] == {"frame": 0, "fate": "fresh"}
    assert [line["ts"] for line in lines if line["ph"] in "be"] == [9_000.0, 12_000.0]


def test_a_trace_may_begin_in_the_middle(check_trace: Check) -> None:
    """Of a frame whose capture is forgotten there is what is left."""
    lines = check_trace(drawn(FRESH[5:]))
    assert fates(lines)[0] == {"frame": 0, "fate": "fresh"}
    assert ("detect", "detect", 7, 30) in spans(lines)
    assert [line for line in lines if line["ph"] in "beC"] == []


def test_names_are_kept_as_they_are(check_trace: Check) -> None:
    """Whatever a stream is called."""
    facts = TraceFacts('door "\\ é\u2028', live=True, stages=(), sinks=())
    trace = drawn([], facts)
    check_trace(trace)
    assert json.loads(trace)["otherData"]["stream"] == facts.stream


_EVENT = st.tuples(
    st.integers(0, 200).map(lambda at_ms: at_ms * MS),
    st.sampled_from(list(Event)),
    st.integers(0, 4),
    st.sampled_from(["decode", "detect", "fresh", "blind:late", "missed"]),
    st.integers(0, 50).map(lambda took_ms: took_ms * MS),
)


@given(events=st.lists(_EVENT, max_size=60), over=st.booleans())
def test_whatever_was_noted_the_trace_is_well_formed(check_trace: Check, events: list[Noted], *, over: bool) -> None:
    """In any order, as threads may note it, and with its beginning cut off."""
    seen: set[int] = set()
    once = [event for event in events if event[1] is not Event.CAPTURED or not (event[2] in seen or seen.add(event[2]))]
    check_trace(drawn(once, now_ms=300, over=over))


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_as_it_was(*, enabled: bool) -> None:
    """It is kept away while a trace is made, also from one that fails, and not afterwards."""
    was_enabled = gc.isenabled()
    (gc.enable if enabled else gc.disable)()

    def events() -> Iterator[Noted]:
        assert not gc.isenabled()
        yield from ()
        raise RuntimeError("no more events")

    try:
        with pytest.raises(RuntimeError, match="no more"):
            chrome_trace(events(), TraceFacts("cam0", True, (), ()), limits=[], now_ns=0, over=True)
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if was_enabled else gc.disable)()
