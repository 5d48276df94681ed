"""The process that reads a camera for the program, because FFmpeg may block where nothing but a kill ends it.

It is told on its standard input what to open, and answers on its standard output, in the messages of `wire`. It ends
when the program does, or lets go of its end of the standard input, even while it is stuck inside of FFmpeg.
"""

from __future__ import annotations

import fcntl
import json
import os
import resource
import select
from contextlib import suppress

import av
from av.container import InputContainer

from pipeline.clock import NS_PER_S, Clock, RealClock
from pipeline.errors import Outage, SourceOpenError
from stages.capture import wire
from stages.capture.demux import DemuxFailed, VideoPacket, is_finite, open_input, packets, plain
from stages.capture.targets import Target, TargetKind
from stages.capture.wire import Flag, Header, Json, Kind

_INPUT, _OUTPUT, _NOWHERE = 0, 1, 2
_UNBOUNDED_NS = 10**9 * NS_PER_S
"""The program judges what is silence: a read here may be far ahead of it, and have all the time in the world."""
_MEMORY = 256 << 20
"""Bytes: the process by itself, a packet of the largest size that is passed on, and room to build it."""
_BYTES_A_PIXEL = 8
"""Room for two pictures of 10 bits and their references."""
_PIPE_BYTES = 1 << 20
"""As much as a pipe may hold without privileges (pipe(7)): fewer turns for raw pictures."""


def main() -> None:
    """Serve one request, to its end or the program's."""
    output = os.dup(_OUTPUT)
    os.dup2(_NOWHERE, _OUTPUT)  # whatever a library prints is no part of the conversation
    with suppress(OSError):
        fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    with suppress(BrokenPipeError, EOFError):
        request = _request()
        _end_with_the_program()
        _limit_memory(request["max_pixels"])
        target = Target(TargetKind(request["kind"]), request["address"])
        try:
            _serve(request, target, output, RealClock())
        except BrokenPipeError:
            raise
        except Exception as error:  # nobody would see a traceback of this process
            _say_lost(output, plain(error, target), Outage.ERROR)


def _request() -> Json:
    """Return what the program wants.

    Raises:
        EOFError: it is gone.
    """
    header = Header.unpack(_read(wire.HEADER_SIZE))
    request: Json = json.loads(_read(header.size))
    return request


def _read(size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = os.read(_INPUT, size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _end_with_the_program() -> None:
    """Ask for SIGIO, which ends a process that does not handle it, when the program's end of the standard input closes.

    Nothing else would end it while it is stuck in FFmpeg, which never looks at the pipe. The signal of prctl(2) for a
    dead parent will not do: it comes when the thread ends that started this process.

    Raises:
        BrokenPipeError: it has closed already.
    """
    fcntl.fcntl(_INPUT, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(_INPUT, fcntl.F_SETFL, fcntl.fcntl(_INPUT, fcntl.F_GETFL) | os.O_ASYNC)
    poller = select.poll()
    poller.register(_INPUT, 0)
    if poller.poll(0):
        raise BrokenPipeError


def _limit_memory(max_pixels: int) -> None:
    """Bound what a server can make this process claim, by parts without an end or lengths that are not true.

    Some pictures are decoded here, while FFmpeg finds out what the stream is.
    """
    most = _MEMORY + max_pixels * _BYTES_A_PIXEL
    with suppress(ValueError, OSError):  # a lower bound is in force already
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _serve(request: Json, target: Target, output: int, clock: Clock) -> None:
    """Open the target and hand on its packets until nothing more comes."""
    wire.write(output, Header(Kind.READY, 0))
    try:
        container, stream = open_input(
            target,
            options=request["options"],
            open_timeout_ns=request["open_timeout_ns"],
            read_timeout_ns=_UNBOUNDED_NS,
        )
    except SourceOpenError as error:
        _say_lost(output, error.why, Outage.ERROR)
        return
    wire.write_json(output, Kind.OPENED, _facts(container, stream, target))
    parameters = stream.codec_context.extradata or b""
    try:
        for packet in packets(container, stream, target):
            arrival_ns = clock.now_ns()
            if not packet.is_discard:
                _check(packet, parameters)
                wire.write(output, _header(packet, arrival_ns), memoryview(packet))
        _say_lost(output, "the stream ended", Outage.ENDED)
    except DemuxFailed as error:
        _say_lost(output, str(error), error.outage)


def _facts(container: InputContainer, stream: av.VideoStream, target: Target) -> Json:
    rate = stream.average_rate or stream.guessed_rate
    return {
        "format_name": container.format.name,
        "rate": None if rate is None else [rate.numerator, rate.denominator],
        "is_finite": is_finite(container, target),
        "codec": wire.describe_codec(stream.codec_context),
    }


def _check(packet: VideoPacket, parameters: bytes) -> None:
    """Look whether the program's decoder will understand a packet.

    Raises:
        DemuxFailed: it will not.
    """
    if packet.size > wire.MAX_PACKET:
        raise DemuxFailed(f"sends pictures of more than {wire.MAX_PACKET >> 20} MiB")
    # PyAV makes no side data from bytes, so parameter sets that come beside the packets (FLV, fragmented MP4) cannot
    # be handed on. Most senders only repeat the same ones; others need a fresh decoder, as a fresh connection gets.
    if packet.has_sidedata("new_extradata") and bytes(packet.get_sidedata("new_extradata")) != parameters:
        raise DemuxFailed("the stream has changed its parameters")


def _header(packet: VideoPacket, arrival_ns: int) -> Header:
    flags = Flag.NONE
    if packet.pts is not None:
        flags |= Flag.HAS_PTS
    if packet.dts is not None:
        flags |= Flag.HAS_DTS
    if packet.is_keyframe:
        flags |= Flag.KEYFRAME
    if packet.is_corrupt:
        flags |= Flag.CORRUPT
    return Header(Kind.PACKET, packet.size, flags, packet.pts or 0, packet.dts or 0, arrival_ns, packet.time_base)


def _say_lost(output: int, why: str, outage: Outage) -> None:
    wire.write_json(output, Kind.LOST, {"why": why, "outage": outage.value})
