"""Starts the command line: `framepace` and `python -m framepace`.

Nothing heavy is imported before Ctrl-C is provided for.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # what is not imported takes no time in which Ctrl-C is not provided for
    from typing import NoReturn

INTERRUPTED = 130
"""The exit code of a command that Ctrl-C ended before it had begun; shells use it, too."""


def main() -> NoReturn:
    """Run the command line and exit."""
    handled = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else a shell asked us to ignore it
    if handled:
        signal.signal(signal.SIGINT, _leave)
    try:
        from pipeline.cli.app import main as command_line
    except ModuleNotFoundError as error:
        _cannot_import(error)
    if handled:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        command_line()
    except KeyboardInterrupt:
        _leave()


def _leave(*_: object) -> NoReturn:
    try:
        os.write(2, b"framepace: interrupted\n")
    finally:
        os._exit(INTERRUPTED)


def _cannot_import(error: ModuleNotFoundError) -> NoReturn:
    """Say which file stands in the way, where one does; every other error is as it is."""
    package = (error.name or "").partition(".")[0]
    file = getattr(sys.modules.get(package), "__file__", None)
    if package not in ("pipeline", "stages") or file is None:
        raise error
    sys.exit(f"framepace: {file} hides a package of framepace; rename it, or take its folder out of PYTHONPATH")


def _without_working_directory(paths: list[str]) -> list[str]:
    """Return where modules are looked for without the folder that `python -m` puts first: anything may lie there."""
    try:
        here = os.getcwd()
    except OSError:  # it is gone
        return paths
    return [path for path in paths if path not in ("", here)]


if __name__ == "__main__":
    sys.path[:] = _without_working_directory(sys.path)
    main()
