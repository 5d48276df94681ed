"""Metrics, read back by the parsers of Prometheus' own library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from pipeline.frame import Mode
from pipeline.histogram import Histogram
from pipeline.observe import Measures
from pipeline.report import Report
from stages.sink.serve.metrics import Exposition

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
OPENMETRICS = "application/openmetrics-text;version=1.0.0"


def scrape(exposition: Exposition) -> Samples:
    """What is scraped, by name and labels."""
    body, media_type = exposition.text("")
    assert media_type.startswith("text/plain")
    samples: Samples = {}
    for family in parse_text(body.decode()):
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in samples, f"{key} twice"
            samples[key] = sample.value
    return samples


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def test_the_counts_are_those_of_the_report(exposition: Exposition) -> None:
    """Every number, with its labels and in its base unit."""
    samples = scrape(exposition)
    of = {"stream": "cam0"}
    expected = [
        (100, "framepace_frames_captured_total", of),
        (80, "framepace_frames_total", of | {"status": "fresh"}),
        (1, "framepace_frames_total", of | {"status": "missed"}),
        (0, "framepace_frames_total", of | {"status": "abandoned"}),
        (15, "framepace_answers_not_fresh_total", of | {"reason": "late"}),
        (0, "framepace_answers_not_fresh_total", of | {"reason": "would_miss"}),
        (0, "framepace_answers_published_late_total", of),
        (1, "framepace_health", of | {"state": "ok"}),
        (0, "framepace_health", of | {"state": "blind"}),
        (1, "framepace_ready", of),
        (0, "framepace_paused", of),
        (0.1, "framepace_deadline_seconds", of),
        (0.008, "framepace_margin_seconds", of),
        (2.25, "framepace_cpu_seconds_total", {}),
        (200 * 1024 * 1024, "framepace_peak_resident_memory_bytes", {}),
        (2, "framepace_stage_failures_total", of | {"stage": "detect"}),
        (1.5, "framepace_stage_cpu_seconds_total", of | {"stage": "detect"}),
        (90, "framepace_detector_runs_total", of),
        (1, "framepace_queue_depth", of | {"queue": "newest picture"}),
        (1, "framepace_queue_depth_peak", of | {"queue": "newest picture"}),
        (1, "framepace_queue_capacity", of | {"queue": "newest picture"}),
        (7, "framepace_queue_dropped_total", of | {"queue": "newest picture"}),
        (2, "framepace_source_reconnects_total", of),
        (2, "framepace_source_losses_total", of | {"outage": "silent"}),
        (1, "framepace_source_away", of),
        (4.5, "framepace_source_away_seconds_total", of),
        (9, "framepace_source_heartbeats_total", of),
        (99, "framepace_sink_written_total", of | {"sink": "sink jsonl"}),
        (3, "framepace_sink_skipped_total", of | {"sink": "sink jsonl"}),
        (0, "framepace_sink_failed", of | {"sink": "sink jsonl"}),
        (3, "framepace_serve_clients", {"kind": "results"}),
        (1, "framepace_serve_clients", {"kind": "preview"}),
        (10, "framepace_serve_clients_seen_total", {"kind": "results"}),
        (1, "framepace_serve_clients_refused_total", {"kind": "results"}),
        (2, "framepace_serve_clients_dropped_total", {"kind": "results"}),
        (7, "framepace_serve_requests_refused_total", {"reason": "wrong token"}),
        (5, "framepace_serve_records_skipped_total", {}),
        (70, "framepace_serve_pictures_total", {}),
        (0.25, "framepace_serve_picture_seconds_total", {}),
    ]
    assert [(value(samples, name, **labels), name, labels) for _, name, labels in expected] == expected
    facts = of | {"mode": "live", "model": 'a "model"\\', "provider": "cpu", "input": "416 px"}
    assert value(samples, "framepace_run_info", **facts) == 1


def test_ages_are_in_buckets(run: Any, exposition: Exposition, make_measures: Callable[..., Measures]) -> None:
    """Cumulative, from 5 ms to 1 s, with sum and count; a bucket holds what does not exceed its bound."""
    run.measured = make_measures(ages_ms=(4, 9.5, 60, 700, 3000))
    samples = scrape(exposition)
    buckets = {
        dict(labels)["le"]: count
        for (name, labels), count in samples.items()
        if name == "framepace_answer_age_seconds_bucket"
    }
    assert {"0.005", "0.01", "0.05", "0.1", "0.5", "1.0", "+Inf"} <= buckets.keys()
    assert [buckets[bound] for bound in ("0.005", "0.01", "0.05", "0.075", "0.5", "1.0", "+Inf")] == [
        1,
        2,
        2,
        3,
        3,
        4,
        5,
    ]
    assert value(samples, "framepace_answer_age_seconds_count", stream="cam0") == 5
    assert value(samples, "framepace_answer_age_seconds_sum", stream="cam0") == pytest.approx(3.7735)
    assert value(samples, "framepace_fresh_answer_age_seconds_count", stream="cam0") == 1
    detect = {"stream": "cam0", "stage": "detect"}
    assert value(samples, "framepace_stage_run_seconds_sum", **detect) == pytest.approx(0.05)
    assert value(samples, "framepace_stage_wait_seconds_bucket", le="0.0005", **detect) == 1


def test_both_formats_say_the_same(exposition: Exposition) -> None:
    """OpenMetrics is given to those who ask for it, and its strict parser takes it."""
    body, media_type = exposition.text(OPENMETRICS)
    assert media_type.startswith("application/openmetrics-text")
    families = list(parse_openmetrics(body.decode()))
    names = {sample.name for family in families for sample in family.samples}
    assert {name for name, _ in scrape(exposition)} <= names | {
        name for name in names for name in (name, name.removesuffix("_created"))
    }
    assert all(family.documentation for family in families)


def test_names_end_in_their_unit(exposition: Exposition) -> None:
    """Durations are seconds, sizes bytes, counters end in _total."""
    body, _ = exposition.text("")
    for family in parse_text(body.decode()):
        assert not any(word in family.name for word in ("_ms", "_ns", "millis", "_mib"))
        if family.name.startswith("framepace_") and family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples)
    assert "process_resident_memory_bytes" in body.decode()


def test_a_lossless_run(run: Any, exposition: Exposition, make_report: Callable[..., Report]) -> None:
    """What it does not have is left out, rather than 0."""
    run.told = make_report(mode=Mode.LOSSLESS, deadline_ms=None, margin_ms=None, health=None, detector=None)
    run.measured = Measures(Histogram(), Histogram(), {}, {})
    names = {name for name, _ in scrape(exposition)}
    assert not names & {"framepace_health", "framepace_deadline_seconds", "framepace_margin_seconds"}
    assert "framepace_detector_runs_total" not in names
    assert "framepace_frames_total" in names
