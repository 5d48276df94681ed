"""The websocket sink with real clients: well behaved, slow, dead and hostile ones."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPConnection
from time import monotonic

import pytest
from pydantic import ValidationError
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from pipeline.errors import SinkOpenError
from pipeline.frame import Answer, Status
from pipeline.stage import OpenContext
from stages.payloads import Tracks
from stages.sink.record import line_from_answer, record_from_answer
from stages.sink.websocket import WebsocketOptions, WebsocketSink

Make = Callable[..., Answer]
MakeTracks = Callable[..., Tracks]
Serve = Callable[..., WebsocketSink]
Connect = Callable[..., ClientConnection]

_BOUND_S = 20.0


@pytest.fixture
def serve(live_context: OpenContext) -> Iterator[Serve]:
    """A function that opens a sink on a free port; it is closed at the end, and its thread must be gone then."""
    sinks: list[WebsocketSink] = []

    def make(**options: object) -> WebsocketSink:
        sink = WebsocketSink(WebsocketOptions.model_validate({"port": 0, **options}))
        sink.open(live_context)
        sink.begin()
        sinks.append(sink)
        return sink

    yield make
    for sink in sinks:
        sink.close()
    assert "sink ws" not in [thread.name for thread in threading.enumerate()]


@pytest.fixture
def join() -> Iterator[Connect]:
    """A function that connects a client to a sink; when it returns the server knows the client."""
    with ExitStack() as clients:

        def make(sink: WebsocketSink, path: str = "/", **options: object) -> ClientConnection:
            url = f"ws://127.0.0.1:{sink.port}{path}"
            client = connect(url, proxy=None, open_timeout=_BOUND_S, close_timeout=0.2, **options)  # type: ignore[arg-type]
            return clients.enter_context(client)

        yield make


def raw_client(sink: WebsocketSink, *, receive_buffer: int | None = None) -> socket.socket:
    """A client that has shaken hands and from then on does nothing by itself."""
    raw = socket.socket()
    raw.settimeout(_BOUND_S)
    if receive_buffer is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    raw.connect(("127.0.0.1", sink.port))
    raw.sendall(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += raw.recv(1)
    assert b" 101 " in answer
    return raw


def until(client: ClientConnection, condition: Callable[[], bool]) -> None:
    """Wait, bounded, until the server has come to a state: a pong says that its loop went round once more."""
    end_s = monotonic() + _BOUND_S
    while not condition():
        assert monotonic() < end_s, "the server did not come to the expected state"
        assert client.ping().wait(_BOUND_S)


def received(client: ClientConnection) -> dict[str, object]:
    record: dict[str, object] = json.loads(client.recv(timeout=_BOUND_S))
    return record


def test_a_client_gets_every_record(serve: Serve, join: Connect, make_answer: Make) -> None:
    """One text message a record, in order, each the line of the record; without gaps no `gap`."""
    sink = serve()
    client = join(sink)
    answers = [make_answer(number, status=status) for number, status in enumerate([Status.BLIND, *Status])]
    for answer in answers:
        sink.write(answer, gap=0)
    for answer in answers:
        assert client.recv(timeout=_BOUND_S) == line_from_answer(answer)


def test_frames_without_a_record_are_a_gap(serve: Serve, join: Connect, make_answer: Make) -> None:
    """What was missed before it came to the sink shows in the next record."""
    sink = serve()
    client = join(sink)
    for number in (0, 3, 4):
        sink.write(make_answer(number), gap=2 if number == 3 else 0)
    assert [received(client) for _ in range(3)] == [
        record_from_answer(make_answer(0)),
        record_from_answer(make_answer(3), gap=2),
        record_from_answer(make_answer(4)),
    ]


def test_a_late_joiner_has_no_gap(serve: Serve, join: Connect, make_answer: Make) -> None:
    """What was before a client came is no gap for it; several clients each get every record."""
    sink = serve()
    early = join(sink)
    for number in range(5):
        sink.write(make_answer(number), gap=0)
    late = join(sink)
    sink.write(make_answer(7), gap=2)
    assert [received(early)["frame"] for _ in range(5)] == [0, 1, 2, 3, 4]
    assert received(early) == record_from_answer(make_answer(7), gap=2)
    assert received(late) == record_from_answer(make_answer(7))
    assert sink.statistics() == {"clients": 2, "clients_total": 2, "refused": 0, "skipped": 0, "dropped": 0}


def test_many_clients(serve: Serve, join: Connect, make_answer: Make) -> None:
    """Twenty clients get the same records; those that leave are forgotten, and no harm is done to the others."""
    sink = serve()
    clients = [join(sink) for _ in range(20)]
    sink.write(make_answer(0), gap=0)
    assert [received(client)["frame"] for client in clients] == [0] * 20
    for client in clients[:15]:
        client.close()
    until(clients[-1], lambda: sink.statistics()["clients"] == 5)
    sink.write(make_answer(1), gap=0)
    assert [received(client) for client in clients[15:]] == [record_from_answer(make_answer(1))] * 5
    assert sink.statistics()["clients_total"] == 20
    assert sink.statistics()["dropped"] == 0


def test_without_clients_nothing_is_kept(serve: Serve, join: Connect, make_answer: Make) -> None:
    """Records that nobody listened to are not sent to whoever comes later."""
    sink = serve()
    for number in range(100):
        sink.write(make_answer(number), gap=0)
    client = join(sink)
    sink.write(make_answer(100), gap=0)
    assert received(client) == record_from_answer(make_answer(100))


def test_a_slow_client_skips_and_sees_it(
    serve: Serve, join: Connect, make_answer: Make, make_tracks: MakeTracks
) -> None:
    """A client that does not read loses the oldest records and sees how many; another one gets every record."""
    sink = serve(client_queue=4)
    tracks = make_tracks([(10, 20, 50, 100)] * 150)  # about 20 kB a record, so that the network's buffers fill up
    fast = join(sink, max_size=None)
    slow = raw_client(sink, receive_buffer=4096)
    count = 150
    for number in range(count):
        sink.write(make_answer(number, tracks=tracks), gap=0)
        assert received(fast) == record_from_answer(make_answer(number, tracks=tracks))
    frames = []
    with slow, slow.makefile("rb") as stream:
        expected = 0
        while expected < count:
            record = json.loads(text_frame(stream.read))
            assert record["frame"] == expected + record.get("gap", 0)
            expected = record["frame"] + 1
            frames.append(record["frame"])
    assert frames[-1] == count - 1
    assert sink.statistics()["skipped"] == count - len(frames) > 0


def text_frame(read: Callable[[int], bytes]) -> bytes:
    """The next text message on a raw connection (RFC 6455 section 5.2); pings are passed over."""
    while True:
        opcode, length = struct.unpack("!BB", read(2))
        if length >= 126:
            [length] = struct.unpack(*(("!H", read(2)) if length == 126 else ("!Q", read(8))))
        payload = read(length)
        if opcode == 0x81:
            return payload
        assert opcode == 0x89


def test_a_client_that_vanishes_is_dropped(serve: Serve, join: Connect, make_answer: Make) -> None:
    """A connection that is reset, without a goodbye, is forgotten and counted; the others go on."""
    sink = serve()
    witness = join(sink)
    raw = raw_client(sink)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.close()  # resets the connection
    until(witness, lambda: sink.statistics()["clients"] == 1)
    assert sink.statistics()["dropped"] == 1
    sink.write(make_answer(0), gap=0)
    assert received(witness)["frame"] == 0


def test_a_client_that_answers_no_ping_is_dropped(serve: Serve, join: Connect) -> None:
    """The server pings, waits for its patience, and ends the connection."""
    sink = serve(patience="500ms")
    witness = join(sink)
    with raw_client(sink) as raw:
        data = b""
        while block := raw.recv(4096):
            data += block
    assert data[0] == 0x89  # a ping
    until(witness, lambda: sink.statistics()["clients"] == 1)
    assert sink.statistics()["dropped"] == 1


def test_a_client_that_takes_no_data_is_dropped(
    serve: Serve, join: Connect, make_answer: Make, make_tracks: MakeTracks
) -> None:
    """A client that keeps its window closed is cut off after the patience, though there is data for it."""
    sink = serve(patience="500ms", client_queue=4)
    witness = join(sink, max_size=None)
    with raw_client(sink, receive_buffer=4096):
        tracks = make_tracks([(10, 20, 50, 100)] * 150)
        for number in range(60):
            sink.write(make_answer(number, tracks=tracks), gap=0)
            received(witness)
        until(witness, lambda: sink.statistics()["clients"] == 1)
    assert sink.statistics()["dropped"] == 1


def test_what_clients_say_is_ignored(serve: Serve, join: Connect, make_answer: Make) -> None:
    """Text, binary and pings from a client change nothing."""
    sink = serve()
    client = join(sink)
    for number in range(50):
        client.send("stop" if number % 2 else b"\x00\xff" * 1000)
        sink.write(make_answer(number), gap=0)
        assert received(client) == record_from_answer(make_answer(number))


def test_a_huge_message_ends_its_connection_only(serve: Serve, join: Connect, make_answer: Make) -> None:
    """A message of a megabyte is refused with the code for it; the other client goes on."""
    sink = serve()
    other, talker = join(sink), join(sink)
    with suppress(ConnectionClosed):  # it may be over before all of it is sent
        talker.send("x" * 1_000_000)
    with pytest.raises(ConnectionClosed) as closed:
        talker.recv(timeout=_BOUND_S)
    assert closed.value.rcvd is None or closed.value.rcvd.code == 1009
    until(other, lambda: sink.statistics()["clients"] == 1)
    sink.write(make_answer(0), gap=0)
    assert received(other)["frame"] == 0


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00" * 10_000,
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000 + b"\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 10_000,
        b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        os.urandom(5000),
    ],
    ids=["zeros", "headers", "body", "half an upgrade", "noise"],
)
def test_garbage_instead_of_a_handshake(serve: Serve, join: Connect, make_answer: Make, garbage: bytes) -> None:
    """Whatever is sent to the port does no harm to a client."""
    sink = serve()
    client = join(sink)
    raw = socket.create_connection(("127.0.0.1", sink.port), timeout=_BOUND_S)
    with raw, suppress(ConnectionError):  # the server need not read all of it
        raw.sendall(garbage)
        with suppress(OSError):  # there is nothing to shut once the server has hung up
            raw.shutdown(socket.SHUT_WR)
        while raw.recv(4096):
            pass
    sink.write(make_answer(0), gap=0)
    assert received(client) == record_from_answer(make_answer(0))
    assert sink.statistics()["clients"] == 1


@pytest.mark.parametrize("garbage", [b"\xff" * 100, b"\x81\x05hello", b"\x81\xff" + b"\xff" * 8 + b"mask"])
def test_garbage_after_the_handshake(serve: Serve, join: Connect, make_answer: Make, garbage: bytes) -> None:
    """Broken frames end their connection and do no harm to a client."""
    sink = serve()
    client = join(sink)
    with raw_client(sink) as raw:
        raw.sendall(garbage)
        data = b""
        while block := raw.recv(4096):
            data += block
    assert data[0] == 0x88  # a close frame
    until(client, lambda: sink.statistics()["clients"] == 1)
    sink.write(make_answer(0), gap=0)
    assert received(client) == record_from_answer(make_answer(0))


def test_further_clients_are_refused(serve: Serve, join: Connect, make_answer: Make) -> None:
    """Beyond max_clients the code is 1013, try again later; when somebody leaves there is room again."""
    sink = serve(max_clients=2)
    first, second = join(sink), join(sink)
    third = join(sink)
    with pytest.raises(ConnectionClosed) as closed:
        third.recv(timeout=_BOUND_S)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1013, "too many clients")
    assert sink.statistics()["refused"] == 1
    second.close()
    until(first, lambda: sink.statistics()["clients"] == 1)
    fourth = join(sink)
    sink.write(make_answer(0), gap=0)
    assert [received(client)["frame"] for client in (first, fourth)] == [0, 0]


def test_the_path_is_an_option(serve: Serve, join: Connect, make_answer: Make) -> None:
    """The endpoint is where it was asked for, and nowhere else."""
    sink = serve(path="/live")
    with pytest.raises(InvalidStatus):
        join(sink)
    client = join(sink, "/live")
    sink.write(make_answer(0), gap=0)
    assert received(client)["frame"] == 0


def test_a_browser_is_told_what_this_is(serve: Serve) -> None:
    """A plain HTTP request gets 426 Upgrade Required and a sentence."""
    connection = HTTPConnection("127.0.0.1", serve().port, timeout=_BOUND_S)
    connection.request("GET", "/")
    response = connection.getresponse()
    assert response.status == 426
    assert b"websocket" in response.read()
    connection.close()


def test_the_end_comes_after_the_last_record(serve: Serve, join: Connect, make_answer: Make) -> None:
    """Closing sends what still waits, then the code 1001; it is idempotent, and later records are thrown away."""
    sink = serve()
    client = join(sink)
    for number in range(60):
        sink.write(make_answer(number), gap=0)
    sink.close()
    sink.close()
    assert [received(client)["frame"] for _ in range(60)] == list(range(60))
    with pytest.raises(ConnectionClosedOK) as closed:
        client.recv(timeout=_BOUND_S)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1001, "the run is over")
    sink.write(make_answer(60), gap=0)
    assert sink.statistics()["clients_total"] == 1


def test_closing_waits_for_nobody(serve: Serve, join: Connect, make_answer: Make, make_tracks: MakeTracks) -> None:
    """A client that reads nothing, and one that is half way through its handshake, do not hold up the end."""
    sink = serve()
    witness = join(sink, max_size=None)
    tracks = make_tracks([(10, 20, 50, 100)] * 150)
    with raw_client(sink, receive_buffer=4096), socket.create_connection(("127.0.0.1", sink.port)) as half:
        half.sendall(b"GET / HTTP/1.1\r\n")
        for number in range(60):
            sink.write(make_answer(number, tracks=tracks), gap=0)
            received(witness)
        sink.close()
        assert "sink ws" not in [thread.name for thread in threading.enumerate()]


def test_a_busy_port(serve: Serve, live_context: OpenContext) -> None:
    """A port that is taken is one clear line with the address, and opening elsewhere still works."""
    taken = serve().port
    sink = WebsocketSink(WebsocketOptions(port=taken))
    with pytest.raises(SinkOpenError, match="Address already in use") as error:
        sink.open(live_context)
    assert str(error.value).startswith(f"ws://127.0.0.1:{taken}: cannot listen there: ")
    assert "\n" not in str(error.value)
    sink.close()
    assert serve().port != taken


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_an_address_of_another_machine(host: str, live_context: OpenContext) -> None:
    """An address that is not ours cannot be listened on, and the line says so."""
    sink = WebsocketSink(WebsocketOptions(port=0, host=host))
    with pytest.raises(SinkOpenError, match=rf"^ws://{host}:0: "):
        sink.open(live_context)
    sink.close()


def test_a_port_is_free_again_after_the_end(serve: Serve, live_context: OpenContext, join: Connect) -> None:
    """A second run can listen on the port of the first at once, though a client was connected."""
    first = serve()
    join(first)
    port = first.port
    first.close()
    assert serve(port=port).port == port


def test_the_resource_is_the_port() -> None:
    """Two sinks on one port name the same resource; a free port is nobody's."""
    assert WebsocketSink(WebsocketOptions(port=8765)).resource == "port:127.0.0.1:8765"
    assert WebsocketSink(WebsocketOptions(port=0)).resource is None
    assert WebsocketSink(WebsocketOptions(port=0)).statistics() == {}
    assert not WebsocketSink.wants_pictures


