"""The clips that the camera serves: the shipped one, with the number of each picture in its pixels."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
from picture_number import write_number

SHIPPED = Path(__file__).resolve().parents[2] / "sample_videos" / "pedestrians.mp4"
MOST = 4096
"""Pictures whose numbers differ."""


def make(path: Path, pictures: int, size: tuple[int, int] | None = None, gop: int = 30) -> None:
    """Write the shipped clip, from its beginning again when it ends, numbered, H.264 without B-frames.

    Args:
        path: of the MP4 file to write; left as it is if it is there.
        pictures: how many; MOST at most.
        size: width and height in pixels; its own if None.
        gop: from one key picture to the next.
    """
    if path.exists():
        return
    part = path.with_suffix(".part.mp4")
    options = {"preset": "veryfast", "tune": "zerolatency", "crf": "20", "g": str(gop)}
    with av.open(str(SHIPPED)) as source:
        own = source.streams.video[0]
        width, height = size or (own.width, own.height)
    with av.open(str(part), "w") as target:
        stream = target.add_stream("libx264", rate=30, options=options)
        stream.width, stream.height = width, height
        number = 0
        while number < pictures:
            with av.open(str(SHIPPED)) as source:
                for frame in source.decode(video=0):
                    if number == pictures:
                        break
                    pixels = frame.reformat(width, height, format="bgr24").to_ndarray()
                    write_number(pixels, number)
                    numbered = av.VideoFrame.from_ndarray(pixels, format="bgr24").reformat(format="yuv420p")
                    numbered.pts, numbered.time_base = number, Fraction(1, 30)
                    target.mux(stream.encode(numbered))
                    number += 1
        target.mux(stream.encode(None))
    part.rename(path)


def at_rate(path: Path, fps: int) -> Path:
    """Return the clip, its very packets, with times as the camera gives them at another rate.

    Args:
        path: of a clip of `make`.
        fps: pictures a second.
    """
    retimed = path.with_stem(f"{path.stem}-{fps}fps")
    if retimed.exists():
        return retimed
    part = retimed.with_suffix(".part.mp4")
    with av.open(str(path)) as source, av.open(str(part), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(packet for packet in source.demux(video=0) if packet.size):
            packet.stream = stream
            packet.time_base = Fraction(1, fps)
            packet.pts = packet.dts = number
            packet.duration = 1
            target.mux(packet)
    part.rename(retimed)
    return retimed
