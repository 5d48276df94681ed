"""`framepace simulate`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.cli.simulate import Wishes, simulate_command
from pipeline.errors import ConfigError
from pipeline.timings import SCHEMA


def wishes(**changes: object) -> Wishes:
    said: dict[str, object] = {
        "config": None,
        "arrivals": "30fps",
        "service_times": ["64ms"],
        "lateness": "0ms",
        "replay": None,
        "deadline": None,
        "credits": None,
        "compare": False,
        "duration": "10s",
        "seed": 0,
        "as_json": True,
    }
    return Wishes(**(said | changes))  # type: ignore[arg-type]


def printed(capsys: pytest.CaptureFixture[str], **changes: object) -> list[dict[str, object]]:
    assert simulate_command(wishes(**changes)) == 0
    return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]


def test_one_policy_is_simulated(capsys: pytest.CaptureFixture[str]) -> None:
    """framepace's own, with the settings that a run has by default."""
    (found,) = printed(capsys)
    assert (found["policy"], found["credits"], found["balanced"]) == ("framepace", 2, True)
    assert found["frames"]["captured"] == 300  # type: ignore[index]
    assert found["frames"]["fresh"] == pytest.approx(150, abs=2)  # type: ignore[index]


def test_policies_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    """On the same arrivals."""
    found = printed(capsys, compare=True, arrivals="poisson:30fps")
    assert [(line["policy"], line["credits"]) for line in found] == [
        ("framepace", 1),
        ("framepace", 2),
        ("newest", 1),
        ("in-order", 1),
    ]
    assert len({line["frames"]["captured"] for line in found}) == 1  # type: ignore[index]


def test_people_get_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    """That fits 80 columns."""
    assert simulate_command(wishes(compare=True, as_json=False)) == 0
    out = capsys.readouterr().out
    assert "10 s at a deadline of 100 ms" in out
    assert "in-order" in out
    assert "times faster than life" in out
    assert max(len(line) for line in out.splitlines()) <= 80


def test_the_configuration_says_deadline_credits_and_stages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And the flags go above it."""
    path = tmp_path / "run.yaml"
    path.write_text(
        "source: 'synthetic:'\nmode: live\ndeadline: 40ms\nengine: {credits: 1}\n"
        "stages: [{kind: synthetic_detect, name: eyes}, track]\n"
    )
    (found,) = printed(capsys, config=path, service_times=["eyes=64ms", "track=1ms"])
    assert (found["credits"], found["frames"]["fresh"]) == (1, 0)  # type: ignore[index]
    (found,) = printed(capsys, config=path, service_times=["64ms"], deadline="200ms", credits=3)
    assert found["credits"] == 3
    assert found["frames"]["fresh"] > 100  # type: ignore[index,operator]


def test_recorded_timings_are_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And serve as arrivals and service times of another policy."""
    head = {"schema": SCHEMA, "deadline_ns": 10**8, "credits": 1, "stages": ["detect"], "detector": "detect"}
    events = [
        [0, "warmed", -1, "", 0],
        [10**12 + 1000, "captured", 0, "", 10**12],
        [10**12 + 2000, "offered", 0, "", 0],
        [10**12 + 3000, "asked", 0, "", 0],
        [10**12 + 4000, "ran", 0, "detect", 6000],
        [10**12 + 11000, "measured", 0, "", 0],
        [10**12 + 12000, "answered", 0, "fresh", 0],
        [10**12 + 13000, "ended", -1, "", 0],
    ]
    path = tmp_path / "timings.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in [head, *events]))
    assert simulate_command(wishes(replay=path)) == 0
    assert json.loads(capsys.readouterr().out) == {"compared": 1, "same": 1, "different": []}
    assert simulate_command(wishes(replay=path, as_json=False)) == 0
    assert "1 of 1 frames (100.00%)" in capsys.readouterr().out
    (found,) = printed(capsys, arrivals=str(path), service_times=[str(path)])
    assert found["frames"]["fresh"] == 1  # type: ignore[index]
    assert found["simulated_s"] < 1  # type: ignore[operator]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"service_times": []}, "--service-times: says nothing of detect"),
        ({"service_times": ["track=1ms"]}, "--service-times: says nothing of detect"),
        ({"service_times": ["eyes=64ms"]}, "'eyes' is no stage; there are decode, preprocess, detect, track"),
        ({"service_times": ["fast"]}, "--service-times: 'fast' is neither"),
        ({"arrivals": "often"}, "--arrivals: 'often' is neither"),
        ({"lateness": "some"}, "--lateness: 'some' is neither"),
        ({"duration": "long"}, "--duration: 'long' is not a duration"),
        ({"deadline": "soon"}, "'soon' is not a duration"),
        ({"replay": Path("nowhere.jsonl")}, "--replay: nowhere.jsonl"),
        ({"config": Path("nowhere.yaml")}, "nowhere.yaml cannot be read"),
    ],
)
def test_what_is_not_understood_is_one_problem(changes: dict[str, object], said: str) -> None:
    """Which names the flag."""
    with pytest.raises(ConfigError) as caught:
        simulate_command(wishes(**changes))
    assert said in str(caught.value)
