"""The state of the run, once a second, while somebody looks."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from pipeline.testing import ManualClock
from stages.sink.clients import Newest
from stages.sink.serve.now import Now


def now_of(run: Any) -> Now:
    return Now(run, ManualClock(), limit=4, patience_s=1, controllable=True, viewers=lambda: 3)


async def turns(count: int = 5) -> None:
    """Let every task run until it waits."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_nobody_looks(run: Any) -> None:
    """Nothing is asked of the run before the first page, nor after the last."""

    async def scenario() -> list[int]:
        now = now_of(run)
        await turns()
        seen = [run.reports]
        with now.clients.having(Newest(), "::1"):
            await turns()
            seen.append(run.reports)
        await turns()
        assert now._telling is None
        return [*seen, run.reports]

    assert asyncio.run(scenario()) == [0, 1, 1]


def test_every_page_is_told_the_same(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One message for all, again and again."""
    monkeypatch.setattr("stages.sink.serve.now._EVERY_S", 0)

    async def scenario() -> tuple[list[object], int]:
        now, pages = now_of(run), [Newest(), Newest()]
        with now.clients.having(pages[0], "::1"), now.clients.having(pages[1], "::1"):
            await turns(1)
            first = [page._take() for page in pages]
            await turns(10)
            return [*first, pages[0]._take()], run.reports

    [one, other, later], reports = asyncio.run(scenario())
    assert one == other
    assert later is not None
    assert reports > 2
    assert isinstance(one, str)
    told = json.loads(one)
    assert (told["viewers"], told["controllable"], told["settings"]["paused"]) == (3, True, False)


def test_a_page_that_goes_leaves_the_others_alone(run: Any) -> None:
    """Who remains is not told again because of that."""

    async def scenario() -> list[bool]:
        now, stays, goes = now_of(run), Newest(), Newest()
        with now.clients.having(stays, "::1"):
            with now.clients.having(goes, "::1"):
                await turns()
            stays._take()
            await turns()
            left = [stays.waiting]
            with now.clients.having(goes, "::1"):
                await turns()
            return [*left, stays.waiting]

    assert asyncio.run(scenario()) == [False, True]
