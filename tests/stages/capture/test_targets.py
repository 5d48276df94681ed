"""SOURCE texts are understood, and their credentials never come out again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.capture.targets import TargetKind, masked, parse_target, scrub


@pytest.mark.parametrize(
    ("text", "kind", "address", "live"),
    [
        ("clip.mp4", TargetKind.FILE, "clip.mp4", False),
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
    ],
)
def test_what_is_not_understood_is_said_without_secrets(text: str, words: str) -> None:
    """A wrong text gets a message that says what would be right."""
    with pytest.raises(ValueError, match=words) as caught:
        parse_target(text)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://user:secret@cam:554/stream", "rtsp://***@cam:554/stream"),
        ("rtsp://user:p@ss@cam/stream", "rtsp://***@cam/stream"),
        ("rtsp://user:pa/ss@cam/stream", "rtsp://***@cam/stream"),
        ("rtsp://user:pa?ss@cam/stream", "rtsp://***@cam/stream"),
        ("rtsp://cam/user=admin&password=secret&channel=1", "rtsp://cam/user=***&password=***&channel=1"),
        ("http://cam/video?user=u&pwd=secret", "http://cam/video?***"),
        ("http://cam/a@b.mjpg", "http://cam/a@b.mjpg"),
        ("http://[::1]:80/a@b.mjpg", "http://[::1]:80/a@b.mjpg"),
        ("clips/user:secret@home.mp4", "clips/user:secret@home.mp4"),
    ],
)
def test_masking_keeps_the_address_readable(url: str, shown: str) -> None:
    """User information, query values and secrets in the path become stars; the rest stays."""
    assert masked(url) == shown


_SIGNS = st.text(alphabet="Q1@:/?#%&;=!")
_SECRET = st.builds(lambda before, after: before + "QXZ" + after, _SIGNS, _SIGNS)


@given(user=st.sampled_from(["admin", "u", ""]), secret=_SECRET, query=st.sampled_from(["", "?token=QXQX"]))
def test_no_secret_survives_masking(user: str, secret: str, query: str) -> None:
    """Whatever characters a password holds, no part of it with its letters is shown."""
    url = f"rtsp://{user}:{secret}@cam.example:554/live{query}"
    assert "QX" not in masked(url)
    assert masked(url).startswith("rtsp://***@")


@given(user=st.sampled_from(["admin", "u"]), secret=_SECRET)
def test_error_texts_are_scrubbed(user: str, secret: str) -> None:
    """A library's error text that quotes the address, whole or in part, comes out without the password."""
    url = f"rtsp://{user}:{secret}@cam/live"
    text = scrub(f"[Errno 5] Input/output error: '{url}' ({secret}) while talking to cam", url)
    assert secret not in text
    assert "Input/output error" in text


def test_a_target_has_no_telling_repr() -> None:
    """A target that ends up in a log by accident shows no password."""
    assert "secret" not in repr(parse_target("rtsp://u:secret@cam/1"))
    assert parse_target("rtsp://u:secret@cam/1").shown == "rtsp://***@cam/1"
