"""Looks at the live page of the real program with a real browser: Debian's chromium, driven by Playwright."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, WebSocket, sync_playwright

WAIT_MS = 30_000
"""Whatever has not happened by then does not happen."""
_POLL_S = 0.05
_FLAGS = [
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_CUT_OFF = ("net::ERR_", "WebSocket connection to")
"""What a browser says about a server that is not there."""
_DESKTOP = (1440, 900)
_FILES = Path(__file__).resolve().parents[3] / "stages" / "sink" / "serve" / "page"


@dataclass
class Served:
    """The real program, with its page."""

    port: int
    process: subprocess.Popen[str]
    report_file: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def wait_listening(self) -> Served:
        """Wait until it answers."""
        end_s = time.monotonic() + WAIT_MS / 1000
        while True:
            try:
                urllib.request.urlopen(f"{self.url}healthz", timeout=2).close()
            except OSError:
                assert self.process.poll() is None, self.process.communicate()
                assert time.monotonic() < end_s
                time.sleep(_POLL_S)
            else:
                return self

    def wait_report(self, holds: Callable[[dict[str, Any]], bool], *, meanwhile: Callable[[float], None]) -> None:
        """Wait until the report so far is as wanted; `meanwhile` passes so many milliseconds."""
        end_s = time.monotonic() + WAIT_MS / 1000
        while True:
            with urllib.request.urlopen(f"{self.url}report", timeout=2) as answer:
                report = json.load(answer)
            if holds(report):
                return
            assert time.monotonic() < end_s, report
            meanwhile(_POLL_S * 1000)

    def ended(self) -> dict[str, Any]:
        """Wait for its end and return its report."""
        _, said = self.process.communicate(timeout=WAIT_MS / 1000)
        assert self.process.returncode == 0, said
        report: dict[str, Any] = json.loads(self.report_file.read_text())
        return report


Serve = Callable[..., Served]


@pytest.fixture
def synthetic() -> dict[str, Any]:
    """A stream without end that costs next to nothing: boxes that move."""
    return {
        "source": {"kind": "synthetic", "frames": None, "pace": "pts", "fps": 20},
        "stages": ["synthetic_detect", "track"],
        "deadline": "500ms",
    }


@pytest.fixture
def serve(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> Serve:
    """Start the program on a configuration, with a page on a free port, or on the given one."""

    def run(config: dict[str, Any], *, port: int | None = None, **options: Any) -> Served:
        if port is None:
            with socket.socket() as listener:
                listener.bind(("127.0.0.1", 0))
                port = int(listener.getsockname()[1])
        whole = {**config, "sinks": [{"kind": "serve", "port": port, **options}], "report": "report.json"}
        (tmp_path / "run.yaml").write_text(json.dumps(whole))
        process = start("run", "--config", "run.yaml", "--quiet")
        return Served(port, process, tmp_path / "report.json").wait_listening()

    return run


@dataclass
class Visit:
    """A page that is open, and what the browser had to complain about."""

    page: Page
    allowed: tuple[str, ...] = ()
    complaints: list[str] = field(default_factory=list)
    sockets: list[WebSocket] = field(default_factory=list)

    def hear(self, message: ConsoleMessage) -> None:
        """Note what the console says; policy violations are said there, too."""
        if message.type == "error" and not any(text in message.text for text in self.allowed):
            self.complaints.append(message.text)

    def open_sockets(self) -> set[str]:
        """Return the paths of the websockets that are open."""
        return {one.url.split("?")[0].rsplit("/", 1)[1] for one in self.sockets if not one.is_closed()}

    def wait(self, expression: str, argument: object = None) -> None:
        """Wait until a JavaScript expression, or a function of the argument, is true in the page.

        Playwright's own wait_for_function evaluates text in the page, which the page's policy forbids.
        """
        end_s = time.monotonic() + WAIT_MS / 1000
        while not self.page.evaluate(expression, argument):
            assert time.monotonic() < end_s, f"{expression} did not come true; {self.page.inner_text('body')}"
            self.page.wait_for_timeout(_POLL_S * 1000)

    def wait_link(self, name: str) -> None:
        self.wait("name => document.body.dataset.link === name", name)

    def wait_notice(self, kind: str) -> None:
        self.wait("kind => document.body.dataset.notice === kind", kind)

    def text(self, selector: str) -> str:
        return self.page.inner_text(selector)


Look = Callable[..., Visit]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's browser. Playwright keeps an event loop in this thread while it is open, so each module has its own."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not installed; on Debian and Ubuntu: make test-packages")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def look(chromium: Browser) -> Iterator[Look]:
    """A function that opens a page; at the end no console may have had anything to complain about."""
    visits: list[Visit] = []

    def visit(
        url: str,
        *,
        size: tuple[int, int] = _DESKTOP,
        colours: str = "dark",
        touch: bool = False,
        script: str | None = None,
        outages: bool = False,
        allowed: tuple[str, ...] = (),
    ) -> Visit:
        context = chromium.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=colours,  # type: ignore[arg-type]  # a string of a few
            has_touch=touch,
            is_mobile=touch,
        )
        if script is not None:
            context.add_init_script(script)
        page = context.new_page()
        seen = Visit(page, allowed + (_CUT_OFF if outages else ()))
        visits.append(seen)
        page.on("console", seen.hear)
        page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        page.on("websocket", lambda socket: seen.sockets.append(socket))
        page.goto(url, timeout=WAIT_MS)
        return seen

    yield visit
    for seen in visits:
        seen.page.context.close()
        assert seen.complaints == []


@pytest.fixture
def module(chromium: Browser) -> Iterator[Callable[..., Any]]:
    """A function that calls a function with a module of the page and an argument."""
    page = chromium.new_page()

    def answer(route: Route) -> None:
        name = route.request.url.rsplit("/", 1)[1]
        body = (_FILES / name).read_text() if name else ""
        route.fulfill(body=body, content_type="text/javascript" if name else "text/html")

    page.route("**/*", answer)
    page.goto("http://page.test/")

    def call(name: str, function: str, argument: object = None) -> Any:
        return page.evaluate(f"async (given) => ({function})(await import('/page/{name}'), given)", argument)

    yield call
    page.close()
