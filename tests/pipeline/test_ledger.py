"""One fate per frame."""

from __future__ import annotations

import pytest

from pipeline.errors import LedgerError
from pipeline.frame import Fate, Reason
from pipeline.ledger import Ledger


def test_books_balance_when_every_frame_has_a_fate() -> None:
    """captured is the sum of the fates, and each excused answer has a reason."""
    ledger = Ledger()
    fates = [
        (Fate.FRESH, None),
        (Fate.FORECAST, Reason.LATE),
        (Fate.BLIND, Reason.WARMING),
        (Fate.MISSED, None),
        (Fate.UNDECODABLE, None),
    ]
    for frame_id, (fate, reason) in enumerate(fates):
        ledger.captured(frame_id)
        assert not ledger.books().balanced
        ledger.settle(frame_id, fate, reason)
        assert ledger.books().balanced
    ledger.captured(5)
    assert ledger.abandon_open() == 1
    books = ledger.books()
    assert books.balanced
    assert books.captured == 6
    assert set(books.fates.values()) == {1}


def test_a_frame_has_one_fate_and_a_known_one() -> None:
    """Settling twice, or what was never captured, or capturing out of order, is a defect that is raised."""
    ledger = Ledger()
    ledger.captured(0)
    ledger.settle(0, Fate.FRESH)
    with pytest.raises(LedgerError, match=r"frame 0 .* not open"):
        ledger.settle(0, Fate.MISSED)
    with pytest.raises(LedgerError, match="not open"):
        ledger.settle(7, Fate.FRESH)
    with pytest.raises(LedgerError, match="the next one is 1"):
        ledger.captured(2)
    assert ledger.books().balanced


@pytest.mark.parametrize(
    ("fate", "reason"),
    [(Fate.FRESH, Reason.LATE), (Fate.FORECAST, None), (Fate.BLIND, None), (Fate.MISSED, Reason.LATE)],
)
def test_reasons_go_with_fates(fate: Fate, reason: Reason | None) -> None:
    """A fresh answer has no reason, a forecast and a blind one have exactly one."""
    ledger = Ledger()
    ledger.captured(0)
    with pytest.raises(LedgerError, match="reason"):
        ledger.settle(0, fate, reason)


def test_late_publications_are_counted() -> None:
    """They must be 0; so they are measured."""
    ledger = Ledger()
    ledger.captured(0)
    ledger.settle(0, Fate.FRESH, late=True)
    assert ledger.books().published_late == 1
