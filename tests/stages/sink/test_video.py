"""The annotated video, read back with the codec library."""

from __future__ import annotations

import errno
import hashlib
import io
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.errors import SinkOpenError
from pipeline.frame import Answer, Mode, Status
from pipeline.stage import OpenContext
from pipeline.testing import ManualClock, open_context
from stages.sink.files import FileOptions
from stages.sink.video import VideoSink

Make = Callable[..., Answer]

_SUFFIXES = (".mp4", ".mov", ".mkv")
_GREEN, _ORANGE, _RED = (60, 150, 20), (0, 165, 255), (40, 40, 215)


def grey(value: int, size: tuple[int, int] = (320, 240)) -> np.ndarray:
    return np.full((size[1], size[0], 3), value, np.uint8)


def sink(path: Path, mode: Mode = Mode.LOSSLESS) -> VideoSink:
    one = VideoSink(FileOptions(path=str(path)))
    one.open(open_context(ManualClock(), mode=mode))
    one.begin()
    return one


def shown(source: str | io.BytesIO) -> list[tuple[float, np.ndarray]]:
    """The presentation time in seconds and the BGR pixels of every frame of a video."""
    with av.open(source) as container:
        return [(float(frame.time), frame.to_ndarray(format="bgr24")) for frame in container.decode(video=0)]


def playable_frames(data: bytes) -> int:
    """How many frames a player shows of a file that was cut off: it leaves out a packet that is not whole."""
    count = 0
    with av.open(io.BytesIO(data)) as container:
        for packet in container.demux(video=0):
            with suppress(av.error.InvalidDataError):
                count += len(packet.decode())
    return count


def written_until_it_fails(one: VideoSink, make_answer: Make) -> tuple[int, OSError]:
    """Write noise until the file cannot take it; return how many frames went in, and the error."""
    random = np.random.default_rng(1)
    for number in range(200):
        picture = random.integers(0, 255, (120, 160, 3), np.uint8)
        try:
            one.write(make_answer(number, picture=picture, size=(160, 120)), gap=0)
        except OSError as error:
            return number, error
    pytest.fail("200 frames were written without an error")


def corner(pixels: np.ndarray) -> list[int]:
    """The colour of the status patch."""
    return pixels[1:4, 1:4].mean(axis=(0, 1)).round().astype(int).tolist()


@pytest.mark.parametrize("suffix", _SUFFIXES)
@pytest.mark.parametrize("mode", list(Mode))
def test_every_frame_is_there_at_its_time(tmp_path: Path, make_answer: Make, suffix: str, mode: Mode) -> None:
    """As many frames as answers, at the presentation times of an uneven source, from 0 on."""
    path = tmp_path / f"out{suffix}"
    times_s = np.cumsum([5.0, *([0.04, 0.033, 0.2] * 14)])
    one = sink(path, mode)
    greys = [30 + number * 37 % 200 for number in range(len(times_s))]
    for number, pts_s in enumerate(times_s):
        one.write(make_answer(number, picture=grey(greys[number]), pts_s=float(pts_s)), gap=0)
    one.close()
    frames = shown(str(path))
    tick_s = 1e-3 if suffix == ".mkv" else 1 / 90_000  # Matroska counts in milliseconds
    assert [time_s for time_s, _ in frames] == pytest.approx(times_s - 5, abs=tick_s)
    assert [pixels[230, 300].mean() for _, pixels in frames] == pytest.approx(greys, abs=6)


def test_the_codec_is_one_that_every_player_knows(tmp_path: Path, make_answer: Make) -> None:
    """H.264 in 4:2:0."""
    one = sink(tmp_path / "out.mp4")
    one.write(make_answer(0, picture=grey(90)), gap=0)
    one.close()
    with av.open(str(tmp_path / "out.mp4")) as container:
        codec = container.streams.video[0].codec_context
        assert (codec.name, codec.pix_fmt, codec.width, codec.height) == ("h264", "yuv420p", 320, 240)


