"""Records read by a client of another ecosystem: `ws` on Node.js."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

_BOUND_S = 60
_HERE = Path(__file__).parent
Told = list[dict[str, Any]]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A function that reads addresses to their ends."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node.js is not installed; on Debian and Ubuntu: make test-packages")
    folder = tmp_path_factory.mktemp("node")
    for name in ("package.json", "ws_reader.mjs"):
        shutil.copy(_HERE / name, folder)
    command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
    got = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_BOUND_S, check=False)
    if got.returncode != 0:
        pytest.skip(f"npm could not get the package ws: {got.stderr[-300:]}")

    def read(*addresses: str) -> Told:
        command = ["node", "ws_reader.mjs", *addresses]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_BOUND_S, check=False)
        assert done.returncode == 0, done.stderr
        told: Told = json.loads(done.stdout)
        for each in told:  # a heartbeat is of no frame
            each["records"] = [record for record in each["records"] if "frame" in record]
        return told

    return read


def test_filters_gaps_and_the_end(node: Any, live: Any) -> None:
    """Each gets what it asked for; who was slow sees how many it lost; at the end all are told that the run is over."""
    run = live(pace=100, client_queue=16, token="correct-horse")
    address = f"ws://127.0.0.1:{run.port}/results?token=correct-horse"
    told = node(
        address, f"{address}&every=3", f"{address}&classes=person&min_score=0.6", f"{address}#slow",
        address.replace("correct", "wrong"), f"{address}&every=0",
    )  # fmt: skip
    everything, third, some, slow, stranger, senseless = told
    run.stop()
    for each in (everything, third, some, slow):
        assert (each["code"], each["reason"]) == (1001, "the run is over"), each.get("error")
        check_gaps(each["records"], every=3 if each is third else 1)
    assert sum(record["gap"] for record in slow["records"] if "gap" in record) > 0
    check_filtered(everything["records"], some["records"])
    assert "401" in stranger["error"]
    assert senseless["code"] == 1008
    assert senseless["reason"].startswith("every: ")


def check_gaps(records: Told, *, every: int) -> None:
    """Records and gaps together account for all frames."""
    assert len(records) > 30
    for before, after in itertools.pairwise(records):
        assert after["frame"] - before["frame"] == every + after.get("gap", 0)


def check_filtered(everything: Told, some: Told) -> None:
    """The same records without the tracks that were not asked for; some were, and some were not."""
    whole = {record["frame"]: record["tracks"] for record in everything}
    both = [(whole[record["frame"]], record["tracks"]) for record in some if record["frame"] in whole]
    assert len(both) > 30
    for tracks, shown in both:
        assert shown == [track for track in tracks if track["class"] == "person" and track["score"] >= 0.6]
    assert any(shown for _, shown in both)
    assert any(len(shown) < len(tracks) for tracks, shown in both)
