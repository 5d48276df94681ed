"""The dashboard and the alerts that we ship speak of metrics that there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families as parse_text

from stages.sink.serve.metrics import Exposition

CONFIGS = Path(__file__).resolve().parents[4] / "configs" / "monitoring"
_METRIC = re.compile(r"\b((?:framepace|process)_\w+)(?:\{([^}]*)\})?")
_LABEL = re.compile(r'(\w+)\s*(=~|=|!=|!~)\s*"([^"]*)"')
_ADDED = {"job", "instance"}
"""Labels that Prometheus adds to what it scrapes."""


def dashboard_expressions() -> Iterator[str]:
    dashboard = json.loads((CONFIGS / "grafana_dashboard.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]


def alert_expressions() -> Iterator[str]:
    for group in yaml.safe_load((CONFIGS / "prometheus_alerts.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["expr"]


EXPRESSIONS = sorted({*dashboard_expressions(), *alert_expressions()} - {'up{job="framepace"} == 0'})


@pytest.fixture
def known(exposition: Exposition) -> dict[str, list[dict[str, str]]]:
    """The labels of every sample, by name."""
    body, _ = exposition.text("")
    known: dict[str, list[dict[str, str]]] = {}
    for family in parse_text(body.decode()):
        for sample in family.samples:
            known.setdefault(sample.name, []).append(sample.labels)
    return known


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_exists(known: dict[str, list[dict[str, str]]], expression: str) -> None:
    """Under that name, with those labels, and with that value where one is named."""
    found = _METRIC.findall(expression)
    assert found
    for name, selector in found:
        assert name in known, name
        for label, comparison, value in _LABEL.findall(selector):
            if label in _ADDED:
                continue
            assert all(label in labels for labels in known[name]), f"{name} has no {label}"
            if comparison == "=":
                assert any(labels[label] == value for labels in known[name]), f"{name} has no {label}={value}"


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_grouping_is_by_labels_that_exist(known: dict[str, list[dict[str, str]]], expression: str) -> None:
    """What is summed by a label that is not there would be summed over everything."""
    labels = {label for name, _ in _METRIC.findall(expression) for of in known[name] for label in of} | _ADDED
    for grouping in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expression):
        assert {label.strip() for label in grouping.split(",")} <= labels
    assert expression.count("(") == expression.count(")")


def test_every_alert_says_what_to_do_about_it() -> None:
    """A name of its own, how bad it is, and a sentence."""
    [group] = yaml.safe_load((CONFIGS / "prometheus_alerts.yaml").read_text())["groups"]
    names = [rule["alert"] for rule in group["rules"]]
    assert len(set(names)) == len(names)
    for rule in group["rules"]:
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))


def test_prometheus_finds_what_it_needs() -> None:
    """Its example names the alerts and the path of the metrics."""
    settings = yaml.safe_load((CONFIGS / "prometheus.yaml").read_text())
    assert all((CONFIGS / file).exists() for file in settings["rule_files"])
    assert settings["scrape_configs"][0]["metrics_path"] == "/metrics"


def test_panels_stand_beside_each_other() -> None:
    """None lies on another one, and each has its own number."""
    panels: list[dict[str, Any]] = json.loads((CONFIGS / "grafana_dashboard.json").read_text())["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (column, row)
            for column in range(place["x"], place["x"] + place["w"])
            for row in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)