@pytest.mark.parametrize("suffix", _SUFFIXES)
@pytest.mark.parametrize(
    ("size", "matrix", "luma", "primaries"), [((1280, 720), 1, 74.7, 1), ((640, 480), 6, 88.1, 6)], ids=["hd", "sd"]
)
def test_colours_are_those_that_players_take_them_for(
    tmp_path: Path, make_answer: Make, suffix: str, size: tuple[int, int], matrix: int, luma: float, primaries: int
) -> None:
    """BT.709 for HD, BT.601 below, 16 to 235, and the stream says so (luma of 192, 32, 64 after ITU-T H.273)."""
    path = tmp_path / f"out{suffix}"
    one = sink(path)
    picture = np.empty((size[1], size[0], 3), np.uint8)
    picture[:] = (64, 32, 192)
    for number in range(5):
        one.write(make_answer(number, picture=picture, size=size), gap=0)
    one.close()
    with av.open(str(path)) as container:
        codec = container.streams.video[0].codec_context
        assert (codec.colorspace, codec.color_range, codec.color_primaries, codec.color_trc) == (
            matrix,
            1,
            primaries,
            primaries,
        )
        frame = next(container.decode(video=0))
        assert abs(float(frame.to_ndarray()[size[1] // 2, size[0] // 2]) - luma) < 2
        assert np.abs(frame.to_ndarray(format="rgb24")[size[1] // 2, size[0] // 2] - (192.0, 32, 64)).max() < 6


def test_the_answers_are_drawn(tmp_path: Path, make_answer: Make) -> None:
    """Each frame shows its own status, and the picture that was handed in stays as it was."""
    one = sink(tmp_path / "out.mp4", Mode.LIVE)
    picture = grey(90)
    for number, status in enumerate([Status.BLIND, Status.FRESH, Status.FORECAST]):
        one.write(make_answer(number, status=status, picture=picture), gap=0)
    one.close()
    corners = [corner(pixels) for _, pixels in shown(str(tmp_path / "out.mp4"))]
    assert corners == pytest.approx(np.array([_RED, _GREEN, _ORANGE]), abs=25)
    assert (picture == 90).all()


def test_a_frame_without_a_picture_repeats_the_last(tmp_path: Path, make_answer: Make) -> None:
    """Black before the first picture, then the last one, each with its own answer; nothing of the last is left."""
    path = tmp_path / "out.mp4"
    one = sink(path, Mode.LIVE)
    one.write(make_answer(0, status=Status.BLIND, size=None), gap=0)  # no size: cannot be drawn
    one.write(make_answer(1, status=Status.BLIND, size=(320, 240)), gap=0)
    one.write(make_answer(2, picture=grey(200)), gap=0)
    one.write(make_answer(3, status=Status.FORECAST), gap=0)
    assert one.statistics() == {"left_out": 1}
    one.close()
    frames = shown(str(path))
    assert [pixels[200, 300].mean() for _, pixels in frames] == pytest.approx([0, 200, 200], abs=4)
    assert [corner(pixels) for _, pixels in frames] == pytest.approx(np.array([_RED, _GREEN, _ORANGE]), abs=25)


@pytest.mark.parametrize("size", [(321, 241), (320, 241), (321, 240), (17, 3), (1, 1)])
def test_odd_and_tiny_sizes(tmp_path: Path, make_answer: Make, size: tuple[int, int]) -> None:
    """An odd size gets one more row or column, which repeats the last one."""
    path = tmp_path / "out.mp4"
    one = sink(path)
    for number in range(3):
        one.write(make_answer(number, picture=grey(180, size), size=size), gap=0)
    one.close()
    frames = shown(str(path))
    assert len(frames) == 3
    width, height = size[0] + size[0] % 2, size[1] + size[1] % 2
    assert frames[0][1].shape == (height, width, 3)
    if size[0] > 300:
        assert frames[0][1][-1, -100:].mean() == pytest.approx(180, abs=4)
        assert frames[0][1][-100:, -1].mean() == pytest.approx(180, abs=4)


@pytest.mark.parametrize(
    ("second", "inside", "outside"),
    [
        ((640, 480), (120, 160), None),  # twice as large: fills it
        ((240, 240), (120, 160), (120, 20)),  # square: bars left and right
        ((640, 240), (120, 160), (225, 160)),  # wide: bars above and below
        ((2, 200), (120, 160), (120, 100)),  # a sliver
        ((320, 240), (120, 160), None),
    ],
)
def test_a_size_that_changes(
    tmp_path: Path,
    make_answer: Make,
    second: tuple[int, int],
    inside: tuple[int, int],
    outside: tuple[int, int] | None,
) -> None:
    """The first picture decides the size; later ones are fitted into it with black bars."""
    path = tmp_path / "out.mp4"
    one = sink(path)
    one.write(make_answer(0, picture=grey(100)), gap=0)
    one.write(make_answer(1, picture=grey(200, second), size=second), gap=0)
    one.write(make_answer(2, picture=grey(100)), gap=0)
    one.close()
    frames = shown(str(path))
    assert [pixels.shape for _, pixels in frames] == [(240, 320, 3)] * 3
    middle = frames[1][1]
    if second[0] > 2:
        assert middle[inside].mean() == pytest.approx(200, abs=6)
    if outside is not None:
        assert middle[outside].mean() == pytest.approx(0, abs=10)


def test_times_that_jump_back_go_on(tmp_path: Path, make_answer: Make) -> None:
    """After a reconnect, or with equal time stamps, the video goes on right after the last frame."""
    path = tmp_path / "out.mp4"
    one = sink(path)
    for number, pts_s in enumerate([10.0, 10.1, 10.1, 0.0, 0.1, -5.0]):
        one.write(make_answer(number, picture=grey(90), pts_s=pts_s), gap=0)
    one.close()
    assert [time_s for time_s, _ in shown(str(path))] == pytest.approx([0, 0.1, 0.14, 0.18, 0.28, 0.32], abs=1e-4)


@pytest.mark.parametrize("suffix", _SUFFIXES)
def test_a_killed_run_leaves_a_playable_file(tmp_path: Path, make_answer: Make, suffix: str) -> None:
    """Without a close, at whatever moment, what is on disk can be played but for about the last second."""
    path = tmp_path / f"out{suffix}"
    one = sink(path, Mode.LIVE)
    calm = grey(90, (160, 120))  # the encoder sees no reason of its own for a key picture
    for number in range(90):
        one.write(make_answer(number, picture=calm, size=(160, 120)), gap=0)
        if number in (45, 89):
            frames = shown(io.BytesIO(path.read_bytes()))
            assert number + 1 - 31 <= len(frames) <= number + 1
            assert [time_s for time_s, _ in frames] == pytest.approx(np.arange(len(frames)) / 30, abs=1e-3)
    one.close()
    assert len(shown(str(path))) == 90


@pytest.mark.parametrize("suffix", _SUFFIXES)
def test_a_kill_between_any_two_writes(
    tmp_path: Path, make_answer: Make, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """Also inside a fragment, which takes several writes, what is on disk can be played, and more and more of it."""
    path = tmp_path / f"out{suffix}"
    one = sink(path, Mode.LIVE)
    states: list[bytes] = []
    real_write = os.write

    def write(fd: int, block: bytes) -> int:
        count = real_write(fd, block)
        states.append(path.read_bytes())
        return count

    monkeypatch.setattr(os, "write", write)
    random = np.random.default_rng(1)
    for number in range(75):
        picture = random.integers(0, 255, (120, 160, 3), np.uint8)
        one.write(make_answer(number, picture=picture, size=(160, 120)), gap=0)
    one.close()
    counts = [playable_frames(state) for state in states[1:]]
    assert len(counts) > 10
    assert counts == sorted(counts)
    assert counts[-1] == 75


def test_a_disk_that_fills_up(tmp_path: Path, make_answer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk raises from write with the path, close does not raise again, and the file so far can be played."""
    path = tmp_path / "out.mp4"
    one = sink(path, Mode.LIVE)
    real_write = os.write
    room = [350_000]

    def write(fd: int, block: bytes) -> int:
        if room[0] < len(block):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room[0] -= len(block)
        return real_write(fd, block)

    monkeypatch.setattr(os, "write", write)
    written, error = written_until_it_fails(one, make_answer)
    assert (error.errno, error.filename) == (errno.ENOSPC, str(path))
    one.close()
    assert 0 < written - 31 <= playable_frames(path.read_bytes())


def test_a_full_disk_from_the_start(tmp_path: Path, make_answer: Make) -> None:
    """On a device without any room the first frames raise, and closing does not."""
    path = tmp_path / "out.mp4"
    path.symlink_to("/dev/full")
    one = sink(path, Mode.LIVE)
    written, error = written_until_it_fails(one, make_answer)
    assert written < 60
    assert error.errno == errno.ENOSPC
    one.close()


def test_a_deleted_file_fails_loudly(tmp_path: Path, make_answer: Make) -> None:
    """When the path vanishes the next write that reaches the file raises."""
    path = tmp_path / "out.mkv"
    one = sink(path, Mode.LIVE)
    one.write(make_answer(0, picture=grey(90, (160, 120))), gap=0)
    path.unlink()
    _, error = written_until_it_fails(one, make_answer)
    assert isinstance(error, FileNotFoundError)
    assert error.filename == str(path)
    one.close()


@pytest.mark.parametrize("suffix", _SUFFIXES)
def test_the_same_answers_give_the_same_bytes(
    tmp_path: Path, make_answer: Make, suffix: str, lossless_context: OpenContext, request: pytest.FixtureRequest
) -> None:
    """Two lossless runs write identical files, on one processor and on all."""
    digests = set()
    processors = os.sched_getaffinity(0)
    for run, allowed in enumerate((processors, {min(processors)})):
        request.addfinalizer(lambda: os.sched_setaffinity(0, processors))
        os.sched_setaffinity(0, allowed)
        path = tmp_path / f"{run}{suffix}"
        one = VideoSink(FileOptions(path=str(path)))
        one.open(lossless_context)
        one.begin()
        random = np.random.default_rng(5)
        for number in range(40):
            picture = random.integers(0, 255, (120, 160, 3), np.uint8)
            one.write(make_answer(number, picture=picture, live=False), gap=0)
        one.close()
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1


@pytest.mark.parametrize("name", ["out.avi", "out", "out.jsonl", ".mp4"])
def test_a_name_that_says_no_known_format(tmp_path: Path, name: str, lossless_context: OpenContext) -> None:
    """One line that says which endings would be right, before any file is made."""
    one = VideoSink(FileOptions(path=str(tmp_path / name)))
    with pytest.raises(SinkOpenError, match=r"end the name in \.mp4, \.mov, \.mkv"):
        one.open(lossless_context)
    one.close()
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_frames(tmp_path: Path) -> None:
    """A run that ends before its first picture leaves an empty file and no error."""
    one = sink(tmp_path / "out.mp4")
    one.close()
    one.close()
    assert (tmp_path / "out.mp4").read_bytes() == b""
    assert one.statistics() == {}


def test_it_asks_for_pictures() -> None:
    """The engine must hand over the pictures."""
    assert VideoSink.wants_pictures
