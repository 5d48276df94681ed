"""`framepace schema`: the JSON Schemas of what we read and write."""

from __future__ import annotations

import json
from typing import Any

from pipeline.config.model import PartConfig, RunConfig
from pipeline.errors import ConfigError
from pipeline.registry import Group, find, load_schema, names
from pipeline.report import Report

_FIELDS = {
    "source": Group.SOURCES,
    "decode": Group.DECODERS,
    "stages": Group.STAGES,
    "sinks": Group.SINKS,
}


def schema_text(what: str) -> str:
    """Return a JSON Schema as text.

    Raises:
        ConfigError: there is none of that name.
    """
    if what == "config":
        schema = config_schema()
    elif what == "report":
        schema = Report.model_json_schema(mode="serialization")
    elif what == "result":
        schema = load_schema("result").model_json_schema(mode="serialization")
    elif what == "model":
        schema = load_schema("model").model_json_schema()
    else:
        raise ConfigError.one("schema", f"{what!r} is not one of config, model, report, result")
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2)


def config_schema() -> dict[str, object]:
    """Return the schema of the configuration with the options of every registered kind."""
    schema = RunConfig.model_json_schema()
    definitions = schema["$defs"]
    generic = definitions.pop(PartConfig.__name__)
    for field, group in _FIELDS.items():
        members = [_kind_schema(group, kind, definitions) for kind in names(group)]
        foreign = {**generic, "properties": {**generic["properties"], "kind": {"type": "string", "pattern": ":"}}}
        _replace_part(schema["properties"][field], {"anyOf": [*members, foreign]})
    page = _kind_schema(Group.SINKS, "serve", definitions)
    del page["properties"]["kind"], page["properties"]["name"]
    page["required"].remove("kind")
    schema["properties"]["serve"]["anyOf"] = [{"type": "string"}, page, {"type": "null"}]
    return schema


def _kind_schema(group: Group, kind: str, definitions: dict[str, object]) -> dict[str, Any]:
    """Return the schema of one kind: its options, and `kind` and `name` beside them."""
    options = find(group, kind).options_type.model_json_schema()
    definitions.update(options.pop("$defs", {}))
    common = {"kind": {"const": kind}, "name": {"type": ["string", "null"]}}
    return {
        **options,
        "properties": {**common, **options.get("properties", {})},
        "required": ["kind", *options.get("required", [])],
    }


def _replace_part(node: object, replacement: dict[str, object]) -> None:
    """Put `replacement` where the schema refers to a part of any kind."""
    if isinstance(node, list):
        for child in node:
            _replace_part(child, replacement)
    elif isinstance(node, dict):
        if node.get("$ref") == f"#/$defs/{PartConfig.__name__}":
            del node["$ref"]
            node.update(replacement)
            return
        for child in node.values():
            _replace_part(child, replacement)
