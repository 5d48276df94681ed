"""What stands behind each address, asked of the real server."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from itertools import islice
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from pipeline.frame import Answer, Health
from pipeline.report import Report
from stages.sink.record import record_from_answer
from stages.sink.serve.sink import ServeSink

Make = Callable[..., Answer]
Serve = Callable[..., ServeSink]
Ask = Callable[..., httpx.Response]
Connect = Callable[..., ClientConnection]

_BOUND_S = 20.0
WITH_TOKEN = {"authorization": "Bearer correct-horse"}


def received(client: ClientConnection) -> Any:
    return json.loads(client.recv(timeout=_BOUND_S))


def why_closed(client: ClientConnection) -> tuple[int, str]:
    """The code and the reason with which the server ends a connection."""
    with pytest.raises(ConnectionClosed) as closed:
        client.recv(timeout=_BOUND_S)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


def test_alive(serve: Serve, ask: Ask) -> None:
    """The process lives, whatever the run does."""
    assert ask(serve(), "/healthz").json() == {"alive": True}


def test_ready_when_answers_come(serve: Serve, ask: Ask, run: Any, make_answer: Make, make_report: Callable) -> None:
    """503 with the reason until the first answer, and when the health is bad; 200 in between."""
    sink = serve()
    unready = ask(sink, "/readyz")
    assert unready.status_code == 503
    assert unready.json() == {
        "ready": False, "health": "ok", "reason": "there was no fresh answer yet"
    }  # fmt: skip
    sink.write(make_answer(0), gap=0)
    ready = ask(sink, "/readyz")
    assert (ready.status_code, ready.json()) == (200, {"ready": True, "health": "ok", "reason": None})
    other = serve()
    run.told = make_report(health=Health.BLIND)
    other.write(make_answer(0), gap=0)
    assert ask(other, "/readyz").json()["reason"] == "the health is blind"


def test_the_state_of_the_run(serve: Serve, ask: Ask, run: Any) -> None:
    """Report, configuration and settings as the run tells them."""
    sink = serve()
    assert Report.model_validate_json(ask(sink, "/report").text) == run.told
    assert ask(sink, "/config").json() == {"source": "rtsp://***@cam/stream"}
    assert ask(sink, "/settings").json() == {"paused": False, "deadline_ms": 100.0, "track.min_score": 0.4}


def test_many_who_ask_cost_little(serve: Serve, ask: Ask, run: Any) -> None:
    """The report is not made anew for each."""
    sink = serve()
    for _ in range(30):
        assert ask(sink, "/report").status_code == 200
    assert run.reports < 30


def test_metrics(serve: Serve, ask: Ask) -> None:
    """In the format that is asked for."""
    sink = serve()
    text = ask(sink, "/metrics")
    assert text.headers["content-type"].startswith("text/plain; version=")
    assert 'framepace_frames_total{status="fresh",stream="cam0"} 80.0' in text.text
    asked = {"accept": "application/openmetrics-text; version=1.0.0"}
    assert ask(sink, "/metrics", headers=asked).text.endswith("# EOF\n")


def test_the_trace(serve: Serve, ask: Ask, run: Any) -> None:
    """A file to download, or a clear line when there is none."""
    sink = serve()
    untraced = ask(sink, "/trace.json")
    assert untraced.status_code == 404
    assert "--trace FILE" in untraced.json()["detail"]
    run.traced_as = b'{"traceEvents": []}'
    trace = ask(sink, "/trace.json")
    assert (trace.status_code, trace.content) == (200, run.traced_as)
    assert trace.headers["content-disposition"] == 'attachment; filename="framepace-trace.json"'


def test_the_description(serve: Serve, ask: Ask) -> None:
    """OpenAPI names every address, and what is refused how."""
    paths = ask(serve(), "/openapi.json").json()["paths"]
    expected = (
        "/ /page/{name} /healthz /readyz /report /config /settings /metrics /trace.json /results.ndjson "
        "/control/pause /control/resume /control/stop"
    )
    assert set(paths) == set(expected.split())
    assert {"401", "403", "408", "413", "422", "429"} <= paths["/settings"]["patch"]["responses"].keys()


@pytest.mark.parametrize(
    "path", ["/docs", "/redoc", "/results", "/page/", "/page/no.js", "/page/../sink.py", "/etc/passwd"]
)
def test_what_is_not_there(serve: Serve, ask: Ask, path: str) -> None:
    """404, and nothing of the disk; websocket addresses are no pages."""
    assert ask(serve(), path).status_code == 404


def test_results_over_a_websocket(serve: Serve, join: Connect, make_answer: Make) -> None:
    """Each record as one text message, with the wishes of the query."""
    sink = serve()
    every, seldom = join(sink, "/results"), join(sink, "/results?every=2&classes=car&min_score=0.5")
    for number in range(3):
        sink.write(make_answer(number), gap=0)
    assert [received(every) for _ in range(3)] == [record_from_answer(make_answer(number)) for number in range(3)]
    assert [received(seldom) for _ in range(2)] == [
        {**record_from_answer(make_answer(number)), "tracks": []} for number in (0, 2)
    ]


def test_results_as_lines(serve: Serve, make_answer: Make) -> None:
    """The same over plain HTTP; the stream ends with the run."""
    sink = serve()
    with httpx.stream(
        "GET", f"http://127.0.0.1:{sink.port}/results.ndjson?every=2", timeout=_BOUND_S, trust_env=False
    ) as stream:
        for number in range(3):
            sink.write(make_answer(number), gap=0)
        lines = stream.iter_lines()
        assert [json.loads(line)["frame"] for line in islice(lines, 2)] == [0, 2]
        sink.close()
        assert list(lines) == []
        assert stream.headers["content-type"] == "application/x-ndjson"


@pytest.mark.parametrize("query", ["every=0", "min_score=2", "min_score=x", "every=1e9"])
def test_wishes_that_make_no_sense(serve: Serve, ask: Ask, join: Connect, query: str) -> None:
    """They are refused with what is wrong."""
    sink = serve()
    refused = ask(sink, f"/results.ndjson?{query}")
    assert refused.status_code == 422
    assert refused.json()["detail"].startswith(query.partition("=")[0])
    code, reason = why_closed(join(sink, f"/results?{query}"))
    assert code == 1008
    assert reason.startswith(query.partition("=")[0])


def test_pictures_with_their_records(serve: Serve, join: Connect, make_answer: Make) -> None:
    """Length, record, JPEG in one message: boxes and picture belong together."""
    sink = serve(preview_width=320)
    viewer = join(sink, "/preview?rate=50&width=5000")
    picture = np.full((480, 640, 3), (200, 30, 90), np.uint8)
    answer = make_answer(4, picture=picture, size=(640, 480))
    sink.write(answer, gap=0)
    message = viewer.recv(timeout=_BOUND_S)
    assert isinstance(message, bytes)
    [length] = struct.unpack("!I", message[:4])
    assert json.loads(message[4 : 4 + length]) == record_from_answer(answer)
    shown = cv2.imdecode(np.frombuffer(message[4 + length :], np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert shown.shape == (240, 320, 3)
    assert np.abs(shown.astype(int) - (200, 30, 90)).max() < 6


@pytest.mark.parametrize("query", ["rate=0", "rate=nan", "width=0", "width=wide"])
def test_looks_that_make_no_sense(serve: Serve, join: Connect, query: str) -> None:
    """They are refused with what is wrong."""
    code, reason = why_closed(join(serve(), f"/preview?{query}"))
    assert code == 1008
    assert reason.startswith(query.partition("=")[0])


def test_the_state_now(serve: Serve, join: Connect, run: Any) -> None:
    """A page is told at once, and again when another one comes."""
    sink = serve()
    page = join(sink, "/now")
    told = received(page)
    assert told["report"] == run.told.model_dump(mode="json")
    assert told["window"]["span_s"] == 0
    assert told["depths"] == {"newest picture": 1}
    assert told["settings"] == run.settings()
    assert (told["controllable"], told["traced"], told["viewers"]) == (False, False, 0)
    join(sink, "/preview")
    join(sink, "/now")
    assert received(page)["viewers"] == 1


@pytest.mark.parametrize(
    ("path", "option"), [("/results", "result_clients"), ("/preview", "preview_clients"), ("/now", "page_clients")]
)
def test_further_clients_are_refused(serve: Serve, join: Connect, path: str, option: str) -> None:
    """Beyond the limit of their kind the code is 1013, try again later; other kinds have their own room."""
    sink = serve(**{option: 1})
    join(sink, path)
    assert why_closed(join(sink, path)) == (1013, "too many clients")
    assert sink.statistics()["refused"] == 1
    join(sink, "/now" if path != "/now" else "/results")


def test_further_lines_are_refused(serve: Serve, ask: Ask, join: Connect) -> None:
    """503 beyond the limit."""
    sink = serve(result_clients=1)
    join(sink, "/results")
    refused = ask(sink, "/results.ndjson")
    assert (refused.status_code, refused.json()) == (503, {"detail": "too many clients"})
    assert sink.statistics()["refused"] == 1
