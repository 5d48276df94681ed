"""The page's parts on their own, in the browser: what they keep, what they refuse, and what they say."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.e2e

RECORD = {
    "schema": "framepace/1", "stream": "cam0", "frame": 7, "pts_s": 0.2, "captured_s": 100.0, "clock": "pts",
    "status": "fresh", "reason": None, "due_s": 100.1, "published_s": 100.04, "age_ms": 40.0, "health": "ok",
    "width": 640, "height": 480, "tracks": [],
}  # fmt: skip
BEAT = {
    "schema": "framepace/1", "stream": "cam0", "frame": None, "status": "blind", "reason": "silent",
    "published_s": 102.0, "silent_ms": 1500.0, "health": "blind", "tracks": [],
}  # fmt: skip


def test_the_history_forgets(module) -> None:  # type: ignore[no-untyped-def]
    """What is older than half a minute, at any rate of frames; nothing grows."""
    kept = module(
        "history.js",
        """({ History }, record) => {
          const history = new History();
          for (let frame = 0; frame < 60000; frame += 1) {
            const atS = frame / 100;
            history.add({ ...record, frame, captured_s: atS, published_s: atS }, atS);
          }
          const many = history.entries.length;
          for (let frame = 60000; frame < 90000; frame += 1) history.add({ ...record, frame }, 600);
          return [many, history.entries.length, history.entries.at(-1).frame];
        }""",
        RECORD,
    )
    assert kept == [3101, 8192, 89999]


def test_the_history_knows_what_is_missing(module) -> None:  # type: ignore[no-untyped-def]
    """Frames before one with a gap, and times without any, of which heartbeats tell."""
    entries = module(
        "history.js",
        """({ History }, [record, beat]) => {
          const history = new History();
          history.add({ ...record, frame: 4, gap: 4 }, 10);
          history.add({ ...record, frame: 8, captured_s: 100.5, gap: 3 }, 10.5);
          history.add(beat, 12);
          history.add({ ...beat, published_s: 102.5 }, 12.5);
          return history.entries.map((entry) => [entry.fate, entry.firstFrame, entry.frame, entry.fromS, entry.atS]);
        }""",
        [RECORD, BEAT],
    )
    assert entries == [
        ["fresh", 4, 4, 100.0, 100.0],  # what was before the page came is not missing
        ["missing", 5, 7, 100.0, 100.5],
        ["fresh", 8, 8, 100.5, 100.5],
        ["away", None, None, 100.5, 102.5],
    ]


def test_trails_forget(module) -> None:  # type: ignore[no-untyped-def]
    """Tracks that ended, and where things were long ago."""
    kept = module(
        "trails.js",
        """({ Trails }) => {
          const trails = new Trails();
          const box = [0, 0, 10, 20];
          trails.add([{ id: 1, box }], 0);
          for (let step = 0; step < 5000; step += 1) trails.add([{ id: 2, box }, { id: 100 + step, box }], step / 10);
          return [trails.until(1, 500).length, trails.until(2, 499.9).length, trails.until(2, 499.9)[0]];
        }""",
    )
    assert kept[:2] == [0, 40]
    assert kept[2] == {"x": 5, "y": 20, "atS": 496}


def test_a_preview_message_is_taken_apart(module) -> None:  # type: ignore[no-untyped-def]
    """Into the record and the picture; one that is shorter than it says is refused."""
    taken = module(
        "preview.js",
        """({ previewFromBuffer }) => {
          const record = new TextEncoder().encode('{"frame": 3}');
          const message = new Uint8Array(4 + record.length + 2);
          new DataView(message.buffer).setUint32(0, record.length);
          message.set(record, 4);
          const { record: { frame }, jpeg } = previewFromBuffer(message.buffer);
          let refused = 0;
          for (const wrong of [message.buffer.slice(0, 9), new ArrayBuffer(2)]) {
            try { previewFromBuffer(wrong); } catch (error) { refused += error instanceof RangeError; }
          }
          return [frame, jpeg.size, refused];
        }""",
    )
    assert taken == [3, 2, 2]


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ({}, "No answers yet."),
        ({"fresh": 1}, "Every answer was fresh."),
        ({"missed": 3}, "No reasons are known; frames without an answer: 3."),
        ({"fresh": 9, "missed": 1}, "No reasons are known; frames without an answer: 1."),
        ({"fresh": 9, "undecodable": 1, "abandoned": 1}, "No reasons are known; frames without an answer: 2."),
        ({"fresh": 9, "forecast": 1}, "No reasons are known."),
        ({"blind": 1}, "No reasons are known."),
    ],
)
def test_only_fresh_answers_are_called_fresh(module, frames: dict[str, int], text: str) -> None:  # type: ignore[no-untyped-def]
    """Where no reason was counted it is said that all was fresh only if something was, and nothing else."""
    none = dict.fromkeys(("captured", "fresh", "forecast", "blind", "missed", "undecodable", "abandoned"), 0)
    said = module(
        "lists.js",
        """({ showLists }, frames) => {
          for (const id of ["reasons", "blames", "books", "source", "detector", "sinks", "queues", "changes",
            "changes-note", "changes-panel"]) document.body.appendChild(document.createElement("div")).id = id;
          const source = { clock: null, reconnects: 0, losses: {}, away_s: 0, heartbeats: 0, details: {} };
          const report = { frames, source, reasons: { late: 0 }, detector: null, sinks: {}, queues: {}, changes: [] };
          showLists({ report, window: {}, viewers: 0 });
          return document.getElementById("reasons").lastChild.textContent;
        }""",
        none | frames,
    )
    assert said == text


def test_a_trace_has_time_to_come(module) -> None:  # type: ignore[no-untyped-def]
    """A minute, where other answers have five seconds."""
    limits_ms = module(
        "trace.js",
        """async ({ startTrace }) => {
          const { Access } = await import("/page/access.js");
          const limitsMs = [];
          const timeout = AbortSignal.timeout.bind(AbortSignal);
          AbortSignal.timeout = (ms) => (limitsMs.push(ms), timeout(ms));
          window.fetch = async () => new Response("not here", { status: 404 });
          document.body.innerHTML = "<button id=trace></button><i id=trace-said></i>";
          const access = new Access();
          await access.request("report");
          startTrace(access);
          document.getElementById("trace").click();
          return limitsMs;
        }""",
    )
    assert limits_ms == [5000, 60_000]


def test_the_facts_of_a_frame(module) -> None:  # type: ignore[no-untyped-def]
    """Say in words what became of it, why, and which stage it was."""
    blame = {"stage": "detect", "part": "run", "took_ms": 88.0, "usual_ms": 60.0}
    late = RECORD | {"status": "forecast", "reason": "late", "health": "degraded", "blame": blame}
    facts = module(
        "words.js", "({ factsOf }, [entry, nowS]) => factsOf(entry, nowS)",
        [{"fate": "forecast", "firstFrame": 7, "frame": 7, "fromS": 100, "atS": 100, "record": late}, 103],
    )  # fmt: skip
    assert facts == (
        "frame 7 · forecast, late: the result was not ready by the deadline (detect took 88.0 ms, usually 60.0) · "
        "40.0 ms old, 60.0 ms to spare · 0 objects · health degraded · 3.0 s ago"
    )


def test_numbers_are_readable(module) -> None:  # type: ignore[no-untyped-def]
    """With as many digits as mean something, and a dash where there is none."""
    written = module(
        "format.js",
        """(format) => [
          format.milliseconds(0.417), format.milliseconds(4.17), format.milliseconds(417.2), format.milliseconds(null),
          format.percent(1), format.percent(0.99999), format.percent(null), format.count(1234567),
          format.duration(12.34), format.duration(245), format.duration(11220), format.duration(187200),
        ]""",
    )
    assert written == [
        "0.42", "4.2", "417", "\u2013", "100", "99.9", "\u2013", "1\u202f234\u202f567",
        "12.3 s", "4 min 05 s", "3 h 07 min", "2 d 04 h",
    ]  # fmt: skip
