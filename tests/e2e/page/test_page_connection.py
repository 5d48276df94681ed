"""What the live page says when the camera, the pipeline or the connection is gone, and that it comes back."""

from __future__ import annotations

import importlib
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"
SLOW_BYTES_PER_S = 8_000
"""Less than the records of a second, and than one picture of the preview."""


@pytest.fixture
def rtsp() -> Iterator[ModuleType]:
    """The module of our own camera."""
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module("rtsp_server")
    sys.path.remove(str(BENCHMARKS))


def hang_up(camera: Any) -> Callable[[], None]:
    camera.kill()
    return camera.revive  # type: ignore[no-any-return]


def stall(camera: Any) -> Callable[[], None]:
    camera.behaviour.is_stalled = True
    return lambda: setattr(camera.behaviour, "is_stalled", False)


@pytest.mark.parametrize(
    ("break_it", "words"),
    [(hang_up, "Blind: the camera"), (stall, "Blind: nothing comes from the camera")],
    ids=["hung up", "silent"],
)
def test_a_lost_camera_is_blindness(serve, look, rtsp, break_it, words: str) -> None:  # type: ignore[no-untyped-def]
    """The banner says why and since when, the picture is marked as old; both go when the camera is back."""
    with rtsp.Camera(rtsp.numbered_clip(fps=15, width=320, height=240)) as camera:
        source = {"kind": "video", "url": camera.url, "stall_timeout": "600ms", "open_timeout": "1s"}
        engine = {"reconnect_first": "100ms", "reconnect_most": "400ms"}
        seen = look(serve({"source": source, "deadline": "500ms", "engine": engine}).url)
        seen.wait_notice("none")
        mend = break_it(camera)
        seen.wait_notice("blind")
        seen.wait("words => document.getElementById('banner').innerText.startsWith(words)", words)
        seen.wait("document.body.dataset.old === 'yes'")
        seen.wait("document.getElementById('health').dataset.health === 'blind'")
        seen.wait("document.title.startsWith('blind')")
        seen.wait("document.getElementById('banner-count').textContent.startsWith('for ')")
        assert "does not mean that the scene is empty" in seen.text("#banner")
        mend()
        seen.wait_notice("none")
        seen.wait("document.body.dataset.old === undefined")


def test_a_camera_that_is_not_there_yet_is_waited_for(serve, look, rtsp) -> None:  # type: ignore[no-untyped-def]
    """The page says so, and shows the run as soon as it goes on."""
    with rtsp.Camera(rtsp.numbered_clip(fps=15, width=320, height=240)) as camera:
        revive = hang_up(camera)
        source = {"kind": "video", "url": camera.url, "open_timeout": "1s"}
        engine = {"reconnect_first": "100ms", "reconnect_most": "400ms"}
        config = {"source": source, "mode": "live", "deadline": "500ms", "engine": engine, "retry_start": True}
        seen = look(serve(config).url)
        seen.wait("document.getElementById('banner-text').textContent === 'Waiting for the source.'")
        seconds = "parseFloat(document.getElementById('duration').textContent)"
        seen.wait(f"until => {seconds} > until", seen.page.evaluate(seconds) + 3)
        assert seen.text("#banner-title") == "The run is starting"
        revive()
        seen.wait_notice("none")


def test_a_run_that_ended_is_said_and_the_next_one_shown(serve, look, synthetic: dict[str, Any]) -> None:  # type: ignore[no-untyped-def]
    """Without a reload: the page tries again, more and more seldom, until a program answers on the port."""
    first = serve(synthetic)
    seen = look(first.url, outages=True)
    seen.wait_notice("none")
    first.process.send_signal(signal.SIGINT)
    seen.wait_link("over")
    assert seen.text("#banner-title") == "The run is over"
    assert seen.text("#link") == "run is over"
    report = first.ended()
    assert report["published_late"] == 0
    seen.wait("/again in \\d+ s/.test(document.getElementById('banner-count').textContent)")
    serve({**synthetic, "stream": "second"}, port=first.port)
    seen.page.click("#try-now")
    seen.wait_notice("none")
    seen.wait("document.getElementById('stream').textContent === 'second'")


def test_a_killed_program_is_no_connection(serve, look, synthetic: dict[str, Any]) -> None:  # type: ignore[no-untyped-def]
    """The page says so, and comes back by itself."""
    first = serve(synthetic)
    seen = look(first.url, outages=True)
    seen.wait_notice("none")
    first.process.kill()
    seen.wait_link("gone")
    assert seen.text("#banner-title") == "No connection"
    seen.wait("document.getElementById('health').dataset.health === 'unknown'")
    serve(synthetic, port=first.port)
    seen.wait_link("live")
    seen.wait_notice("none")


def test_a_program_that_hangs_is_said(serve, look, synthetic: dict[str, Any]) -> None:  # type: ignore[no-untyped-def]
    """Though every connection is still open."""
    served = serve(synthetic)
    seen = look(served.url)
    seen.wait_notice("none")
    served.process.send_signal(signal.SIGSTOP)
    seen.wait_notice("stalled")
    seen.wait("document.getElementById('banner-title').textContent === 'Nothing comes any more'")
    served.process.send_signal(signal.SIGCONT)
    seen.wait_notice("none")


def test_a_page_that_nobody_sees_takes_no_pictures(serve, look, synthetic: dict[str, Any]) -> None:  # type: ignore[no-untyped-def]
    """Nor records; it goes on when it is seen again."""
    seen = look(serve(synthetic).url)
    seen.wait("document.querySelector('#sinks').innerText.includes('1 looking')")
    assert seen.open_sockets() == {"now", "results", "preview"}
    seen.page.evaluate(
        """() => {
          window.isHidden = true;
          Object.defineProperty(document, "visibilityState", { get: () => (window.isHidden ? "hidden" : "visible") });
          document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    seen.wait("document.querySelector('#sinks').innerText.includes('0 looking')")
    assert seen.open_sockets() == {"now"}
    assert seen.page.get_attribute("body", "data-notice") == "none"
    seen.page.evaluate("() => { isHidden = false; document.dispatchEvent(new Event('visibilitychange')); }")
    seen.wait("document.querySelector('#sinks').innerText.includes('1 looking')")
    seen.wait_notice("none")


def test_a_slow_browser_skips_and_slows_nothing(serve, look, synthetic: dict[str, Any]) -> None:  # type: ignore[no-untyped-def]
    """Its network takes less than one picture a second: it is left out of much, and the run does not notice."""
    crowd = {**synthetic, "source": {**synthetic["source"], "objects": 40}}
    served = serve(crowd, client_queue=4)
    seen = look(served.url, outages=True)
    seen.wait_notice("none")
    session = seen.page.context.new_cdp_session(seen.page)
    conditions = {"offline": False, "latency": 100, "downloadThroughput": SLOW_BYTES_PER_S, "uploadThroughput": -1}
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", conditions)
    served.wait_report(lambda report: sum(left_out(report)) > 20, meanwhile=seen.page.wait_for_timeout)
    served.process.send_signal(signal.SIGINT)
    report = served.ended()
    frames = report["frames"]
    assert report["published_late"] == 0
    assert frames["missed"] <= frames["captured"] // 50  # the browser has the same cores
    assert frames["fresh"] > 0.8 * frames["captured"]


def left_out(report: dict[str, Any]) -> tuple[int, int]:
    """Return how many records readers were too slow for, and how many readers were let go."""
    details = report["sinks"]["sink serve"]["details"]
    return details["skipped"], details["dropped"]
