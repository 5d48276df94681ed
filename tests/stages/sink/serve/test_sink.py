"""The serving sink as a whole: opening, ending, and clients that mean harm."""

from __future__ import annotations

import json
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import numpy as np
import pytest
import trustme
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from pipeline.clock import NS_PER_S, RealClock
from pipeline.errors import Outage, SinkOpenError
from pipeline.frame import Answer, Health, Heartbeat, Mode
from pipeline.run import SINK_STOP_NS
from pipeline.testing import open_context
from stages.sink import connections as door
from stages.sink import server
from stages.sink.record import record_from_answer, record_from_heartbeat
from stages.sink.serve.options import ServeOptions
from stages.sink.serve.sink import ServeSink

Make = Callable[..., Answer]
Serve = Callable[..., ServeSink]
Ask = Callable[..., httpx.Response]
Connect = Callable[..., ClientConnection]

_BOUND_S = 20.0


def received(client: ClientConnection) -> Any:
    return json.loads(client.recv(timeout=_BOUND_S))


def refusal(run: Any, **options: object) -> str:
    """Why a sink with these options cannot be opened."""
    sink = ServeSink(ServeOptions.model_validate({"port": 0, **options}))
    sink.attach(run)
    with pytest.raises(SinkOpenError) as refused:
        sink.open(open_context(RealClock(), mode=Mode.LIVE))
    sink.close()
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_its_end_fits_into_that_of_the_run() -> None:
    """However deaf its clients are, the run does not have to leave it behind."""
    assert server._GOODBYE_S + server._LINGER_S <= SINK_STOP_NS / NS_PER_S


def test_a_port_that_is_taken(serve: Serve, run: Any) -> None:
    """One line with the address."""
    taken = serve().port
    assert refusal(run, port=taken) == f"http://127.0.0.1:{taken}: cannot listen there: Address already in use"


def test_an_address_of_another_machine(run: Any) -> None:
    """One line with the address."""
    assert refusal(run, host="192.0.2.1", insecure=True).startswith("http://192.0.2.1:0: cannot listen there: ")


def test_a_token_file_that_has_none(run: Any, tmp_path: Path) -> None:
    """One line with the file and what is wrong with it."""
    assert "holds no token: cannot be read: no such file" in refusal(run, token_file=str(tmp_path / "none"))
    file = tmp_path / "token"
    for content, why in ((b"", "first line is empty"), (b"short\n", "8 to 200"), (b"\xff\xfe\x00", "it is no text")):
        file.write_bytes(content)
        assert why in refusal(run, token_file=str(file))


def test_certificates_that_do_not_fit(run: Any, tmp_path: Path) -> None:
    """One line with the file."""
    one, other = trustme.CA().issue_cert("localhost"), trustme.CA().issue_cert("localhost")
    one.cert_chain_pems[0].write_to_path(tmp_path / "c.pem")
    other.private_key_pem.write_to_path(tmp_path / "k.pem")
    certificate, key = str(tmp_path / "c.pem"), str(tmp_path / "k.pem")
    assert refusal(run, certificate=certificate, key=key).startswith(f"{certificate}: is no certificate for the key")
    assert "there is no such file" in refusal(run, certificate=certificate, key=str(tmp_path / "none"))
    Path(key).write_text("nonsense")
    assert "is no certificate for the key" in refusal(run, certificate=certificate, key=key)


