"""The annotated video: every answer drawn on its picture, playable even after the run was killed."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter
from av.video.stream import VideoStream

from pipeline.errors import SinkOpenError
from pipeline.frame import Answer, Mode
from pipeline.stage import OpenContext
from stages.payloads import ByteArray, Picture
from stages.sink.annotate import annotate
from stages.sink.files import FileOptions, FileSink, OutputFile

_TICKS_PER_S = 90_000
"""The clock of MPEG systems (ISO/IEC 13818-1); exact for all common frame rates."""
_KEY_EVERY_TICKS = _TICKS_PER_S
"""A fragment ends at each key picture, so that a kill costs at most about the last second."""
_STEP_AFTER_JUMP_TICKS = _TICKS_PER_S // 25
_MUXERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
_ENCODER = {"preset": "veryfast", "crf": "23", "bf": "0", "forced-idr": "1"}
_THREADS = 4
"""Of a recording's encoder, whatever the machine has: its bytes depend on it."""
_LOOKAHEAD_MOST = 10
"""Pictures that the encoder looks ahead, as its preset says."""
_LOOKAHEAD_BYTES = 128 << 20
"""What they may hold; 8K has 50 MB a picture."""
_MATRIX_BT709, _MATRIX_SMPTE170M = 1, 6
"""How a stream names its matrix (ITU-T H.273 table 4); the converter has numbers of its own."""
_HD_FROM_ROWS = 720
"""Players take pictures of so many rows for BT.709, smaller ones for BT.601, where nothing says what they are."""


class VideoSink(FileSink):
    """Writes H.264 with each answer's boxes and status drawn on its picture.

    MP4 and MOV are written in fragments, Matroska in clusters: what is on disk can be played at any moment. Frames
    keep their presentation times. A frame without a picture repeats the last one (black before the first), with its
    own answer drawn on it. The first picture decides the size; later ones of another size are letterboxed into it, and
    an odd size gets one more row or column. Colours are those of BT.709 from 720 rows on, of BT.601 below, and tagged
    so. In lossless mode the same answers give the same bytes, on any number of processors.

    Frames before a picture size is known cannot be drawn; `left_out` counts them.
    """

    wants_pictures = True

    def __init__(self, options: FileOptions) -> None:
        super().__init__(options)
        self._muxer = ""
        self._encoder: dict[str, str] = {}
        self._threads = 1
        self._video: _Video | None = None
        self._last: ByteArray | None = None
        self._timeline = _Timeline()
        self._left_out = 0

    def open(self, context: OpenContext) -> None:
        """Open the file; the encoder starts with the first picture."""
        muxer = _MUXERS.get(Path(self._path).suffix.lower())
        if muxer is None:
            raise SinkOpenError(self._path, f"cannot hold the video; end the name in {', '.join(_MUXERS)}")
        self._muxer = muxer
        live = context.mode is Mode.LIVE
        self._threads = 1 if live else _THREADS
        # Without zerolatency the encoder keeps pictures back for better compression.
        self._encoder = {**_ENCODER, "tune": "zerolatency"} if live else _ENCODER
        super().open(context)

    def write(self, answer: Answer, *, gap: int) -> None:
        if isinstance(answer.picture, Picture):
            self._last = answer.picture.bgr()
        size = answer.size if self._last is None else (self._last.shape[1], self._last.shape[0])
        if size is None:
            self._left_out += 1
            return
        canvas = np.zeros((size[1], size[0], 3), np.uint8) if self._last is None else self._last.copy()
        annotate(canvas, answer)
        if self._video is None:
            assert self._file is not None
            self._video = _Video(self._file, self._muxer, size, self._encoder, self._threads)
        self._video.write(canvas, self._timeline.ticks(answer.info.pts_s))

    def close(self) -> None:
        video, self._video = self._video, None
        try:
            if video is not None:
                video.close()
        finally:
            super().close()

    def statistics(self) -> dict[str, int]:
        return {"left_out": self._left_out} if self._left_out else {}


class _Timeline:
    """Turns presentation times into ticks that start at 0 and strictly increase."""

    def __init__(self) -> None:
        self._offset: int | None = None
        self._last = 0

    def ticks(self, pts_s: float) -> int:
        """Return the time of the next frame; a jump back, as after a reconnect, goes on right after the last."""
        at = round(pts_s * _TICKS_PER_S)
        if self._offset is None:
            self._offset = at
        elif at - self._offset <= self._last:
            self._offset = at - self._last - _STEP_AFTER_JUMP_TICKS
        self._last = at - self._offset
        return self._last


