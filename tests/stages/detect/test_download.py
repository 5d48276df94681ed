"""Pulling a model from a real HTTP server, which can do what servers and networks do."""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import StageOpenError
from stages.detect.download import pull
from stages.detect.store import KnownModel

CONTENT = np.random.default_rng(7).bytes(1_000_000)
"""Of the model; more than a few network buffers."""


@dataclass
class Script:
    """What the server does, and what it was asked."""

    content: bytes = CONTENT
    resumes: bool = True
    """Whether it understands Range."""
    status: int = 200
    cut_after: list[int] = field(default_factory=list)
    """For each request to come: how many bytes are sent before the connection is cut."""
    redirect: bool = False
    """Whether the first address leads to another one."""
    range_answer: str | None = None
    """A Content-Range to answer with instead of the right one."""
    seen: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and Range of each request."""


class Handler(BaseHTTPRequestHandler):
    """Plays the server's script."""

    def do_GET(self) -> None:  # the name that http.server wants
        script: Script = self.server.script  # type: ignore[attr-defined]  # put there by the fixture
        asked = self.headers.get("Range")
        script.seen.append((self.path, asked))
        if script.redirect and self.path != "/moved.onnx":
            self._head(302, 0, {"Location": "/moved.onnx"})
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and script.resumes else 0
        if start > len(script.content) or (start and start == len(script.content)):
            self._head(416, 0, {})
            return
        body = script.content[start:]
        if script.status != 200:
            self._head(script.status, 0, {})
            return
        content_range = script.range_answer or f"bytes {start}-{len(script.content) - 1}/{len(script.content)}"
        self._head(206 if start else 200, len(body), {"Content-Range": content_range} if start else {})
        with contextlib.suppress(ConnectionError):  # who has had too much hangs up
            self.wfile.write(body[: script.cut_after.pop(0)] if script.cut_after else body)

    def _head(self, status: int, length: int, more: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in ({"Content-Length": str(length)} | more).items():
            self.send_header(key, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """A server with a script; its threads end with it."""

    daemon_threads = False
    script: Script

    @property
    def url(self) -> str:
        """Address of the model."""
        return f"http://127.0.0.1:{self.server_port}/model.onnx"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server on a free port of this machine; proxies that the environment may name are not used."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with Server(("127.0.0.1", 0), Handler) as running:
        running.script = Script()
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join(10)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A folder that is not there yet."""
    return tmp_path / "cache" / "models"


def model_at(url: str) -> KnownModel:
    """The model that the server ought to have."""
    return KnownModel("m", "a model", "none", "m.onnx", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), url)


def names_in(cache: Path) -> list[str]:
    """What lies in the cache."""
    return sorted(path.name for path in cache.iterdir()) if cache.exists() else []


def test_whole(server: Server, cache: Path) -> None:
    """A model comes over, is told of as it comes, and lies there alone; the second time nothing is fetched."""
    progress: list[int] = []
    model = model_at(server.url)
    assert pull(model, cache, on_progress=progress.append) == cache / "m.onnx"
    assert (cache / "m.onnx").read_bytes() == CONTENT
    assert progress == sorted(set(progress))
    assert progress[-1] == len(CONTENT)
    assert names_in(cache) == ["m.onnx"]
    assert pull(model, cache) == cache / "m.onnx"
    assert server.script.seen == [("/model.onnx", None)]


def test_redirect(server: Server, cache: Path) -> None:
    """Redirects are followed, as release pages need it."""
    server.script.redirect = True
    pull(model_at(server.url), cache)
    assert [path for path, _ in server.script.seen] == ["/model.onnx", "/moved.onnx"]


def test_resumes(server: Server, cache: Path) -> None:
    """What was begun is gone on with, not fetched again."""
    cache.mkdir(parents=True)
    (cache / "m.onnx.part").write_bytes(CONTENT[:400_000])
    progress: list[int] = []
    pull(model_at(server.url), cache, on_progress=progress.append)
    assert (cache / "m.onnx").read_bytes() == CONTENT
    assert server.script.seen == [("/model.onnx", "bytes=400000-")]
    assert min(progress) > 400_000
    assert names_in(cache) == ["m.onnx"]


def test_server_that_cannot_resume(server: Server, cache: Path) -> None:
    """A server without Range sends everything again, and the file is right."""
    server.script.resumes = False
    cache.mkdir(parents=True)
    (cache / "m.onnx.part").write_bytes(b"x" * 400_000)
    pull(model_at(server.url), cache)
    assert (cache / "m.onnx").read_bytes() == CONTENT


def test_only_the_name_was_missing(server: Server, cache: Path) -> None:
    """A file that came whole, but was not named yet, is not fetched again."""
    cache.mkdir(parents=True)
    (cache / "m.onnx.part").write_bytes(CONTENT)
    pull(model_at(server.url), cache)
    assert (cache / "m.onnx").read_bytes() == CONTENT
    assert server.script.seen == []


@pytest.mark.parametrize("begun", [b"x" * 400_000, b"x" * len(CONTENT), b"x" * (len(CONTENT) + 1)])
def test_a_wrong_beginning_is_replaced(begun: bytes, server: Server, cache: Path) -> None:
    """A begun file that cannot become the right one is fetched anew, in the same call."""
    cache.mkdir(parents=True)
    (cache / "m.onnx.part").write_bytes(begun)
    pull(model_at(server.url), cache)
    assert (cache / "m.onnx").read_bytes() == CONTENT
    assert server.script.seen[-1] == ("/model.onnx", None)


def test_a_damaged_model_is_fetched_again(server: Server, cache: Path) -> None:
    """A model that changed on disk since it was pulled is replaced."""
    cache.mkdir(parents=True)
    (cache / "m.onnx").write_bytes(CONTENT[:-1] + b"!")
    pull(model_at(server.url), cache)
    assert (cache / "m.onnx").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]), "not " + hashlib.sha256(CONTENT).hexdigest() + "; it was deleted"),
        (CONTENT + b"more", "sends more than the 1000000 bytes of this model; it was deleted"),
    ],
    ids=["same size", "longer"],
)
def test_wrong_content(content: bytes, said: str, server: Server, cache: Path) -> None:
    """What has not the known hash is deleted, and said to be wrong."""
    server.script.content = content
    with pytest.raises(StageOpenError, match=re.escape(said)) as error:
        pull(model_at(server.url), cache)
    assert error.value.what == "m"
    assert server.url in error.value.why
    assert names_in(cache) == []


def test_shorter_content(server: Server, cache: Path) -> None:
    """A file that ends early is never taken for the model."""
    server.script.content = CONTENT[:500_000]
    with pytest.raises(StageOpenError, match="416"):
        pull(model_at(server.url), cache)
    assert names_in(cache) == []


@pytest.mark.parametrize(("status", "said"), [(404, "404 Not Found"), (403, "403 Forbidden"), (500, "500 Internal")])
def test_refusal(status: int, said: str, server: Server, cache: Path) -> None:
    """An answer other than the file is passed on in one line, and leaves what was begun."""
    server.script.status = status
    cache.mkdir(parents=True)
    (cache / "m.onnx.part").write_bytes(CONTENT[:10])
    with pytest.raises(StageOpenError, match=re.escape(f"m: {server.url} answered {said}")):
        pull(model_at(server.url), cache)
    assert names_in(cache) == ["m.onnx.part"]


def test_cut_connections_are_taken_up_again(server: Server, cache: Path) -> None:
    """As long as every attempt brings something, a bad line is only slow."""
    server.script.cut_after = [300_000, 300_000]
    pull(model_at(server.url), cache)
    assert (cache / "m.onnx").read_bytes() == CONTENT
    starts = [int(asked[6:-1]) if asked else 0 for _, asked in server.script.seen]
    assert starts[0] == 0
    assert starts[0] < starts[1] < starts[2]


def test_cut_for_good(server: Server, cache: Path) -> None:
    """A line that brings nothing more is an error; what came stays for the next call, and is not taken for a model."""
    server.script.cut_after = [300_000, 0]
    model = model_at(server.url)
    with pytest.raises(StageOpenError, match="the same command goes on from there") as error:
        pull(model, cache)
    begun = (cache / "m.onnx.part").stat().st_size
    assert f"{begun} of 1000000 bytes are here" in str(error.value)
    assert names_in(cache) == ["m.onnx.part"]

    pull(model, cache)
    assert server.script.seen[-1] == ("/model.onnx", f"bytes={begun}-")
    assert names_in(cache) == ["m.onnx"]


def test_cut_again_and_again_without_range(server: Server, cache: Path) -> None:
    """Attempts are bounded where each begins from the start."""
    server.script.resumes = False
    server.script.cut_after = [300_000] * 100
    with pytest.raises(StageOpenError, match="the connection to"):
        pull(model_at(server.url), cache)
    assert len(server.script.seen) <= 4


@pytest.mark.parametrize("answer", ["bytes 7-999999/1000000", "bytes */1000000", "nonsense"])
def test_another_part(answer: str, server: Server, cache: Path) -> None:
    """A server that sends another part than was asked for is not believed."""
    server.script.range_answer = answer
    cache.mkdir(parents=True)
    (cache / "m.onnx.part").write_bytes(CONTENT[:400_000])
    with pytest.raises(StageOpenError, match="sent another part of the file than was asked for"):
        pull(model_at(server.url), cache)
    assert (cache / "m.onnx.part").read_bytes() == CONTENT[:400_000]


def test_nobody_there(server: Server, cache: Path) -> None:
    """A server that cannot be reached is one line."""
    url = server.url.replace(str(server.server_port), "1")
    with pytest.raises(StageOpenError, match=re.escape(f"m: {url} cannot be reached: ")) as error:
        pull(model_at(url), cache)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/m.onnx", "http://127.0.0.1:port/m.onnx", "nonsense"])
def test_wrong_address(url: str, cache: Path) -> None:
    """An address that is none is one line."""
    with pytest.raises(StageOpenError, match="cannot be fetched: "):
        pull(model_at(url), cache)


def test_through_a_proxy(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that the environment names is asked for the whole address."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("NO_PROXY", "")
    pull(model_at("http://models.invalid/m.onnx"), cache)
    assert (cache / "m.onnx").read_bytes() == CONTENT
    assert server.script.seen == [("http://models.invalid/m.onnx", None)]


@pytest.mark.parametrize(
    ("name", "value"), [("HTTPS_PROXY", "gopher://127.0.0.1:70"), ("SSL_CERT_FILE", "/nowhere/cert.pem")]
)
def test_wrong_environment(name: str, value: str, server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies or certificates that cannot be used are said to come from the environment."""
    monkeypatch.setenv(name, value)
    with pytest.raises(StageOpenError, match="settings of proxies or certificates"):
        pull(model_at(server.url), cache)


def test_a_cache_that_cannot_be(server: Server, tmp_path: Path) -> None:
    """A cache folder that cannot be made is said to be it, before anything is fetched."""
    (tmp_path / "file").touch()
    cache = tmp_path / "file" / "models"
    with pytest.raises(StageOpenError, match=re.escape(f"{cache}: cannot be written: ")):
        pull(model_at(server.url), cache)
    assert server.script.seen == []
