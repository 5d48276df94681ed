"""A run on a real RTSP camera that fails in every way it can: what the report says, and that answers go on."""

from __future__ import annotations

import importlib
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trustme

from pipeline.assembly import RunSettings
from pipeline.clock import NS_PER_MS, NS_PER_S
from pipeline.errors import Outage
from pipeline.feed import Backoff
from pipeline.frame import Answer, CaptureClock, Heartbeat, Mode, Status
from pipeline.graph import Graph
from pipeline.report import Report
from pipeline.run import Run
from pipeline.testing import PassDetector, RecordingSink, SnapshotStage
from stages.capture.video import VideoOptions, VideoSource
from stages.decode.video import DecodeOptions, VideoDecoder
from stages.payloads import Picture

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
STALL_MS = 600
DEADLINE_MS = 500
PATIENCE_S = 30
"""Whatever has not happened by then does not happen."""


class Detector(PassDetector):
    """Sees nothing, and that at once."""

    accepts = Picture


class Listener(RecordingSink):
    """Keeps the heartbeats too."""

    def __init__(self) -> None:
        super().__init__()
        self.beats: list[Heartbeat] = []

    def beat(self, heartbeat: Heartbeat) -> None:
        self.beats.append(heartbeat)


@dataclass
class Viewing:
    """A run that watches a camera."""

    run: Run
    listener: Listener
    source: VideoSource
    report: Report = field(init=False)

    @property
    def answers(self) -> list[Answer]:
        return self.listener.answers

    def fresh(self) -> int:
        return sum(answer.status is Status.FRESH for answer in self.answers)

    def wait(self, happened: Callable[[], bool]) -> None:
        end_s = time.monotonic() + PATIENCE_S
        while not happened():
            assert time.monotonic() < end_s, self.run.report().model_dump_json(indent=1)
            time.sleep(0.02)

    def wait_fresh(self, more: int) -> None:
        wanted = self.fresh() + more
        self.wait(lambda: self.fresh() >= wanted)

    def lost(self, outage: Outage) -> bool:
        return self.run.report().source.losses[outage] > 0


@pytest.fixture
def rtsp() -> Iterator[ModuleType]:
    """The module of our own camera."""
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module("rtsp_server")
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def clip(rtsp: ModuleType) -> Callable[..., Any]:
    return rtsp.numbered_clip


@pytest.fixture
def watch() -> Iterator[Callable[..., Viewing]]:
    """A function that starts a run on a camera."""
    started: list[Run] = []

    def start(url: str, **options: object) -> Viewing:
        usual = {"url": url, "stall_timeout": f"{STALL_MS}ms", "open_timeout": "1s"}
        source = VideoSource(VideoOptions.model_validate(usual | options))
        listener = Listener()
        stages = [("detect", Detector()), ("track", SnapshotStage())]
        plan = Graph.chain(source, VideoDecoder(DecodeOptions(threads=1)), stages, [("sink", listener)]).check(
            Mode.LIVE
        )
        backoff = Backoff(50 * NS_PER_MS, 400 * NS_PER_MS)
        settings = RunSettings(
            "cam",
            Mode.LIVE,
            cores=2,
            deadline_ns=DEADLINE_MS * NS_PER_MS,
            heartbeat_ns=100 * NS_PER_MS,
            backoff=backoff,
        )
        run = Run(plan, settings)
        started.append(run)
        run.start()
        return Viewing(run, listener, source)

    yield start
    for run in started:
        run.finish()


def finished(viewing: Viewing) -> Report:
    """Stop the run, and hold its report to what is true whatever happened."""
    begin_s = time.monotonic()
    report = viewing.run.finish()
    assert time.monotonic() - begin_s < 3.0
    assert report.balanced
    assert report.published_late == 0
    assert report.frames.missed == 0
    assert report.failure is None
    assert report.stuck == []
    ids = [answer.info.frame_id for answer in viewing.answers]
    assert ids == sorted(set(ids))
    return report


def ages_ms(answers: list[Answer]) -> list[float]:
    """Return the sorted ages of the fresh answers."""
    return sorted(
        (answer.published_ns - answer.info.captured_ns) / NS_PER_MS
        for answer in answers
        if answer.published_ns is not None and answer.status is Status.FRESH
    )


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("login", [{}, {"algorithm": "MD5"}, {"algorithm": "SHA-256"}], ids=["open", "md5", "sha256"])
def test_every_picture_is_answered(rtsp, clip, watch, codec, transport, login) -> None:  # type: ignore[no-untyped-def]
    """With the camera's own time stamps, over both transports, with and without a password."""
    with rtsp.Camera(clip(codec), **({"user": "me", "password": "a:b@c", **login} if login else {})) as camera:
        viewing = watch(camera.url, transport=transport)
        viewing.wait_fresh(20)
        report = finished(viewing)
    assert (report.frames.undecodable, report.frames.blind) == (0, 0)
    assert report.source.clock is CaptureClock.PTS
    assert report.source.details["client"] == "own"
    assert report.source.details["transport"] == transport
    stamps = {sent.timestamp for sent in camera.sent}
    assert {round(answer.info.pts_s * 90_000) & 0xFFFFFFFF for answer in viewing.answers} <= stamps
    assert not any(report.source.losses.values())


