"""Sends the clip of our RTSP camera to one viewer, in real time, with the faults that it has on command."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from rtsp_behaviour import Sent
from rtsp_media import payloads, rtp_packet, sender_report

if TYPE_CHECKING:
    from rtsp_server import Camera


class _Ready(NamedTuple):
    """A picture that may be sent."""

    packets: list[bytes]
    timestamp: int
    number: int
    due_s: float


class Sender:
    """One viewing of the clip, from its beginning.

    Args:
        camera: whose clip, behaviour and log.
        deliver: takes a packet and its channel, 0 for RTP and 1 for RTCP.
        leaving: ends the sending.
    """

    def __init__(self, camera: Camera, deliver: Callable[[bytes, int], None], leaving: threading.Event) -> None:
        self._camera = camera
        self._deliver = deliver
        self._leaving = leaving
        self._start_s = time.monotonic()
        self._packets = self._octets = 0
        self._held: list[_Ready] = []
        self._overtaken: bytes | None = None
        self.sequence = camera.random.getrandbits(16)
        """Of the next packet."""
        self.first_timestamp = camera.timestamp_at(self._start_s)
        self.is_paused = False
        self.has_begun = threading.Event()

    def run(self) -> None:
        """Send until told to leave, or nobody listens."""
        place = 0
        with suppress(OSError):
            while not self._leaving.is_set():
                clip = self._camera.clip
                due_s = self._start_s + place / clip.fps
                time.sleep(max(0.0, due_s - time.monotonic()))
                if not (self._camera.behaviour.is_stalled or self.is_paused):
                    self._send_picture(place, due_s)
                    if place % clip.fps == 0:
                        self._send_report(due_s)
                place += 1

    def _send_picture(self, place: int, due_s: float) -> None:
        behaviour, clip = self._camera.behaviour, self._camera.clip
        number = 0 if behaviour.is_frozen else place % len(clip.pictures)
        content = payloads(clip.pictures[number], clip.codec, self._camera.mtu, aggregates=behaviour.aggregates)
        timestamp = self._camera.timestamp_at(due_s)
        packets = []
        for index, payload in enumerate(content):
            marker = behaviour.has_markers and index == len(content) - 1
            packets.append(
                rtp_packet(payload, sequence=self.sequence, timestamp=timestamp, ssrc=behaviour.ssrc, marker=marker)
            )
            self.sequence = self.sequence + 1 & 0xFFFF
            self._octets += len(payload)
        self._packets += len(packets)
        self._held.append(_Ready(packets, timestamp, number, due_s))
        if time.monotonic() - self._held[0].due_s >= behaviour.hold_s:
            self._send_held()

    def _send_held(self) -> None:
        for ready in self._held:
            for packet in ready.packets:
                if not self._camera.happens(self._camera.behaviour.loss):
                    self._send_in_odd_order(packet)
            sent_ns = time.monotonic_ns()
            self._camera.note(Sent(ready.timestamp, ready.number, sent_ns, round(ready.due_s * 1e9)))
        self._held.clear()
        self.has_begun.set()

    def _send_in_odd_order(self, packet: bytes) -> None:
        overtaken, self._overtaken = self._overtaken, None
        if overtaken is None and self._camera.happens(self._camera.behaviour.reorder):
            self._overtaken = packet
            return
        self._deliver(packet, 0)
        if overtaken is not None:
            self._deliver(overtaken, 0)

    def _send_report(self, due_s: float) -> None:
        report = sender_report(
            self._camera.behaviour.ssrc,
            unix_ns=time.time_ns() - round((time.monotonic() - due_s) * 1e9),
            timestamp=self._camera.timestamp_at(due_s),
            packets=self._packets,
            octets=self._octets,
        )
        self._deliver(report, 1)
