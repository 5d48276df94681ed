"""The page and its addresses, served by the real program."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator

import httpx
import pytest
from websockets.sync.client import connect

pytestmark = pytest.mark.e2e

_BOUND_S = 20.0
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=_BOUND_S, trust_env=False) as client:
        yield client


def address_of(process: subprocess.Popen[str]) -> str:
    """The page's address, which is the first thing that is said."""
    assert process.stderr is not None
    said = process.stderr.readline()
    found = re.fullmatch(r"serving (http://127\.0\.0\.1:\d+)/\n", said)
    assert found, said
    return found[1]


def test_a_run_can_be_looked_at(start: Start, client: httpx.Client) -> None:
    """Address, page, report, metrics and records while it goes; it ends as it would without."""
    process = start("run", "synthetic:", "--pace", "30", "--duration", "6s", "--serve", "127.0.0.1:0")
    address = address_of(process)
    with connect(f"{address.replace('http', 'ws')}/results", proxy=None, open_timeout=_BOUND_S) as reader:
        frames = [json.loads(reader.recv(timeout=_BOUND_S))["frame"] for _ in range(30)]
    assert frames == list(range(frames[0], frames[0] + 30))
    assert "<html" in client.get(address).text
    report = client.get(f"{address}/report").json()
    assert report["balanced"]
    assert report["frames"]["captured"] >= 30
    assert client.get(f"{address}/readyz").json()["ready"]
    assert "framepace_frames_total" in client.get(f"{address}/metrics").text
    assert process.wait(_BOUND_S) == 0


def test_a_run_can_be_stopped(start: Start, client: httpx.Client) -> None:
    """With the token, from elsewhere; without it not."""
    process = start(
        "run", "synthetic:frames=100000", "--pace", "30", "--serve", "127.0.0.1:0", "--token", "correct-horse"
    )
    address = address_of(process)
    assert client.post(f"{address}/control/stop").status_code == 401
    stopped = client.post(f"{address}/control/stop", headers={"authorization": "Bearer correct-horse"})
    assert stopped.status_code == 202
    assert process.wait(_BOUND_S) == 0


def test_the_page_is_there_before_the_camera(start: Start, client: httpx.Client) -> None:
    """While the source is waited for it says so; nothing is ready yet."""
    process = start("run", "rtsp://127.0.0.1:1/x", "--retry-start", "--serve", "127.0.0.1:0")
    address = address_of(process)
    assert client.get(f"{address}/readyz").status_code == 503
    assert client.get(f"{address}/report").json()["frames"]["captured"] == 0
    process.terminate()
    assert process.wait(_BOUND_S) == 0
