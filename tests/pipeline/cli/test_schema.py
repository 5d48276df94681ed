"""JSON Schemas of what is read and written."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from pipeline.cli.schema import schema_text
from pipeline.errors import ConfigError

CONFIGS = sorted((Path(__file__).resolve().parents[3] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("what", ["config", "model", "result", "report"])
def test_schemas_are_schemas(what: str) -> None:
    """Each document is valid JSON Schema."""
    jsonschema.Draft202012Validator.check_schema(json.loads(schema_text(what)))


@pytest.mark.parametrize("file", CONFIGS, ids=[file.stem for file in CONFIGS])
def test_shipped_configurations_fit(file: Path) -> None:
    """An editor that knows the schema accepts what we ship."""
    jsonschema.validate(yaml.safe_load(file.read_text()), json.loads(schema_text("config")))


@pytest.mark.parametrize(
    "wrong",
    [
        {"source": "a.mp4", "deadlin": "1s"},
        {"source": "a.mp4", "sinks": [{"kind": "jsonl", "pth": "o"}]},
        {"source": {"kind": "video", "url": "a.mp4", "speed": 2}},
        {"source": "a.mp4", "serve": {"port": 8080, "colour": "red"}},
        {"source": "a.mp4", "serve": {"host": "127.0.0.1"}},
        {"sinks": []},
    ],
)
def test_mistakes_do_not_fit(wrong: dict[str, object]) -> None:
    """The schema knows the options of every kind."""
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, json.loads(schema_text("config")))


def test_there_is_no_other() -> None:
    """A name that is none lists those that are."""
    with pytest.raises(ConfigError, match="config, model, report, result"):
        schema_text("resulst")


@pytest.mark.parametrize("serve", ["127.0.0.1:8080", {"port": 8080, "token_file": "t"}, None])
def test_pages_fit(serve: object) -> None:
    """As an address, or with the options of its sink."""
    jsonschema.validate({"source": "a.mp4", "serve": serve}, json.loads(schema_text("config")))
