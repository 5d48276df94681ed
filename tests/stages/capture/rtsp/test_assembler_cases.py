"""Single cases of loss and of odd senders, with slices made by hand (H.264)."""

from __future__ import annotations

from typing import Any

import pytest

from stages.capture.rtsp.assembler import Assembler
from stages.capture.rtsp.units import AccessUnit

SPS, PPS = bytes([0x67, 0x42, 0xC0, 0x1E, 0x95]), bytes([0x68, 0xCE, 0x3C, 0x80])
IDR, REFERENCE, DISPOSABLE = b"\x65\x88", b"\x41\x88", b"\x01\x88"
SECOND_SLICE = 0x7F
"""With this as its second byte, a slice is not the first one of its picture."""


class Script:
    """Pushes made packets at 30 pictures a second, first a key picture and a marked reference picture."""

    def __init__(self, source: Any) -> None:
        self.source = source
        self.assembler = Assembler("h264", payload_type=96, parameter_sets=[SPS, PPS])
        self.number = 0
        assert [unit.key for unit in self.picture(IDR) + self.picture(REFERENCE)] == [True, False]

    def picture(self, *nals: bytes, marker: bool = True) -> list[AccessUnit]:
        """Push the next picture, one packet a unit."""
        self.number += 1
        return self.push(*nals, marker=marker)

    def push(self, *nals: bytes, marker: bool = True) -> list[AccessUnit]:
        """Push packets with the present time stamp, the last one marked."""
        packets = [
            self.source.packet(nal, 3000 * self.number, marker=marker and place == len(nals) - 1)
            for place, nal in enumerate(nals)
        ]
        return [unit for packet in packets for unit in self.assembler.push(packet, 0)]

    def lose(self, packets: int = 1) -> None:
        self.source.sequence += packets


@pytest.fixture
def script(sender: Any) -> Script:
    return Script(sender("h264"))


def second(nal: bytes) -> bytes:
    """Return the header of a picture's second slice."""
    return bytes([nal[0], SECOND_SLICE])


def damages(units: list[AccessUnit]) -> list[bool]:
    return [unit.damaged for unit in units]


def test_the_marked_end_of_a_disposable_picture(script: Script) -> None:
    """Where all pictures end with a marker, one packet missing between two is the first one's end."""
    script.picture(DISPOSABLE, marker=False)
    script.lose()
    assert damages(script.picture(REFERENCE)) == [True, False]


def test_more_than_the_end_of_a_disposable_picture(script: Script) -> None:
    """Two packets missing may be the end and a whole picture: nothing is sound before the next key picture."""
    script.picture(DISPOSABLE, marker=False)
    script.lose(2)
    assert damages(script.picture(REFERENCE)) == [True, True]
    assert damages(script.picture(IDR)) == [False]


def test_the_end_of_a_picture_without_reliable_markers(script: Script) -> None:
    """Where pictures end without a marker too, one packet missing may be a whole picture."""
    script.picture(DISPOSABLE, marker=False)
    script.picture(DISPOSABLE, marker=False)
    script.lose()
    assert damages(script.picture(REFERENCE)) == [True, True]


def test_a_loss_between_two_pictures_of_one_time(script: Script) -> None:
    """Fields share a time stamp: a loss between their markers may be a picture, and a key picture mends it."""
    script.lose()
    assert damages(script.push(REFERENCE)) == [True]
    script.lose()
    assert damages(script.push(IDR)) == [False]


def test_fields_of_one_time_are_pictures_of_their_own(script: Script) -> None:
    """Two pictures of one time stamp, each with its marker, both come out at once."""
    first, other = script.picture(REFERENCE), script.push(REFERENCE)
    assert damages(first + other) == [False, False]
    assert first[0].timestamp == other[0].timestamp


def test_a_loss_among_the_sets_of_a_picture(script: Script) -> None:
    """What is missing between two packets of one time stamp is missing in that picture."""
    script.picture(SPS, marker=False)
    script.lose()
    assert damages(script.push(IDR)) == [True]