def test_ffmpeg_logs_in_where_it_may(rtsp, clip, watch) -> None:  # type: ignore[no-untyped-def]
    """Our own client goes the way first, and hands on the password as it is to be written."""
    with rtsp.Camera(clip(), user="me", password="a:b@c") as camera:
        viewing = watch(camera.url, client="ffmpeg")
        viewing.wait_fresh(20)
        report = finished(viewing)
    assert not any(report.source.losses.values())


def test_a_wrong_password_is_said(rtsp, clip, watch) -> None:  # type: ignore[no-untyped-def]
    """Without showing it."""
    with (
        rtsp.Camera(clip(), user="me", password="right") as camera,  # of a camera that we made
        pytest.raises(OSError, match=r"user name or password refused \(401\)") as refused,
    ):
        watch(camera.url.replace("right", "wrong-secret"))
    assert "wrong-secret" not in str(refused.value)


def kill(camera: Any) -> Callable[[], None]:
    camera.kill()
    return camera.revive  # type: ignore[no-any-return]


def cut(camera: Any) -> Callable[[], None]:
    camera.cut()
    return lambda: None


def reset(camera: Any) -> Callable[[], None]:
    camera.cut(reset=True)
    return lambda: None


def mute(camera: Any) -> Callable[[], None]:
    camera.behaviour.is_mute = True
    camera.cut()
    return lambda: setattr(camera.behaviour, "is_mute", False)


def stall(camera: Any) -> Callable[[], None]:
    camera.behaviour.is_stalled = True
    return lambda: setattr(camera.behaviour, "is_stalled", False)


def freeze(camera: Any) -> Callable[[], None]:
    camera.behaviour.is_frozen = True
    return lambda: setattr(camera.behaviour, "is_frozen", False)


def half_packet(camera: Any) -> Callable[[], None]:
    camera.behaviour.half_packet = True
    return lambda: setattr(camera.behaviour, "half_packet", False)


