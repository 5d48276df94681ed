"""Pictures to measure with."""

from __future__ import annotations

import itertools
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.errors import SourceOpenError
from stages.bench.clip import long_enough, make_clip

FRAMES = 8


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short one."""
    path = tmp_path_factory.mktemp("clip") / "made.mp4"
    make_clip(path, (128, 96), FRAMES)
    return path


def times_of(path: Path) -> list[float]:
    """Return the times of the decoded pictures, seconds; errors of the codec fail the test."""
    with av.open(str(path)) as container:
        return [float(frame.time) for frame in container.decode(video=0) if frame.time is not None]


def test_a_made_clip_is_what_a_camera_would_send(clip: Path) -> None:
    """H.264 of that size, 30 fps, no B-frames; the pictures differ."""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 128, 96)
        assert stream.average_rate == 30
        assert not stream.codec_context.has_b_frames
        pictures = [frame.to_ndarray(format="gray") for frame in container.decode(stream)]
    assert len(pictures) == FRAMES
    assert all((one != other).any() for one, other in itertools.pairwise(pictures))


def test_a_long_clip_stays_as_it_is(clip: Path, tmp_path: Path) -> None:
    """Nothing is written."""
    target = tmp_path / "long.mkv"
    assert long_enough(clip, FRAMES, target) == clip
    assert not target.exists()


@pytest.mark.parametrize("ending", ["mkv", "mp4"])
def test_a_short_clip_is_repeated(clip: Path, tmp_path: Path, ending: str) -> None:
    """Until there are enough pictures, at the same pace over the seams, and each can be decoded."""
    target = tmp_path / f"long.{ending}"
    assert long_enough(clip, 3 * FRAMES - 1, target) == target
    times = times_of(target)
    assert len(times) == 3 * FRAMES
    np.testing.assert_allclose(np.diff(times), 1 / 30, atol=0.0011)  # Matroska counts milliseconds


def test_what_cannot_be_repeated_is_said(clip: Path, tmp_path: Path) -> None:
    """In one line with the name of the clip."""
    with pytest.raises(SourceOpenError, match=r"made\.mp4: is too short, and cannot be repeated"):
        long_enough(clip, FRAMES + 1, tmp_path / "no such folder" / "long.mkv")
