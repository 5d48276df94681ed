"""What surrounds the program may be gone, full or in the way; and nothing goes out of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

PROGRAM = Path(sys.executable).with_name("framepace")
Command = list[str]


def live(pedestrians: Path, folder: Path, *more: str) -> Command:
    sinks = ["--sink", f"jsonl:{folder / 'a.jsonl'}", "--report", str(folder / "report.json")]
    return [str(PROGRAM), "run", str(pedestrians), "--mode", "live", *sinks, *more]


def wait_for(file: Path) -> None:
    for _ in range(600):
        if file.exists() and file.stat().st_size:
            return
        time.sleep(0.05)
    pytest.fail(f"{file} is still empty")


def is_whole(folder: Path) -> bool:
    """Whether the report is there and the answers are as many as it says; heartbeats are none."""
    report = json.loads((folder / "report.json").read_text())
    lines = [json.loads(line) for line in (folder / "a.jsonl").read_text().splitlines()]
    answers = [line for line in lines if line["frame"] is not None]
    return len(answers) == report["sinks"]["sink jsonl"]["written"] > 0


@pytest.mark.e2e
def test_a_reader_who_leaves_ends_nothing(pedestrians: Path, tmp_path: Path) -> None:
    """Whoever read standard error is gone before the summary: the run is as good as any."""
    with subprocess.Popen(live(pedestrians, tmp_path, "--max-frames", "30"), stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        process.stderr.close()
        assert process.wait(30) == 0
    assert is_whole(tmp_path)


@pytest.mark.e2e
def test_a_terminal_that_stands_still_does_not_hold_up_the_stop(pedestrians: Path, tmp_path: Path) -> None:
    """Standard error is a full pipe that nobody reads."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writing, True)
    with subprocess.Popen(live(pedestrians, tmp_path), stderr=writing) as process:
        wait_for(tmp_path / "a.jsonl")
        process.terminate()
        assert process.wait(10) == 0
    os.close(reading)
    os.close(writing)
    assert is_whole(tmp_path)


@pytest.mark.e2e
def test_hanging_up_stops_cleanly(pedestrians: Path, tmp_path: Path) -> None:
    """A terminal that is closed sends SIGHUP."""
    with subprocess.Popen(live(pedestrians, tmp_path), stderr=subprocess.DEVNULL) as process:
        wait_for(tmp_path / "a.jsonl")
        process.send_signal(signal.SIGHUP)
        assert process.wait(10) == 0
    assert is_whole(tmp_path)


@pytest.mark.e2e
def test_a_full_standard_output_is_said_in_one_line() -> None:
    """And is no success."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [PROGRAM, "schema", "result"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (1, "framepace: standard output: No space left on device\n")


@pytest.mark.e2e
def test_the_module_runs_from_a_folder_that_is_gone(tmp_path: Path) -> None:
    """`python -m framepace` is the same program, and needs no working directory."""
    gone = tmp_path / "gone"
    gone.mkdir()
    command = f"rmdir {gone}; exec {sys.executable} -m framepace --version"
    done = subprocess.run(["sh", "-c", command], cwd=gone, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


@pytest.mark.e2e
def test_files_in_the_way_are_not_run(tmp_path: Path) -> None:
    """A module in the working directory is no part of the program; one on PYTHONPATH that hides ours is named."""
    for name in ("attr", "h2", "brotli", "sitecustomise", "uvloop"):
        (tmp_path / f"{name}.py").write_text("print('run')")
    for command in ([str(PROGRAM)], [sys.executable, "-m", "framepace"]):
        done = subprocess.run([*command, "models", "list"], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0
        assert "run\n" not in done.stdout
    (tmp_path / "pipeline.py").write_text("")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([PROGRAM, "--version"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"framepace: {tmp_path / 'pipeline.py'} hides a package of framepace")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.e2e
@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "{clip}", "--mode", "live", "--max-frames", "15", "--quiet"],
        ["run", "{clip}", "--max-frames", "15", "--quiet"],
        ["models", "list"],
        ["schema", "config"],
    ],
    ids=["live", "lossless", "models", "schema"],
)
def test_nothing_goes_out(pedestrians: Path, tmp_path: Path, arguments: Command) -> None:
    """No command opens a connection of its own accord, nor leaves anything in the home directory.

    Libraries that report how they are used do both, and do neither where CI is set.
    """
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    environment["HOME"] = str(tmp_path)
    command = [str(PROGRAM), *(each.format(clip=pedestrians) for each in arguments)]
    remote: set[object] = set()
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            remote |= connections(watched)
            time.sleep(0.005)
    assert process.returncode == 0
    assert not remote
    assert not list(tmp_path.rglob("*"))


def connections(process: psutil.Process) -> set[object]:
    """Return the internet sockets of a process and its children."""
    found: set[object] = set()
    try:
        for each in [process, *process.children(recursive=True)]:
            found |= {(one.laddr, one.raddr) for one in each.net_connections("inet")}
    except psutil.Error:
        pass
    return found


@pytest.mark.e2e
def test_log_lines_are_json_on_any_terminal(tmp_path: Path) -> None:
    """A stream's name with an umlaut, and a standard error that knows ASCII only."""
    (tmp_path / "run.yaml").write_text("stream: hö\nsource: 'synthetic:'\nlog_format: json\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [str(PROGRAM), "run", "--config", "run.yaml", "--max-frames", "3"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert lines
    assert {line["stream"] for line in lines} == {"hö"}


@pytest.mark.e2e
def test_a_terminal_without_a_width(tmp_path: Path) -> None:
    """COLUMNS is 0 in some containers: what there is to say is said all the same."""
    done = subprocess.run(
        [str(PROGRAM), "run", "none.mp4"],
        env={**os.environ, "COLUMNS": "0"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "none.mp4: no such file" in done.stderr
