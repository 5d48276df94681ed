"""Pictures to measure with: made here, or the user's own, as many as a run needs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer

from pipeline.errors import SourceOpenError

FPS = 30
_CAMERA = {"preset": "veryfast", "bf": "0", "x264-params": "sliced-threads=0"}
"""As cameras encode: no B-frames, one slice a picture."""
_BITS_PER_PIXEL = 0.15
"""4 Mbit/s at 720p and 30 fps, what cameras are usually set to."""


def make_clip(path: Path, size: tuple[int, int], frames: int) -> None:
    """Write an H.264 clip of a moving test picture with noise, without which a codec has nothing to do."""
    graph = f"testsrc2=size={size[0]}x{size[1]}:rate={FPS},noise=alls=10:allf=t,format=yuv420p"
    with av.open(graph, format="lavfi") as source:
        rate = round(_BITS_PER_PIXEL * size[0] * size[1] * FPS)
        options = {**_CAMERA, "b": str(rate), "maxrate": str(rate), "bufsize": str(rate // 2)}
        encode(itertools.islice(source.decode(video=0), frames), path, size=size, options=options)


def encode(
    pictures: Iterable[av.VideoFrame], path: Path, *, size: tuple[int, int], options: dict[str, str], gop: int = FPS
) -> None:
    """Write pictures as an H.264 clip of 30 fps.

    Args:
        pictures: scaled to `size` (width, height) where they have another one.
        path: the file; its ending says the container.
        size: pixels.
        options: of libx264.
        gop: frames from one key picture to the next.
    """
    with av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=FPS, options={**options, "g": str(gop)})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for number, picture in enumerate(pictures):
            scaled = picture.reformat(*size, format="yuv420p")
            scaled.pts, scaled.time_base, scaled.pict_type = number, Fraction(1, FPS), 0
            target.mux(stream.encode(scaled))
        target.mux(stream.encode(None))


def long_enough(clip: Path, frames: int, target: Path) -> Path:
    """Return the clip, or where it is too short, a new one in which its packets repeat until there are enough.

    Args:
        clip: a recording that can be read.
        frames: how many are wanted.
        target: where a new one goes.

    Raises:
        SourceOpenError: the clip is too short and cannot be repeated.
    """
    try:
        with av.open(str(clip)) as source:
            length = sum(1 for _ in itertools.islice(_packets(source), frames))
        if length >= frames:
            return clip
        repeat(clip, -(-frames // length), target)
    except (av.error.FFmpegError, ValueError, ZeroDivisionError) as error:
        raise SourceOpenError(str(clip), f"is too short, and cannot be repeated: {error}") from error
    return target


def repeat(clip: Path, turns: int, target: Path) -> None:
    """Write a clip that plays another one several times, its packets as they are.

    Raises:
        ValueError: it has no time stamps.
    """
    with av.open(str(clip)) as source, av.open(str(target), "w") as writer:
        stream = writer.add_stream_from_template(source.streams.video[0])
        packets = list(_packets(source))
        times = [_times(packet) for packet in packets]
        base = packets[0].time_base
        presented = sorted(pts for pts, _ in times)
        span = presented[-1] - presented[0]
        length = span + max(1, round(span / max(1, len(times) - 1)))
        for turn in range(turns):
            for packet, (pts, dts) in zip(packets, times, strict=True):
                packet.time_base = base  # writing it has put it into the target's
                packet.pts, packet.dts, packet.stream = pts + turn * length, dts + turn * length, stream
                writer.mux(packet)


def _packets(source: InputContainer) -> Iterator[av.Packet[av.VideoStream]]:
    """Give the packets that hold pictures."""
    return (packet for packet in source.demux(source.streams.video[0]) if packet.size)


def _times(packet: av.Packet[av.VideoStream]) -> tuple[int, int]:
    """Return presentation and decode time; where a container knows one of them only, twice that one."""
    pts = packet.dts if packet.pts is None else packet.pts
    dts = packet.pts if packet.dts is None else packet.dts
    if pts is None or dts is None:
        raise ValueError("it has no time stamps")
    return pts, dts
