"""YAML as people mean it, and within bounds."""

from __future__ import annotations

import pytest
import yaml

from pipeline.config.text import MAX_DEPTH, strict_yaml


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def test_aliases_are_followed() -> None:
    """Also as a part of another mapping."""
    assert strict_yaml("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}") == {
        "a": {"x": 1},
        "b": {"x": 1},
        "c": {"x": 1, "y": 2},
    }


def test_nesting_is_bounded() -> None:
    """However little text it takes; a reader that recurses would break."""
    assert strict_yaml(nested(MAX_DEPTH)) is not None
    for depth in (MAX_DEPTH + 1, 100_000):
        with pytest.raises(yaml.YAMLError, match="nests deeper than 100"):
            strict_yaml(nested(depth))


@pytest.mark.parametrize(
    "link",
    ["a{0}: &a{0} [*a{1}, *a{1}]", "a{0}: &a{0} {{x: *a{1}, y: *a{1}}}", "a{0}: &a{0} {{<<: [*a{1}, *a{1}]}}"],
)
def test_aliases_to_aliases_do_not_grow(link: str) -> None:
    """A list of two aliases to a list of two aliases, and so on, would stand for billions of values."""
    text = "\n".join(["a0: &a0 {x: 1}", *(link.format(number, number - 1) for number in range(1, 40))])
    with pytest.raises(yaml.YAMLError, match="too many values by its aliases"):
        strict_yaml(text)


def test_a_chain_of_aliases_is_nesting() -> None:
    """Though no bracket shows it."""
    text = "\n".join(["a0: &a0 []", *(f"a{number}: &a{number} [*a{number - 1}]" for number in range(1, 200))])
    with pytest.raises(yaml.YAMLError, match="too many values by its aliases"):
        strict_yaml(text)


@pytest.mark.parametrize("text", ["&a [*a]", "&a {x: *a}", "a: &a {b: [*a]}"])
def test_nothing_refers_to_itself(text: str) -> None:
    """There would be no end of it."""
    with pytest.raises(yaml.YAMLError, match="refers to itself"):
        strict_yaml(text)


@pytest.mark.parametrize(
    "value",
    [
        "2001-99-99",
        "2001-01-01 00:00:00 +99:99",
        "0x_",
        "!!int x",
        "!!int ''",
        "!!float e",
        "!!bool x",
        "!!timestamp x",
    ],
)
def test_a_value_that_does_not_fit_its_type(value: str) -> None:
    """Is an error of YAML, with its place."""
    with pytest.raises(yaml.MarkedYAMLError, match="does not fit its type") as caught:
        strict_yaml(f"a: 1\nb: {value}")
    assert caught.value.problem_mark is not None
    assert caught.value.problem_mark.line == 1


@pytest.mark.parametrize("number", ["9" * 101, "0x" + "f" * 5000, "1" + ":1" * 99])
def test_whole_numbers_are_bounded(number: str) -> None:
    """Some thousands of digits cannot even be shown."""
    with pytest.raises(yaml.YAMLError, match="more than 100 digits"):
        strict_yaml(number)
