"""Parameter sets that are kept, pictures put together, and which of them can be decoded."""

from __future__ import annotations

import pytest

from stages.capture.rtsp.h264 import H264Depacketizer
from stages.capture.rtsp.nal import MAX_SET_BYTES, Nal, NalFacts
from stages.capture.rtsp.picture import MAX_SETS, MAX_UNIT_BYTES, ParameterSets, Picture, ReferenceChain

SPS = bytes([0x67, 0x42, 0xC0, 0x1E, 0x95])
PPS = bytes([0x68, 0xCE, 0x3C, 0x80])


def picture(
    timestamp: int = 0,
    *,
    starts: bool = True,
    lost_before: int = 0,
    incomplete: bool = False,
    closed: bool = False,
    disposable: bool = False,
    decodable_leading: bool = False,
) -> Picture:
    made = Picture()
    made.count_packet(timestamp, 0, 0)
    facts = NalFacts(
        is_slice=True,
        starts_picture=starts,
        is_closed=closed,
        is_disposable=disposable,
        is_decodable_leading=decodable_leading,
    )
    made.add(Nal(b"x"), facts)
    made.lost_before = lost_before
    made.is_incomplete = incomplete
    return made


@pytest.fixture
def chain() -> ReferenceChain:
    """A chain behind a closed key picture at time 0."""
    chain = ReferenceChain()
    assert not chain.is_damaged(picture(closed=True), is_key=True)
    return chain


@pytest.fixture
def reopened(chain: ReferenceChain) -> ReferenceChain:
    """A chain that broke, and that an open key picture at time 100 mended."""
    assert chain.is_damaged(picture(90, incomplete=True), is_key=False)
    assert not chain.is_damaged(picture(100), is_key=True)
    return chain


def test_nothing_is_decodable_before_a_key_picture() -> None:
    """In the beginning there is nothing to refer to."""
    assert ReferenceChain().is_damaged(picture(), is_key=False)


@pytest.mark.parametrize("hurt", [picture(1, incomplete=True), picture(1, starts=False)])
def test_a_hurt_picture_breaks_the_chain(chain: ReferenceChain, hurt: Picture) -> None:
    """What refers to a hurt picture is as damaged as that, up to the next key picture."""
    assert chain.is_damaged(hurt, is_key=False)
    assert chain.is_damaged(picture(2), is_key=False)
    assert not chain.is_damaged(picture(3, closed=True), is_key=True)
    assert not chain.is_damaged(picture(4), is_key=False)


def test_a_hurt_picture_that_nobody_refers_to(chain: ReferenceChain) -> None:
    """The loss of a disposable picture ends with it, also when a single packet before its first slice is missing."""
    assert chain.is_damaged(picture(1, incomplete=True, disposable=True), is_key=False)
    assert chain.is_damaged(picture(2, starts=False, lost_before=1, disposable=True), is_key=False)
    assert not chain.is_damaged(picture(3), is_key=False)


@pytest.mark.parametrize(("starts", "lost"), [(True, 1), (False, 2)])
def test_pictures_may_have_vanished(chain: ReferenceChain, lost: int, *, starts: bool) -> None:
    """When the loss before a picture may hold whole ones, disposable or not, the chain is broken."""
    assert chain.is_damaged(picture(1, starts=starts, lost_before=lost, disposable=True), is_key=False)
    assert chain.is_damaged(picture(2), is_key=False)


def test_leading_pictures_of_a_mended_chain(reopened: ReferenceChain) -> None:
    """Pictures shown before the open key picture refer to what was lost, unless their type says otherwise."""
    assert reopened.is_damaged(picture(95), is_key=False)
    assert not reopened.is_damaged(picture(96, decodable_leading=True), is_key=False)
    assert not reopened.is_damaged(picture(100), is_key=False)
    assert reopened.is_damaged(picture(97), is_key=False)
    assert not reopened.is_damaged(picture(103), is_key=False)
    assert not reopened.is_damaged(picture(99), is_key=False)


def test_leading_pictures_of_a_whole_chain(chain: ReferenceChain) -> None:
    """Where nothing was lost, pictures shown before an open key picture are sound."""
    assert not chain.is_damaged(picture(100), is_key=True)
    assert not chain.is_damaged(picture(95), is_key=False)


def test_leading_pictures_of_a_closed_key_picture(chain: ReferenceChain) -> None:
    """What follows a closed key picture never refers to anything before it."""
    chain.break_off()
    assert not chain.is_damaged(picture(100, closed=True), is_key=True)
    assert not chain.is_damaged(picture(95), is_key=False)


def test_a_new_time_line_has_no_leading_pictures(reopened: ReferenceChain) -> None:
    """Times of different lines are not compared."""
    reopened.forget_times()
    assert not reopened.is_damaged(picture(5), is_key=False)


def test_an_overlarge_picture_is_emptied() -> None:
    """A picture beyond the limit keeps nothing, and is incomplete."""
    large = Picture()
    piece = Nal(bytes(MAX_UNIT_BYTES // 2))
    large.add(piece, NalFacts(is_slice=True, starts_picture=True))
    assert large.is_whole
    large.add(piece, NalFacts(is_slice=True))
    large.add(Nal(b"x"), NalFacts(is_slice=True))
    assert not large.data
    assert large.is_incomplete


def test_the_arrival_is_that_of_the_latest_packet() -> None:
    """A packet that was waited for may come after those behind it."""
    made = Picture()
    made.count_packet(0, 0, 30)
    made.count_packet(0, 0, 20)
    assert made.arrival_ns == 30


def test_sets_are_complete_when_each_type_is_there() -> None:
    """Decoding H.264 needs a sequence and a picture parameter set; other units are no sets."""
    sets = ParameterSets(H264Depacketizer(), [SPS, b"\x65\x88\x84", b"", b"\x67"])
    assert not sets.is_complete
    sets.keep((8, 0), PPS)
    assert sets.is_complete
    assert sets.missing_from(set()) == b"\0\0\0\1" + SPS + b"\0\0\0\1" + PPS
    assert sets.missing_from({(7, 0)}) == b"\0\0\0\1" + PPS


def test_the_oldest_set_makes_room() -> None:
    """Beyond the limit the set that was renewed longest ago goes; overlarge ones are never kept."""
    sets = ParameterSets(H264Depacketizer(), [SPS])
    for number in range(MAX_SETS - 1):
        sets.keep((8, number), PPS)
    sets.keep((7, 0), SPS)
    sets.keep((8, 99), bytes(MAX_SET_BYTES + 1))
    sets.keep(None, PPS)
    assert sets.missing_from(set()).count(PPS) == MAX_SETS - 1
    sets.keep((8, 77), PPS)
    assert sets.missing_from(set()).count(SPS) == 1
    assert sets.missing_from({(8, number) for number in range(1, MAX_SETS - 1)}).count(PPS) == 1
