"""When pictures come."""

from __future__ import annotations

import itertools
import statistics
from random import Random

import pytest

from pipeline.clock import NS_PER_MS, NS_PER_S
from pipeline.simulation.arrivals import Arrival, parse_arrivals


def arrivals(text: str, *, seconds: float = 10, decode_ns: int = 0) -> list[Arrival]:
    return list(parse_arrivals(text, round(seconds * NS_PER_S), lambda: decode_ns, Random(1)))


def test_a_rate_is_regular() -> None:
    """Frames do not drift against the clock, and come the moment they are captured."""
    found = arrivals("30fps")
    assert len(found) == 300
    assert found[299].captured_ns == round(299 * NS_PER_S / 30)
    assert all(arrival.registered_ns == arrival.ready_ns == arrival.captured_ns for arrival in found)


def test_decoding_takes_its_time_one_after_the_other() -> None:
    """A decoder that is slower than the camera falls behind."""
    found = arrivals("100fps", seconds=0.1, decode_ns=15 * NS_PER_MS)
    assert [arrival.ready_ns for arrival in found[:3]] == [15 * NS_PER_MS, 30 * NS_PER_MS, 45 * NS_PER_MS]


def test_jitter_delays_the_arrival_and_not_the_capture() -> None:
    """And packets do not overtake each other."""
    found = arrivals("30fps+jitter:uniform:0ms,50ms")
    assert [arrival.captured_ns for arrival in found] == [arrival.captured_ns for arrival in arrivals("30fps")]
    registered = [arrival.registered_ns for arrival in found]
    assert registered == sorted(registered)
    assert max(arrival.registered_ns - arrival.captured_ns for arrival in found) > 30 * NS_PER_MS


def test_a_stall_lets_all_through_at_once_at_its_end() -> None:
    """A second every five: the packets of that second come together."""
    found = arrivals("10fps+stall:5s,1s")
    together = [arrival for arrival in found if arrival.registered_ns == 6 * NS_PER_S]
    assert [arrival.captured_ns / NS_PER_S for arrival in together] == pytest.approx(
        [5 + number / 10 for number in range(11)]
    )
    assert sum(arrival.registered_ns != arrival.captured_ns for arrival in found) == 10


def test_chance_has_the_rate_on_average() -> None:
    """With gaps as varied as those of an exponential distribution."""
    captured = [arrival.captured_ns for arrival in arrivals("poisson:30fps", seconds=100)]
    gaps = [later - earlier for earlier, later in itertools.pairwise(captured)]
    assert statistics.fmean(gaps) == pytest.approx(NS_PER_S / 30, rel=0.05)
    assert statistics.stdev(gaps) == pytest.approx(NS_PER_S / 30, rel=0.1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("30", "neither a rate nor a file"),
        ("0fps", "neither a rate nor a file"),
        ("30fps+late:5ms", "no way to come late"),
        ("30fps+stall:1s,2s", "how often and, shorter than that"),
        ("30fps+stall:1s", "how often and, shorter than that"),
        ("30fps+jitter:much", "neither a duration nor a file"),
    ],
)
def test_what_is_not_understood_is_said(text: str, said: str) -> None:
    """With what would be right."""
    with pytest.raises(ValueError, match=said):
        arrivals(text)
