"""Pictures that are larger than the source allows take no memory."""

from __future__ import annotations

import logging
from pathlib import Path

import av
import pytest

from pipeline.clock import RealClock
from pipeline.errors import Undecodable
from pipeline.frame import Mode
from pipeline.stage import OpenContext
from stages.capture.video import VideoOptions, VideoSource
from stages.decode.video import DecodeOptions, VideoDecoder
from stages.payloads import MAX_PIXELS, Packet

REFUSED = "more than max_pixels of the source allows (1000), or none at all"


def opened(source: VideoSource | VideoDecoder, mode: Mode) -> None:
    source.open(OpenContext(mode, "test", RealClock(), cores=2, deadline_ns=None))


def packets_of(path: Path, **options: object) -> list[Packet]:
    source = VideoSource(VideoOptions.model_validate({"url": str(path), **options}))
    opened(source, Mode.LOSSLESS)
    payloads = [sample.payload for sample in iter(source.read, None)]
    source.close()
    return [payload for payload in payloads if isinstance(payload, Packet)]


def outcome(packets: list[Packet], mode: Mode) -> tuple[int, list[str]]:
    """Return how many pictures come of the packets, and why there are none of some."""
    decoder = VideoDecoder(DecodeOptions())
    opened(decoder, mode)
    pictures, reasons = 0, []
    for packet in packets:
        try:
            pictures += len(decoder.decode(packet, 1))
        except Undecodable as error:
            reasons.append(str(error))
    pictures += len(decoder.flush())
    decoder.close()
    return pictures, reasons


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.mp4", "libx264", "yuv420p"),
        ("a.mkv", "libx265", "yuv420p"),
        ("a.avi", "mjpeg", "yuvj420p"),
        ("a.mkv", "mpeg4", "yuv420p"),
        ("a.mkv", "libvpx-vp9", "yuv420p"),
    ],
)
def test_a_picture_too_large_is_refused(
    make_clip, name: str, codec: str, pix_fmt: str, mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:  # type: ignore[no-untyped-def]
    """By every codec, with a reason that is said once in the log."""
    packets = packets_of(make_clip(name, codec=codec, frames=5, pix_fmt=pix_fmt, options={}), max_pixels=1000)
    with caplog.at_level(logging.WARNING):
        pictures, reasons = outcome(packets, mode)
    assert pictures == 0
    assert REFUSED in reasons
    assert [record.message for record in caplog.records] == [f"the size of the pictures is refused: {REFUSED}"]


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_size_that_only_the_pictures_tell(make_clip, codec: str, mode: Mode) -> None:  # type: ignore[no-untyped-def]
    """As of a camera over RTSP, whose decoder learns the size with the first picture."""
    path = make_clip(f"a.{codec}", codec={"h264": "libx264", "hevc": "libx265"}[codec], frames=5)
    fresh = av.CodecContext.create(codec, "r")
    assert isinstance(fresh, av.VideoCodecContext)
    fresh.options = {MAX_PIXELS: "1000"}
    packets = [Packet(each.data, fresh, 1) for each in packets_of(path)]
    pictures, reasons = outcome(packets, mode)
    assert pictures == 0
    assert REFUSED in reasons


def test_what_is_allowed_is_decoded(make_clip) -> None:  # type: ignore[no-untyped-def]
    """The default lets a picture pass."""
    assert outcome(packets_of(make_clip("a.mp4", frames=3)), Mode.LIVE) == (3, [])
