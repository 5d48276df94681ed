"""What the page says first, of all that it knows."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.e2e

RECORD = {"frame": 7, "status": "fresh", "reason": None}
BEAT = {"frame": None, "status": "blind", "reason": "silent", "silent_ms": 1500.0}
RUNNING = {
    "report": {
        "mode": "live", "ready_s": 1.0, "duration_s": 9.0,
        "detector": {"model": "m", "provider": "cpu"}, "source": {"details": {"codec": "h264"}},
    },
    "settings": {"paused": False},
}  # fmt: skip
STARTING = {**RUNNING, "report": RUNNING["report"] | {"ready_s": None}}
PAUSED = {**RUNNING, "settings": {"paused": True}}
HELD = {**PAUSED, "report": RUNNING["report"] | {"mode": "lossless"}}


@pytest.mark.parametrize(
    ("link", "stream", "kind"),
    [
        ({"name": "connecting"}, {}, "wait"),
        ({"name": "locked"}, {}, "locked"),
        ({"name": "gone", "why": "broke", "sinceS": 1}, {}, "gone"),
        ({"name": "over", "sinceS": 1}, {}, "over"),
        ({"name": "live"}, {}, "none"),
        ({"name": "live"}, {"recordAtS": 18.9}, "stalled"),
        ({"name": "live"}, {"recordAtS": 18.9, "stepS": 1}, "none"),  # frames are that far between
        ({"name": "live"}, {"recordAtS": None}, "none"),  # nobody looks
        ({"name": "live"}, {"last": BEAT}, "blind"),
        ({"name": "live"}, {"last": RECORD | {"status": "blind", "reason": "warming"}, "blindSinceS": 19}, "blind"),
        ({"name": "live"}, {"last": RECORD | {"status": "blind", "reason": "paused"}}, "paused"),
        ({"name": "live"}, {"now": PAUSED}, "paused"),
        ({"name": "live"}, {"now": PAUSED, "recordAtS": 18.9}, "stalled"),  # there are heartbeats
        ({"name": "live"}, {"now": HELD, "recordAtS": 10}, "paused"),  # there are none
        ({"name": "live"}, {"now": HELD, "recordAtS": 10, "nowAtS": 17}, "stalled"),
        ({"name": "live"}, {"now": STARTING, "recordAtS": 10, "last": None}, "starting"),
        ({"name": "live"}, {"now": STARTING, "recordAtS": 10, "nowAtS": 17}, "stalled"),
        ({"name": "live"}, {"now": STARTING, "recordAtS": 19.9}, "none"),  # it is open by now
    ],
)
def test_what_must_be_said_first(module, link: dict[str, Any], stream: dict[str, Any], kind: str) -> None:  # type: ignore[no-untyped-def]
    """The connection before the pipeline, that before the camera, and a pause last; but first why nothing is due."""
    usual = {"recordAtS": 19.9, "nowAtS": 19.5, "stepS": 0.05, "last": RECORD, "now": RUNNING, "blindSinceS": None}
    function = "({ noticeOf }, [link, stream]) => noticeOf(link, stream, 20).kind"
    assert module("notice.js", function, [link, usual | stream]) == kind


@pytest.mark.parametrize(
    ("provider", "details", "text"),
    [
        ("", {}, "Waiting for the model and the source."),
        ("cpu", {}, "Waiting for the source."),
        ("", {"codec": "h264"}, "Waiting for the model."),
        ("cpu", {"codec": "h264"}, "Model and source are open; the rest follows."),
    ],
)
def test_a_start_says_what_is_waited_for(module, provider: str, details: dict[str, str], text: str) -> None:  # type: ignore[no-untyped-def]
    """Of model and source; and since when, by the run's own time."""
    parts = {"detector": {"model": "m", "provider": provider}, "source": {"details": details}}
    now = {**STARTING, "report": STARTING["report"] | parts}
    stream = {"recordAtS": 10, "nowAtS": 19.5, "stepS": None, "last": None, "now": now, "blindSinceS": None}
    notice = module("notice.js", "({ noticeOf }, stream) => noticeOf({ name: 'live' }, stream, 20)", stream)
    assert notice == {
        "kind": "starting", "title": "The run is starting", "text": text, "sinceS": 10.5, "isOld": False,
    }  # fmt: skip


@pytest.mark.parametrize("before", [STARTING, HELD], ids=["starting", "paused"])
def test_silence_begins_when_records_are_due(module, before: dict[str, Any]) -> None:  # type: ignore[no-untyped-def]
    """What was said to give none is not silent yet when it goes on."""
    kinds = module(
        "stream.js",
        """async ({ Stream }, [before, running]) => {
          const { noticeOf } = await import("/page/notice.js");
          const stream = new Stream();
          stream.connected(0);
          for (let atS = 0; atS <= 9; atS += 1) stream.takeNow(before, atS);
          stream.takeNow(running, 9.5);
          const situation = { ...stream.situation(), recordAtS: stream.recordAtS };
          return [9.6, 10.6].map((nowS) => noticeOf({ name: "live" }, situation, nowS).kind);
        }""",
        [before, RUNNING],
    )
    assert kinds == ["none", "stalled"]
