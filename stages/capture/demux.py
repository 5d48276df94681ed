"""Opens a video with bounded waits and hands out its packets, errors put into plain words."""

from __future__ import annotations

import errno
import re
import ssl
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import av
from av.container import InputContainer
from av.stream import Disposition

from pipeline.clock import NS_PER_S
from pipeline.errors import Outage, SourceOpenError
from pipeline.masking import scrub
from pipeline.units import format_duration
from stages.capture import http_probe
from stages.capture.targets import STANDARD_INPUT, Target, TargetKind

VideoPacket: TypeAlias = "av.Packet[av.VideoStream]"

_LIVE_PROBE = {"flags": "low_delay", "analyzeduration": "100000", "probesize": "100000"}
"""Look at no more than 0.1 s or 100 kB before giving the first packet: the default looks at seconds of video.

Without `fflags=nobuffer`, which throws away what was looked at: the key frame without which nothing can be decoded.
"""
_MAX_BROKEN_READS = 100
"""So many demuxer errors in a row, without one packet between them, are the end."""
_PLAYLIST = "hls"
_PICTURES_IN_PARTS = "multipart/x-mixed-replace"
_PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
_NOT_VIDEO_FORMATS = frozenset({"tty"})
"""Formats that the library draws as pictures although they are text."""


def open_input(
    target: Target, *, options: dict[str, str], open_timeout_ns: int, read_timeout_ns: int
) -> tuple[InputContainer, av.VideoStream]:
    """Open the target and choose its video stream.

    Args:
        target: what to open.
        options: further demuxer options.
        open_timeout_ns: bound for connecting and probing together, each of which may take half of it.
        read_timeout_ns: bound for each later read.

    Raises:
        SourceOpenError: in one line, without credentials.
    """
    address, formats = target.address, {TargetKind.WEBCAM: "v4l2", TargetKind.LAVFI: "lavfi"}
    if target.kind is TargetKind.FILE:
        address, sequence = _file_address(target)
        if sequence:
            formats[TargetKind.FILE] = "image2"
            options = options | sequence
    # The library gives connecting and probing the first bound each.
    bounds = (open_timeout_ns / 2 / NS_PER_S, read_timeout_ns / NS_PER_S) if _waits(target) else None
    options = (_LIVE_PROBE if target.live else {}) | options
    try:
        container = _open(address, formats.get(target.kind), options, bounds)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise SourceOpenError(target.shown, why_not_opened(error, target, open_timeout_ns)) from None
    try:
        return container, _video_stream(container, target)
    except SourceOpenError:
        container.close()
        raise


def _open(
    address: str, format_name: str | None, options: dict[str, str], bounds: tuple[float, float] | None
) -> InputContainer:
    """Open what FFmpeg understands, and pictures in parts that it does not: some cameras begin without a boundary.

    Raises:
        av.error.FFmpegError, OSError, ValueError: it cannot be opened.
    """
    try:
        return av.open(address, format=format_name, options=options, timeout=bounds)
    except av.error.InvalidDataError:
        if not address.lower().startswith(("http://", "https://")):
            raise
        shown = http_probe.ask(address, verify=options.get("tls_verify") != "0")
        if shown is None or shown.media_type != _PICTURES_IN_PARTS:
            raise
    return av.open(address, format="mjpeg", options=options, timeout=bounds)


def tls_options(*, verify: bool) -> dict[str, str]:
    """Return what makes FFmpeg look at a server's certificate, or not; it does not by itself."""
    if not verify:
        return {"tls_verify": "0"}
    trusted = ssl.get_default_verify_paths().cafile
    return {"tls_verify": "1", **({} if trusted is None else {"ca_file": trusted})}


def is_finite(container: InputContainer, target: Target) -> bool:
    """Whether it has an end that is known: a recording. FFmpeg guesses durations of what is endless."""
    if target.kind is not TargetKind.HTTP or _PLAYLIST in container.format.name.split(","):
        return container.duration is not None
    return container.size > 0


def _waits(target: Target) -> bool:
    """Whether reading may block; elsewhere the timeout's callback would only cost time."""
    return target.kind in (TargetKind.RTSP, TargetKind.HTTP, TargetKind.WEBCAM)


def _file_address(target: Target) -> tuple[str, dict[str, str]]:
    """Return a file's address, in which no colon means anything; for pictures by number or pattern, also options.

    Raises:
        SourceOpenError: there is no such file.
    """
    if target.address == STANDARD_INPUT:
        return "pipe:0", {}
    path = Path(target.address)
    try:
        status = path.stat()
    except FileNotFoundError:
        return _sequence(target, path)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "its name cannot be one"
        raise SourceOpenError(target.shown, why.lower()) from None
    if stat.S_ISDIR(status.st_mode):
        return _folder(target, path)
    if not stat.S_ISREG(status.st_mode):
        raise SourceOpenError(target.shown, "is not a regular file")
    if status.st_size == 0:
        raise SourceOpenError(target.shown, "the file is empty")
    return f"file:{path}", {}


def _sequence(target: Target, path: Path) -> tuple[str, dict[str, str]]:
    if re.search(r"%0?\d*d", path.name) and path.parent.is_dir():
        number = re.compile(re.sub(r"%0?\d*d", r"(\\d+)", re.escape(path.name).replace("\\%", "%")))
        numbers = [int(found[1]) for each in path.parent.iterdir() if (found := number.fullmatch(each.name))]
        if numbers:
            return f"file:{path}", {"pattern_type": "sequence", "start_number": str(min(numbers))}
    if any(letter in path.name for letter in "*?[") and any(path.parent.glob(path.name)):
        return str(path.absolute()), {"pattern_type": "glob"}  # which knows no protocols
    raise SourceOpenError(target.shown, "no such file")


