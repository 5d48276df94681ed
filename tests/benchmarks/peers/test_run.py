"""What a load asks for."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest


@pytest.mark.parametrize(
    ("load", "detector", "fps", "burn"),
    [
        ("18", "18", 30, False),
        ("64@10", "64", 10, False),
        ("model@60+burn", "model", 60, True),
        ("1.5", "1.5", 30, False),
    ],
)
def test_a_load_names_detector_rate_and_company(  # type: ignore[no-untyped-def]
    script: Callable[[str], ModuleType], load, detector, fps, burn
) -> None:
    """30 fps and no company unless asked for."""
    task = script("run").task_of(load, 5.0)
    assert (task.detector, task.fps, task.burn, task.seconds) == (detector, fps, burn, 5.0)


@pytest.mark.parametrize("load", ["", "fast", "18+steam", "1.2.3"])
def test_other_loads_are_refused(script: Callable[[str], ModuleType], load: str) -> None:
    """With the form that is wanted."""
    with pytest.raises(ValueError, match=r"DETECTOR\[@FPS\]\[\+burn\]"):
        script("run").task_of(load, 5.0)
