"""The environments that peers run in: made on the first run, each with what its users would install."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

COMMON = ("av==18.1.0", "onnxruntime-gpu==1.31.1", "platformdirs>=4", "pydantic>=2.10", "pyyaml>=6", "scipy>=1.15")
"""What the shared detector needs (peer.py)."""
TRACKER = ("trackers==2.6.1",)


@dataclass(frozen=True)
class Environment:
    """A virtual environment."""

    requirements: tuple[str, ...]
    system: bool = False
    """Of the system's own Python, with its packages: GStreamer's bindings are there only."""


OWN = Environment(())
"""Where this program runs."""
OPENCV = Environment((*COMMON, *TRACKER, "opencv-python==5.0.0.93"))
INFERENCE = Environment((*COMMON, *TRACKER, "streamvision==0.1.4"))
GSTREAMER = Environment((*COMMON, *TRACKER, "opencv-python==5.0.0.93"), system=True)


def python_of(environment: Environment, folder: Path) -> str:
    """Return the interpreter of an environment, which is made if it is not there.

    Args:
        environment: which.
        folder: where environments are kept.

    Raises:
        RuntimeError: it cannot be made; its text says why in one line.
    """
    if environment == OWN:
        return sys.executable
    key = hashlib.sha256(repr((environment, sys.version_info[:2])).encode()).hexdigest()[:12]
    home = folder / key
    python = str(home / "bin" / "python")
    ready = home / "ready"
    if ready.exists():
        return python
    _do(
        [
            "/usr/bin/python3" if environment.system else sys.executable,
            *("-m", "venv", "--clear"),
            *(["--system-site-packages"] if environment.system else []),
            str(home),
        ]
    )
    if environment.system:
        _do([python, "-c", "import gi; gi.require_version('GstApp', '1.0')"])
    _do([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *environment.requirements])
    ready.touch()
    return python


def _do(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(f"{' '.join(command[:4])}: {error}") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["failed"]
        raise RuntimeError(f"{' '.join(command[:4])}: {lines[-1]}")
