"""The video source: files, paced files, cameras."""

from __future__ import annotations

import http.server
import io
import itertools
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest
import trustme
from pydantic import ValidationError

from pipeline.clock import NS_PER_MS, NS_PER_S, RealClock
from pipeline.errors import SourceOpenError, StreamLost
from pipeline.frame import CaptureClock, Mode
from pipeline.stage import Sample
from pipeline.testing import open_context
from stages.capture.video import VideoOptions, VideoSource

CLIP = Path(__file__).resolve().parents[3] / "sample_videos" / "pedestrians.mp4"


def source(url: object, **options: object) -> VideoSource:
    return VideoSource(VideoOptions.model_validate({"url": str(url), **options}))


def presented_ns(path: Path) -> list[int]:
    """Return the presentation times that a plain PyAV loop decodes; AVI stores none, its packets are in time order."""
    with av.open(str(path)) as container:
        if path.suffix == ".avi":
            ticks = [packet.dts for packet in container.demux(video=0) if packet.size]
        else:
            ticks = [frame.pts for frame in container.decode(video=0)]
        return [round(at * container.streams.video[0].time_base * NS_PER_S) for at in ticks]


def drain(reader: VideoSource, samples: list[Sample]) -> None:
    """Read until the source ends or raises."""
    while (sample := reader.read()) is not None:
        samples.append(sample)


def test_options_say_what_belongs_where() -> None:
    """A camera takes no pace and no start; durations have units; the address is understood at once."""
    assert VideoSource.options_from_spec("clip.mp4") == {"url": "clip.mp4"}
    assert VideoOptions.model_validate({"url": "a.mp4", "pace": "12.5", "start": "1s"}).pace == 12.5
    for bad in (
        {"url": "rtsp://cam/1", "pace": "pts"},
        {"url": "webcam:0", "start": "1s"},
        {"url": "a.mp4", "pace": "fast"},
        {"url": "a.mp4", "open_timeout": "0s"},
        {"url": "ftp://host/a.mp4"},
    ):
        with pytest.raises(ValidationError):
            VideoOptions.model_validate(bad)


def test_the_options_show_no_password() -> None:
    """Printing the settings does not print the address."""
    assert "secret" not in repr(VideoOptions(url="rtsp://user:secret@cam/1"))


@pytest.mark.parametrize("name", ["plain.mp4", "b.mp4", "b.mkv", "b.avi", "b.ts"])
def test_every_frame_of_a_recording_is_read(make_clip, read_all, caplog, name: str) -> None:  # type: ignore[no-untyped-def]
    """Count and times are those of a plain decoding loop; the times are the recording's own."""
    path = make_clip(name, b_frames=0 if name.startswith("plain") else 2)
    reader = source(path)
    samples = read_all(reader)
    assert not reader.live
    assert sorted(sample.pts_ns for sample in samples) == presented_ns(path)
    assert {(sample.clock, sample.captured_ns) for sample in samples} == {(CaptureClock.FILE, None)}
    assert {sample.payload.generation for sample in samples} == {1}
    assert not caplog.records


def test_variable_frame_rate_is_kept(make_clip, read_all) -> None:  # type: ignore[no-untyped-def]
    """Irregular presentation times come out to the millisecond."""
    times_ms = [0, 10, 15, 200, 201, 1000, 1500, 1501]
    path = make_clip("vfr.mkv", frames=8, pts_ms=times_ms.__getitem__)
    assert [sample.pts_ns for sample in read_all(source(path))] == [at * NS_PER_MS for at in times_ms]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi"])
@pytest.mark.parametrize("b_frames", [0, 2])
def test_start_duration_and_limit_are_exact(make_clip, read_all, name: str, b_frames: int) -> None:  # type: ignore[no-untyped-def]
    """The frames that count are those of the plain loop that lie in the window, to the frame."""
    path = make_clip(name, frames=60, b_frames=b_frames)
    times_ns = presented_ns(path)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        origin_ns = round(stream.start_time * stream.time_base * NS_PER_S)
    for start, duration, limit in itertools.product((0, 410, 920, 2400), (None, 200, 5000), (None, 3)):
        options = {"start": f"{start}ms", "max_frames": limit}
        if duration is not None:
            options["duration"] = f"{duration}ms"
        begin_ns = origin_ns + start * NS_PER_MS
        end_ns = begin_ns + (10**6 if duration is None else duration) * NS_PER_MS
        wanted = [at for at in times_ns if begin_ns <= at < end_ns][:limit]
        got = sorted(sample.pts_ns for sample in read_all(source(path, **options)))
        assert got == wanted, options


