"""What changes the run, asked of the real server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from stages.sink.serve.sink import ServeSink

Serve = Callable[..., ServeSink]
Ask = Callable[..., httpx.Response]

TOKEN = "correct-horse"
BEARER = {"authorization": f"Bearer {TOKEN}"}
CONTROLS = [
    ("POST", "/control/pause"),
    ("POST", "/control/resume"),
    ("POST", "/control/stop"),
    ("PATCH", "/settings"),
]


@pytest.mark.parametrize(("method", "path"), CONTROLS)
def test_control_is_off_without_a_token(serve: Serve, ask: Ask, run: Any, method: str, path: str) -> None:
    """403, and how to turn it on; nothing is changed."""
    refused = ask(serve(), path, method, json={"deadline_ms": 50.0})
    assert refused.status_code == 403
    assert "--token-file" in refused.json()["detail"]
    assert (run.changes, run.stopped) == ([], False)


@pytest.mark.parametrize(("method", "path"), CONTROLS)
def test_control_wants_the_token(serve: Serve, ask: Ask, run: Any, method: str, path: str) -> None:
    """401 without it."""
    assert ask(serve(token=TOKEN), path, method, json={"deadline_ms": 50.0}).status_code == 401
    assert (run.changes, run.stopped) == ([], False)


def test_pause_resume_and_stop(serve: Serve, ask: Ask, run: Any) -> None:
    """Each does what it says."""
    sink = serve(token=TOKEN)
    assert ask(sink, "/control/pause", "POST", headers=BEARER).json() == {"done": "paused"}
    assert run.values["paused"] is True
    assert ask(sink, "/control/resume", "POST", headers=BEARER).json() == {"done": "resumed"}
    assert run.values["paused"] is False
    stopped = ask(sink, "/control/stop", "POST", headers=BEARER)
    assert (stopped.status_code, stopped.json(), run.stopped) == (202, {"done": "stopping"}, True)
    assert run.asked_by == ["127.0.0.1"] * 3


def test_settings_are_changed(serve: Serve, ask: Ask, run: Any) -> None:
    """The answer says how they are now."""
    changed = ask(
        serve(token=TOKEN), "/settings", "PATCH", headers=BEARER, json={"deadline_ms": 80.0, "track.min_score": 0.5}
    )
    assert changed.status_code == 200
    assert changed.json() == {"paused": False, "deadline_ms": 80.0, "track.min_score": 0.5}
    assert run.changes == [("deadline_ms", 80.0), ("track.min_score", 0.5)]


def test_all_or_nothing(serve: Serve, ask: Ask, run: Any) -> None:
    """When one cannot be changed, those before it are as they were; the message names it and what would be right."""
    before = dict(run.values)
    refused = ask(
        serve(token=TOKEN), "/settings", "PATCH", headers=BEARER, json={"deadline_ms": 80.0, "track.min_score": 7.0}
    )
    assert refused.status_code == 422
    assert refused.json() == {"detail": "track.min_score: must be from 0 to 1, not 7.0"}
    assert run.values == before


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"colour": 1}', "colour: there is no such setting"),
        ("{}", "nothing is to be changed"),
        ("[1]", "valid dictionary"),
        ("deadline", "JSON decode error"),
        ("", "Field required"),
    ],
)
def test_what_cannot_be_changed(serve: Serve, ask: Ask, run: Any, content: str, says: str) -> None:
    """422 with one line that says why."""
    headers = BEARER | {"content-type": "application/json"}
    refused = ask(serve(token=TOKEN), "/settings", "PATCH", headers=headers, content=content)
    assert refused.status_code == 422
    assert says in refused.json()["detail"]
    assert "\n" not in refused.json()["detail"]
    assert run.changes == []


@pytest.mark.parametrize(("method", "path"), [("GET", "/control/stop"), ("DELETE", "/settings"), ("PUT", "/report")])
def test_other_methods(serve: Serve, ask: Ask, run: Any, method: str, path: str) -> None:
    """405: a link or an image of somebody's page cannot control anything."""
    assert ask(serve(token=TOKEN), path, method, headers=BEARER).status_code == 405
    assert not run.stopped