def _folder(target: Target, path: Path) -> tuple[str, dict[str, str]]:
    """Return the pictures of a folder, of the kind that it has most of."""
    try:
        endings = Counter(each.suffix for each in path.iterdir() if each.suffix.lower() in _PICTURES)
    except OSError as error:
        raise SourceOpenError(target.shown, (error.strerror or "cannot be read").lower()) from None
    if not endings:
        raise SourceOpenError(target.shown, "is a directory without pictures; give one video file")
    ending = endings.most_common(1)[0][0]
    folder = re.sub(r"([*?\[\]\\])", r"\\\1", str(path.absolute()))
    return f"{folder}/*{ending}", {"pattern_type": "glob"}


def _video_stream(container: InputContainer, target: Target) -> av.VideoStream:
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if container.format.name in _NOT_VIDEO_FORMATS:
        raise SourceOpenError(target.shown, "is text, not a video")
    if not streams:
        kinds = ", ".join(sorted({stream.type for stream in container.streams}))
        raise SourceOpenError(target.shown, f"has no video stream (found: {kinds or 'nothing'})")
    stream = streams[0]
    if stream.codec_context is None:
        raise SourceOpenError(target.shown, "has a video stream that no decoder here understands")
    return stream


def why_not_opened(error: BaseException, target: Target, open_timeout_ns: int) -> str:
    """Return one line without credentials that says why opening failed."""
    patience = format_duration(open_timeout_ns // 2)
    if target.kind is TargetKind.HTTP and _is_unclear(error):
        shown = http_probe.ask(target.address, verify=True) if "@" not in target.address else None
        if shown is not None:
            return shown.words
    remote = target.kind in (TargetKind.RTSP, TargetKind.HTTP)
    if isinstance(error, av.error.InvalidDataError) and target.kind is TargetKind.FILE:
        if target.address.lower().endswith(".sdp"):
            return "describes a stream that is elsewhere; give the rtsp:// address of the camera"
        if target.address == STANDARD_INPUT:
            return "what came in is no video"
        with Path(target.address).open("rb") as file:
            is_mp4 = file.read(8)[4:] == b"ftyp"
        if is_mp4:
            return "the file is cut off or damaged: its index (moov atom) is missing"
        return "is not a video file, or is damaged from its first bytes"
    if isinstance(error, av.error.InvalidDataError) and remote:
        return f"no usable answer within {patience}; not a video stream, or a dead camera"
    if isinstance(error, (av.error.ExitError, av.error.TimeoutError)):
        return f"no answer within {patience}"
    if isinstance(error, av.error.HTTPUnauthorizedError):
        return "user name or password refused (401)"
    if isinstance(error, av.error.ArgumentError) and target.kind is TargetKind.LAVFI:
        return "the filter graph is not understood"
    if isinstance(error, FileNotFoundError) and target.kind is TargetKind.WEBCAM:
        return "no such camera"
    return plain(error, target)


def _is_unclear(error: BaseException) -> bool:
    """Whether FFmpeg's error may be about anything that a web server sent."""
    return isinstance(error, av.error.InvalidDataError) or getattr(error, "errno", None) == errno.EIO


def plain(error: BaseException, target: Target) -> str:
    """Return an error's own words in one lower-case line without credentials."""
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    line = " ".join(scrub(str(words), target.address).split())
    return line[:1].lower() + line[1:]


class DemuxFailed(Exception):
    """Reading broke off; the text says why, without credentials."""

    def __init__(self, why: str, outage: Outage = Outage.ERROR) -> None:
        self.outage = outage
        super().__init__(why)


def packets(container: InputContainer, stream: av.VideoStream, target: Target) -> Iterator[VideoPacket]:
    """Yield the packets of a stream until its end; stretches that the demuxer cannot read are passed over.

    Each packet of a stream that reorders has a decode time: Matroska leaves out the first ones, and the time
    of a frame's registration depends on them.

    Raises:
        DemuxFailed: the connection broke, went silent, or the data is beyond use.
    """
    broken = 0
    reached: int | None = None
    while True:
        try:
            for packet in container.demux(stream):
                broken = 0
                if not packet.size:
                    continue
                if packet.dts is None and packet.pts is not None:
                    packet.dts = _decode_bound(packet.pts, reached, stream)
                reached = packet.dts
                yield packet
            return
        except av.error.InvalidDataError:
            # The iterator is finished by an error; a new one goes on behind the broken stretch.
            broken += 1
            if broken >= _MAX_BROKEN_READS:
                raise DemuxFailed("the data is damaged beyond use") from None
        except (av.error.ExitError, av.error.TimeoutError):
            raise DemuxFailed("went silent", Outage.SILENT) from None
        except (av.error.FFmpegError, OSError) as error:
            if target.kind is TargetKind.HTTP and error.errno == errno.EIO:  # what FFmpeg makes of a hang-up there
                raise DemuxFailed("the connection was closed", Outage.ENDED) from None
            raise DemuxFailed(plain(error, target)) from None


def _decode_bound(pts: int, reached: int | None, stream: av.VideoStream) -> int | None:
    """Return a time that no later packet is presented before; None when nothing is reordered."""
    depth = stream.codec_context.reorder_depth
    if not depth or stream.time_base is None:
        return None
    rate = stream.average_rate or stream.guessed_rate or 25
    return reached if reached is not None else pts - round(depth / (rate * stream.time_base))
