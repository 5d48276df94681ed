"""Session descriptions as cameras write them."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.capture.rtsp.messages import request_bytes
from stages.capture.rtsp.sdp import NoVideo, UnsupportedMedia, VideoMedia, aggregate_url, control_url, parse_sdp

HIKVISION = b"""v=0\r
o=- 1109162014219182 1109162014219182 IN IP4 0.0.0.0\r
s=Media Presentation\r
e=NONE\r
b=AS:5100\r
t=0 0\r
a=control:rtsp://10.0.0.9:554/Streaming/Channels/101/\r
m=video 0 RTP/AVP 96\r
c=IN IP4 0.0.0.0\r
b=AS:5000\r
a=recvonly\r
a=x-dimensions:1920,1080\r
a=control:rtsp://10.0.0.9:554/Streaming/Channels/101/?transportmode=unicast&profile=Profile_1/trackID=1\r
a=rtpmap:96 H264/90000\r
a=fmtp:96 profile-level-id=420029; packetization-mode=1; sprop-parameter-sets=Z00AKpWoHgCJ+VA=,aO48gA==\r
a=Media_header:MEDIAINFO=494D4B48;\r
a=appversion:1.0\r
m=audio 0 RTP/AVP 8\r
a=control:rtsp://10.0.0.9:554/Streaming/Channels/101/trackID=2\r
a=rtpmap:8 PCMA/8000\r
"""
DAHUA = b"""v=0
o=- 2281187389 2281187389 IN IP4 0.0.0.0
s=RTSP Session/2.0
t=0 0
a=control:*
a=range:npt=now-
m=video 0 RTP/AVP 98
a=control:trackID=0
a=framerate:25.000000
a=rtpmap:98 H265/90000
a=fmtp:98 profile-id=1;sprop-sps=QgEBAWAAAA==;sprop-pps=RAHA8s==;sprop-vps=QAEMAf//
a=recvonly
m=application 0 RTP/AVP 107
a=control:trackID=4
a=rtpmap:107 vnd.onvif.metadata/90000
"""


def described(*lines: str, media: str = "video 0 RTP/AVP 96", session: str = "") -> VideoMedia:
    return parse_sdp("\r\n".join(["v=0", session, f"m={media}", *lines]).encode())


def with_controls(control: str | None, session: str | None = None) -> VideoMedia:
    return VideoMedia("h264", 96, (), control, session, None)


def test_a_camera_with_h264() -> None:
    """The video, not the sound; its parameter sets without start codes."""
    assert parse_sdp(HIKVISION) == VideoMedia(
        codec="h264",
        payload_type=96,
        parameter_sets=(bytes.fromhex("674d002a95a81e0089f950"), bytes.fromhex("68ee3c80")),
        control="rtsp://10.0.0.9:554/Streaming/Channels/101/?transportmode=unicast&profile=Profile_1/trackID=1",
        session_control="rtsp://10.0.0.9:554/Streaming/Channels/101/",
        framerate=None,
    )


def test_a_camera_with_h265() -> None:
    """Sets in the order in which a decoder wants them; bare line feeds."""
    assert parse_sdp(DAHUA) == VideoMedia(
        codec="hevc",
        payload_type=98,
        parameter_sets=(
            bytes.fromhex("40010c01ffff"),
            bytes.fromhex("42010101600000"),
            bytes.fromhex("4401c0f2"),
        ),
        control="trackID=0",
        session_control="*",
        framerate=25.0,
    )


def test_the_least_that_is_needed() -> None:
    """Anything else may be absent."""
    assert parse_sdp(b"m=video 0 RTP/AVP 96\ra=rtpmap:96 H264") == with_controls(None)


@pytest.mark.parametrize(
    "line",
    ["a=RTPMAP:96 h264/90000", "a= rtpmap : 96\th264 /90000/1", "a=rtpmap:096   H264/ 90000 ", "  a=rtpmap:96 H264"],
)
def test_odd_lines(line: str) -> None:
    """Spaces, tabs and capitals do no harm; nor does what is no line at all."""
    assert described("\xff\xfe", "=", "a", "a=", "a=:", line).codec == "h264"


@pytest.mark.parametrize(
    ("value", "sets"),
    [
        ("", ()),
        ("Z00AKg==", (b"\x67\x4d\x00\x2a",)),
        ("Z00AKg,aO48gA", (b"\x67\x4d\x00\x2a", b"\x68\xee\x3c\x80")),  # without padding
        ("Z00AKg==, ,é,Z00#AKg==,A,aO48gA==,", (b"\x67\x4d\x00\x2a", b"\x68\xee\x3c\x80")),
        ("Z00=", ()),  # too short for a set
        (",".join(["Z00AKg=="] * 17), (b"\x67\x4d\x00\x2a",) * 16),
    ],
)
def test_parameter_sets(value: str, sets: tuple[bytes, ...]) -> None:
    """What is broken is passed over; the stream brings its own sets. There are at most 16."""
    found = described("a=rtpmap:96 H264/90000", f"a=fmtp:96 packetization-mode=1;Sprop-Parameter-Sets={value}")
    assert found.parameter_sets == sets


def test_parameter_sets_of_h265_are_bounded_together() -> None:
    """16 of all kinds."""
    many = ",".join([base64.b64encode(b"\x40\x01\x0c").decode()] * 9)
    found = described("a=rtpmap:96 H265/90000", f"a=fmtp:96 sprop-vps={many};sprop-sps={many};sprop-pps={many}")
    assert len(found.parameter_sets) == 16


def test_the_first_type_that_we_speak() -> None:
    """Of several in a line; each has its own attributes."""
    found = described(
        "a=rtpmap:97 VP8/90000",
        "a=rtpmap:98 H265/90000",
        "a=fmtp:96 packetization-mode=2",
        "a=rtpmap:96 H264/90000",
        media="video 0 RTP/AVP 97 96 999 98 26",
    )
    assert (found.codec, found.payload_type) == ("hevc", 98)


def test_the_first_stream_that_we_speak() -> None:
    """A camera may offer MJPEG before H.264."""
    found = described(
        "a=control:one",
        "m=video 0 RTP/AVP 97",
        "a=rtpmap:97 H264/90000",
        "a=control:two",
        "m=video 0 RTP/AVP 98",
        "a=rtpmap:98 H265/90000",
        media="video 0 RTP/AVP 26",
        session="a=control:whole",
    )
    assert (found.payload_type, found.control, found.session_control) == (97, "two", "whole")


@pytest.mark.parametrize("profile", ["RTP/AVP", "rtp/avp", "RTP/AVPF", "RTP/AVP/TCP", "RTP/AVP/UDP", "TCP/RTP/AVP"])
def test_profiles(profile: str) -> None:
    """How plain RTP is called."""
    assert described("a=rtpmap:96 H264/90000", media=f"VIDEO 49170/2 {profile} 96").payload_type == 96


@pytest.mark.parametrize(
    ("media", "lines", "why"),
    [
        ("26", [], "MJPEG"),
        ("32", [], "MPEG-1 or MPEG-2"),
        ("25", [], "CelB$"),
        ("28", [], "nv$"),
        ("31", [], "H261$"),
        ("33", [], "an MPEG transport stream"),
        ("34", [], "H263$"),
        ("96", ["a=rtpmap:96 MP4V-ES/90000"], "MPEG-4 part 2"),
        ("96", ["a=rtpmap:96 jpeg/90000"], "MJPEG"),
        ("96", ["a=rtpmap:96 AV1/90000"], "AV1"),
        ("96", [], "payload type 96 without a name"),
        ("26 96", ["a=rtpmap:96 AV1/90000"], "MJPEG"),
        ("128", ["a=rtpmap:128 H264/90000"], "payload type 128, which is none"),
        ("x", [], "payload type x, which is none"),
        ("", [], "video without a format"),
        ("96", ["a=rtpmap:96 H264/48000"], "H264 with a clock of 48000 Hz"),
        ("96", ["a=rtpmap:96 H264/90000", "a=fmtp:96 packetization-mode=2"], "H.264 with packetization-mode 2"),
        ("96", ["a=rtpmap:96 H265/90000", "a=fmtp:96 sprop-max-don-diff=2"], r"H.265 .*sprop-max-don-diff"),
        ("96", ["a=rtpmap:96 H265/90000", "a=fmtp:96 sprop-depack-buf-nalus=1"], r"H.265 out of decoding order"),
        ("96", ["a=rtpmap:96 \x1b[31m" + "X" * 99], r"\[31mX{36}$"),
    ],
)
def test_what_we_do_not_take_apart_is_named(media: str, lines: list[str], why: str) -> None:
    """In words that people know, printable and short."""
    with pytest.raises(UnsupportedMedia, match=why) as refused:
        described(*lines, media=f"video 0 RTP/AVP {media}")
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("media", "why"),
    [
        ("video 0 RTP/SAVP 96", r"encrypted video \(RTP/SAVP\)"),
        ("video 0 UDP/TLS/RTP/SAVPF 96", "encrypted video"),
        ("video 0 udp 96", "video over UDP"),
        ("video", "video over nothing known"),
    ],
)
def test_other_profiles_are_named(media: str, why: str) -> None:
    """Encrypted ones as what they are."""
    with pytest.raises(UnsupportedMedia, match=why):
        described("a=rtpmap:96 H264/90000", media=media)


@pytest.mark.parametrize(
    "body", [b"", b"m=", b"\xff\xd8\xff", b"v=0\r\nm=audio 0 RTP/AVP 0\r\na=rtpmap:96 H264/90000\r\n"]
)
def test_no_video(body: bytes) -> None:
    """Sound alone, or no description at all."""
    with pytest.raises(NoVideo, match="no video"):
        parse_sdp(body)


@pytest.mark.parametrize("padding", [b"s=" + b"x" * 65536 + b"\n", b"s=x\n" * 4096])
def test_the_end_of_a_huge_description_is_not_read(padding: bytes) -> None:
    """64 KiB and 4096 lines are enough for any camera."""
    with pytest.raises(NoVideo):
        parse_sdp(padding + b"m=video 0 RTP/AVP 26\n")


@pytest.mark.parametrize(
    ("text", "rate"),
    [("25", 25.0), ("29.97", 29.97), ("30.", 30.0), ("12.500000000", 12.5), ("0", None), ("x", None), ("1e9", None)],
)
def test_frame_rates(text: str, rate: float | None) -> None:
    """A number above zero, or nothing."""
    assert described("a=rtpmap:96 H264/90000", f"a=framerate:{text}").framerate == rate


@pytest.mark.parametrize(
    ("base", "control", "session", "stream_url", "whole_url"),
    [
        # Dahua, live555 and VStarcam (no control of the whole): behind the base, whatever its end.
        ("rtsp://h/live?a=1", "trackID=0", "*", "rtsp://h/live?a=1/trackID=0", "rtsp://h/live?a=1"),
        ("rtsp://h/live/", "track1", None, "rtsp://h/live/track1", "rtsp://h/live/"),
        ("rtsp://h/live?a=1/", "track1", None, "rtsp://h/live?a=1/track1", "rtsp://h/live?a=1/"),
        # Exactly one slash.
        ("rtsp://h/live/", "/track1", "*", "rtsp://h/live/track1", "rtsp://h/live/"),
        ("rtsp://h", "stream=0", "*", "rtsp://h/stream=0", "rtsp://h"),
        # One stream only: that of the whole.
        ("rtsp://h/live", None, None, "rtsp://h/live", "rtsp://h/live"),
        ("rtsp://h/live", "*", None, "rtsp://h/live", "rtsp://h/live"),
        ("rtsp://h/live", "", "rtsp://h/whole", "rtsp://h/whole", "rtsp://h/whole"),
        # Absolute ones are sent as they are, also with another name of the host.
        ("rtsp://h/live", "rtsp://10.0.0.9/live/track1", "*", "rtsp://10.0.0.9/live/track1", "rtsp://h/live"),
        ("rtsps://h/live", "RTSPS://h/live/1?x", "rtsps://n/w", "RTSPS://h/live/1?x", "rtsps://n/w"),
        # Streams are relative to the whole, as RFC 2326 C.3, live555 and FFmpeg have it.
        ("rtsp://h/live", "trackID=1", "rtsp://n/movie/", "rtsp://n/movie/trackID=1", "rtsp://n/movie/"),
        ("rtsp://h/live", "trackID=1", "movie", "rtsp://h/live/movie/trackID=1", "rtsp://h/live/movie"),
        # What would break a request is escaped; what is escaped already stays.
        ("rtsp://h/my cam%20a", "track\t1", "*", "rtsp://h/my%20cam%20a/track%091", "rtsp://h/my%20cam%20a"),
        ("rtsp://h/x", "rtsp://[h/\x00 y", "*", "rtsp://[h/%00%20y", "rtsp://h/x"),
    ],
)
def test_control_urls(base: str, control: str | None, session: str | None, stream_url: str, whole_url: str) -> None:
    """As real cameras write them, and want them back."""
    media = with_controls(control, session)
    assert control_url(base, media) == stream_url
    assert aggregate_url(base, media) == whole_url


def test_the_control_urls_of_a_camera() -> None:
    """Hikvision writes absolute ones, with the number of the track behind the query."""
    media = parse_sdp(HIKVISION)
    base = "rtsp://camera.example:8554/Streaming/Channels/101"
    assert control_url(base, media) == media.control
    assert aggregate_url(base, media) == "rtsp://10.0.0.9:554/Streaming/Channels/101/"


LINES = st.one_of(
    st.sampled_from([*HIKVISION.splitlines(), *DAHUA.splitlines(), b"m=video", b"m=video 0 RTP/AVP 96 97 98 26"]),
    st.builds(
        lambda start, rest: start + rest, st.sampled_from([b"m=video ", b"a=", b"a=control:"]), st.binary(max_size=20)
    ),
    st.builds(
        lambda start, rest: start + rest.encode(),
        st.sampled_from([b"a=rtpmap:96 ", b"a=fmtp:96 "]),
        st.text(max_size=20),
    ),
    st.builds(lambda rest: b"a=control:" + rest.encode(), st.text(max_size=20)),
    st.binary(max_size=20),
)


@given(
    st.lists(LINES, max_size=20),
    st.sampled_from([b"\n", b"\r\n", b"\r", b" "]),
    st.text("rtsp:/[]?h\r\n \u3000", max_size=12),
)
def test_any_description_is_survived(lines: list[bytes], end: bytes, base: str) -> None:
    """Only the named exceptions; and what comes out can be asked for."""
    try:
        media = parse_sdp(end.join(lines))
    except (UnsupportedMedia, NoVideo):
        return
    assert 0 <= media.payload_type < 128
    for url in (control_url("rtsp://h" + base, media), aggregate_url("rtsp://h" + base, media)):
        request_bytes("SETUP", url, {})
