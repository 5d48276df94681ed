"""Figures as a run of `framepace bench` could have given them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stages.bench.figures import Figures, LiveFigures

AGES = {"p50": 31.2, "p95": 38.0, "p99": 42.6, "max": 44.0}


@pytest.fixture
def live() -> Callable[..., LiveFigures]:
    """Make a live run that held, changed as asked."""

    def make(model: str = "m@416", **changes: object) -> LiveFigures:
        figures: dict[str, object] = {
            "model": model,
            "fps": 30,
            "deadline_ms": 50,
            "frames": 150,
            "warming": 2,
            "fresh_share": 0.996,
            "forecast_share": 0.004,
            "missed": 0,
            "published_late": 0,
            "age_ms": AGES,
            "cores": 1.1,
            "peak_rss_mib": 200,
        }
        return LiveFigures.model_validate(figures | changes)

    return make


@pytest.fixture
def figures(live: Callable[..., LiveFigures]) -> Figures:
    """Make everything."""
    told: dict[str, Any] = {
        "machine": {"processor": "An Abacus", "cores": 2, "python": "3.11.7", "framepace": "0.1.0"},
        "quick": True,
        "engine": {"flat_out_us": 80.0, "paced_us": 500.0, "age_ms": AGES, "frames": 150},
        "decode": [{"clip": "1280x720", "live_fps": 347.0, "live_ms": AGES, "recorded_fps": 483.0}],
        "detectors": [
            {
                "name": "m@416",
                "provider": "cpu",
                "input": "416x416 uint8 NHWC",
                "preprocess_ms": AGES,
                "detect_ms": AGES,
                "fps": 43.2,
            }
        ],
        "tracker": {"boxes": 30, "process_ms": AGES, "forecast_ms": AGES},
        "loads": [
            {"load": 0.5, "live": live()},
            {"load": 2, "live": live(fresh_share=0.0, age_ms=None, missed=3)},
        ],
        "verdicts": [{"fps": 30, "deadline_ms": 50, "holds": True, "live": live(), "sentence": "30 fps at 50 ms: yes"}],
        "summary": ["the engine is [cheap]", "30 fps at 50 ms: yes"],
        "duration_s": 12.3,
    }
    return Figures.model_validate(told)