def test_progress_knows_the_total(make_clip, read_all) -> None:  # type: ignore[no-untyped-def]
    """The expected number of frames follows start, duration and limit; a container without a count is estimated."""
    path = make_clip("a.mp4", frames=50)
    for options, total in (
        ({}, 50),
        ({"start": "1s"}, 25),
        ({"duration": "400ms"}, 10),
        ({"start": "1600ms", "duration": "1s"}, 10),
        ({"max_frames": 7}, 7),
    ):
        reader = source(path, **options)
        assert len(read_all(reader)) == reader.total_frames == total
    counted = source(make_clip("a.mkv", frames=50))
    read_all(counted)
    assert counted.total_frames == 50


def test_a_paced_recording_keeps_its_time(make_clip, read_all, clock) -> None:  # type: ignore[no-untyped-def]
    """Packets come at their decode time, frames count as captured at their presentation time, not later."""
    reader = source(make_clip("b.mp4", b_frames=2, frames=20), pace="pts")
    assert reader.live
    reader.open(open_context(clock, mode=Mode.LIVE))
    begin_ns = clock.now
    first_dts_ns = None
    while (sample := reader.read()) is not None:
        first_dts_ns = sample.dts_ns if first_dts_ns is None else first_dts_ns
        assert sample.clock is CaptureClock.FILE
        assert clock.now == begin_ns + sample.dts_ns - first_dts_ns
        assert sample.captured_ns == begin_ns + sample.pts_ns - first_dts_ns
        assert sample.captured_ns >= clock.now
    assert clock.now - begin_ns == 19 * 40 * NS_PER_MS
    reader.close()


def test_without_b_frames_a_paced_frame_is_captured_when_it_is_read(make_clip, clock) -> None:  # type: ignore[no-untyped-def]
    """Capture and release are one moment."""
    reader = source(make_clip("a.mp4", frames=5), pace="pts")
    reader.open(open_context(clock, mode=Mode.LIVE))
    for _ in range(5):
        sample = reader.read()
        assert sample is not None
        assert sample.captured_ns == clock.now
    reader.close()


def test_a_recording_is_paced_at_another_rate(make_clip, read_all, clock) -> None:  # type: ignore[no-untyped-def]
    """25 fps played at 50 takes half the time, with time stamps to match."""
    begin_ns = clock.now
    samples = read_all(source(make_clip("a.mp4", frames=26), pace=50.0), mode=Mode.LIVE)
    assert clock.now - begin_ns == NS_PER_S // 2
    assert [sample.pts_ns for sample in samples] == [number * 20 * NS_PER_MS for number in range(26)]


def test_live_mode_paces_a_recording(make_clip, read_all, clock) -> None:  # type: ignore[no-untyped-def]
    """A file in live mode is played as a camera even if nobody said pace."""
    begin_ns = clock.now
    read_all(source(make_clip("a.mp4", frames=11)), mode=Mode.LIVE)
    assert clock.now - begin_ns == 400 * NS_PER_MS


def test_a_stream_without_stamps_is_numbered(make_clip, read_all, clock) -> None:  # type: ignore[no-untyped-def]
    """Bare H.264 gets times at its nominal rate; start and duration cannot be kept there, a limit can."""
    path = make_clip("a.h264", frames=12)
    assert [sample.pts_ns for sample in read_all(source(path))] == [n * 40 * NS_PER_MS for n in range(12)]
    assert len(read_all(source(path, max_frames=5))) == 5
    begin_ns = clock.now
    read_all(source(path, pace=100.0), mode=Mode.LIVE)
    assert clock.now - begin_ns == 110 * NS_PER_MS
    with pytest.raises(SourceOpenError, match="has no time stamps"):
        read_all(source(path, duration="1s"))


def test_a_cut_file_gives_what_it_has(read_all, tmp_path: Path, caplog) -> None:  # type: ignore[no-untyped-def]
    """Half a file is half the frames and one warning with both numbers; a whole file gives none."""
    whole = CLIP.read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: len(whole) // 2])
    with caplog.at_level(logging.WARNING):
        samples = read_all(source(path))
        (record,) = caplog.records
        assert f"ended early: {len(samples)} of 795 frames" in record.getMessage()
        caplog.clear()
        assert len(read_all(source(CLIP))) == 795
        assert len(read_all(source(CLIP, max_frames=5))) == 5
    assert not caplog.records
    assert 300 < len(samples) < 500


def test_a_source_can_be_opened_again(make_clip, context) -> None:  # type: ignore[no-untyped-def]
    """After close, open starts from the beginning with the next generation; close may be repeated."""
    reader = source(make_clip("a.mp4", frames=3))
    for generation in (1, 2):
        reader.open(context(Mode.LOSSLESS))
        generations = []
        while (sample := reader.read()) is not None:
            generations.append(sample.payload.generation)
        assert generations == [generation] * 3
        reader.close()
        reader.close()


