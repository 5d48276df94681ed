"""`framepace bench`: that what it says is plausible, never how fast this machine is."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Framepace = Callable[..., Any]
Start = Callable[..., "subprocess.Popen[str]"]

pytestmark = pytest.mark.e2e


def test_a_quick_pass_measures_everything(framepace: Framepace) -> None:
    """JSON alone on standard output, what is being done on standard error."""
    done = framepace("bench", "--quick", "--json", "--deadline", "500ms", timeout_s=110)
    assert done.code == 0, done.err
    said = done.err.splitlines()
    assert all(line.startswith("measuring: ") for line in said)
    assert "measuring: detector yolov3-tiny@416" in said
    found = json.loads(done.out)
    assert found["schema"] == "framepace/bench/1"
    assert found["machine"]["cores"] >= 1
    assert found["quick"]
    assert [each["clip"] for each in found["decode"]] == ["1280x720"]
    small, large = found["detectors"]
    assert (small["name"], large["name"]) == ("yolov3-tiny@320", "yolov3-tiny@416")
    for each in (small, large):
        assert each["fps"] == pytest.approx(1000 / each["detect_ms"]["p50"], rel=0.9)
    low, high = found["loads"]
    assert (low["load"], high["load"]) == (0.5, 2)
    assert high["live"]["fps"] == pytest.approx(4 * low["live"]["fps"], abs=0.3)
    assert low["live"]["fps"] == pytest.approx(large["fps"] / 2, abs=0.1)
    (verdict,) = found["verdicts"]
    assert (verdict["fps"], verdict["deadline_ms"]) == (30, 500)
    for live in (low["live"], high["live"], verdict["live"]):
        assert live["deadline_ms"] == 500
        assert live["frames"] == round(2 * live["fps"])
        assert 0 <= live["fresh_share"] + live["forecast_share"] <= 1.0001  # each is rounded
        assert live["age_ms"] is None or live["age_ms"]["max"] <= 500
        assert 20 < live["peak_rss_mib"] < 4000
    assert found["summary"][-1] == verdict["sentence"]
    assert verdict["sentence"].startswith("30 fps at 500 ms: ")


def test_your_own_clip_and_model_are_what_it_is_about(framepace: Framepace, pedestrians: Path) -> None:
    """The embedded model is measured for comparison only."""
    flags = ("--clip", pedestrians, "--model", "yolov3-tiny@96", "--deadline", "500ms")
    done = framepace("bench", "--quick", *flags, timeout_s=110)
    assert done.code == 0, done.err
    assert "decode 768x576, live" in done.out
    assert "live with yolov3-tiny@96 at 500 ms" in done.out
    assert "detect yolov3-tiny@416 (cpu)" in done.out
    (verdict,) = (line for line in done.out.splitlines() if line.startswith("30 fps at 500 ms: "))
    assert "yolov3-tiny@96" in verdict


@pytest.mark.parametrize("during", ["measuring: the engine alone\n", "measuring: live at "])
def test_an_interrupted_pass_says_nothing_of_the_machine(start: Start, during: str) -> None:
    """Whoever wanted figures is not told that all went well."""
    process = start("bench", "--quick", "--json")
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(during):
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (1, "")
    assert err == "framepace: interrupted; nothing is said of half a measurement\n"


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--clip", "none.mp4"], 2, "--clip: none.mp4 is no file"),
        (["--clip", "bad.mp4"], 3, "bad.mp4"),
        (["--model", "none.onnx"], 3, "none.onnx"),
        (["--deadline", "soon"], 2, "--deadline: 'soon' is not a duration"),
        (["--deadline", "1ms"], 2, "--deadline: '1ms' is not between 5ms and 1m"),
        (["--deadline", "2000000s"], 2, "--deadline: '2000000s' is not between 5ms and 1m"),
    ],
)
def test_bad_input_is_one_line(framepace: Framepace, tmp_path: Path, flags: list[str], code: int, said: str) -> None:
    """After what was being done, before anything is measured for long."""
    (tmp_path / "bad.mp4").write_text("nothing")
    done = framepace("bench", *flags, timeout_s=30)
    lines = [line for line in done.err.splitlines() if not line.startswith("measuring: ")]
    assert done.code == code
    assert len(lines) == 1
    assert lines[0].startswith("framepace: ")
    assert said in lines[0]
    assert done.out == ""
