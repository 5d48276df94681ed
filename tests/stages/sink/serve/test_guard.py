"""Who may ask for what, asked of the real server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection

from stages.sink.serve.guard import MOST_BODY_BYTES, Guard, _unmapped, names_of
from stages.sink.serve.sink import ServeSink

Serve = Callable[..., ServeSink]
Ask = Callable[..., httpx.Response]
Connect = Callable[..., ClientConnection]

TOKEN = "correct-horse"
BEARER = {"authorization": f"Bearer {TOKEN}"}


def test_with_a_token_nearly_everything_wants_it(serve: Serve, ask: Ask) -> None:
    """All but the page and whether the process lives; in a header or in the query."""
    sink = serve(token=TOKEN)
    for path in ("/report", "/config", "/settings", "/metrics", "/readyz", "/openapi.json", "/results.ndjson", "/x"):
        refused = ask(sink, path)
        assert refused.status_code == 401, path
        assert refused.headers["www-authenticate"] == "Bearer"
        assert "token" in refused.json()["detail"]
    assert ask(sink, "/healthz").status_code == 200
    assert ask(sink, "/page/no.js").status_code == 404
    assert ask(sink, "/report", headers=BEARER).status_code == 200
    assert ask(sink, f"/report?token={TOKEN}").status_code == 200


@pytest.mark.parametrize(
    "given",
    [
        "",
        "Bearer",
        "Bearer wrong-horse",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Basic {TOKEN}",
        TOKEN,
    ],
)
def test_a_wrong_token(serve: Serve, ask: Ask, given: str) -> None:
    """Only the very token counts."""
    assert ask(serve(token=TOKEN), "/report", headers={"authorization": given}).status_code == 401


@pytest.mark.parametrize("path", ["/results", "/preview", "/now"])
def test_websockets_want_the_token_too(serve: Serve, join: Connect, path: str) -> None:
    """In the query, as a page cannot set headers there."""
    sink = serve(token=TOKEN)
    with pytest.raises(InvalidStatus) as refused:
        join(sink, path)
    assert refused.value.response.status_code == 401
    with pytest.raises(InvalidStatus):
        join(sink, f"{path}?token=wrong-horse")
    join(sink, f"{path}?token={TOKEN}")


def test_a_token_from_a_file(serve: Serve, ask: Ask, tmp_path: Path) -> None:
    """Its first line, without spaces around."""
    file = tmp_path / "token"
    file.write_text(f"  {TOKEN} \nsecond line\n")
    sink = serve(token_file=str(file))
    assert ask(sink, "/report").status_code == 401
    assert ask(sink, "/report", headers=BEARER).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:1234", 200),
        ("127.0.0.1:80", 200),
        ("[::1]:80", 200),
        ("cam.example.org", 200),
        ("evil.example.org", 403),
        ("localhost.example.org", 403),
        ("127.0.0.1.example.org", 403),
        ("10.0.0.1", 403),
        ("", 403),
        ("[::1", 403),
        ("user@evil.example.org", 403),
    ],
)
def test_a_host_that_is_not_ours_is_refused(serve: Serve, ask: Ask, host: str, status: int) -> None:
    """A name that somebody's DNS has bent to our address gets nothing."""
    sink = serve(allowed_hosts=["Cam.example.org"])
    assert ask(sink, "/report", headers={"host": host}).status_code == status


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("http://localhost:8080", True),
        ("https://localhost:8080", True),  # something in front of us speaks TLS
        ("http://localhost:9090", False),
        ("http://localhost", False),
        ("http://evil.example.org", False),
        ("null", False),
        ("file://localhost:8080", False),
    ],
)
def test_other_sites_pages_may_not_listen_or_control(
    serve: Serve, ask: Ask, join: Connect, origin: str | None, *, allowed: bool
) -> None:
    """Whoever asks must be a page of the same host and port, or no page at all."""
    sink = serve(token=TOKEN)
    headers = {"host": "localhost:8080"} | ({"origin": origin} if origin else {})
    changed = ask(sink, "/control/pause", "POST", headers=headers | BEARER)
    assert changed.status_code == (200 if allowed else 403)
    assert ask(sink, "/report", headers=headers | BEARER).status_code == (200 if allowed else 403)


@pytest.mark.parametrize(
    ("site", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)]
)
def test_other_sites_pages_cause_no_work(serve: Serve, ask: Ask, site: str, status: int) -> None:
    """They could not read what they get, but making it costs something; they may lead people to the page."""
    sink = serve()
    headers = {"sec-fetch-site": site}
    assert ask(sink, "/report", headers=headers).status_code == status
    assert ask(sink, "/", headers=headers).status_code == 200


