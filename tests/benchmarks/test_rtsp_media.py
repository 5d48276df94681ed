"""The numbered clip and its packets."""

from __future__ import annotations

import av
import numpy as np
import pytest


def decoded(clip) -> list[np.ndarray]:  # type: ignore[no-untyped-def]
    """Return the pictures of a clip, BGR."""
    context = av.CodecContext.create(clip.codec, "r")
    start = b"\0\0\0\1"
    frames = [
        frame for unit in clip.pictures for frame in context.decode(av.Packet(b"".join(start + nal for nal in unit)))
    ]
    return [frame.to_ndarray(format="bgr24") for frame in [*frames, *context.decode(None)]]


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_each_picture_shows_its_number(media, read_number, codec: str) -> None:  # type: ignore[no-untyped-def]
    """In colour and in grey, after compression, past half the bits."""
    clip = media.numbered_clip(codec, width=192, height=112, pictures=80)
    pictures = decoded(clip)
    assert [read_number(picture) for picture in pictures] == list(range(80))
    assert read_number(pictures[77][..., 1]) == 77


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_clip_begins_each_group_with_a_key_picture(media, codec: str) -> None:  # type: ignore[no-untyped-def]
    """And its parameter sets are complete."""
    clip = media.numbered_clip(codec, width=192, height=112, pictures=30, gop=10)
    key = {"h264": {5}, "hevc": set(range(16, 24))}[codec]
    kinds = [{media.kind_of(nal, codec) for nal in unit} for unit in clip.pictures]
    assert [number for number, kind in enumerate(kinds) if kind & key] == [0, 10, 20]
    assert [media.kind_of(nal, codec) for nal in clip.sets] == {"h264": [7, 8], "hevc": [32, 33, 34]}[codec]


@pytest.mark.parametrize(("codec", "head"), [("h264", 1), ("hevc", 2)])
@pytest.mark.parametrize("mtu", [61, 1400])
def test_fragments_put_together_are_the_nal_unit(media, codec: str, head: int, mtu: int) -> None:  # type: ignore[no-untyped-def]
    """None is larger than the limit; the first and the last say so (RFC 6184 5.8, RFC 7798 4.4.3)."""
    nal = bytes([0x65] if codec == "h264" else [19 << 1, 1]) + bytes(range(256)) * 9
    payloads = media.payloads([nal], codec, mtu)
    assert len(payloads) > 1
    assert max(map(len, payloads)) <= mtu
    flags = [payload[head] for payload in payloads]
    assert [bool(flag & 0x80) for flag in flags] == [True] + [False] * (len(flags) - 1)
    assert [bool(flag & 0x40) for flag in flags] == [False] * (len(flags) - 1) + [True]
    assert {flag & (31 if codec == "h264" else 63) for flag in flags} == {media.kind_of(nal, codec)}
    assert b"".join(payload[head + 1 :] for payload in payloads) == nal[head:]


def test_a_small_nal_unit_is_sent_as_it_is(media) -> None:  # type: ignore[no-untyped-def]
    """At the very limit too."""
    nals = [b"\x67" + bytes(99), b"\x68" + bytes(98)]
    assert media.payloads(nals, "h264", 100) == nals


@pytest.mark.parametrize(
    ("codec", "nals", "payload"),
    [
        # SPS and PPS of NRI 3 and 1: type 24, the higher NRI, sizes in 16 bits
        ("h264", [b"\x67ab", b"\x28c"], b"\x78\x00\x03\x67ab\x00\x02\x28c"),
        # VPS and SPS: type 48, the lower temporal id
        ("hevc", [b"\x40\x02a", b"\x42\x01b"], b"\x60\x01\x00\x03\x40\x02a\x00\x03\x42\x01b"),
    ],
)
def test_small_nal_units_can_share_a_payload(media, codec: str, nals: list[bytes], payload: bytes) -> None:  # type: ignore[no-untyped-def]
    """With their sizes, as long as they fit (RFC 6184 5.7.1, RFC 7798 4.4.2); a large one is still in fragments."""
    large = nals[0][:2] + bytes(99)
    assert media.payloads(nals, codec, 40, aggregates=True) == [payload]
    assert media.payloads(nals, codec, 9, aggregates=True) == nals
    assert len(media.payloads([*nals, large, *nals], codec, 40, aggregates=True)) == 1 + 3 + 1


def test_a_recorded_clip_is_taken_as_it_is(media, tmp_path, read_number) -> None:  # type: ignore[no-untyped-def]
    """NAL unit by NAL unit."""
    path = str(tmp_path / "clip.mp4")
    made = media.numbered_clip(width=192, height=112, pictures=20, gop=10)
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"tune": "zerolatency", "g": "10"})
        stream.width, stream.height, stream.pix_fmt = 192, 112, "yuv420p"
        for picture in decoded(made):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))
    clip = media.clip_from_file(path)
    assert (clip.codec, clip.width, clip.height, clip.fps) == ("h264", 192, 112, 30)
    assert [read_number(picture) for picture in decoded(clip)] == list(range(20))
    assert [media.kind_of(nal, "h264") for nal in clip.sets] == [7, 8]


def test_a_sender_report_gives_the_time(media) -> None:  # type: ignore[no-untyped-def]
    """Seconds since 1900 and their fraction (RFC 3550 section 4)."""
    report = media.sender_report(7, unix_ns=1_500_000_000, timestamp=90_000, packets=3, octets=5)
    words = [int.from_bytes(report[at : at + 4]) for at in range(0, len(report), 4)]
    assert words == [0x80C80006, 7, 2_208_988_801, 1 << 31, 90_000, 3, 5]