def test_a_filter_graph_is_a_camera() -> None:
    """A realtime graph is stamped by its own time, never in the future, and stops after the frames asked for."""
    clock = RealClock()
    reader = source("lavfi:testsrc=size=64x64:rate=100,realtime", max_frames=8)
    assert reader.live
    assert reader.total_frames is None
    reader.open(open_context(clock, mode=Mode.LIVE))
    captured = []
    while (sample := reader.read()) is not None:
        assert sample.clock is CaptureClock.PTS
        assert sample.captured_ns <= clock.now_ns()
        captured.append(sample.captured_ns)
    reader.close()
    assert len(captured) == 8
    assert captured == sorted(captured)


def test_a_live_duration_counts_from_the_first_frame() -> None:
    """A realtime graph ends after the time asked for."""
    reader = source("lavfi:testsrc=size=64x64:rate=100,realtime", duration="100ms")
    reader.open(open_context(RealClock(), mode=Mode.LIVE))
    count = sum(1 for _ in itertools.islice(iter(reader.read, None), 500))
    reader.close()
    assert 1 <= count < 500


def test_a_finished_graph_is_a_lost_camera() -> None:
    """When a live source just ends, it is lost, not over."""
    reader = source("lavfi:testsrc=size=64x64:rate=100:duration=0.05,realtime")
    reader.open(open_context(RealClock(), mode=Mode.LIVE))
    with pytest.raises(StreamLost, match="the stream ended"):
        drain(reader, [])
    reader.close()


def jpeg(shade: int) -> bytes:
    """Return one small JPEG picture."""
    memory = io.BytesIO()
    with av.open(memory, "w", format="mjpeg") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        pixels = np.full((48, 64, 3), shade, dtype=np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        container.mux(stream.encode(None))
    return memory.getvalue()


def send_mjpeg(connection: socket.socket, count: int) -> None:
    """Answer an HTTP request with `count` pictures of an endless multipart stream."""
    connection.recv(4096)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"
    picture = jpeg(80)
    part = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture) + picture + b"\r\n"
    connection.sendall(head + part * count)


def test_an_mjpeg_camera_that_begins_without_a_boundary(serve) -> None:  # type: ignore[no-untyped-def]
    """As some small ones do: the pictures are found all the same, and count as captured when they come."""

    def send(connection: socket.socket) -> None:
        connection.recv(4096)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"
        connection.sendall(head)
        for number in range(12):
            boundary = b"" if number == 0 else b"\r\n--frame\r\n"
            connection.sendall(boundary + b"Content-Type: image/jpeg\r\n\r\n" + jpeg(20 * number))
            time.sleep(0.03)

    camera = source(f"http://127.0.0.1:{serve(send)}/camera")
    camera.open(open_context(RealClock()))
    samples = [camera.read() for _ in range(8)]
    camera.close()
    assert all(sample is not None and sample.clock is CaptureClock.ARRIVAL for sample in samples)
    times = [sample.captured_ns for sample in samples if sample is not None]
    assert times == sorted(times)


def test_one_picture_of_a_server_is_said_to_be_one(serve, caplog) -> None:  # type: ignore[no-untyped-def]
    """A warning says that it is no camera."""
    picture = jpeg(80)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture)
    camera = source(f"http://127.0.0.1:{serve(lambda c: c.recv(4096) and c.sendall(head + picture))}/snap.jpg")
    camera.open(open_context(RealClock()))
    assert camera.read() is not None
    assert camera.read() is None
    camera.close()
    assert "is one picture, not a stream" in caplog.text


def test_an_mjpeg_camera_that_hangs_up_is_lost(serve) -> None:  # type: ignore[no-untyped-def]
    """Every whole picture comes, timed by arrival since the format has no stamps; then the stream is lost."""
    port = serve(lambda connection: send_mjpeg(connection, 12))
    reader = source(f"http://user:secret@127.0.0.1:{port}/video")
    assert reader.live
    reader.open(open_context(RealClock(), mode=Mode.LIVE))
    samples: list[Sample] = []
    with pytest.raises(StreamLost) as lost:
        drain(reader, samples)
    reader.close()
    assert len(samples) >= 11
    assert {(sample.clock, sample.pts_ns) for sample in samples} == {(CaptureClock.ARRIVAL, None)}
    assert "secret" not in str(lost.value)


