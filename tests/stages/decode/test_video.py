"""The decoder: the right picture for every ticket, whatever the stream does."""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.clock import RealClock
from pipeline.errors import Undecodable
from pipeline.frame import Mode
from pipeline.intake import Intake, Registered
from pipeline.stage import Decoded, OpenContext
from stages.capture.synthetic import read_frame_number
from stages.capture.video import VideoOptions, VideoSource
from stages.decode.exif import orientation_in
from stages.decode.video import DecodeOptions, VideoDecoder
from stages.payloads import Packet, Picture

X265 = {"preset": "ultrafast", "crf": "12", "x265-params": "log-level=none:bframes=2"}


def context(mode: Mode, cores: int = 2) -> OpenContext:
    return OpenContext(mode, "test", RealClock(), cores=cores, deadline_ns=None)


def packets_of(path: Path, **options: object) -> list[Packet]:
    """Return what the video source gives for a file."""
    source = VideoSource(VideoOptions.model_validate({"url": str(path), **options}))
    source.open(context(Mode.LOSSLESS))
    payloads = [sample.payload for sample in iter(source.read, None)]
    source.close()
    return [payload for payload in payloads if isinstance(payload, Packet)]


def opened(mode: Mode = Mode.LOSSLESS, *, threads: int | None = None) -> VideoDecoder:
    decoder = VideoDecoder(DecodeOptions(threads=threads))
    decoder.open(context(mode))
    return decoder


def decoded(packets: Sequence[Packet], mode: Mode = Mode.LOSSLESS, *, threads: int | None = None) -> list[Decoded]:
    """Return all pictures; the ticket of a packet is 100 + its place."""
    decoder = opened(mode, threads=threads)
    pictures: list[Decoded] = []
    for place, packet in enumerate(packets):
        pictures += decoder.decode(packet, 100 + place)
    pictures += decoder.flush()
    decoder.close()
    return pictures


def picture_of(each: Decoded) -> Picture:
    assert isinstance(each.payload, Picture)
    return each.payload


def numbers(pictures: Sequence[Decoded]) -> list[int]:
    """Return the frame numbers that are drawn in the pictures."""
    return [read_frame_number(picture_of(each).bgr()) for each in pictures]


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("b_frames", [0, 3])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_tickets_follow_their_pictures(make_clip, name: str, b_frames: int, mode: Mode) -> None:  # type: ignore[no-untyped-def]
    """Pictures come in presentation order, each with the ticket of the packet that it was in."""
    packets = packets_of(make_clip(name, b_frames=b_frames))
    by_presentation = sorted(range(len(packets)), key=lambda place: packets[place].data.pts or 0)
    pictures = decoded(packets, mode, threads=4)
    assert numbers(pictures) == list(range(30))
    assert [each.ticket - 100 for each in pictures] == by_presentation


@pytest.mark.parametrize("name", ["a.h264", "a.avi"])
def test_without_presentation_times_tickets_are_in_order(make_clip, name: str) -> None:  # type: ignore[no-untyped-def]
    """In a stream whose packets do not say when they are presented, the n-th picture is the n-th frame."""
    pictures = decoded(packets_of(make_clip(name, b_frames=2)))
    assert numbers(pictures) == list(range(30))
    assert [each.ticket for each in pictures] == list(range(100, 130))


def without_presentation_times(path: Path, name: str) -> Path:
    """Copy a clip so that each packet's presentation time is its decode time, as some writers leave it."""
    copy = path.with_name(name)
    with av.open(str(path)) as given, av.open(str(copy), "w") as taken:
        stream = given.streams.video[0]
        taken.add_stream_from_template(stream)
        first: int | None = None
        for packet in given.demux(stream):
            if packet.dts is not None:
                first = packet.dts if first is None else first
                packet.pts = packet.dts = packet.dts - first
                packet.stream = taken.streams.video[0]
                taken.mux(packet)
    return copy


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_stamps_that_do_not_tell_the_order_cost_no_picture(make_clip, name: str, mode: Mode) -> None:  # type: ignore[no-untyped-def]
    """Where presentation times are in decoding order, the n-th picture is the n-th frame, and none is lost."""
    packets = packets_of(without_presentation_times(make_clip("given.mp4", b_frames=3), name))
    pictures = decoded(packets, mode)
    assert sorted(numbers(pictures)) == list(range(30))
    assert [each.ticket for each in pictures] == list(range(100, 130))


