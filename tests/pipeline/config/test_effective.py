"""The configuration as it is in force."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.config.build import Overrides, build
from pipeline.config.load import parse


def effective(raw: Mapping[str, object], **overrides: Mapping[str, object]) -> dict[str, Any]:
    return dict(build(parse(raw), Overrides(**overrides)).settings.configuration)


def test_defaults_are_filled_in_and_flags_lie_over_it() -> None:
    """Durations are texts with a unit, parts have their long form, and what was left open is decided."""
    shown = effective(
        {"source": "rtsp://cam/live", "deadline": "80ms", "stages": ["preprocess", "detect", {"kind": "track"}]},
        detector_options={"classes": ["person"], "min_score": 0.4},
        source_options={"max_frames": 5},
    )
    assert (shown["mode"], shown["deadline"], shown["engine"]["heartbeat"]) == ("live", "80ms", "500ms")
    assert isinstance(shown["engine"]["workers"], int)
    source = shown["source"]
    assert (source["kind"], source["url"], source["max_frames"]) == ("video", "rtsp://cam/live", 5)
    assert source["stall_timeout"] == "2s"
    assert shown["decode"]["kind"] == "video"
    assert [stage["kind"] for stage in shown["stages"]] == ["preprocess", "detect", "track"]
    assert (shown["stages"][1]["classes"], shown["stages"][1]["min_score"]) == (["person"], 0.4)
    assert shown["stages"][2]["horizon"] == "500ms"


@pytest.mark.parametrize(
    "raw",
    [
        {"source": "synthetic:"},
        {"source": "a.mp4", "sinks": ["jsonl:out.jsonl", {"kind": "csv", "path": "b.csv", "name": "table"}]},
        {"source": "a.mp4", "mode": "live", "engine": {"credits": 1}},
        {"source": {"kind": "chaos", "of": {"kind": "video", "url": "a.mp4"}}},
    ],
)
def test_it_can_be_run_again(raw: dict[str, object]) -> None:
    """As a file, and it stays what it is."""
    shown = effective(raw)
    assert effective(yaml.safe_load(yaml.safe_dump(shown))) == shown


WEBHOOK = """
from pipeline.stage import Options, Sink

class WebhookOptions(Options):
    api_token: str
    headers: dict[str, str]

class Webhook(Sink):
    options_type = WebhookOptions

    def __init__(self, options):
        self.options = options

    def write(self, answer, *, gap):
        pass
"""


def test_secrets_are_masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in parts that wrap another, and of kinds that are not ours."""
    (tmp_path / "somebodys_webhook.py").write_text(WEBHOOK)
    monkeypatch.syspath_prepend(tmp_path)
    shown = effective(
        {
            "source": {"kind": "chaos", "of": {"kind": "video", "url": "rtsp://admin:QX1@cam/live?token=QX2"}},
            "sinks": [{"kind": "somebodys_webhook:Webhook", "api_token": "QX3", "headers": {"A": "QX4"}}],
        }
    )
    text = json.dumps(shown)
    assert "QX" not in text
    assert "rtsp://***@cam/live?***" in text
    assert shown["sinks"][0]["api_token"] == "***"
