"""Writes down all bytes that an RTSP server says to our client until so many pictures have come.

python record.py URL FILE PICTURES
"""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.clock import NS_PER_MS, NS_PER_S, RealClock
from stages.capture.rtsp.client import RtspClient
from stages.capture.rtsp.handshake import ClientSettings
from stages.capture.rtsp.sockets import Connection

SETTINGS = ClientSettings("tcp", 5 * NS_PER_S, 2 * NS_PER_S, reorder_ns=50 * NS_PER_MS, verify_tls=True)


def main(url: str, path: str, pictures: str) -> None:
    heard = bytearray()
    receive = Connection.receive

    def tapped(connection: Connection) -> bytes:
        data = receive(connection)
        heard.extend(data)
        return data

    Connection.receive = tapped  # type: ignore[method-assign]  # what is received is what is wanted
    client = RtspClient(url, SETTINGS, RealClock(), lambda: False)
    for _ in range(int(pictures)):
        client.read()
    Path(path).write_bytes(heard)
    client.close()


main(*sys.argv[1:])
