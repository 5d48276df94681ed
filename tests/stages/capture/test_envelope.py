"""The capture time by the stream's own stamps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.clock import NS_PER_MS, NS_PER_S
from stages.capture.envelope import PtsEnvelope

PERIOD_NS = 40 * NS_PER_MS


def captured(delays_ms: list[float], *, stretch: float = 1.0, offset_ns: int = 0) -> list[tuple[int, int, int | None]]:
    """Return (true, arrival, estimate) for frames 40 ms apart; arrivals keep their order, as on a connection."""
    envelope = PtsEnvelope()
    rows = []
    arrival_ns = 0
    for number, delay_ms in enumerate(delays_ms):
        true_ns = number * PERIOD_NS
        arrival_ns = max(arrival_ns, true_ns + round(delay_ms * NS_PER_MS))
        pts_ns = round(true_ns * stretch) + offset_ns
        rows.append((true_ns, arrival_ns, envelope.captured_ns(pts_ns, arrival_ns)))
    return rows


@given(
    delays_ms=st.lists(st.floats(0, 900), min_size=1, max_size=80),
    offset_ns=st.integers(-(10**12), 10**12),
)
def test_never_after_arrival_and_never_before_the_capture(delays_ms: list[float], offset_ns: int) -> None:
    """With any delays below the jump, the estimate lies between the true capture and the arrival."""
    for true_ns, arrival_ns, estimate_ns in captured(delays_ms, offset_ns=offset_ns):
        assert estimate_ns is not None
        assert true_ns <= estimate_ns <= arrival_ns


@given(delays_ms=st.lists(st.floats(0, 900), min_size=1, max_size=80))
def test_once_a_fast_packet_came_the_times_are_right(delays_ms: list[float]) -> None:
    """After a packet without delay, every later estimate is the true time but for the slow rise."""
    for true_ns, _, estimate_ns in captured([0.0, *delays_ms]):
        assert estimate_ns is not None
        assert true_ns <= estimate_ns <= true_ns + true_ns // 500 + 1


def test_a_burst_after_a_stall_keeps_its_age() -> None:
    """Frames that queued up during a 12 s stall are known to be old, although they arrive now."""
    stalled = [max(0.0, 12_000 - 40.0 * number) for number in range(300)]
    rows = captured([0.0] * 50 + stalled)
    for true_ns, _, estimate_ns in rows:
        assert estimate_ns is not None
        assert abs(estimate_ns - true_ns) <= 20 * NS_PER_MS


def test_a_slow_sender_clock_is_followed() -> None:
    """A sender whose clock is 1000 ppm slow does not drift away: the error stays below a frame."""
    for true_ns, _, estimate_ns in captured([0.0] * 5000, stretch=0.999):
        assert estimate_ns is not None
        assert abs(estimate_ns - true_ns) < PERIOD_NS


def test_a_fast_sender_clock_is_followed_at_once() -> None:
    """A sender whose clock is 1000 ppm fast is never believed beyond the arrival."""
    for true_ns, arrival_ns, estimate_ns in captured([0.0] * 2000, stretch=1.001):
        assert estimate_ns == arrival_ns == true_ns


def test_a_jump_of_the_stamps_starts_anew() -> None:
    """Stamps that jump ahead or back (a wrap) are tied to the arrival again at once."""
    for jump_ns in (-(2**33) * NS_PER_S // 90_000, 3600 * NS_PER_S):
        envelope = PtsEnvelope()
        for number in range(20):
            envelope.captured_ns(10**14 + number * PERIOD_NS, number * PERIOD_NS)
        for number in range(20, 40):
            arrival_ns = number * PERIOD_NS
            assert envelope.captured_ns(10**14 + jump_ns + number * PERIOD_NS, arrival_ns) == arrival_ns


def test_reordered_stamps_are_no_jump() -> None:
    """The stamps of B-frames go back and forth without disturbing the offset."""
    envelope = PtsEnvelope()
    order = [0, 3, 1, 2, 6, 4, 5, 9, 7, 8]
    estimates = [envelope.captured_ns(pts * PERIOD_NS, (place + 3) * PERIOD_NS) for place, pts in enumerate(order)]
    offsets = [None if at is None else at - pts * PERIOD_NS for at, pts in zip(estimates, order, strict=True)]
    assert offsets[1:] == [PERIOD_NS] * 9


def test_a_lasting_jump_of_the_delay_is_taken_over() -> None:
    """When no packet of 10 s confirms the old offset any more by over a second, the new one holds."""
    rows = captured([0.0] * 50 + [5000.0] * 600)
    _, arrival_ns, estimate_ns = rows[-1]
    assert estimate_ns is not None
    assert arrival_ns - estimate_ns < 10 * NS_PER_MS
    _, early_arrival_ns, early_ns = rows[180]
    assert early_ns is not None
    assert early_arrival_ns - early_ns > 4 * NS_PER_S


def test_stamps_at_another_speed_are_given_up() -> None:
    """A camera whose stamps run at half speed is found out; from then on there is no estimate."""
    estimates = [estimate_ns for _, _, estimate_ns in captured([0.0] * 1500, stretch=0.5)]
    assert estimates[0] is not None
    assert estimates[-1] is None
    first_none = estimates.index(None)
    assert all(estimate is None for estimate in estimates[first_none:])