def test_a_half_picture_of_the_sender_before(script: Script) -> None:
    """A new sender ends the old one's picture, whose further slices never came."""
    script.picture(REFERENCE, marker=False)
    script.source.ssrc += 1
    assert damages(script.picture(IDR) + script.picture(REFERENCE)) == [True, False, False]


def test_sets_of_the_sender_before_are_no_picture(script: Script) -> None:
    """Parameter sets without a picture, left by an old sender, do not go before the new one's picture."""
    script.picture(b"\x09\xf0", marker=False)
    script.source.ssrc += 1
    units = script.picture(IDR) + script.picture(REFERENCE)
    assert damages(units) == [False, False]
    assert b"\x09\xf0" not in units[0].data


def test_a_fragment_whose_end_is_not_marked(script: Script) -> None:
    """The marker of the packet ends a fragmented unit that lacks its own end."""
    (unit,) = script.picture(b"\x7c\x81\x88ab", b"\x7c\x01cd")
    assert unit.data == b"\0\0\0\1\x61\x88abcd"
    assert not unit.damaged


def test_a_fragment_that_the_next_time_stamp_ends(script: Script) -> None:
    """Without marker and end bit, the next picture's first packet ends both unit and picture."""
    script.picture(b"\x7c\x81\x88ab", b"\x7c\x01cd", marker=False)
    (first, _) = script.picture(REFERENCE)
    assert first.data == b"\0\0\0\1\x61\x88abcd"
    assert not first.damaged


def test_an_unreadable_fragment_of_a_disposable_picture(script: Script) -> None:
    """What was read of a picture says that no other needs it."""
    assert damages(script.picture(b"\x1c\x81\x88ab", b"\x1c")) == [True]
    assert damages(script.picture(REFERENCE)) == [False]


def test_the_lost_beginning_of_the_only_slice(script: Script) -> None:
    """Of a picture whose first fragment is lost nothing can be used, but it is counted."""
    script.lose()
    (unit,) = script.picture(b"\x1c\x01ab", b"\x1c\x41cd")
    assert unit.damaged
    assert unit.data == b""
    assert damages(script.picture(REFERENCE)) == [False]


def test_an_unmarked_end_of_the_stream(script: Script) -> None:
    """At the end, a picture that lacks its marker is cut off, and sets without a picture are nothing."""
    script.picture(REFERENCE, marker=False)
    assert damages(script.assembler.flush()) == [True]
    script.picture(SPS, marker=False)
    assert script.assembler.flush() == []


def test_what_earlier_senders_did_stays_counted(script: Script) -> None:
    """A new sender's markers are judged afresh; the statistics go on."""
    for _ in range(7):
        script.picture(REFERENCE, marker=False)
    assert script.assembler.statistics().markerless
    script.source.ssrc += 1
    script.picture(IDR)
    script.picture(REFERENCE)
    assert not script.assembler.statistics().markerless
    assert script.assembler.statistics().unmarked == 6
    script.picture(DISPOSABLE, marker=False)
    script.lose()
    assert damages(script.picture(REFERENCE)) == [True, False]


def test_a_wrong_marker_now_and_then_is_borne(script: Script) -> None:
    """Two markers inside pictures are not yet a sender whose markers mean nothing."""
    for _ in range(2):
        script.picture(IDR)
        script.push(second(IDR))
    assert not script.assembler.statistics().markerless
    assert script.picture(IDR)[0].ended_by_marker


def test_open_key_pictures_and_a_new_time_line(script: Script) -> None:
    """Pictures shown before an open key picture are damaged after a loss, but not those of a new time line."""
    recovery_point = b"\x06\x06\x01\xc4\x80"
    script.lose()
    script.number += 1000
    assert damages(script.picture(recovery_point, b"\x41\x88")) == [False]
    script.number -= 3
    assert damages(script.picture(DISPOSABLE)) == [True]
    script.number -= 900
    (unit,) = script.picture(REFERENCE)
    assert (unit.damaged, unit.epoch) == (False, 2)
