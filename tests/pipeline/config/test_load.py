"""YAML to typed configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config.load import as_part, parse, read_yaml, salvaged, with_options
from pipeline.config.model import PartConfig
from pipeline.errors import ConfigError


def test_yaml_is_parsed(tmp_path: Path) -> None:
    """Durations become nanoseconds, parts keep their options as written."""
    file = tmp_path / "a.yaml"
    file.write_text("source: webcam:0\ndeadline: 50ms\nstages: [preprocess, {kind: detect, min_score: 0.4}]\n")
    config = parse(read_yaml(file))
    assert config.deadline == 50_000_000
    assert config.stages == ["preprocess", PartConfig.model_validate({"kind": "detect", "min_score": 0.4})]
    assert config.stages[1].options == {"min_score": 0.4}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: [1", "line 1"),
        (b"- 1", "mapping"),
        (b"", "mapping"),
        (b"\xff\xfe\x00\x01\xff", "not a text file"),
        (b"a: !!python/object:os.system {}", "not valid YAML"),
        (b"a: " + b"[" * 5000, "line 1, column 103: not valid YAML: nests deeper than 100"),
        (b"a: &a [*a]", "not valid YAML: refers to itself"),
        (b"a: 2001-99-99", "not valid YAML: a value does not fit its type"),
    ],
)
def test_a_file_that_is_no_configuration(content: bytes, said: str, tmp_path: Path) -> None:
    """The message names the file and what is wrong with it."""
    file = tmp_path / "wrong.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        read_yaml(file)
    assert "wrong.yaml" in str(caught.value)


def test_a_home_folder_that_nobody_has() -> None:
    """Is a file that is not there."""
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(Path("~nobody-is-called-so/a.yaml"))


def test_every_problem_is_told() -> None:
    """Several faults give several problems, each with its path."""
    with pytest.raises(ConfigError) as caught:
        parse({"source": 7, "deadline": "1ms", "engine": {"credit": 2}, "extra": 1})
    paths = [problem.path for problem in caught.value.problems]
    assert paths == ["$.source", "$.deadline", "$.engine.credit", "$.extra"]


@pytest.mark.parametrize("written", ["4ms", "61s", 100, "100", None, "-1s"])
def test_deadlines_out_of_bounds(written: object) -> None:
    """A deadline is a duration with a unit, 5 ms to 1 minute."""
    with pytest.raises(ConfigError, match=r"\$\.deadline"):
        parse({"source": "a.mp4", "deadline": written})


def test_salvage_keeps_what_is_right() -> None:
    """Faulty keys fall back to defaults, right ones stay."""
    config = salvaged({"source": 3, "deadlin": "1s", "deadline": "80ms", "sinks": ["stdout"]})
    assert config.source == ""
    assert config.deadline == 80_000_000
    assert config.sinks == ["stdout"]


def test_options_are_laid_over() -> None:
    """A flag replaces one option and keeps the others, and the name."""
    part = PartConfig.model_validate({"kind": "detect", "name": "eye", "min_score": 0.4, "model": "a"})
    assert with_options(part, {"min_score": 0.6}) == PartConfig.model_validate(
        {"kind": "detect", "name": "eye", "min_score": 0.6, "model": "a"}
    )
    assert as_part("track") == PartConfig(kind="track")


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a\x9b", "a\\u009b"), ("a\u202eb", "a\\u202eb"), ("a\u2028b", "a\\u2028b"), ("a\u3000語", "a\u3000語")],
)
def test_a_name_can_be_shown(name: str, shown: str) -> None:
    """It stands on terminals and in spreadsheets; of a part as well as of the stream."""
    config = parse({"source": {"kind": "video", "name": f"{name}\n", "url": "a.mp4"}, "stream": name})
    assert config.stream == shown
    assert isinstance(config.source, PartConfig)
    assert config.source.name == f"{shown}\\n"