@pytest.mark.parametrize("b_frames", [0, 3])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi", "a.h264"])
def test_the_engine_numbers_frames_as_they_are_shown(make_clip, name: str, b_frames: int) -> None:  # type: ignore[no-untyped-def]
    """With the source's times, the engine's intake gives frame n the n-th picture, and loses none."""
    registered: list[Registered] = []
    intake = Intake("test", limit_ns=None, register=registered.append)
    source = VideoSource(VideoOptions(url=str(make_clip(name, b_frames=b_frames))))
    source.open(context(Mode.LOSSLESS))
    decoder = opened(threads=2)
    shown: list[tuple[int, int]] = []

    def emerge(pictures: Sequence[Decoded]) -> None:
        for each, number in zip(pictures, numbers(pictures), strict=True):
            emerged = intake.emerged(each.ticket)
            assert emerged.info is not None
            assert not emerged.lost
            shown.append((emerged.info.frame_id, number))

    for sample in iter(source.read, None):
        emerge(decoder.decode(sample.payload, intake.take(sample, 0)))
    intake.flush()
    emerge(decoder.flush())
    source.close()
    assert shown == [(number, number) for number in range(30)]
    assert not intake.rest()
    times = [each.info.pts_s for each in registered]
    assert times == sorted(set(times))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_a_start_in_mid_file_gives_the_frames_from_there_on(make_clip, name: str) -> None:  # type: ignore[no-untyped-def]
    """Pictures that only had to be decoded do not come out; those that count are whole."""
    path = make_clip(name, frames=60, b_frames=2, gop=25)
    pictures = decoded(packets_of(path, start="1320ms", max_frames=9))
    assert numbers(pictures) == list(range(33, 42))


def test_without_b_frames_a_live_picture_comes_with_its_packet(make_clip) -> None:  # type: ignore[no-untyped-def]
    """Low delay: no packet has to wait for the next one, however many threads there are."""
    decoder = opened(Mode.LIVE, threads=4)
    for place, packet in enumerate(packets_of(make_clip("a.mp4"))):
        assert [each.ticket for each in decoder.decode(packet, place)] == [place]


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "options"),
    [
        ("ten.mp4", "libx264", "yuv420p10le", None),
        ("ten.mkv", "libx265", "yuv420p10le", X265),
        ("full.mkv", "libx264", "yuv444p", None),
        ("a.webm", "libvpx-vp9", "yuv420p", {"deadline": "realtime", "cpu-used": "8", "crf": "10", "b": "0"}),
        ("a.mkv", "mjpeg", "yuvj420p", {"qmin": "2", "qmax": "3"}),
    ],
)
def test_codecs_and_pixel_formats(make_clip, name: str, codec: str, pix_fmt: str, options: dict[str, str]) -> None:  # type: ignore[no-untyped-def]
    """Ten bits, full chroma and other codecs give the same numbers."""
    pictures = decoded(packets_of(make_clip(name, codec=codec, pix_fmt=pix_fmt, options=options, frames=12)))
    assert numbers(pictures) == list(range(12))
    video = picture_of(pictures[0]).video
    assert video is not None
    assert video.format.name == pix_fmt


def test_raw_pictures_of_a_filter_graph() -> None:
    """A source that sends pictures unpacked is decoded like any other."""
    pictures = decoded(packets_of(Path("lavfi:testsrc=size=96x64:rate=10"), max_frames=4))
    assert [each.size for each in pictures] == [(96, 64)] * 4


def test_odd_sizes(make_clip) -> None:  # type: ignore[no-untyped-def]
    """A picture of odd width and height keeps every pixel."""
    (first, *_) = decoded(packets_of(make_clip("odd.mkv", size=(321, 243), pix_fmt="yuv444p", frames=3)))
    assert first.size == (321, 243)
    assert picture_of(first).bgr().shape == (243, 321, 3)


def test_non_square_pixels_stay_as_stored(make_clip) -> None:  # type: ignore[no-untyped-def]
    """Sizes, and so boxes, are in stored pixels whatever their shape."""
    path = make_clip("wide.mp4", aspect=Fraction(16, 11), frames=3)
    with av.open(str(path)) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(16, 11)
    assert {each.size for each in decoded(packets_of(path))} == {(320, 240)}


