"""Stages and links, checked before anything runs."""

from __future__ import annotations

import pytest

from pipeline.clock import RealClock
from pipeline.errors import ConfigError
from pipeline.frame import Mode
from pipeline.graph import PUBLISH, Graph
from pipeline.testing import (
    NumberSource,
    PassDecoder,
    PassDetector,
    PassStage,
    RecordingSink,
    SnapshotStage,
)


class TextStage(PassStage):
    """Takes text only."""

    accepts = str
    produces = str


class FileSink(RecordingSink):
    """Claims a file."""

    resource = "file:/tmp/o"


def problems(graph: Graph, mode: Mode = Mode.LOSSLESS) -> str:
    with pytest.raises(ConfigError) as caught:
        graph.check(mode)
    return str(caught.value)


def test_a_chain_becomes_a_plan() -> None:
    """Parts in flow order; the detector is known."""
    source, decoder, sink = NumberSource(3), PassDecoder(), RecordingSink()
    stages = [("detect", PassDetector()), ("track", SnapshotStage())]
    plan = Graph.chain(source, decoder, stages, [("sink", sink)]).check(Mode.LOSSLESS)
    assert plan.source is source
    assert plan.decoder is decoder
    assert list(plan.stages) == stages
    assert list(plan.sinks) == [("sink", sink)]
    assert plan.detector == "detect"


def test_nothing_is_started() -> None:
    """Checking opens no part."""
    source = NumberSource(3)
    Graph.chain(source, None, [("detect", PassDetector())], []).check(Mode.LOSSLESS)
    assert source.opened == 0


def test_types_must_fit() -> None:
    """Who takes text cannot stand behind who makes numbers; both are named."""
    said = problems(Graph.chain(NumberSource(1), PassDecoder(), [("read", TextStage())], []))
    assert "read: takes str, but decode before it makes int" in said


def test_live_needs_a_detector() -> None:
    """Without one nothing could be fresh."""
    chain = Graph.chain(NumberSource(1, clock=RealClock()), None, [("pass", PassStage())], [])
    assert "detector" in problems(chain, Mode.LIVE)


def test_two_detectors_are_one_too_many() -> None:
    """Credits and estimates are of one detector."""
    stages = [("one", PassDetector()), ("two", PassDetector())]
    chain = Graph.chain(NumberSource(1, clock=RealClock()), None, stages, [])
    assert "exactly one detector stage, not 2" in problems(chain, Mode.LIVE)


def test_a_circle_is_found() -> None:
    """It is shown as a path."""
    graph = Graph()
    for name in ("a", "b", "c"):
        graph.add(name, PassStage())
    for pair in (("a", "b"), ("b", "c"), ("c", "a")):
        graph.connect(*pair)
    assert "circle: a -> b -> c -> a" in problems(graph)


def test_dead_ends_and_orphans_are_found() -> None:
    """Every stage gets something, and its output goes somewhere."""
    graph = Graph()
    graph.add("source", NumberSource(1))
    graph.add("a", PassStage())
    graph.add("lonely", PassStage())
    graph.connect("source", "a")
    said = problems(graph)
    assert "graph.a: is a dead end" in said
    assert "graph.lonely: gets no input" in said


def test_forks_and_joins_are_refused() -> None:
    """A stage has one input and feeds one other."""
    graph = Graph()
    graph.add("source", NumberSource(1))
    for name in ("a", "b", "c"):
        graph.add(name, PassStage())
    for pair in (("source", "a"), ("a", "b"), ("a", "c"), ("b", "c"), ("c", PUBLISH)):
        graph.connect(*pair)
    said = problems(graph)
    assert "graph.a: feeds b, c" in said
    assert "graph.c: is fed by a, b" in said


def test_unknown_names_are_told() -> None:
    """A link to what is not there is a problem, not a KeyError."""
    graph = Graph()
    graph.add("source", NumberSource(1))
    graph.connect("source", "nowhere")
    assert "nowhere" in problems(graph)


def test_one_file_has_one_writer() -> None:
    """Two sinks on one path, by whatever spelling, would destroy each other's output."""
    sinks = [("first", FileSink()), ("second", FileSink())]
    chain = Graph.chain(NumberSource(1), None, [("detect", PassDetector())], sinks)
    assert "second: cannot have file:/tmp/o, which is in use by first" in problems(chain)


def test_a_decoder_stands_behind_the_source() -> None:
    """Anywhere else there are no packets."""
    graph = Graph()
    graph.add("source", NumberSource(1))
    graph.add("a", PassStage())
    graph.add("decode", PassDecoder())
    for pair in (("source", "a"), ("a", "decode"), ("decode", PUBLISH)):
        graph.connect(*pair)
    assert "right after the source" in problems(graph)