def test_a_silent_camera_is_lost_within_its_bound(serve) -> None:  # type: ignore[no-untyped-def]
    """A camera that stops sending with the connection open raises instead of blocking."""

    def stall(connection: socket.socket) -> None:
        send_mjpeg(connection, 12)
        while connection.recv(4096):
            pass

    reader = source(f"http://127.0.0.1:{serve(stall)}/video", stall_timeout="300ms")
    reader.open(open_context(RealClock(), mode=Mode.LIVE))
    with pytest.raises(StreamLost, match="went silent"):
        drain(reader, [])
    reader.close()


def serve_file(connection: socket.socket, *, part: float = 1.0) -> None:
    """Answer an HTTP request with the sample clip, or the first part of it."""
    connection.recv(4096)
    content = CLIP.read_bytes()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: {len(content)}\r\n\r\n"
    connection.sendall(head.encode() + content[: int(len(content) * part)])


@pytest.mark.parametrize("path", ["clip.mp4", "download"])
def test_a_recording_over_http_is_a_recording(serve, read_all, path: str) -> None:  # type: ignore[no-untyped-def]
    """A file of known length is read whole and ends, whatever its address looks like."""
    reader = source(f"http://127.0.0.1:{serve(serve_file)}/{path}")
    samples = read_all(reader)
    assert len(samples) == reader.total_frames == 795
    assert not reader.live
    assert samples[-1].clock is CaptureClock.FILE


def test_a_recording_cut_off_by_the_network_says_so(serve, read_all, caplog) -> None:  # type: ignore[no-untyped-def]
    """What arrived is processed, and one warning tells how much is missing."""
    port = serve(lambda connection: serve_file(connection, part=0.5))
    with caplog.at_level(logging.WARNING):
        samples = read_all(source(f"http://user:secret@127.0.0.1:{port}/clip.mp4"))
    (record,) = caplog.records
    assert f"ended early: {len(samples)} of 795 frames" in record.getMessage()
    assert "secret" not in record.getMessage()


def test_a_live_playlist_is_played_at_its_own_pace(serve, tmp_path: Path, clock) -> None:  # type: ignore[no-untyped-def]
    """HLS segments arrive in bursts; their frames are released, and count as captured, as they are shown."""
    with av.open(str(CLIP)) as clip, av.open(str(tmp_path / "live.m3u8"), "w", options={"hls_time": "2"}) as playlist:
        copied = playlist.add_stream_from_template(clip.streams.video[0])
        for packet in itertools.islice(clip.demux(video=0), 200):
            packet.stream = copied
            playlist.mux(packet)
    (tmp_path / "live.m3u8").write_text((tmp_path / "live.m3u8").read_text().replace("#EXT-X-ENDLIST", ""))

    def answer(connection: socket.socket) -> None:
        name = connection.recv(4096).split()[1].decode().lstrip("/")
        content = (tmp_path / name).read_bytes()
        head = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(content)}\r\n\r\n"
        connection.sendall(head.encode() + content)

    reader = source(f"http://127.0.0.1:{serve(answer)}/live.m3u8")
    reader.open(open_context(clock, mode=Mode.LIVE))
    assert reader.live
    begin_ns = clock.now
    first_ns = None
    for _ in range(30):
        sample = reader.read()
        assert sample is not None
        first_ns = sample.pts_ns if first_ns is None else first_ns
        assert sample.captured_ns == clock.now
        assert sample.clock is CaptureClock.FILE
        assert clock.now - begin_ns == sample.pts_ns - first_ns
    reader.close()
    assert clock.now - begin_ns > 2 * NS_PER_S


@pytest.fixture
def https_server(tmp_path: Path) -> Iterator[Callable[[str, bytes], str]]:
    """A function that serves content by HTTPS, with a certificate that this machine does not trust."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    files: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(files[self.path])))
            self.end_headers()
            with suppress(OSError):  # a reader that has seen enough
                self.wfile.write(files[self.path])

        def log_message(self, *_: object) -> None:
            """Keep the terminal clean."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]  # refused handshakes
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def serve(path: str, content: bytes) -> str:
        files[path] = content
        return f"https://127.0.0.1:{server.server_address[1]}{path}"

    yield serve
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("name", ["/clip.mp4", "/camera"])
def test_a_certificate_that_is_not_trusted(https_server: Callable[[str, bytes], str], name: str) -> None:
    """It is refused, whether the address looks like a recording or like a camera, unless it shall be accepted."""
    url = https_server(name, CLIP.read_bytes())
    with pytest.raises(SourceOpenError):
        source(url).open(open_context(RealClock(), mode=Mode.LOSSLESS))
    accepted = source(url, verify_tls=False, max_frames=3)
    accepted.open(open_context(RealClock(), mode=Mode.LOSSLESS))
    samples: list[Sample] = []
    drain(accepted, samples)
    accepted.close()
    assert len(samples) == 3
