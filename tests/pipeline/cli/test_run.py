"""`framepace run`: what it says without running."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipeline.cli.options import Flags
from pipeline.cli.run import show_configuration
from pipeline.errors import ConfigError


def test_the_configuration_is_shown(tmp_path: Path) -> None:
    """As a file would say it, flags included, without secrets."""
    file = tmp_path / "camera.yaml"
    file.write_text("source: rtsp://admin:secret@cam/a\ndeadline: 80ms\n")
    shown = show_configuration(Flags(config=file, min_score=0.6))
    assert "secret" not in shown
    loaded = yaml.safe_load(shown)
    assert (loaded["source"]["url"], loaded["deadline"]) == ("rtsp://***@cam/a", "80ms")
    assert loaded["stages"][2]["min_score"] == 0.6


def test_a_wrong_configuration_is_not_shown() -> None:
    """What is wrong is said instead."""
    with pytest.raises(ConfigError):
        show_configuration(Flags(source="a.mp4", deadline="soon"))
