"""What a server's thread has made elsewhere."""

from __future__ import annotations

import asyncio
import threading
from time import monotonic

import pytest

from stages.sink.server import aside


def test_what_is_made_aside_comes_back() -> None:
    """Or what it raised does; on a thread that nobody has to wait for."""
    assert asyncio.run(aside(lambda: threading.current_thread().daemon))

    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        asyncio.run(aside(fail))


def test_the_end_does_not_wait_for_what_is_being_made() -> None:
    """A trace takes long, and whoever wanted it is gone."""
    go_on = threading.Event()

    async def scenario() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(aside(lambda: go_on.wait(30)), 0.05)

    begun_s = monotonic()
    asyncio.run(scenario())
    assert monotonic() - begun_s < 20
    go_on.set()
