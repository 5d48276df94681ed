"""Secrets do not come out again."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.masking import masked, masked_settings, scrub


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://user:secret@cam:554/stream", "rtsp://***@cam:554/stream"),
        ("rtsp://user:p@ss@cam/stream", "rtsp://***@cam/stream"),
        ("rtsp://user:pa/ss@cam/stream", "rtsp://***@cam/stream"),
        ("rtsp://user:pa?ss@cam/stream", "rtsp://***@cam/stream"),
        ("rtsp://cam/user=admin&password=secret&channel=1", "rtsp://cam/user=***&password=***&channel=1"),
        ("http://cam/video?user=u&pwd=secret", "http://cam/video?***"),
        ("rtsp://admin#1:secret@cam/a", "rtsp://***@cam/a"),
        ("rtsp://[pass]#word:secret@cam/a", "rtsp://***@cam/a"),
        ("rtsp://my name/x:secret@cam/a", "rtsp://***@cam/a"),
        ("http://proxy/rtsp://user:secret@cam/a", "http://***@cam/a"),
        (" rtsp://user:secret@cam/a", " rtsp://***@cam/a"),
        ("rtsp://domain/user:secret@cam/a", "rtsp://***@cam/a"),
        ("rtsp://cam/login=admin&pw=secret", "rtsp://cam/login=***&pw=***"),
        ("rtsp://cam/usr=admin&psw=secret", "rtsp://cam/usr=***&psw=***"),
        ("rtsp://cam/live/admin/secret/ch0", "rtsp://cam/live/***/***/ch0"),
        ("rtsp://cam/h264/admin/secret/ch0/sub", "rtsp://cam/h264/admin/***/ch0/sub"),
        ("http://cam/get/bob/secret/1.ts?a=1", "http://cam/get/***/***/1.ts?***"),
        ("rtsp://cam/live/ch0/main", "rtsp://cam/live/ch0/main"),
        ("rtsp:/user:secret@cam/a", "rtsp:/***@cam/a"),
        ("rtsp:user:secret@cam/a?b=secret", "rtsp:***@cam/a"),
        ("rtps://user:secret@cam/a", "rtps://***@cam/a"),
        ("lavfi:movie=http\\\\://user\\\\:secret@cam/a.mp4,realtime", "lavfi:movie=http\\\\://***"),
        ("lavfi:movie=filename='http\\://user\\:secret@cam/a'", "lavfi:movie=filename='http\\://***"),
        ("lavfi:testsrc=size=64x64,scale@small=2:2", "lavfi:testsrc=size=64x64,scale@small=2:2"),
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


def test_error_texts_about_a_path_with_an_at_sign_are_scrubbed() -> None:
    """The user information ends before the path, whatever stands there."""
    url = "rtsp://user:secret@cam/live@2"
    assert "secret" not in scrub("rtsp://user:secret@cam:554/live@2: refused (secret)", url)


def test_an_address_as_a_key_is_masked() -> None:
    """YAML makes one of it where the space behind a colon is missing."""
    assert masked_settings({"rtsp://user:hidden@cam/a": 1}) == {"rtsp://***@cam/a": 1}


def test_error_texts_about_logins_by_path_are_scrubbed() -> None:
    """Wherever a library quotes a part of it."""
    assert "secret" not in scrub("GET /live/admin/secret/ch0 refused", "rtsp://cam/live/admin/secret/ch0")


@pytest.mark.parametrize(
    "text", ["lavfi:" + "h" * 1_000_000, "h" * 1_000_000, "1" * 1_000_000 + "://", "://" * 300_000]
)
def test_long_texts_take_no_time(text: str) -> None:
    """In proportion to their length: these would take minutes otherwise."""
    assert masked_settings({"url": text}) == {"url": text}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ws:ws://u:secret@h", "ws:ws://***@h"),
        ("://x 1http://u:secret@h", "://x 1http://***@h"),
        ("é+rtsp://u:secret@h", "é+rtsp://***@h"),
    ],
)
def test_a_url_within_a_text(text: str, shown: str) -> None:
    """Begins with a letter, wherever that stands."""
    assert masked_settings([text]) == [shown]


@given(user=st.sampled_from(["admin", "u", ""]), secret=_SECRET)
def test_no_secret_survives_in_settings(user: str, secret: str) -> None:
    """Neither in a URL, wherever it stands, nor under a telling name, however deep."""
    settings = {
        "source": {"kind": "video", "url": f"rtsp://{user}:{secret}@cam/live"},
        "sinks": ["jsonl:out", f"ws:ws://{user}:{secret}@host:1", {"kind": "web", "token": secret}],
        "api_key": secret,
        "headers": {"X-Whatever": secret, "others": [secret]},
        "deep": [{"Authorization": secret, "password": secret, "db.passwd": secret, "clientSecret": secret}],
    }
    assert "QX" not in json.dumps(masked_settings(settings))


def test_what_is_no_secret_stays() -> None:
    """Names that only look alike, numbers, and what is not set."""
    settings = {
        "url": "rtsp://cam:554/live",
        "keyframes": 3,
        "monkey": "see",
        "compass": "north",
        "token": None,
        "auth": True,
        "classes": ["person", "key"],
        "delay": "10ms",
    }
    assert masked_settings(settings) == settings
    assert masked_settings({"key": "cert.pem", "pin_keys": [1, 2]}) == {"key": "***", "pin_keys": ["***", "***"]}