class _Video:
    """An encoder and a muxer on an open file."""

    def __init__(
        self, file: OutputFile, muxer: str, size: tuple[int, int], encoder: dict[str, str], threads: int
    ) -> None:
        self._size = size[0] + size[0] % 2, size[1] + size[1] % 2  # 4:2:0 stores colour for pairs of rows and columns
        options = {"flush_packets": "1", "fflags": "bitexact"}
        if muxer != "matroska":
            options["movflags"] = "frag_keyframe+empty_moov+default_base_moof"
        self._container: OutputContainer = av.open(file, "w", format=muxer, options=options)
        ahead = max(1, min(_LOOKAHEAD_MOST, _LOOKAHEAD_BYTES // (self._size[0] * self._size[1] * 3 // 2)))
        if "tune" not in encoder:  # zerolatency looks at nothing ahead
            encoder = {**encoder, "rc-lookahead": str(ahead)}
        self._stream: VideoStream = self._container.add_stream("libx264", rate=30, options=dict(encoder))
        context = self._stream.codec_context
        context.width, context.height = self._size
        context.pix_fmt = "yuv420p"
        context.time_base = self._stream.time_base = Fraction(1, _TICKS_PER_S)
        hd = self._size[1] >= _HD_FROM_ROWS
        self._colorspace = Colorspace.ITU709 if hd else Colorspace.ITU601
        context.colorspace = _MATRIX_BT709 if hd else _MATRIX_SMPTE170M
        context.color_primaries = ColorPrimaries.BT709 if hd else ColorPrimaries.SMPTE170M
        context.color_trc = ColorTrc.BT709 if hd else ColorTrc.SMPTE170M
        context.color_range = ColorRange.MPEG
        context.thread_count = threads
        context.gop_size = 10_000  # key pictures are asked for by time, not by count
        self._converter = VideoReformatter()
        self._next_key = 0
        self._failed = False

    def write(self, canvas: ByteArray, ticks: int) -> None:
        """Encode one picture, uint8 (H, W, 3) BGR, of whatever size."""
        picture = av.VideoFrame.from_ndarray(_fitted(canvas, self._size), format="bgr24")
        frame = self._converter.reformat(
            picture,
            format="yuv420p",
            dst_colorspace=self._colorspace,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )
        frame.pts, frame.time_base = ticks, Fraction(1, _TICKS_PER_S)
        if ticks >= self._next_key:
            frame.pict_type = av.video.frame.PictureType.I
            self._next_key = ticks + _KEY_EVERY_TICKS
        try:
            self._container.mux(self._stream.encode(frame))
        except Exception:
            self._failed = True
            raise

    def close(self) -> None:
        """Write what the encoder still holds, and the end; after a failed write only release."""
        if self._failed:
            with suppress(OSError, av.FFmpegError):  # the failure itself was raised by write()
                self._container.close()
            return
        try:
            self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()


def _fitted(canvas: ByteArray, size: tuple[int, int]) -> ByteArray:
    """Return the picture in the given size (width, height): itself, with one more row or column, or letterboxed."""
    width, height = size
    have_height, have_width = canvas.shape[:2]
    if (have_width, have_height) == size:
        return canvas
    if not (0 <= width - have_width <= 1 and 0 <= height - have_height <= 1):
        scale = min(width / have_width, height / have_height)
        inner = max(1, round(have_width * scale)), max(1, round(have_height * scale))
        canvas = np.asarray(cv2.resize(canvas, inner, interpolation=cv2.INTER_AREA), np.uint8)
        have_height, have_width = canvas.shape[:2]
        left, top = (width - have_width) // 2, (height - have_height) // 2
        edges = top, height - have_height - top, left, width - have_width - left
        return np.asarray(cv2.copyMakeBorder(canvas, *edges, cv2.BORDER_CONSTANT, value=(0, 0, 0)), np.uint8)
    edges = 0, height - have_height, 0, width - have_width
    return np.asarray(cv2.copyMakeBorder(canvas, *edges, cv2.BORDER_REPLICATE), np.uint8)
