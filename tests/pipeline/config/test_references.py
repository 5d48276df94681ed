"""Secrets that a configuration names instead of holding them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline import masking
from pipeline.config.load import read_yaml
from pipeline.config.references import resolved
from pipeline.errors import ConfigError
from pipeline.masking import masked

VARIABLES = {
    "PW": "p@ss/w#rd",
    "HOST": "10.0.0.7",
    "URL": "rtsp://u:p@h/1",
    "STREAM": "yard/1",
    "DIR": "",
    "ODD": "a${PW}",
    "AT": "10.0.0.5:8554",
    "ODD_BYTES": "\udce9",
}


@pytest.fixture(autouse=True)
def _nothing_hidden_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "_hidden", set())


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("${URL}", "rtsp://u:p@h/1"),
        ("${PW}", "p@ss/w#rd"),
        ("rtsp://viewer:${PW}@${HOST}:554/${STREAM}", "rtsp://viewer:p%40ss%2Fw%23rd@10.0.0.7:554/yard/1"),
        ("http://${AT}/mjpg?mail=a@b.c", "http://10.0.0.5:8554/mjpg?mail=a@b.c"),
        ("http://${AT}/axis/stream@1", "http://10.0.0.5:8554/axis/stream@1"),
        ("${URL}/live/${PW}/x", "rtsp://u:p@h/1/live/p%40ss/w%23rd/x"),
        ("rtsp://u:${ODD_BYTES}@h/", "rtsp://u:%E9@h/"),
        ("http://cam/jpg?pw=${PW}&x=1", "http://cam/jpg?pw=p%40ss%2Fw%23rd&x=1"),
        ("$${PW}, $PW and {PW}", "${PW}, $PW and {PW}"),
        ("${ODD}", "a${PW}"),
        (["${HOST}", 7, {"a": "${HOST}"}], ["10.0.0.7", 7, {"a": "10.0.0.7"}]),
    ],
)
def test_what_a_reference_stands_for(written: object, meant: object) -> None:
    """Its value, in an address percent-encoded; what is put in is not looked at again."""
    assert resolved({"x": written}, VARIABLES) == {"x": meant}


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("${NONE}", r"\$\.x: the variable NONE is not set, or empty"),
        ("${DIR}", "variable DIR"),
        ("${A-B}", r"\$\{A-B\} is no reference; write \$\{NAME\}"),
        ("${}", "is no reference"),
        ("${PW", r"has no \}; write \$\$\{"),
        ("${file:/none/such}", "/none/such: cannot be read: no such file or directory"),
        ([{"a": "${NONE}"}], r"\$\.x\[0\]\.a: "),
    ],
)
def test_a_reference_to_nothing(written: object, why: str) -> None:
    """Where, what, and what would be right."""
    with pytest.raises(ConfigError, match=why):
        resolved({"x": written}, VARIABLES)


def test_every_problem_is_told() -> None:
    """At once."""
    with pytest.raises(ConfigError) as caught:
        resolved({"x": "${A}", "y": "${B}"}, {})
    assert [problem.path for problem in caught.value.problems] == ["$.x", "$.y"]


def test_a_file(tmp_path: Path) -> None:
    """Its first line counts, and its path does not change what follows."""
    file = tmp_path / "camera"
    file.write_text(" s3cret \nmore\n")
    address = {"source": "rtsp://u:${file:$FOLDER/camera}@h/1"}
    assert resolved(address, {"FOLDER": str(tmp_path)}) == {"source": "rtsp://u:s3cret@h/1"}
    after = {"x": f"rtsp://u:${{file:{file}}}@${{AT}}/s"}
    assert resolved(after, VARIABLES) == {"x": "rtsp://u:s3cret@10.0.0.5:8554/s"}
    file.write_text("\n")
    with pytest.raises(ConfigError, match="first line is empty"):
        resolved(address, {"FOLDER": str(tmp_path)})
    os.truncate(file, 0)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="it is no text"):
        resolved(address, {"FOLDER": str(tmp_path)})


def test_what_was_put_into_an_address_is_never_shown() -> None:
    """Not even where no rule would take it for a secret; the host is none."""
    url = str(resolved({"x": "rtsp://${HOST}/stream/${PW}/x"}, VARIABLES)["x"])
    assert url == "rtsp://10.0.0.7/stream/p%40ss/w%23rd/x"
    assert masked(url) == "rtsp://10.0.0.7/stream/***/x"


def test_a_configuration_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is read with what it refers to."""
    monkeypatch.setenv("CAMERA_PASSWORD", "hush")
    file = tmp_path / "run.yaml"
    file.write_text("source: {kind: video, url: 'rtsp://u:${CAMERA_PASSWORD}@h/1'}\n")
    assert read_yaml(file) == {"source": {"kind": "video", "url": "rtsp://u:hush@h/1"}}
