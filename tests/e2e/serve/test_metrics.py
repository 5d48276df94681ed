"""The metrics, read by the parsers that others use."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as text_families

pytestmark = pytest.mark.e2e

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
RULES = Path(__file__).resolve().parents[3] / "configs" / "monitoring" / "prometheus_alerts.yaml"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def growing(families: Iterable[Metric]) -> Samples:
    """What may only grow: counters, and counts and buckets of histograms."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        if family.type in ("counter", "histogram")
        for sample in family.samples
    }


def by_status(samples: Samples) -> dict[str, int]:
    return {dict(labels)["status"]: int(value) for (name, labels), value in samples.items()
            if name == "framepace_frames_total"}  # fmt: skip


def scraped(run: Any) -> Samples:
    return growing(text_families(run.ask("/metrics").text))


def test_both_formats_can_be_read_and_agree_with_the_report(live: Any) -> None:
    """Frames by status are those of a report taken in between, and nothing that counts ever goes down."""
    run = live()
    first = run.wait_captured(30)
    before = scraped(run)
    between = run.wait_captured(first["frames"]["captured"] + 60)
    answer = run.ask("/metrics", accept=OPENMETRICS)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    after = growing(open_families(answer.text))
    last = scraped(run)
    assert set(before) <= set(last)
    assert all(value <= last[key] for key, value in before.items())
    assert set(by_status(before)) == set(by_status(after)) == set(between["frames"]) - {"captured"}
    for status, count in by_status(before).items():
        assert count <= between["frames"][status] <= by_status(last)[status]
        assert count <= by_status(after)[status]
    assert sum(by_status(last).values()) > sum(by_status(before).values())
    report = run.stop()
    assert all(count <= report["frames"][status] for status, count in by_status(last).items())


def promtool(*arguments: str, said: str = "") -> str:
    """What Prometheus's own checker complains about."""
    if shutil.which("promtool") is None:
        # No test package: it comes with a server that would be started.
        pytest.skip("promtool is not part of the project; Debian's package prometheus has it")
    done = subprocess.run(
        ["promtool", "check", *arguments], input=said, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_prometheus_itself_finds_nothing_wrong(live: Any) -> None:
    """Neither with the metrics nor with the rules for alerts that we ship."""
    assert "SUCCESS" in promtool("rules", str(RULES))
    run = live()
    run.wait_captured(10)
    assert promtool("metrics", said=run.ask("/metrics").text) == ""
    run.stop()
