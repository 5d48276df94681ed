"""Measure what looking costs: the same live run without a server, then with viewers and readers in another process.

Usage: python benchmarks/serve.py [--seconds 30] [--load 18/100] [--only 5+50] [--json]

An audience is VIEWERS+READERS, or `none` for a run without a server. `flood` sends requests, messages and connections
as fast as one process can; `burn` is a process that does as much on one core without touching us. The load is one of
benchmarks/live.py: 720p at 30 fps, SERVICE/DEADLINE in milliseconds, `model/100` for the embedded model. Viewers take
pictures of 960 px ten times a second, readers every record; both only read, at the lowest priority, as if they were on
another machine.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from live import FPS, make_clip, spread
from rich.console import Console

from pipeline.cli.run import execute
from pipeline.config.build import build
from pipeline.config.load import parse
from pipeline.report import Report

AUDIENCES = ("none", "0+0", "1+0", "5+0", "0+50", "5+50", "burn", "flood")
HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
PATIENCE = "10m"
"""Clients that only read answer no pings."""


def free_port() -> int:
    """Return a port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def watch(port: int, viewers: int, readers: int) -> None:
    """Connect, and read until the server ends; prints how many bytes came, of pictures and of records."""
    selector = selectors.DefaultSelector()
    paths = ["/preview?rate=10&width=960"] * viewers + ["/results"] * readers
    bytes_of = dict.fromkeys(paths, 0)
    for path in paths:
        connection = connected(port)
        connection.sendall(HANDSHAKE.format(path=path).encode())
        selector.register(connection, selectors.EVENT_READ, path)
    while selector.get_map():
        for key, _ in selector.select(timeout=1.0):
            assert isinstance(key.fileobj, socket.socket)
            data = key.fileobj.recv(1 << 18)
            bytes_of[key.data] += len(data)
            if not data:
                selector.unregister(key.fileobj)
        time.sleep(0.02)  # looked at in batches, which costs less
    print(json.dumps(bytes_of))


def flood(port: int) -> None:
    """Ask, talk and knock as fast as can be, until nobody listens any more; prints how often."""
    connected(port).close()
    floods = [b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 500] * 4 + [b"\x81\x81mask\x15" * 2000] * 4
    open_ones: list[socket.socket | None] = [None] * len(floods)
    knocks = sent = 0
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=0.05).close()
            knocks += 1
        except TimeoutError:
            pass  # it is not let in so fast
        except OSError:
            break
        for place, flooding in enumerate(floods):
            connection = open_ones[place]
            try:
                if connection is None:
                    connection = open_ones[place] = socket.create_connection(("127.0.0.1", port), timeout=0.05)
                    if flooding[0] == 0x81:
                        connection.sendall(HANDSHAKE.format(path="/results").encode())
                    connection.setblocking(False)
                sent += connection.send(flooding)
            except BlockingIOError:
                pass
            except OSError:
                open_ones[place] = None
    print(json.dumps({"connections": knocks, "bytes sent": sent}))


def burn() -> None:
    """Keep a core busy, until the process that started this one closes its end."""
    selector = selectors.DefaultSelector()
    selector.register(sys.stdin, selectors.EVENT_READ)
    while not selector.select(timeout=0):
        pass


def connected(port: int) -> socket.socket:
    """Connect, as soon as the server is there."""
    for _ in range(200):
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise SystemExit(f"nobody listens on port {port}")


def measure(audience: str, load: str, clip: Path, seconds: float, folder: Path) -> tuple[Report, str]:
    """Run before one audience; return the report and what the audience got."""
    what, _, deadline = load.partition("/")
    detector: object = "detect"
    if what != "model":
        detector = {"kind": "live:StandIn", "name": "detect", "service_ms": float(what)}
    raw: dict[str, object] = {
        "source": {"kind": "video", "url": str(clip), "pace": "pts", "max_frames": int(seconds * FPS)},
        "deadline": f"{deadline}ms",
        "stages": ["preprocess", detector, "track"],
        "sinks": [f"jsonl:{folder / 'answers.jsonl'}"],
    }
    clients = None
    if audience != "none":
        port = free_port()
        raw["serve"] = {"port": port, "patience": PATIENCE}
        command = [sys.executable, __file__, "--watch", f"{port}:{audience}"]
        clients = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    report = execute(build(parse(raw)), Console(quiet=True), quiet=True).whole()
    got = clients.communicate(timeout=30)[0].strip() if clients else ""
    return report, got


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="length of each run")
    parser.add_argument("--load", default="18/100", help="SERVICE/DEADLINE or model/DEADLINE")
    parser.add_argument("--only", action="append", help="VIEWERS+READERS, none, burn or flood; repeatable")
    parser.add_argument("--json", action="store_true", help="print the reports as JSON")
    parser.add_argument("--watch", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.watch:
        port, _, audience = arguments.watch.partition(":")
        if audience == "burn":
            burn()
        elif audience == "flood":
            flood(int(port))
        else:
            os.nice(19)
            viewers, _, readers = audience.partition("+")
            watch(int(port), int(viewers), int(readers))
        return
    folder = Path(tempfile.gettempdir()) / "framepace-bench"
    folder.mkdir(exist_ok=True)
    clip = folder / f"720p30-{arguments.seconds:g}s-gop{FPS}.mp4"
    if not clip.exists():
        make_clip(clip, arguments.seconds, FPS)
    print(f"{'audience':10}{'frames':>7}{'fresh':>7}{'missed':>7}", end="")
    print(f"{'fresh age p50/p99/max ms':>28}{'all':>24}{'cpu':>6}{'MiB':>5}  bytes taken")
    for audience in arguments.only or AUDIENCES:
        report, got = measure(audience, arguments.load, clip, arguments.seconds, folder)
        if arguments.json:
            print(json.dumps({"audience": audience, "got": got, **report.model_dump(mode="json")}))
            continue
        frames = report.frames
        print(
            f"{audience:10}{frames.captured:7}{frames.fresh / max(1, frames.captured):7.1%}{frames.missed:7}"
            f"{spread(report.age_ms.fresh):>28}{spread(report.age_ms.all):>24}"
            f"{report.cpu_s / report.duration_s:6.2f}{report.peak_rss_mib:5.0f}  {got}",
            flush=True,
        )


if __name__ == "__main__":
    main()
