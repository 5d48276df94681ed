"""Every parser of foreign bytes keeps its law on its seeds, and on some inputs made from them, the same each time."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.engine import MAX_BYTES, Mutator, TooSlow, check, fuzz
from tests.fuzz.targets import PROJECT, TARGETS, FuzzTarget


@pytest.mark.parametrize("name", TARGETS)
def test_the_law_is_kept(name: str) -> None:
    """What the parser returns is what it declares, and what it raises is its own; `make fuzz` tries for longer."""
    target = TARGETS[name]
    _, failure = fuzz(target, chance=random.Random(name), runs=target.short_runs, seconds=None)
    assert failure is None, f"{failure.data!r}\n{failure.report}"


def broken(data: bytes) -> None:
    """A parser that fails on a certain byte."""
    if b"X" in data:
        raise KeyError("X")


def endless(data: bytes) -> None:
    """A parser that goes on for ever, and catches what it can."""
    while True:
        with contextlib.suppress(Exception):
            sum(range(1000))


def test_a_failure_is_found_and_made_small() -> None:
    """So that people see what it is about."""
    target = FuzzTarget("broken", broken, lambda: [b"some text"], (b"X",))
    runs, failure = fuzz(target, chance=random.Random(0), runs=1000, seconds=None)
    assert failure is not None
    assert failure.data == b"X"
    assert "KeyError" in failure.report
    assert 1 < runs < 1000


def test_what_goes_on_for_ever_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its processor time."""
    monkeypatch.setattr("tests.fuzz.engine.LIMIT_S", 0.05)
    failure = check(FuzzTarget("endless", endless, lambda: [b""]), b"")
    assert failure is not None
    assert isinstance(failure.error, TooSlow)


def test_the_same_chance_makes_the_same_inputs() -> None:
    """None is longer than may be, and they differ."""
    made = [
        [mutator.make() for _ in range(200)] for mutator in (Mutator(TARGETS["sdp"], random.Random(1)) for _ in "ab")
    ]
    assert made[0] == made[1]
    assert len(set(made[0])) > 100
    assert max(map(len, made[0])) <= MAX_BYTES


def test_the_long_form(tmp_path: Path) -> None:
    """Says how much it did, and plays an input again."""
    command = [sys.executable, "-m", "tests.fuzz", "--seed", "1", "--failures", str(tmp_path)]
    done = subprocess.run(
        [*command, "--seconds", "0.2", "rtp"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert "rtp" in done.stdout
    assert "runs" in done.stdout
    assert "ok" in done.stdout
    (tmp_path / "input").write_bytes(b"\x80")
    again = [*command, "--replay", str(tmp_path / "input"), "rtp"]
    assert subprocess.run(again, cwd=PROJECT, capture_output=True, text=True, check=True).stdout == "passes\n"
