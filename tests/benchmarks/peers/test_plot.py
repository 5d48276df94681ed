"""The figure of the comparison."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("matplotlib")
cv2 = pytest.importorskip("cv2")


@pytest.mark.parametrize(
    ("load", "title"),
    [
        ("18", "18 ms detector, 30 fps"),
        ("64@10+burn", "64 ms detector, 10 fps, busy cores"),
        ("model", "real model, 30 fps"),
    ],
)
def test_a_load_is_titled_in_words(script: Callable[[str], ModuleType], load: str, title: str) -> None:
    """Detector, rate, company."""
    assert script("plot").title_of(load) == title


def test_peers_without_figures_are_left_out(script: Callable[[str], ModuleType], tmp_path: Path) -> None:
    """The others are drawn, three loads at most: a fourth makes the picture no higher."""
    shares = {50: 0.5, 100: 0.9, 200: 1.0}
    figures = script("figures").Figures(90, 80, 24.0, 37.0, 45.0, shares, shares, 10, 0, 0.8, 0.3, 150)
    row = {"cv2 loop": "no answer", "GStreamer": figures, "framepace": figures}
    heights = []
    for loads in (1, 3, 4):
        path = tmp_path / f"{loads}.png"
        script("plot").draw({str(load): row for load in range(loads)}, path)
        heights.append(cv2.imread(str(path)).shape[0])
    assert heights[0] < heights[1] == heights[2]


def test_what_was_written_can_be_drawn_later(script: Callable[[str], ModuleType], tmp_path: Path) -> None:
    """Figures come back from the file as they were, also those of a program without one fresh answer."""
    shares = {50: 0.0, 100: 1.0, 200: 1.0}
    nan = float("nan")
    figures = script("figures").Figures(90, 0, nan, nan, nan, shares, shares, 0, 0, 0.8, 0.3, 150)
    fresh = script("figures").Figures(90, 80, 24.0, 37.0, 45.0, shares, shares, 10, 0, 0.8, 0.3, 150)
    path = tmp_path / "run.json"
    data = {
        "64": {
            "cv2 loop": "no answer",
            "framepace": script("run").as_data(figures),
            "GStreamer": script("run").as_data(fresh),
        }
    }
    path.write_text(json.dumps(data))
    rows = script("plot").read(path)
    assert rows["64"]["cv2 loop"] == "no answer"
    assert rows["64"]["GStreamer"] == fresh
    assert rows["64"]["framepace"].answered_by == shares
    script("plot").draw(rows, tmp_path / "run.png")
    assert cv2.imread(str(tmp_path / "run.png")) is not None


def test_a_load_without_one_fresh_answer_is_drawn(script: Callable[[str], ModuleType], tmp_path: Path) -> None:
    """Its shares are there, its ages are not."""
    shares = {50: 0.0, 100: 1.0, 200: 1.0}
    nan = float("nan")
    figures = script("figures").Figures(90, 0, nan, nan, nan, shares, shares, 0, 0, nan, 0.3, 150)
    (tmp_path / "run.json").write_text(json.dumps({"64": {"framepace": script("run").as_data(figures)}}))
    rows = script("plot").read(tmp_path / "run.json")
    script("plot").draw(rows, tmp_path / "run.png")
    assert cv2.imread(str(tmp_path / "run.png")) is not None
