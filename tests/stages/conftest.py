"""Clips that the tests of reading, decoding and scaling make for themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from stages.capture.synthetic import write_frame_number

ClipMaker = Callable[..., Path]


@pytest.fixture
def make_clip(tmp_path: Path) -> ClipMaker:
    """A function that encodes numbered pictures: the number of each frame can be read from its pixels."""

    def make(
        name: str,
        *,
        frames: int = 30,
        codec: str = "libx264",
        size: tuple[int, int] = (320, 240),
        pix_fmt: str = "yuv420p",
        b_frames: int = 0,
        gop: int = 10,
        pts_ms: Callable[[int], int] = lambda number: number * 40,
        rotation: int | None = None,
        matrix: Sequence[int] | None = None,
        aspect: Fraction | None = None,
        options: dict[str, str] | None = None,
    ) -> Path:
        path = tmp_path / name
        x264 = {"preset": "veryfast", "crf": "12", "bf": str(b_frames), "x264-params": "scenecut=0:b-adapt=0"}
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25, options=x264 if options is None else options)
            stream.width, stream.height, stream.pix_fmt, stream.gop_size = *size, pix_fmt, gop
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
            if rotation is not None:
                stream.set_display_rotation(rotation)
            if matrix is not None:
                stream.set_display_matrix(matrix)
            if aspect is not None:
                stream.codec_context.sample_aspect_ratio = aspect
            for number in range(frames):
                picture = np.full((size[1], size[0], 3), 90, dtype=np.uint8)
                write_frame_number(picture, number)
                frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
                frame.pts, frame.time_base = pts_ms(number), Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return make


@pytest.fixture
def tv_frame() -> Callable[[int, int], av.VideoFrame]:
    """A function that makes a smooth coloured YUV picture of a given width and height."""

    def make(width: int, height: int) -> av.VideoFrame:
        rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
        channels = [
            100 + 80 * np.sin(columns / width * 7),
            120 + 90 * np.cos(rows / height * 5),
            110 + 70 * np.sin((rows + columns) / 90),
        ]
        pixels = np.clip(np.stack(channels, axis=2), 0, 255).astype(np.uint8)
        return av.VideoFrame.from_ndarray(pixels, format="bgr24").reformat(format="yuv420p")

    return make
