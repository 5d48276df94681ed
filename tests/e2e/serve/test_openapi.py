"""The description of the addresses, held against the server by Schemathesis."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

PROGRAM = Path(sys.executable).with_name("schemathesis")
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance"
)
NOT_ASKED = ("/control/stop", "/results.ndjson", "/readyz")
"""The first ends the run, the second never ends, the third may rightly answer 503."""


@pytest.mark.parametrize("token", [None, "correct-horse"], ids=["open", "with a token"])
def test_answers_are_as_described(live: Any, tmp_path: Path, token: str | None) -> None:
    """Whatever is asked, an answer is one of those described, and never an error of the server."""
    run = live(token=token, requests_per_s=10_000)
    run.wait_captured(30)
    command = [str(PROGRAM), "run", f"{run.address}/openapi.json", "--checks", CHECKS, "--max-examples", "3"]
    command += ["--seed", "1", "--request-timeout", "10", "--phases", "examples,coverage,fuzzing", "--no-color"]
    for path in NOT_ASKED:
        command += ["--exclude-path", path]
    if token is not None:
        command += ["--header", f"Authorization: Bearer {token}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    run.stop()