def test_tls(serve: Serve, tmp_path: Path, make_answer: Make) -> None:
    """With a certificate and its key, pages and websockets are encrypted, and nothing else is."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "c.pem")
    issued.private_key_pem.write_to_path(tmp_path / "k.pem")
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    sink = serve(certificate=str(tmp_path / "c.pem"), key=str(tmp_path / "k.pem"))
    assert sink.address == f"https://127.0.0.1:{sink.port}/"
    with httpx.Client(verify=trusting, trust_env=False) as client:
        assert client.get(f"{sink.address}healthz").status_code == 200
    with connect(f"wss://127.0.0.1:{sink.port}/results", ssl=trusting, proxy=None) as reader:
        sink.write(make_answer(0), gap=0)
        assert received(reader)["frame"] == 0
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{sink.port}/healthz", trust_env=False)


def test_heartbeats_reach_readers(serve: Serve, join: Connect, make_answer: Make) -> None:
    """Also those that want few tracks; they are no frames and have no gap."""
    sink = serve()
    sink.write(make_answer(0), gap=0)
    reader = join(sink, "/results?every=5&classes=car")
    heartbeat = Heartbeat("cam0", Outage.SILENT, 5 * NS_PER_S, NS_PER_S, Health.BLIND)
    sink.beat(heartbeat)
    assert received(reader) == record_from_heartbeat(heartbeat)


def test_nothing_is_made_when_nobody_looks(serve: Serve, make_answer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither records nor pictures."""

    def never(*_arguments: object, **_options: object) -> None:
        raise AssertionError("nobody looks")

    sink = serve()
    monkeypatch.setattr("stages.sink.serve.sink.record_from_answer", never)
    monkeypatch.setattr("stages.sink.serve.preview.encode", never)
    for number in range(5):
        sink.write(make_answer(number, picture=np.zeros((48, 64, 3), np.uint8)), gap=0)
    assert sink.statistics()["pictures"] == 0


def test_the_end(serve: Serve, join: Connect, make_answer: Make) -> None:
    """Everybody gets what waits and the code 1001; closing again does nothing, nor does writing."""
    sink = serve()
    clients = [join(sink, path) for path in ("/results", "/preview", "/now")]
    sink.write(make_answer(0), gap=0)
    sink.close()
    sink.close()
    assert received(clients[0])["frame"] == 0
    assert received(clients[2])["report"]
    for client in clients:
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=_BOUND_S)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1001, "the run is over")
    sink.write(make_answer(1), gap=0)
    statistics = sink.statistics()
    assert (statistics["results_clients"], statistics["preview_clients"], statistics["page_clients"]) == (1, 1, 1)


def test_the_resource_is_the_port() -> None:
    """So that no other sink gets it; a free port is nobody's."""
    assert ServeSink(ServeOptions(port=8080)).resource == "port:127.0.0.1:8080"
    assert ServeSink(ServeOptions(port=0)).resource is None
    assert ServeSink.wants_pictures


# Clients that mean harm. What counts is that a reader goes on getting every record.


def check_reader_goes_on(sink: ServeSink, reader: ClientConnection, make_answer: Make, first: int) -> None:
    for number in range(first, first + 20):
        sink.write(make_answer(number), gap=0)
    expected = [record_from_answer(make_answer(number)) for number in range(first, first + 20)]
    assert [received(reader) for _ in range(20)] == expected


def opened(
    sink: ServeSink, said: bytes = b"", *, receive_buffer: int = 65_536, address: str = "127.0.0.1"
) -> socket.socket:
    """A connection that has said something and waits."""
    raw = socket.socket()
    raw.settimeout(_BOUND_S)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    raw.bind((address, 0))
    raw.connect(("127.0.0.1", sink.port))
    with suppress(ConnectionError):
        raw.sendall(said)
    return raw


HALF = b"GET /report HTTP/1.1\r\nHost: localhost\r\n"
PATCH = (
    b"PATCH /settings HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\nAuthorization: Bearer correct-horse\r\n\r\n{"
)
UPGRADE = (
    b"GET /results HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@pytest.mark.parametrize(
    "said", [b"", HALF, PATCH, UPGRADE], ids=["silence", "half a request", "half a body", "readers"]
)
def test_two_hundred_connections(serve: Serve, join: Connect, ask: Ask, make_answer: Make, said: bytes) -> None:
    """They change nothing for a reader, a newcomer still gets in, and the end is not held up."""
    token = {"token": "correct-horse"} if said == PATCH else {}
    query = "?token=correct-horse" if token else ""
    sink = serve(**token)
    reader = join(sink, f"/results{query}")
    with ExitStack() as connections:
        for _ in range(200):
            connections.enter_context(opened(sink, said))
        check_reader_goes_on(sink, reader, make_answer, 0)
        assert ask(sink, "/healthz").status_code == 200
        check_reader_goes_on(sink, reader, make_answer, 20)
        begun_s = monotonic()
        sink.close()
        assert monotonic() - begun_s < 2.0


