"""A live source that FFmpeg reads in a process of its own, which can be killed when it is stuck."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from typing import cast

import av

from pipeline.clock import NS_PER_MS, NS_PER_S, Clock
from pipeline.errors import Outage, SourceOpenError, StreamLost
from pipeline.units import format_duration
from stages.capture import wire
from stages.capture.demux import VideoPacket
from stages.capture.live_input import LiveInput, StreamFacts, Unit, has_stamps, stamps_of
from stages.capture.rtsp.sockets import Interrupted, Patience, TimedOut
from stages.capture.targets import Target
from stages.capture.wire import Flag, Garbled, Header, Json, Kind
from stages.payloads import MAX_PIXELS

_PROGRAM = "import sys; sys.path[:] = sys.argv[2:]; from stages.capture.worker_process import main; main()"
"""Finds its modules where this process does, wherever the working directory is."""
_NAME = "framepace-capture"
"""For whoever looks at the list of processes."""
_INHERITED = re.compile(
    r"PATH|HOME|TZ|TMPDIR|LANG|LC_.*|LD_.*|PYTHON(HOME|PATH|UTF8|NOUSERSITE|DONTWRITEBYTECODE)|VIRTUAL_ENV|OPENSSL_CONF|SSL_CERT_(FILE|DIR)|(https?|all|no)_proxy",
    re.IGNORECASE,
)
"""The variables that a process that reads a camera may need, proxies included; the others may be secrets."""
_START_NS = 5 * NS_PER_S
"""Until the process is there: 0.2 s, many times that on a machine that is starting a fleet of them."""
_WORDS_NS = 250 * NS_PER_MS
"""On top of the bound for opening, so that FFmpeg, which keeps it mostly, can say what it waited for."""
_REAP_S = 0.25
"""A killed process is gone in a few ms, unless the system itself is stuck in a driver."""


class _Died(Exception):
    """The process is gone without having said why."""


class WorkerInput(LiveInput):
    """A live source that FFmpeg demultiplexes in a process of its own.

    FFmpeg may block where nothing interrupts it: in a driver, in a name lookup, in a defect. Here every wait ends in
    time, because this side waits for a pipe, and a process that is stuck is killed. So is one that crashes: the stream
    is lost, and nothing else. A packet's bytes are copied twice for that, and come out as FFmpegInput gives them.

    Args:
        target: what to open; no filter graph, whose pictures lie in the memory of the process that makes them.
        clock: bounds the waits; arrivals are stamped with the machine's monotonic clock.
        options: further demuxer options.
        open_timeout_ns: bound for connecting and probing, after what starting a process takes.
        stall_timeout_ns: bound for each read.
        is_interrupted: whether the run is being stopped; asked ten times a second while there is nothing to do.

    Raises:
        SourceOpenError: it could not be opened.
    """

    def __init__(
        self,
        target: Target,
        clock: Clock,
        *,
        options: dict[str, str],
        open_timeout_ns: int,
        stall_timeout_ns: int,
        is_interrupted: Callable[[], bool],
    ) -> None:
        self._target = target
        self._clock = clock
        self._open_timeout_ns = open_timeout_ns
        self._stall_timeout_ns = stall_timeout_ns
        self._is_interrupted = is_interrupted
        self._lost: StreamLost | None = None
        self._header = bytearray(wire.HEADER_SIZE)
        try:
            self._process = _start()
        except OSError as error:
            why = f"no process can be started to read it: {(error.strerror or str(error)).lower()}"
            raise SourceOpenError(target.shown, why) from None
        assert self._process.stdout is not None
        self._output = self._process.stdout.fileno()
        os.set_blocking(self._output, False)
        self._poll = select.poll()
        self._poll.register(self._output, select.POLLIN)
        try:
            self._open(options)
        except BaseException:
            self.close()
            raise

    def read(self) -> Unit:
        if self._lost is None:
            try:
                header, packet = self._receive(self._stall_timeout_ns)
                if header.kind is Kind.PACKET:
                    return self._unit(header, packet)
                self._lost = wire.understood(bytes(packet), _loss)
            except TimedOut:
                self._lost = StreamLost("went silent", Outage.SILENT)
            except Interrupted:
                self._lost = StreamLost("the run is being stopped")
            except (_Died, Garbled) as error:
                self._lost = StreamLost(str(error))
            self.close()
        raise StreamLost(self._lost.why, self._lost.outage)

    def close(self) -> None:
        self._lost = self._lost or StreamLost("it is closed")
        process = self._process
        process.kill()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
        # One that the system cannot end now is reaped by the subprocess module when it can.
        with suppress(subprocess.TimeoutExpired):
            process.wait(_REAP_S)

    def _open(self, options: dict[str, str]) -> None:
        """Have the target opened, and learn what it is.

        Raises:
            SourceOpenError: it cannot be.
        """
        no_start = f"the process that reads it did not start within {format_duration(_START_NS)}"
        no_answer = f"no answer within {format_duration(self._open_timeout_ns)}"
        try:
            self._ask(options)
            self._expect(Kind.READY, _START_NS, no_start)
            body = self._expect(Kind.OPENED, self._open_timeout_ns + _WORDS_NS, no_answer)
            wire.understood(body, self._take)
        except Interrupted:
            raise SourceOpenError(self._target.shown, "the run is being stopped") from None
        except (_Died, Garbled) as error:
            raise SourceOpenError(self._target.shown, str(error)) from None

    def _take(self, opened: Json) -> None:
        rate = opened["rate"]
        name = str(opened["format_name"])
        self.codec = wire.make_codec(opened["codec"])
        self.facts = StreamFacts(
            format_name=name,
            rate=None if rate is None else Fraction(*rate),
            is_finite=bool(opened["is_finite"]),
        )
        self._has_stamps = has_stamps(name)

    def _ask(self, options: dict[str, str]) -> None:
        """Say what to open; over the pipe, since the address may hold a password, and everybody sees a command line."""
        assert self._process.stdin is not None
        requests = self._process.stdin.fileno()
        os.set_blocking(requests, False)
        request: Json = {
            "kind": self._target.kind.value,
            "address": self._target.address,
            "options": options,
            "max_pixels": int(options.get(MAX_PIXELS, 0)),
            "open_timeout_ns": self._open_timeout_ns,
        }
        try:
            wire.write_json(requests, Kind.REQUEST, request)
        except BrokenPipeError:
            raise self._death() from None
        except (BlockingIOError, ValueError):
            raise SourceOpenError(self._target.shown, "its address is too long") from None

    def _expect(self, kind: Kind, limit_ns: int, too_late: str) -> bytes:
        """Return the body of the next message, which should be of this kind.

        Raises:
            SourceOpenError: the target was refused, or nothing came in time.
            Interrupted, _Died, Garbled: it did not come.
        """
        try:
            header, body = self._receive(limit_ns)
        except TimedOut:
            raise SourceOpenError(self._target.shown, too_late) from None
        if header.kind is Kind.LOST:
            raise SourceOpenError(self._target.shown, wire.understood(bytes(body), _loss).why)
        if header.kind is not kind:
            raise Garbled
        return bytes(body)

    def _receive(self, limit_ns: int) -> tuple[Header, VideoPacket]:
        """Return the next message, its body as a packet, whatever it is: decoders want memory that is padded.

        Raises:
            Interrupted, TimedOut: it did not come.
            _Died, Garbled: nothing will, or nothing that is understood.
        """
        patience = Patience(self._clock, limit_ns, self._is_interrupted)
        self._fill(memoryview(self._header), patience)
        header = Header.unpack(self._header)
        packet = cast("VideoPacket", av.Packet(header.size))
        self._fill(memoryview(packet).cast("B"), patience)
        return header, packet

    def _fill(self, view: memoryview, patience: Patience) -> None:
        """Read as many bytes as fit."""
        while view:
            try:
                count = os.readv(self._output, [view])
            except BlockingIOError:
                self._poll.poll(patience.slice_s() * 1000)
                continue
            if not count:
                raise self._death()
            view = view[count:]

    def _death(self) -> _Died:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_REAP_S)
        code = self._process.returncode
        how = "closed its pipe" if code is None else f"ended with status {code}"
        if code is not None and code < 0:
            how = f"was ended by signal {-code} ({signal.strsignal(-code)})"
        return _Died(f"the process that reads it {how}")

    def _unit(self, header: Header, packet: VideoPacket) -> Unit:
        packet.pts = header.pts if Flag.HAS_PTS in header.flags else None
        packet.dts = header.dts if Flag.HAS_DTS in header.flags else None
        packet.time_base = header.time_base
        packet.is_keyframe = Flag.KEYFRAME in header.flags
        packet.is_corrupt = Flag.CORRUPT in header.flags
        stamps = stamps_of(packet, header.arrival_ns, has_stamps=self._has_stamps, codec=self.codec)
        return Unit(packet, stamps)


def _loss(said: Json) -> StreamLost:
    return StreamLost(str(said["why"]), Outage(said["outage"]))


def _start() -> subprocess.Popen[bytes]:
    """Start a process that waits for a request.

    It has a process group of its own: Ctrl-C at a terminal goes to a whole group, and what it means is decided here.

    Raises:
        OSError: the system has no room for it.
    """
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, _NAME, *sys.path],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        process_group=0,
        env={name: value for name, value in os.environ.items() if _INHERITED.fullmatch(name)},
    )