@pytest.mark.parametrize(
    ("spec", "options"),
    [
        ("//127.0.0.1:8765", {"host": "127.0.0.1", "port": 8765, "path": "/"}),
        ("//0.0.0.0:80/live", {"host": "0.0.0.0", "port": 80, "path": "/live"}),
        ("//[::1]:8765/", {"host": "::1", "port": 8765, "path": "/"}),
        ("//:8765", {"host": "127.0.0.1", "port": 8765, "path": "/"}),
        ("//localhost:0", {"host": "localhost", "port": 0, "path": "/"}),
    ],
)
def test_the_short_form(spec: str, options: dict[str, object]) -> None:
    """`ws://HOST:PORT/PATH` in the options."""
    assert WebsocketSink.options_from_spec(spec) == options
    WebsocketOptions.model_validate(options)


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "8765",
        "127.0.0.1:8765",
        "//127.0.0.1",
        "//h:port",
        "//h:99999",
        "//h:1?a=b",
        "//h:1#a",
        "//u:p@h:1",
        "//[:1",
    ],
)
def test_a_wrong_short_form(spec: str) -> None:
    """The message says what would be right."""
    with pytest.raises(ValueError, match="write ws://HOST:PORT, such as"):
        WebsocketSink.options_from_spec(spec)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"port": -1},
        {"port": 70_000},
        {"port": 1, "path": "live"},
        {"port": 1, "client_queue": 0},
        {"port": 1, "max_clients": 0},
        {"port": 1, "patience": "0s"},
        {"port": 1, "host": ""},
        {"port": 1, "colour": "red"},
    ],
)
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    """Numbers out of range and unknown names are errors."""
    with pytest.raises(ValidationError):
        WebsocketOptions.model_validate(options)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"Host: localhost\r\nOrigin: http://evil.example\r\n", b"403"),
        (b"Host: evil.example\r\n", b"403"),
        (b"Host: localhost\r\nOrigin: http://localhost:3000\r\n", b"101"),
        (b"Host: localhost\r\n", b"101"),
    ],
    ids=["foreign page", "foreign name", "allowed page", "program"],
)
def test_pages_of_other_sites_are_kept_out(serve: Serve, headers: bytes, status: bytes) -> None:
    """A browser says whose page asks; a program says nothing."""
    sink = serve(allowed_origins=["http://localhost:3000"])
    assert upgraded(sink, b"/", headers).split(b" ")[1] == status


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (b"/" + b"x" * 9000, b"Host: localhost\r\n"),
        (b"/", b"Host: localhost\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(200))),
        (b"/", b"Host: localhost\r\nContent-Length: 3\r\n"),
        (b"/", b"Host: localhost\r\nSec-WebSocket-Protocol: a b c\r\n"),
    ],
    ids=["long line", "many headers", "a body", "bad subprotocol"],
)
def test_an_upgrade_that_is_not_understood_is_answered_and_closed(serve: Serve, path: bytes, headers: bytes) -> None:
    """It must not hold a place for ever."""
    answer = upgraded(serve(), path, headers)
    assert not answer or answer.startswith(b"HTTP/1.1 ")


def upgraded(sink: WebsocketSink, path: bytes, headers: bytes) -> bytes:
    """Ask for an upgrade; return the head of the answer, or nothing where the server closes without one."""
    with socket.create_connection(("127.0.0.1", sink.port), timeout=_BOUND_S) as raw:
        raw.sendall(
            b"GET " + path + b" HTTP/1.1\r\n" + headers + b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        answer = b""
        while b"\r\n\r\n" not in answer and (more := raw.recv(4096)):
            answer += more
        return answer
