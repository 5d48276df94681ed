"""Which packets of a recording count."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import av
from hypothesis import given
from hypothesis import strategies as st

from stages.capture.selection import Window, is_hidden

_H264: Any = SimpleNamespace(codec_context=SimpleNamespace(name="h264"))


@dataclass(frozen=True)
class FakePacket:
    """What selection looks at."""

    pts: int | None
    dts: int | None
    is_discard: bool = False
    stream: Any = field(default_factory=lambda: _H264)


def reordered(groups: list[int]) -> list[FakePacket]:
    """Return packets of groups of B-frames, each group's last-presented packet decoded first; 10 ticks apart."""
    order = [0]
    for size in groups:
        begin = max(order) + 1
        order += [begin + size, *range(begin, begin + size)]
    depth = 1
    return [FakePacket(pts=10 * pts, dts=10 * (place - depth)) for place, pts in enumerate(order)]


_GROUPS = st.lists(st.integers(0, 5), min_size=1, max_size=12)


@given(groups=_GROUPS, start=st.integers(-5, 400), length=st.integers(1, 400), limit=st.integers(1, 40))
def test_the_chosen_are_those_a_full_sort_would_choose(groups: list[int], start: int, length: int, limit: int) -> None:
    """The frames that count are the first N presented in the time window, whatever the decode order."""
    packets = reordered(groups)
    window = Window(start_pts=start, end_pts=start + length, max_frames=limit)
    got = [chosen.packet.pts for chosen in window.choose(packets)]  # type: ignore[arg-type]
    inside = sorted(p.pts for p in packets if p.pts is not None and start <= p.pts < start + length)
    assert sorted(pts for pts in got if pts is not None) == inside[:limit]


@given(groups=_GROUPS, start=st.integers(-5, 400), length=st.integers(1, 400), limit=st.integers(1, 40))
def test_nothing_that_may_be_referred_to_is_left_out(groups: list[int], start: int, length: int, limit: int) -> None:
    """Preroll and packets together are the recording without a gap, in decode order, up to the last that counts."""
    packets = reordered(groups)
    window = Window(start_pts=start, end_pts=start + length, max_frames=limit)
    fed = []
    for chosen in window.choose(packets):  # type: ignore[arg-type]
        fed += [*chosen.preroll, chosen.packet]
    assert fed == packets[: len(fed)]


def test_without_reordering_nothing_is_read_ahead() -> None:
    """A limit on frames does not delay the packets of a stream without B-frames."""
    taken = []

    def source() -> Any:
        for number in range(10):
            taken.append(number)
            yield FakePacket(pts=number, dts=number)

    chosen = Window(max_frames=3).choose(source())
    next(chosen)
    assert taken == [0]
    assert len(list(chosen)) == 2
    assert taken == [0, 1, 2]


def test_streams_without_stamps_are_counted() -> None:
    """Where packets have no times, the first N packets count."""
    packets = [FakePacket(None, None) for _ in range(6)]
    chosen = list(Window(max_frames=4).choose(packets))  # type: ignore[arg-type]
    assert [each.packet for each in chosen] == packets[:4]


def test_discarded_packets_do_not_count() -> None:
    """What an edit list hides is decoded for its successors, and is no frame."""
    packets = [FakePacket(0, 0, is_discard=True), FakePacket(1, 1)]
    (chosen,) = Window().choose(packets)  # type: ignore[arg-type]
    assert (chosen.packet, chosen.preroll) == (packets[1], (packets[0],))


def test_hidden_vp8_references_are_told_by_their_first_byte(make_clip) -> None:  # type: ignore[no-untyped-def]
    """A VP8 packet counts if its show_frame bit is set; another codec's first byte means nothing."""
    path = make_clip("a.webm", codec="libvpx", frames=2, options={})
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packet = next(container.demux(stream))
        hidden = av.Packet(bytes([bytes(packet)[0] & ~0x10]) + bytes(packet)[1:])
        hidden.stream = stream
        assert not is_hidden(packet)
        assert is_hidden(hidden)  # type: ignore[arg-type]
    assert not is_hidden(FakePacket(0, 0))  # type: ignore[arg-type]
