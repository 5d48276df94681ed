"""What the RTSP camera sends: each fault is on the wire what its name says."""

from __future__ import annotations

import itertools
import threading
import time

import pytest

PATIENCE_S = 5.0


def steps(values: list[int], bits: int) -> list[int]:
    """Return the differences between neighbours, of a counter that wraps."""
    return [(b - a) % (1 << bits) for a, b in itertools.pairwise(values)]


def wait_for(happened) -> None:  # type: ignore[no-untyped-def]
    end_s = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < end_s
        threading.Event().wait(0.005)


def test_the_log_of_what_was_sent_is_true(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """Time stamp and number of each picture, written when its last packet was handed over."""
    with rtsp.Camera(clip()) as camera:
        client = connect(camera)
        before_ns = time.monotonic_ns()
        client.play()
        pictures = [client.picture() for _ in range(5)]
        after_ns = time.monotonic_ns()
        wait_for(lambda: len(camera.sent) >= 5)
    assert [picture[0].timestamp for picture in pictures] == [sent.timestamp for sent in camera.sent[:5]]
    assert [sent.number for sent in camera.sent[:5]] == [0, 1, 2, 3, 4]
    times = [sent.sent_ns for sent in camera.sent[:4]]
    assert before_ns < times[0] < times[-1] < after_ns
    assert times == sorted(times)
    assert set(steps([picture[0].timestamp for picture in pictures], 32)) == {900}


def test_no_picture_is_larger_than_its_packets_may_be(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """Odd sizes of fragments too."""
    with rtsp.Camera(clip(), mtu=333) as camera:
        client = connect(camera)
        client.play()
        packets = client.picture()
    assert len(packets) > 3
    assert max(len(packet.payload) for packet in packets) == 333


def test_a_stalled_camera_sends_nothing_and_still_answers(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """Until it goes on."""
    with rtsp.Camera(clip()) as camera:
        client = connect(camera)
        client.play()
        client.picture()
        camera.behaviour.is_stalled = True
        assert client.ask("GET_PARAMETER") == 200
        client.drain()
        assert client.is_silent()
        camera.behaviour.is_stalled = False
        assert client.peek() == b"$"


def test_a_frozen_camera_repeats_one_picture(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """Payload for payload, with time stamps that go on."""
    with rtsp.Camera(clip()) as camera:
        camera.behaviour.is_frozen = True
        client = connect(camera)
        client.play()
        pictures = [client.picture() for _ in range(4)]
    assert len({tuple(packet.payload for packet in picture) for picture in pictures}) == 1
    assert set(steps([picture[0].timestamp for picture in pictures], 32)) == {900}


def test_without_markers_there_is_none(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """Until they are put back."""
    with rtsp.Camera(clip()) as camera:
        camera.behaviour.has_markers = False
        client = connect(camera)
        client.play()
        packets = [client.rtp() for _ in range(30)]
        assert not any(packet.marker for packet in packets)
        assert len({packet.timestamp for packet in packets}) > 3
        camera.behaviour.has_markers = True
        assert client.picture()[-1].marker


@pytest.mark.parametrize("share", [0.01, 0.1])
def test_a_share_of_packets_is_lost(rtsp, connect, clip, share: float) -> None:  # type: ignore[no-untyped-def]
    """The same ones for the same seed; their sequence numbers are missing."""
    lost = []
    for _ in range(2):
        with rtsp.Camera(clip(fps=400), seed=4, mtu=60) as camera:
            camera.behaviour.loss = share
            client = connect(camera)
            client.play()
            sequences = [client.rtp().sequence for _ in range(1500)]
        lost.append([step - 1 for step in steps(sequences, 16)])
    assert lost[0] == lost[1]
    assert sum(lost[0]) / len(lost[0]) == pytest.approx(share, rel=0.5)


def test_a_share_of_packets_is_overtaken_by_the_next(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """By one place, and none is lost."""
    with rtsp.Camera(clip(), seed=4, mtu=60) as camera:
        camera.behaviour.reorder = 0.2
        client = connect(camera)
        client.play()
        sequences = [client.rtp().sequence for _ in range(200)]
    found = steps(sequences, 16)
    assert set(found) <= {1, 2, 0xFFFF, 3}
    assert 10 < found.count(0xFFFF) < 60


def test_pictures_that_are_held_come_all_at_once(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """With the time stamps that they were captured at; the log has the time at which they were sent."""
    with rtsp.Camera(clip()) as camera:
        camera.behaviour.hold_s = 0.1
        client = connect(camera)
        client.play()
        pictures = [client.picture() for _ in range(20)]
        wait_for(lambda: len(camera.sent) >= 20)
    assert set(steps([picture[0].timestamp for picture in pictures], 32)) == {900}
    waited_ns = [sent.sent_ns - sent.due_ns for sent in camera.sent[:20]]
    assert waited_ns[0] >= 100_000_000
    assert any(b - a > 50_000_000 for a, b in itertools.pairwise(waited_ns))


def test_time_stamps_jump_and_wrap(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """As told, by seconds or past 32 bits."""
    with rtsp.Camera(clip(), first_timestamp=(1 << 32) - 9000) as camera:
        client = connect(camera)
        client.play()
        stamps = [client.picture()[0].timestamp for _ in range(20)]
        assert min(stamps) < 20_000 < max(stamps)
        assert set(steps(stamps, 32)) == {900}
        camera.behaviour.jump_ticks = 90_000 * 3600
        stamps = [stamps[-1], *(client.picture()[0].timestamp for _ in range(20))]
        assert sorted(set(steps(stamps, 32))) == [900, 900 + 90_000 * 3600]


def test_another_sender_takes_over(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """On the same connection."""
    with rtsp.Camera(clip()) as camera:
        client = connect(camera)
        client.play()
        first = client.rtp().ssrc
        camera.behaviour.ssrc = 0xBEEF
        wait_for(lambda: client.rtp().ssrc == 0xBEEF)
        assert first != 0xBEEF


def test_another_resolution_is_sent_with_its_parameter_sets(rtsp, connect, clip) -> None:  # type: ignore[no-untyped-def]
    """In the band, at the next key picture."""
    with rtsp.Camera(clip()) as camera:
        client = connect(camera)
        client.play()
        camera.clip = clip(width=320, height=240)
        wait_for(lambda: client.rtp().payload == camera.clip.sets[0])