@pytest.mark.parametrize(
    ("break_it", "outage", "transport", "stays_away"),
    [
        (kill, Outage.ENDED, "tcp", True),
        (kill, Outage.ENDED, "udp", True),
        (cut, Outage.ENDED, "tcp", False),
        (mute, Outage.ENDED, "tcp", True),
        (stall, Outage.SILENT, "tcp", True),
        (stall, Outage.SILENT, "udp", True),
        (half_packet, Outage.SILENT, "tcp", True),
        (freeze, Outage.FROZEN, "tcp", False),
    ],
)
def test_a_lost_camera_is_said_to_be_lost_and_comes_back(  # type: ignore[no-untyped-def]
    rtsp, clip, watch, break_it, outage, transport, stays_away
) -> None:
    """The report tells how; heartbeats say blind meanwhile; afterwards all is as it was before."""
    with rtsp.Camera(clip()) as camera:
        viewing = watch(camera.url, transport=transport)
        viewing.wait_fresh(15)
        repair = break_it(camera)
        viewing.wait(lambda: viewing.lost(outage))
        if stays_away:
            viewing.wait(lambda: any(beat.reason is outage for beat in viewing.listener.beats))
        repair()
        viewing.wait(lambda: viewing.run.report().source.reconnects > 0)
        before = list(viewing.answers)
        viewing.wait_fresh(15)
        report = finished(viewing)
    lost = {found for found, count in report.source.losses.items() if count}
    assert lost == {outage}
    assert report.source.away_s > 0
    assert all(beat.health.value == "blind" for beat in viewing.listener.beats)
    assert report.source.heartbeats == len(viewing.listener.beats)
    after = viewing.answers[len(before) :]
    assert ages_ms(after)[7] < ages_ms(before)[len(ages_ms(before)) // 2] + 50
    assert max(ages_ms(viewing.answers)) < DEADLINE_MS


def test_a_reset_connection_is_an_error_or_an_end(rtsp, clip, watch) -> None:  # type: ignore[no-untyped-def]
    """Whichever the system tells first."""
    with rtsp.Camera(clip()) as camera:
        viewing = watch(camera.url)
        viewing.wait_fresh(10)
        reset(camera)
        viewing.wait(lambda: viewing.lost(Outage.ERROR) or viewing.lost(Outage.ENDED))
        viewing.wait_fresh(10)
        finished(viewing)


def test_garbage_in_the_stream_is_passed_over(rtsp, clip, watch) -> None:  # type: ignore[no-untyped-def]
    """The pictures that it spoils are counted; the connection is kept."""
    with rtsp.Camera(clip()) as camera:
        viewing = watch(camera.url)
        viewing.wait_fresh(10)
        camera.behaviour.garbage = bytes(range(37, 256)) * 20
        viewing.wait(lambda: not camera.behaviour.garbage)
        viewing.wait_fresh(20)
        report = finished(viewing)
    assert not any(report.source.losses.values())


@pytest.mark.parametrize(("share", "transport"), [(0.01, "udp"), (0.1, "udp"), (0.1, "tcp")])
def test_lost_packets_cost_pictures_and_nothing_else(rtsp, clip, watch, share, transport) -> None:  # type: ignore[no-untyped-def]
    """From a loss to the next key picture frames are undecodable, and counted as such."""
    with rtsp.Camera(clip(gop=5), seed=3) as camera:
        camera.behaviour.loss = share
        viewing = watch(camera.url, transport=transport)
        viewing.wait(lambda: viewing.run.report().frames.undecodable > 0 and viewing.fresh() > 10)
        report = finished(viewing)
    assert int(report.source.details["rtp_lost"]) > 0
    assert int(report.source.details["rtp_damaged"]) >= report.frames.undecodable > 0


def test_another_resolution_is_taken_on_the_fly(rtsp, clip, watch) -> None:  # type: ignore[no-untyped-def]
    """With its next key picture, on the same connection."""
    with rtsp.Camera(clip()) as camera:
        viewing = watch(camera.url)
        viewing.wait_fresh(10)
        camera.clip = clip(width=480, height=368)
        viewing.wait(lambda: viewing.answers[-1].size == (480, 368))
        viewing.wait_fresh(10)
        report = finished(viewing)
    assert viewing.answers[0].size == (320, 240)
    assert not any(report.source.losses.values())


@pytest.mark.parametrize("jump_s", [3600, -3600, 40_000])
def test_a_jump_of_time_stamps_changes_nothing(rtsp, clip, watch, jump_s: int) -> None:  # type: ignore[no-untyped-def]
    """A camera sets its clock; capture times follow the arrival."""
    with rtsp.Camera(clip(), first_timestamp=5000 * 90_000) as camera:
        viewing = watch(camera.url)
        viewing.wait_fresh(10)
        camera.behaviour.jump_ticks = jump_s * 90_000
        viewing.wait_fresh(20)
        report = finished(viewing)
    assert report.frames.undecodable == 0
    assert max(ages_ms(viewing.answers)) < DEADLINE_MS


def test_time_stamps_that_wrap_go_on(rtsp, clip, watch) -> None:  # type: ignore[no-untyped-def]
    """After 13 hours 32 bits are full."""
    with rtsp.Camera(clip(), first_timestamp=(1 << 32) - 90_000) as camera:
        viewing = watch(camera.url)
        viewing.wait_fresh(50)
        report = finished(viewing)
    times = [answer.info.pts_s for answer in viewing.answers]
    assert times == sorted(times)
    assert times[-1] > (1 << 32) / 90_000 > times[0]
    assert report.frames.undecodable == 0


def test_a_camera_without_markers_costs_one_interval_and_says_so(rtsp, clip, watch, caplog) -> None:  # type: ignore[no-untyped-def]
    """Once, in one line."""
    with rtsp.Camera(clip()) as camera:
        camera.behaviour.has_markers = False
        viewing = watch(camera.url)
        viewing.wait_fresh(30)
        report = finished(viewing)
    assert sum("does not mark the end of its pictures" in message for message in caplog.messages) == 1
    assert report.frames.undecodable == 0
    assert int(report.source.details["rtp_unmarked"]) > 10


def test_parameter_sets_in_the_stream_are_enough(rtsp, clip, watch) -> None:  # type: ignore[no-untyped-def]
    """The description of some cameras has none."""
    with rtsp.Camera(clip("hevc")) as camera:
        camera.behaviour.in_band_only = True
        viewing = watch(camera.url)
        viewing.wait_fresh(10)
        assert finished(viewing).frames.undecodable == 0


def test_a_new_sender_is_a_new_time_line(rtsp, clip, watch) -> None:  # type: ignore[no-untyped-def]
    """Another SSRC on the same connection: the next key picture begins anew."""
    with rtsp.Camera(clip()) as camera:
        viewing = watch(camera.url)
        viewing.wait_fresh(10)
        camera.behaviour.ssrc = 0xBEEF
        camera.behaviour.jump_ticks = 123_456_789
        viewing.wait_fresh(20)
        report = finished(viewing)
    assert not any(report.source.losses.values())
    assert max(ages_ms(viewing.answers)) < DEADLINE_MS


def test_synchronised_clocks_are_believed_when_declared(rtsp, clip, watch) -> None:  # type: ignore[no-untyped-def]
    """The camera's own word on when it captured, by its sender reports."""
    with rtsp.Camera(clip()) as camera:
        viewing = watch(camera.url, synchronised_clocks=True)
        viewing.wait(lambda: any(answer.clock is CaptureClock.RTCP for answer in viewing.answers))
        viewing.wait_fresh(10)
        finished(viewing)
        sent = {one.timestamp: one.sent_ns for one in camera.sent}
    late = [answer for answer in viewing.answers if answer.clock is CaptureClock.RTCP]
    for answer in late:
        sent_ns = sent[round(answer.info.pts_s * 90_000) & 0xFFFFFFFF]
        assert -5 * NS_PER_MS < sent_ns - answer.info.captured_ns < 100 * NS_PER_MS


def test_giving_up_ends_the_run(rtsp, clip) -> None:  # type: ignore[no-untyped-def]
    """With a failure that says for how long it was tried."""
    source = VideoSource(VideoOptions.model_validate({"url": "rtsp://127.0.0.1:1/", "open_timeout": "1s"}))
    with rtsp.Camera(clip()) as camera:
        source = VideoSource(VideoOptions.model_validate({"url": camera.url, "open_timeout": "1s"}))
        plan = Graph.chain(source, VideoDecoder(DecodeOptions()), [("detect", Detector())], []).check(Mode.LIVE)
        backoff = Backoff(50 * NS_PER_MS, 200 * NS_PER_MS, give_up_ns=NS_PER_S // 2)
        run = Run(plan, RunSettings("cam", Mode.LIVE, cores=2, backoff=backoff))
        run.start()
        run.wait(NS_PER_S // 2)
        camera.kill()
        assert run.wait(20 * NS_PER_S)
        report = run.finish()
    assert report.failure is not None
    assert "gave up after" in report.failure
    assert report.balanced


@pytest.mark.parametrize("when", ["reading", "opening"])
def test_a_stop_does_not_wait_for_the_camera(rtsp, clip, watch, when: str) -> None:  # type: ignore[no-untyped-def]
    """However long its own bounds are."""
    with rtsp.Camera(clip()) as camera:
        viewing = watch(camera.url, stall_timeout="60s", open_timeout="60s")
        viewing.wait_fresh(5)
        camera.behaviour.is_stalled = camera.behaviour.is_mute = True
        if when == "opening":
            camera.cut()
            viewing.wait(lambda: viewing.lost(Outage.ENDED))
            viewing.wait(lambda: len(camera.requests) > 0 and camera.requests[-1][0] == "OPTIONS")
        finished(viewing)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_camera_that_forgets_its_viewers_is_reminded(rtsp, clip, watch, transport: str) -> None:  # type: ignore[no-untyped-def]
    """It says for how long it remembers, once; nobody is there for it who says nothing for longer."""
    manners = rtsp.Manners(session_timeout_s=1, enforces_timeout=True)
    with rtsp.Camera(clip(), manners=manners) as camera:
        viewing = watch(camera.url, transport=transport)
        viewing.wait_fresh(75)
        report = finished(viewing)
    assert not any(report.source.losses.values())
    assert sum(asked[0] == "GET_PARAMETER" for asked in camera.requests) >= 3


@pytest.fixture
def certificate() -> ssl.SSLContext:
    """What a camera needs for TLS, with a certificate that this machine does not trust."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_tls_is_spoken_with_a_camera_that_is_trusted_as_it_is(rtsp, clip, watch, certificate) -> None:  # type: ignore[no-untyped-def]
    """Many cameras have a certificate of their own."""
    with rtsp.Camera(clip(), tls=certificate) as camera:
        viewing = watch(camera.url, verify_tls=False)
        viewing.wait_fresh(20)
        assert finished(viewing).frames.undecodable == 0


@pytest.mark.parametrize("client", ["own", "ffmpeg"])
def test_a_certificate_that_is_not_trusted_is_refused(rtsp, clip, watch, certificate, client: str) -> None:  # type: ignore[no-untyped-def]
    """With either client; the line names the option that accepts it."""
    with (
        rtsp.Camera(clip(), tls=certificate) as camera,
        pytest.raises(OSError, match=r"certificate is not trusted .*verify_tls: false"),
    ):
        watch(camera.url, client=client)
