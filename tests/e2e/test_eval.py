"""`framepace eval` on the shipped clip."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest

PROJECT = Path(__file__).resolve().parents[2]
CLIP = PROJECT / "sample_videos" / "pedestrians.mp4"
FRAMES = 250
TRUTH = PROJECT.parent / "shared" / "data" / "PETS09-S2L1" / "gt" / "gt.txt"

Framepace = Callable[..., Any]

pytestmark = pytest.mark.e2e


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """The beginning of the shipped clip."""
    with av.open(str(CLIP)) as source, av.open(str(tmp_path / "clip.mp4"), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in itertools.islice(source.demux(video=0), FRAMES):
            packet.stream = stream
            out.mux(packet)
    return tmp_path / "clip.mp4"


@pytest.fixture
def seen(framepace: Framepace, clip: Path, tmp_path: Path) -> Path:
    """Labels that say what the embedded model sees: it is right about everything, in time or not."""
    done = framepace("run", clip, "--classes", "person", "--sink", "mot:seen.txt", "--quiet")
    assert done.code == 0, done.err
    return tmp_path / "seen.txt"


def test_a_model_that_is_always_right_loses_by_lateness_only(framepace: Framepace, clip: Path, seen: Path) -> None:
    """Offline it scores one; live, at four times the rate of the clip, less; moved boxes are nearer the truth."""
    done = framepace("eval", clip, "--truth", seen, "--pace", 40, "--json")
    assert done.code == 0, done.err
    (found,) = json.loads(done.out)["models"]
    assert found["frames"] == FRAMES
    assert found["fps"] == pytest.approx(40, rel=0.01)
    assert {name: round(value, 2) for name, value in found["offline"].items()} == dict.fromkeys(found["offline"], 1)
    (run,) = found["runs"]
    assert run["report"]["balanced"]
    assert 0.2 < run["held"]["hota"] < run["moved"]["hota"] < 0.95
    ages = [at["age_ms"] for at in found["by_age"]]
    held = [at["held"]["hota"] for at in found["by_age"]]
    assert ages == sorted(ages)
    assert held == sorted(held, reverse=True)
    assert all(at["moved"]["hota"] >= at["held"]["hota"] for at in found["by_age"])


@pytest.mark.skipif(not TRUTH.exists(), reason="the labels of the clip are not part of the project")
def test_the_embedded_model_on_the_labels_of_the_clip(framepace: Framepace, clip: Path, tmp_path: Path) -> None:
    """Two sizes side by side, a plot, and the one to pick."""
    labels = [line for line in TRUTH.read_text().splitlines() if int(line.split(",")[0]) <= FRAMES]
    (tmp_path / "gt.txt").write_text("\n".join(labels))
    flags = ("--truth", "gt.txt", "--pace", 40, "--models", "yolov3-tiny@320,yolov3-tiny@416", "--plot", "frontier.png")
    done = framepace("eval", clip, *flags, timeout_s=120)
    assert done.code == 0, done.err
    assert "yolov3-tiny@416" in done.out
    assert "pick yolov3-tiny@" in done.out
    assert (tmp_path / "frontier.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--truth", "none.txt"], "--truth: none.txt: No such file"),
        (["--truth", "bad.txt"], "--truth: bad.txt:1: is not frame,id,left,top"),
        (["--truth", "gt.txt", "--pace", "fast"], "--pace: 'fast' is not pts or a number"),
        (["--truth", "gt.txt", "--pace", "0"], "--pace: '0' is not pts or a number of frames per second, above 0"),
        (["--truth", "gt.txt", "--pace", "nan"], "--pace: 'nan' is not pts or a number"),
        (["--truth", "gt.txt", "--class", "pedestrian"], "--truth: labels 'pedestrian', of which the model reports"),
        (["--truth", "coco.json"], "--truth: labels 'pedestrian', of which the model reports"),
        (["--truth", "gt.txt", "--models", "yolov3-tiny", "--plot", "none/x.png"], "--plot: none is no folder"),
        (["--truth", "gt.txt", "--models", "yolov3-tiny", "--plot", "x.mp3"], "--plot: x.mp3 is of no kind"),
        (["--truth", "gt.txt", "--model", "a", "--models", "b"], "--model: is one"),
        (["--truth", "gt.txt", "--plot", "x.png"], "--plot: draws a comparison"),
        (["--truth", "gt.txt", "--model", "yolov3-tiny@huge"], "huge"),
        (["--truth", "gt.txt", "--deadline", "soon"], "$.deadline: 'soon' is not a duration"),
        (["--truth", "gt.txt", "--delay", "soon"], "'soon' is not a duration"),
    ],
)
def test_bad_input_is_one_line(framepace: Framepace, tmp_path: Path, flags: list[str], said: str) -> None:
    """With exit code 2 (3 where the model is what cannot be had), before anything is played for long."""
    (tmp_path / "bad.txt").write_text("person at the left\n")
    (tmp_path / "gt.txt").write_text("1,1,10,10,20,20,1\n")
    box = {"image_id": 0, "category_id": 1, "bbox": [10, 10, 20, 20]}
    coco = {"images": [{"id": 0}], "categories": [{"id": 1, "name": "pedestrian"}], "annotations": [box]}
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    done = framepace("eval", CLIP, *flags)
    assert done.code in (2, 3)
    assert done.err.startswith("framepace: ")
    assert said in done.err
    assert done.err.count("\n") == 1


def test_a_clip_that_is_not_there_is_one_line(framepace: Framepace, tmp_path: Path) -> None:
    """Cameras have no labels."""
    (tmp_path / "gt.txt").write_text("1,1,10,10,20,20,1\n")
    done = framepace("eval", "none.mp4", "--truth", "gt.txt")
    assert (done.code, done.err) == (2, "framepace: CLIP: none.mp4 is no file; a labelled clip is needed\n")


@pytest.mark.parametrize("package", ["faster_coco_eval", "trackeval", "matplotlib"])
def test_a_package_that_is_missing_is_said_at_once(framepace: Framepace, tmp_path: Path, package: str) -> None:
    """Not after all the playing, which a clip that breaks off would spoil here."""
    (tmp_path / "gt.txt").write_text("1,1,10,10,20,20,1\n")
    (tmp_path / "clip.mp4").write_text("no video")
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("raise ImportError\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    flags = ("--truth", "gt.txt", "--models", "yolov3-tiny", "--plot", "x.png")
    done = framepace("eval", "clip.mp4", *flags, environment={"PYTHONPATH": path})
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "pip install 'framepace[eval]'" in done.err
