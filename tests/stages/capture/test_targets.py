"""SOURCE texts are understood, and their credentials never come out again."""

from __future__ import annotations

import pytest

from stages.capture.targets import TargetKind, parse_target


@pytest.mark.parametrize(
    ("text", "kind", "address", "live"),
    [
        ("clip.mp4", TargetKind.FILE, "clip.mp4", False),
        ("cl\udcffp.mp4", TargetKind.FILE, "cl\udcffp.mp4", False),  # a name whose bytes are no UTF-8
        ("file:///a/b%20c.mp4", TargetKind.FILE, "/a/b c.mp4", False),
        ("rtsp://cam/1", TargetKind.RTSP, "rtsp://cam/1", True),
        ("RTSPS://cam/1", TargetKind.RTSP, "RTSPS://cam/1", True),
        ("http://cam/video.mjpg", TargetKind.HTTP, "http://cam/video.mjpg", True),
        ("https://host/clip.MP4?x=1", TargetKind.HTTP, "https://host/clip.MP4?x=1", False),
        ("webcam:0", TargetKind.WEBCAM, "/dev/video0", True),
        ("/dev/video12", TargetKind.WEBCAM, "/dev/video12", True),
        ("webcam:/dev/video3", TargetKind.WEBCAM, "/dev/video3", True),
        ("lavfi:testsrc=size=64x64", TargetKind.LAVFI, "testsrc=size=64x64", False),
        ("lavfi:testsrc,realtime", TargetKind.LAVFI, "testsrc,realtime", True),
        ("lavfi:realtime_testsrc", TargetKind.LAVFI, "realtime_testsrc", False),
    ],
)
def test_source_texts_are_understood(text: str, kind: TargetKind, address: str, *, live: bool) -> None:
    """Each way of writing a source names its kind, what to open, and whether time passes without us."""
    target = parse_target(text)
    assert (target.kind, target.address, target.live) == (kind, address, live)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("webcam:front", "webcam:0"),
        ("lavfi:", "filter graph"),
        ("ftp://user:secret@host/x", "ftp:// is not understood"),
        ("http://user:secret@[::1/x", "makes no sense"),
        ("http://user:secret@h\u2100st/x", "makes no sense"),
        ("file://[/x", "makes no sense"),
        ("clip\0.mp4", "no name can have"),
        ("clip\ud800.mp4", "no name can have"),
    ],
)
def test_what_is_not_understood_is_said_without_secrets(text: str, words: str) -> None:
    """A wrong text gets a message that says what would be right."""
    with pytest.raises(ValueError, match=words) as caught:
        parse_target(text)
    assert "secret" not in str(caught.value)


def test_a_target_has_no_telling_repr() -> None:
    """A target that ends up in a log by accident shows no password."""
    assert "secret" not in repr(parse_target("rtsp://u:secret@cam/1"))
    assert parse_target("rtsp://u:secret@cam/1").shown == "rtsp://***@cam/1"
