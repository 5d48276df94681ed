"""Finding parts by name."""

from __future__ import annotations

import pytest

from pipeline.registry import Group, find, find_sink, find_source, find_stage, make, names, near
from pipeline.stage import Stage


class Plain(Stage):
    """Passes on what it gets; has nothing to be set."""

    def process(self, payload: object, info: object) -> object:
        return payload


class TakesNothing(Plain):
    """Cannot be made with options."""

    def __init__(self) -> None:
        pass


def test_ours_are_registered() -> None:
    """Everything that the command line promises has a name."""
    assert {"video", "synthetic", "chaos"} <= set(names(Group.SOURCES))
    assert {"preprocess", "detect", "track", "synthetic_detect", "chaos"} <= set(names(Group.STAGES))
    assert {"jsonl", "stdout", "csv", "mot", "video", "ws", "chaos"} <= set(names(Group.SINKS))
    for group in (Group.SOURCES, Group.DECODERS, Group.STAGES, Group.SINKS):
        for name in names(group):
            assert find(group, name).options_type.model_json_schema()["type"] == "object"


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("trak", "did you mean track?; known: chaos, detect"),
        ("nosuch.module:X", "cannot be imported"),
        (":X", "is not module:Class"),
        (".module:X", "is not module:Class"),
        ("pipeline.testing:Nothing", "has no Nothing"),
        ("pipeline.testing:RecordingSink", "not a class derived from pipeline.stage.Stage"),
        ("pipeline.testing:frame_info", "not a class"),
        (f"{__name__}:TakesNothing", "write its constructor as __init__(self, options)"),
    ],
)
def test_what_is_not_there(kind: str, said: str) -> None:
    """One line that helps."""
    with pytest.raises(LookupError) as caught:
        find_stage(kind)
    assert said in str(caught.value)


def test_a_class_can_be_named_by_its_module() -> None:
    """Any class in the right role serves."""
    from stages.capture.synthetic import SyntheticSource
    from stages.sink.csv import CsvSink

    assert find_source("stages.capture.synthetic:SyntheticSource") is SyntheticSource
    assert find_sink("stages.sink.csv:CsvSink") is CsvSink
    assert find_stage(f"{__name__}:Plain") is Plain


def test_near_names() -> None:
    """Only near ones are offered."""
    assert near("jsonn", ["jsonl", "csv"]) == ", did you mean jsonl?"
    assert near("zzz", ["jsonl", "csv"]) == ""


def test_a_part_without_settings_needs_no_constructor() -> None:
    """It is made all the same."""
    assert isinstance(make(Plain, Plain.options_type()), Plain)