def test_who_opens_most_waits_for_itself(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of connections from one address leave room for another one, in front of the door, too."""
    monkeypatch.setattr(door, "_MOST_WAITING", 20)
    sink = serve()
    with ExitStack() as held:
        for _ in range(300):
            held.enter_context(opened(sink, address="127.0.0.66"))
        for _ in range(5):
            with opened(sink, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n") as raw:
                assert raw.recv(64).startswith(b"HTTP/1.1 200")


def test_descriptors_are_kept_for_the_pipeline(serve: Serve, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients take what is left of them, and a newcomer still gets in."""
    sink = serve()
    with ExitStack() as held:
        monkeypatch.setattr(door, "_free_descriptors", lambda: 0)
        before = len(os.listdir("/proc/self/fd"))
        clients = [held.enter_context(opened(sink, address="127.0.0.66")) for _ in range(60)]
        assert ask(sink, "/healthz").status_code == 200
        theirs = len(os.listdir("/proc/self/fd")) - before - len(clients)
        assert theirs <= 8


def test_what_is_free_is_what_others_left() -> None:
    """Whoever holds the descriptors."""
    before = door._free_descriptors()
    with ExitStack() as held:
        for _ in range(10):
            held.enter_context(open(os.devnull))  # closed with the stack
        assert door._free_descriptors() == before - 10


def test_a_flood_of_requests(serve: Serve, join: Connect, make_answer: Make) -> None:
    """Thousands of requests in advance on one connection are cut off."""
    sink = serve()
    reader = join(sink, "/results")
    with opened(sink) as raw:
        with suppress(ConnectionError):
            raw.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20_000)
        check_reader_goes_on(sink, reader, make_answer, 0)
        answered = b""
        with suppress(ConnectionError):
            while block := raw.recv(1 << 16):
                answered += block
    assert answered.count(b"HTTP/1.1 200") < 200


def test_a_flood_of_messages(serve: Serve, join: Connect, make_answer: Make) -> None:
    """A client that talks all the time is slowed down or cut; a reader does not notice."""
    sink = serve(requests_per_s=5)
    reader = join(sink, "/results")
    with opened(sink, UPGRADE) as raw:
        raw.settimeout(0.5)
        with suppress(OSError):
            raw.sendall(b"\x81\x81mask\x15" * 1_000_000)
        check_reader_goes_on(sink, reader, make_answer, 0)


@pytest.mark.parametrize("said", [os.urandom(20_000), b"\x00" * 50_000, b"GET " + b"/" * 60_000, b"\x16\x03\x01" * 500])
def test_garbage(serve: Serve, join: Connect, make_answer: Make, said: bytes) -> None:
    """Noise instead of a request does no harm."""
    sink = serve()
    reader = join(sink, "/results")
    with opened(sink, said):
        check_reader_goes_on(sink, reader, make_answer, 0)


def test_a_reader_that_does_not_read(serve: Serve, join: Connect, make_answer: Make) -> None:
    """Lines over plain HTTP that nobody takes are skipped and do not pile up."""
    sink = serve(client_queue=20)
    reader = join(sink, "/results")
    with opened(sink, b"GET /results.ndjson HTTP/1.1\r\nHost: localhost\r\n\r\n", receive_buffer=4096) as raw:
        raw.recv(1)
        for first in range(0, 2000, 20):
            check_reader_goes_on(sink, reader, make_answer, first)
    assert sink.statistics()["skipped"] > 0