@pytest.mark.parametrize(("origin", "allowed"), [("own", True), ("http://evil.example.org", False), ("null", False)])
def test_other_sites_pages_get_no_websocket(serve: Serve, join: Connect, origin: str, *, allowed: bool) -> None:
    """They could read it, as browsers ask nobody about websockets."""
    sink = serve()
    origin = f"http://127.0.0.1:{sink.port}" if origin == "own" else origin
    if allowed:
        join(sink, "/results", origin=origin)
        return
    with pytest.raises(InvalidStatus) as refused:
        join(sink, "/results", origin=origin)
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("path", ["/", "/report", "/page/no.js", "/nowhere"])
def test_every_answer_is_strict(serve: Serve, ask: Ask, path: str) -> None:
    """Nothing is loaded from elsewhere, shown in others' frames, guessed or kept."""
    headers = ask(serve(), path).headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


def test_a_token_among_many_fields(serve: Serve, ask: Ask) -> None:
    """However many there are, they are read, and nobody without it is let in."""
    sink = serve(token=TOKEN)
    many = "&".join(f"a{number}=1" for number in range(50))
    assert ask(sink, f"/report?{many}").status_code == 401
    assert ask(sink, f"/report?{many}&token={TOKEN}").status_code == 200


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="there is no IPv6 here")
def test_an_address_of_either_kind_names_us(serve: Serve, ask: Ask) -> None:
    """One that listens to everything is reached by the addresses of IPv4, too."""
    sink = serve(host="::", insecure=True)
    assert ask(sink, "/report", headers={"host": "127.0.0.1"}).status_code == 200
    assert _unmapped("::ffff:10.0.0.7") == "10.0.0.7"
    assert _unmapped("::1") == "::1"


def test_too_many_requests(serve: Serve, ask: Ask) -> None:
    """One that asks faster than allowed is told to ask more slowly."""
    sink = serve(requests_per_s=5)
    statuses = [ask(sink, "/healthz").status_code for _ in range(40)]
    assert statuses[:10] == [200] * 10
    assert statuses[-1] == 429


def test_the_page_may_be_opened_several_times_at_once(serve: Serve, ask: Ask) -> None:
    """Its files are many, so they count for less than other requests; without end they are not given either."""
    sink = serve(requests_per_s=1)
    statuses = [ask(sink, "/page/main.js").status_code for _ in range(200)]
    assert statuses[:16] == [200] * 16
    assert 429 in statuses


@pytest.mark.parametrize("chunked", [False, True])
def test_a_long_request_is_refused(serve: Serve, ask: Ask, *, chunked: bool) -> None:
    """Beyond a few kilobytes nothing is read any more, whether its length was said or not."""
    body = b" " * (MOST_BODY_BYTES + 1)
    content = iter([body]) if chunked else body
    refused = ask(serve(token=TOKEN), "/settings", "PATCH", headers=BEARER, content=content)
    assert refused.status_code == 413


def test_a_request_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up after a time."""
    monkeypatch.setattr("stages.sink.serve.guard._BODY_S", 0.0)
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("nothing must come here")

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "PATCH", "path": "/settings", "query_string": b"",
        "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
    }  # fmt: skip
    guard = Guard(app, names=[], token=None, requests_per_s=5)
    asyncio.run(guard(scope, receive, send))
    assert sent[0]["status"] == 408


def test_the_names_of_a_server() -> None:
    """Where it listens on, and what was allowed; on every address, the machine's own name too."""
    assert names_of("127.0.0.1", ["cam.example.org"]) == ["127.0.0.1", "cam.example.org"]
    assert len(names_of("0.0.0.0", [])) == 3


def test_who_has_the_token_and_probes_have_budgets_of_their_own(serve: Serve, ask: Ask) -> None:
    """Behind a proxy everybody has one address: others who ask too much keep neither out."""
    sink = serve(token=TOKEN, requests_per_s=2)
    statuses = [ask(sink, "/report").status_code for _ in range(12)]
    assert statuses[-1] == 429
    assert ask(sink, "/report", headers=BEARER).status_code == 200
    assert ask(sink, "/healthz").status_code == 200


def test_wrong_tokens_are_counted_however_fast_they_come(serve: Serve, ask: Ask) -> None:
    """Also those that are refused for coming too fast."""
    sink = serve(token=TOKEN, requests_per_s=2)
    assert {ask(sink, "/report?token=wrong-horse").status_code for _ in range(20)} == {401, 429}
    assert sink.statistics()["wrong_tokens"] == 20


def test_wrong_tokens_and_changes_are_said(serve: Serve, ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    """Who, and what; wrong tokens now and then only."""
    sink = serve(token=TOKEN)
    with caplog.at_level("INFO", logger="framepace.serve"):
        for _ in range(5):
            ask(sink, "/report?token=wrong-horse")
        ask(sink, "/control/pause", "POST", headers=BEARER)
    said = [record.getMessage() for record in caplog.records if record.name == "framepace.serve"]
    assert said.count("wrong tokens from 127.0.0.1: 1") == 1
    assert "127.0.0.1 asks for POST /control/pause" in said
    assert not any("wrong-horse" in line for line in said)
    counted = sink.statistics()
    assert (counted["wrong_tokens"], counted["requests_refused"]) == (5, 5)
    assert (
        'framepace_serve_requests_refused_total{reason="wrong token"} 5.0' in ask(sink, "/metrics", headers=BEARER).text
    )
