"""Parts and plan from a configuration."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pipeline.config.build import Built, Overrides, build, sink_part, source_part
from pipeline.config.load import parse
from pipeline.errors import ConfigError
from pipeline.frame import Mode


def built(raw: Mapping[str, object], **overrides: Mapping[str, object]) -> Built:
    return build(parse(raw), Overrides(**overrides))


def test_the_usual_chain() -> None:
    """A file alone gets decoder, preprocess, detect and track, lossless."""
    result = built({"source": "a.mp4"})
    assert [name for name, _ in result.plan.stages] == ["preprocess", "detect", "track"]
    assert result.plan.decoder is not None
    assert result.plan.detector == "detect"
    assert result.settings.mode is Mode.LOSSLESS


def test_synthetic_brings_its_own_detector() -> None:
    """Pictures that know their boxes need neither decoder nor model, unless a model is asked for."""
    result = built({"source": "synthetic:"})
    assert [name for name, _ in result.plan.stages] == ["synthetic_detect", "track"]
    assert result.plan.decoder is None
    asked = built({"source": "synthetic:"}, detector_options={"model": "yolov3-tiny"})
    assert [name for name, _ in asked.plan.stages] == ["preprocess", "detect", "track"]


@pytest.mark.parametrize(
    ("raw", "source_options", "mode"),
    [
        ({"source": "a.mp4"}, {}, Mode.LOSSLESS),
        ({"source": "a.mp4"}, {"pace": 30.0}, Mode.LIVE),
        ({"source": "a.mp4", "mode": "live"}, {}, Mode.LIVE),
        ({"source": "rtsp://cam/x"}, {}, Mode.LIVE),
        ({"source": "webcam:0"}, {}, Mode.LIVE),
    ],
)
def test_mode_follows_the_source(raw: dict[str, object], source_options: dict[str, object], mode: Mode) -> None:
    """Cameras and paced files are live, recordings are not unless asked to be."""
    result = built(raw, source_options=source_options)
    assert result.settings.mode is mode
    assert result.plan.source.live is (mode is Mode.LIVE)


def test_a_camera_cannot_be_lossless() -> None:
    """Time passes without us."""
    with pytest.raises(ConfigError, match=r"\$\.mode: a live source cannot be lossless"):
        built({"source": "webcam:0", "mode": "lossless"})


def test_equal_parts_get_numbers() -> None:
    """Two sinks of a kind have different names; a given name is used."""
    result = built({"source": "a.mp4", "sinks": ["jsonl:a", "jsonl:b", {"kind": "jsonl", "path": "c", "name": "log"}]})
    assert [name for name, _ in result.plan.sinks] == ["sink jsonl", "sink jsonl 2", "sink log"]


def test_a_number_in_a_name_is_left_to_it() -> None:
    """No two parts get one name, whatever they are called."""
    names = ["jsonl 2", "jsonl", "jsonl", "jsonl 2"]
    result = built(
        {"source": "a.mp4", "sinks": [{"kind": "jsonl", "path": f"{n}", "name": x} for n, x in enumerate(names)]}
    )
    assert [name for name, _ in result.plan.sinks] == ["sink jsonl 2", "sink jsonl", "sink jsonl 3", "sink jsonl 2 2"]


def test_the_server_has_a_name_that_is_a_text() -> None:
    """Anything else is a problem with a path, like any."""
    with pytest.raises(ConfigError, match=r"\$\.serve\.name: Input should be a valid string"):
        built({"source": "a.mp4", "serve": {"host": "127.0.0.1", "port": 1, "name": 3}})


@pytest.mark.parametrize("kind", [":X", ".module:X", "a b:X", "a\0b:X"])
def test_a_kind_that_is_no_module(kind: str) -> None:
    """Is unknown, like any."""
    with pytest.raises(ConfigError, match=r"\$\.source\.kind: .* is not module:Class"):
        built({"source": {"kind": kind}})


def test_problems_of_all_parts_are_told() -> None:
    """Source, stages and sinks are all looked at before anything is said."""
    with pytest.raises(ConfigError) as caught:
        built({"source": "webcam:x", "stages": ["detekt"], "sinks": ["fax:1", "csv:"], "decode": {"kind": "vidio"}})
    paths = [problem.path for problem in caught.value.problems]
    assert paths == ["$.source", "$.stages[0].kind", "$.sinks[0]", "$.sinks[1]"]
    assert "did you mean detect?" in str(caught.value)


def test_stages_that_do_not_fit_each_other() -> None:
    """A tracker cannot take packets; a chain without a detector cannot be live."""
    with pytest.raises(ConfigError, match=r"track.*takes Detections"):
        built({"source": "a.mp4", "stages": ["track"]})
    with pytest.raises(ConfigError, match="detector"):
        built({"source": "webcam:0", "stages": []})


def test_third_party_kinds() -> None:
    """`module:Class` is imported; what is no such class is said."""
    result = built({"source": "a.mp4", "stages": ["preprocess", "detect", "stages.track.tracker:Tracker"]})
    assert result.plan.stages[-1][0] == "stages.track.tracker:Tracker"
    for wrong in ("nosuch.module:X", "json:nosuch", "json:JSONDecoder"):
        with pytest.raises(ConfigError, match=r"\$\.stages\[0\]\.kind"):
            built({"source": "a.mp4", "stages": [wrong]})


def test_specs() -> None:
    """Short forms become parts with options."""
    assert source_part("synthetic:").kind == "synthetic"
    assert source_part("C:/a.mp4").options == {"url": "C:/a.mp4"}
    assert sink_part("ws://127.0.0.1:80/x", "$").options == {"host": "127.0.0.1", "port": 80, "path": "/x"}
    with pytest.raises(ConfigError, match="KIND:WHERE"):
        sink_part("nowhere", "$.sinks[0]")
