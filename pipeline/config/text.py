"""YAML as people mean it: what YAML 1.1 would quietly take for something else is refused, and so is what would grow."""

from __future__ import annotations

import re
from typing import Any

import yaml

MAX_DEPTH = 100
"""Lists and mappings inside each other, aliases followed."""
MAX_NODES = 250_000
"""Values, aliases followed: a few lines of aliases to aliases would stand for billions."""
_MAX_DIGITS = 100
"""Characters of a whole number; the largest that anything here understands has 19 digits."""
_OCTAL = re.compile(r"[-+]?0[0-7_]+")


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that is there twice, whole numbers that begin with a nought, and what nests or repeats too much."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._extents: dict[yaml.Node, tuple[int, int]] = {}
        """Values and depth of each node that is complete."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose a node, unless it stands for too much; called by the base class for each."""
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # the stubs leave it out
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise yaml.composer.ComposerError(None, None, f"nests deeper than {MAX_DEPTH}", mark)
        is_alias = self.check_event(yaml.AliasEvent)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is not None and node not in self._extents:
            if is_alias:
                raise yaml.composer.ComposerError(None, None, "refers to itself", mark)
            self._extents[node] = self._extent(node, mark)
        return node

    def _extent(self, node: yaml.Node, mark: yaml.Mark) -> tuple[int, int]:
        children = []
        if isinstance(node, yaml.MappingNode):
            children = [self._extents[part] for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            children = [self._extents[item] for item in node.value]
        nodes = 1 + sum(count for count, _ in children)
        depth = 1 + max((below for _, below in children), default=0)
        if nodes > MAX_NODES or depth > MAX_DEPTH:
            raise yaml.composer.ComposerError(None, None, "stands for too many values by its aliases", mark)
        return nodes, depth

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: FBT001, FBT002
        """Construct a node; called by the base class, whose scalars raise anything where they do not fit their tag."""
        try:
            return super().construct_object(node, deep=deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            why = f"a value does not fit its type ({node.tag.rpartition(':')[2]})"
            raise yaml.constructor.ConstructorError(None, None, why, node.start_mark) from error


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
    if len(node.value) > _MAX_DIGITS:
        why = f"a whole number has more than {_MAX_DIGITS} digits"
        raise yaml.constructor.ConstructorError(None, None, why, node.start_mark)
    return int(yaml.SafeLoader.construct_yaml_int(loader, node))


_StrictLoader.add_constructor("tag:yaml.org,2002:map", _make_mapping)
_StrictLoader.add_constructor("tag:yaml.org,2002:int", _make_int)


def strict_yaml(text: str) -> object:
    """Return what a YAML text holds.

    Raises:
        yaml.YAMLError: it is not YAML, has a key twice in one mapping, or an octal number; it nests deeper than
            MAX_DEPTH, or stands for more than MAX_NODES values.
    """
    return yaml.load(text, _StrictLoader)  # derived from the safe one
