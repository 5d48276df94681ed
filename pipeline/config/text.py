"""YAML as people mean it: what YAML 1.1 would quietly take for something else is refused."""

from __future__ import annotations

import re
from typing import Any

import yaml

_OCTAL = re.compile(r"[-+]?0[0-7_]+")


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that is there twice, and whole numbers that begin with a nought."""


def _mapping(loader: _StrictLoader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
    seen: dict[Any, yaml.Mark] = {}
    for key, _ in node.value:
        if key.tag == "tag:yaml.org,2002:merge" or not isinstance(key, yaml.ScalarNode):
            continue
        if key.value in seen:
            first = seen[key.value].line + 1
            why = f"{key.value} is there twice, first in line {first}"
            raise yaml.constructor.ConstructorError(None, None, why, key.start_mark)
        seen[key.value] = key.start_mark
    return yaml.SafeLoader.construct_mapping(loader, node, deep=deep)


def _make_mapping(loader: _StrictLoader, node: yaml.MappingNode) -> Any:
    loader.flatten_mapping(node)
    return _mapping(loader, node, deep=True)


def _make_int(loader: _StrictLoader, node: yaml.ScalarNode) -> int:
    if _OCTAL.fullmatch(node.value):
        plain = node.value.replace("_", "").lstrip("+0") or "0"
        why = f"{node.value} would be octal; write {plain}, or '{node.value}' for a text"
        raise yaml.constructor.ConstructorError(None, None, why, node.start_mark)
    return int(yaml.SafeLoader.construct_yaml_int(loader, node))


_StrictLoader.add_constructor("tag:yaml.org,2002:map", _make_mapping)
_StrictLoader.add_constructor("tag:yaml.org,2002:int", _make_int)


def strict_yaml(text: str) -> object:
    """Return what a YAML text holds.

    Raises:
        yaml.YAMLError: it is not YAML, has a key twice in one mapping, or an octal number.
    """
    return yaml.load(text, _StrictLoader)  # derived from the safe one
