"""How long before a deadline the publisher wakes up."""

from __future__ import annotations

from pipeline.clock import NS_PER_MS
from pipeline.margin import WakeMargin

LIMIT_NS = 100 * NS_PER_MS


def test_the_margin_follows_the_lateness_of_wake_ups() -> None:
    """It grows at once when a wake-up comes late, is never more than a third of the limit, and shrinks slowly."""
    margin = WakeMargin(LIMIT_NS)
    first_ns = margin.margin_ns
    margin.observe(12 * NS_PER_MS)
    assert margin.margin_ns == 26 * NS_PER_MS > first_ns
    margin.observe(90 * NS_PER_MS)
    assert margin.margin_ns == LIMIT_NS // 3
    for _ in range(600):
        margin.observe(50_000)
    assert margin.margin_ns == 6 * NS_PER_MS


def test_the_margin_grows_before_it_was_exceeded() -> None:
    """From the first wake-up on there is room for one twice as late; only shrinking needs more of them."""
    margin = WakeMargin(LIMIT_NS)
    margin.observe(9 * NS_PER_MS)
    assert margin.margin_ns == 20 * NS_PER_MS
    for _ in range(62):
        margin.observe(0)
    assert margin.margin_ns == 20 * NS_PER_MS


def test_each_limit_has_its_own_bound() -> None:
    """What was learnt of wake-ups holds for frames with another limit too, up to a third of that."""
    margin = WakeMargin(LIMIT_NS)
    margin.observe(19 * NS_PER_MS)
    assert margin.margin_ns == LIMIT_NS // 3
    assert margin.within(20 * NS_PER_MS // 3) == 20 * NS_PER_MS // 3
    assert margin.within(400 * NS_PER_MS // 3) == 40 * NS_PER_MS