@pytest.mark.parametrize(("display", "clockwise"), [(-90, 90), (90, 270), (180, 180), (0, 0)])
def test_rotation_makes_pictures_upright(make_clip, display: int, clockwise: int) -> None:  # type: ignore[no-untyped-def]
    """The container's display matrix (counter-clockwise) turns the picture; sizes are those that a viewer sees."""
    pictures = decoded(packets_of(make_clip("turned.mp4", rotation=display, frames=4)))
    assert {picture_of(each).rotation_deg for each in pictures} == {clockwise}
    assert {each.size for each in pictures} == {(240, 320) if clockwise in (90, 270) else (320, 240)}
    bgr = picture_of(pictures[0]).bgr()
    assert bgr.shape[:2] == pictures[0].size[::-1]
    stored = np.rot90(bgr, k=clockwise // 90)
    assert read_frame_number(stored) == 0


def test_a_phone_held_upright(make_clip) -> None:  # type: ignore[no-untyped-def]
    """The matrix that turns x to down and y to left (ISO/IEC 14496-12, 8.3.2) means a quarter turn clockwise."""
    x_to_down_y_to_left = (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    (first, *_) = decoded(packets_of(make_clip("phone.mp4", matrix=x_to_down_y_to_left, frames=2)))
    assert picture_of(first).rotation_deg == 90
    # The number strip, stored along the top, is seen along the right edge.
    right_edge = picture_of(first).bgr()[:, -8:].mean(axis=(1, 2))
    assert right_edge.max() < 30
    assert picture_of(first).bgr()[:, :8].mean() > 70


@pytest.mark.parametrize("mode", list(Mode))
def test_a_size_change_in_mid_stream_goes_on(make_clip, tmp_path: Path, mode: Mode) -> None:  # type: ignore[no-untyped-def]
    """Pictures after the change have the new size, and none is lost."""
    small, large = make_clip("s.h264", frames=6), make_clip("l.h264", frames=6, size=(640, 480))
    joined = tmp_path / "joined.h264"
    joined.write_bytes(small.read_bytes() + large.read_bytes())
    pictures = decoded(packets_of(joined), mode)
    assert [each.size for each in pictures] == [(320, 240)] * 6 + [(640, 480)] * 6


@pytest.mark.parametrize("mode", list(Mode))
def test_broken_packets_are_undecodable_and_the_rest_goes_on(make_clip, mode: Mode) -> None:  # type: ignore[no-untyped-def]
    """Garbage raises Undecodable or gives no picture; every whole group of pictures after it is right."""
    packets = packets_of(make_clip("a.mp4", gop=5))
    rubbish = random.Random(0).randbytes
    broken = {7, 8, 16}
    decoder = opened(mode, threads=1)
    by_ticket: dict[int, Decoded] = {}
    undecodable = set()
    for place, packet in enumerate(packets):
        if place in broken:
            data = av.Packet(rubbish(packet.data.size))
            data.pts, data.dts, data.time_base = packet.data.pts, packet.data.dts, packet.data.time_base
            packet = Packet(data, packet.codec, packet.generation)  # type: ignore[arg-type]
        try:
            by_ticket |= {each.ticket: each for each in decoder.decode(packet, place)}
        except Undecodable:
            undecodable.add(place)
    by_ticket |= {each.ticket: each for each in decoder.flush()}
    assert undecodable == broken
    assert broken.isdisjoint(by_ticket)
    for place in (*range(7), *range(10, 16), *range(20, 30)):
        assert numbers([by_ticket[place]]) == [place]


def test_frame_threads_survive_broken_packets(make_clip) -> None:  # type: ignore[no-untyped-def]
    """With frame threads too, no ticket comes twice, and the groups of pictures without damage are whole."""
    packets = packets_of(make_clip("a.mp4", gop=5))
    decoder = opened(threads=4)
    pictures: list[Decoded] = []
    for place, packet in enumerate(packets):
        if place == 12:
            data = av.Packet(b"\0" * packet.data.size)
            data.pts, data.dts, data.time_base = packet.data.pts, packet.data.dts, packet.data.time_base
            packet = Packet(data, packet.codec, packet.generation)  # type: ignore[arg-type]
        try:
            pictures += decoder.decode(packet, place)
        except Undecodable:
            continue
    pictures += decoder.flush()
    tickets = [each.ticket for each in pictures]
    assert tickets == sorted(set(tickets))
    whole = [each for each in pictures if each.ticket < 8 or each.ticket >= 20]
    assert numbers(whole) == [each.ticket for each in whole]
    assert len(whole) == 18


def test_two_decoders_do_not_mix_their_tickets(make_clip) -> None:  # type: ignore[no-untyped-def]
    """Streams side by side with the same ticket numbers each get all their pictures, though one is ahead."""
    slow, fast = packets_of(make_clip("a.mp4", b_frames=2)), packets_of(make_clip("b.mp4"))
    slow_decoder, fast_decoder = opened(threads=4), opened(threads=1)
    slow_tickets: list[int] = []
    fast_tickets: list[int] = []
    for ticket in range(30):
        # Nothing is kept: what the fast decoder is done with is gone while the slow one still works on its own.
        slow_tickets += [each.ticket for each in slow_decoder.decode(slow.pop(0), ticket)]
        fast_tickets += [each.ticket for each in fast_decoder.decode(fast.pop(0), ticket)]
    slow_tickets += [each.ticket for each in slow_decoder.flush()]
    fast_tickets += [each.ticket for each in fast_decoder.flush()]
    assert sorted(slow_tickets) == sorted(fast_tickets) == list(range(30))


def test_a_new_generation_starts_afresh(make_clip) -> None:  # type: ignore[no-untyped-def]
    """When the source was opened again, the old pictures come out first, then those of the new decoder."""
    path = make_clip("a.mp4", b_frames=2, frames=10)
    first, second = packets_of(path), packets_of(path)
    second = [Packet(packet.data, packet.codec, generation=2) for packet in second]
    decoder = opened(threads=4)
    pictures: list[Decoded] = []
    for ticket, packet in enumerate([*first, *second]):
        pictures += decoder.decode(packet, ticket)
    pictures += decoder.flush()
    assert numbers(pictures) == [*range(10), *range(10)]
    assert {each.ticket for each in pictures[:10]} == set(range(10))


def test_a_flushed_decoder_takes_another_generation(make_clip) -> None:  # type: ignore[no-untyped-def]
    """After the end of one stream the same decoder decodes the next; a second flush gives nothing."""
    path = make_clip("a.mp4", frames=5)
    decoder = opened()
    for generation in (1, 2):
        pictures: list[Decoded] = []
        for ticket, packet in enumerate(packets_of(path)):
            pictures += decoder.decode(Packet(packet.data, packet.codec, generation), ticket)
        pictures += decoder.flush()
        assert numbers(pictures) == list(range(5))
        assert not decoder.flush()
    decoder.close()
    decoder.close()


UPRIGHT = {
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).transpose(1, 0, 2),
    8: np.rot90,
}
"""What a viewer does with the stored pixels, by Exif's number (Exif 2.32, tag Orientation)."""


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_all_eight_orientations(tmp_path: Path, orientation: int) -> None:
    """Turned or mirrored or both, a picture comes out as its viewers see it."""
    stored = np.zeros((64, 96, 3), np.uint8)
    stored[:32, :48], stored[:32, 48:], stored[32:, :48] = (0, 0, 255), (0, 255, 0), (255, 0, 0)
    jpeg = cv2.imencode(".jpg", stored)[1].tobytes()
    tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01" + bytes([0, orientation]) + b"\0" * 6
    exif = b"Exif\0\0" + tiff
    path = tmp_path / "picture.jpg"
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:])
    [decoded_one] = decoded(packets_of(path))
    picture = picture_of(decoded_one)
    wanted = UPRIGHT[orientation](stored)
    assert picture.size == (wanted.shape[1], wanted.shape[0])
    assert np.abs(picture.bgr().astype(int) - wanted)[4:-4:8, 4:-4:8].max() < 40
    small = picture.bgr_at_most(picture.size[0] // 2)
    assert np.abs(small.astype(int) - wanted[::2, ::2])[2:-2:4, 2:-2:4].max() < 60


@given(data=st.binary(max_size=400))
def test_any_bytes_have_an_orientation_or_none(data: bytes) -> None:
    """Exif blocks come from anywhere."""
    assert orientation_in(b"\xff\xd8\xff\xe1\x01\x00Exif\0\0" + data) in (None, *range(1, 9))
    assert orientation_in(data) in (None, *range(1, 9))
