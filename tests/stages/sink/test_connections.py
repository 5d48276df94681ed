"""How much connections may cost."""

from __future__ import annotations

import pytest

from stages.sink.connections import Allowance


def test_what_is_taken_must_be_there() -> None:
    """A full bucket at first, then as fast as it fills, and never more than fits."""
    allowance = Allowance(10, 2, 0.0)
    assert [allowance.take(4, 0.0) for _ in range(3)] == [True, True, False]
    assert allowance.short_s(4, 0.0) == 1.0
    assert not allowance.take(4, 0.5)
    assert allowance.take(4, 1.0)
    assert allowance.take(10, 1000.0)
    assert not allowance.take(1, 1000.0)


@pytest.mark.parametrize("amount", [0.5, 3, 10])
def test_after_the_wait_it_is_there(amount: float) -> None:
    """How long to wait is how long it takes."""
    allowance = Allowance(10, 4, 5.0)
    assert allowance.take(10, 5.0)
    wait_s = allowance.short_s(amount, 5.0)
    assert not allowance.take(amount, 5.0 + wait_s * 0.99)
    assert allowance.take(amount, 5.0 + wait_s * 1.001)
