"""Who may import what, and do what, read from the sources."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
SOURCES = sorted([*(PROJECT / "pipeline").rglob("*.py"), *(PROJECT / "stages").rglob("*.py")])
SHARED_BY_STAGES = {"stages.boxes", "stages.payloads"}
READS_THE_ENVIRONMENT = {
    "pipeline/config/load.py",
    "stages/capture/worker_input.py",
    "stages/detect/store.py",
    "stages/detect/__init__.py",
}
"""A configuration may refer to variables. The process that reads a camera gets only those that it needs. Where pulled
models lie is asked by the detector and by `framepace models`; one place answers both. And before the model runtime is
imported, it is told to report to nobody."""
STARTS_THREADS = {
    "pipeline/cli/terminal.py",
    "pipeline/run.py",
    "stages/sink/server.py",
    "stages/sink/serve/preview.py",
    "stages/capture/rtsp/sockets.py",
}
"""The terminal, the run, a server, what makes its pictures, and the name lookup, which nothing can interrupt."""


def path_of(file: Path) -> str:
    return file.relative_to(PROJECT).as_posix()


def module_of(file: Path) -> str:
    return path_of(file).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imported(file: Path) -> Iterator[str]:
    """Give the modules that a file imports, `from a import b` as a and, where b is a module, a.b."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            assert node.module is not None
            yield node.module
            base = PROJECT / node.module.replace(".", "/")
            yield from (f"{node.module}.{a.name}" for a in node.names if (base / f"{a.name}.py").exists())


def order_in(package: Path) -> list[str]:
    """Return the modules that a package's docstring lists, in order."""
    text = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    return re.findall(r"^    (\w+)  +\S", text, re.MULTILINE)


@pytest.mark.parametrize("package", ["pipeline", "pipeline/simulation", "pipeline/config", "pipeline/cli"])
def test_modules_import_only_what_is_listed_above(package: str) -> None:
    """Dependencies go one way, in the order that the package's docstring gives; it lists every module."""
    folder = PROJECT / package
    order = order_in(folder)
    parts = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert set(order) == parts - {"__init__"}
    prefix = package.replace("/", ".") + "."
    for file in folder.rglob("*.py"):
        own = module_of(file).removeprefix(prefix).split(".")[0]
        if file.name == "__init__.py" and file.parent == folder:
            continue
        for other in imported(file):
            if other.startswith(prefix):
                name = other.removeprefix(prefix).split(".")[0]
                assert name == own or order.index(name) < order.index(own), f"{path_of(file)} imports {other}"


@pytest.mark.parametrize("file", SOURCES, ids=path_of)
def test_folders(file: Path) -> None:
    """The engine knows no stage, and folders of stages know only what they share."""
    modules = set(imported(file))
    inside = {module for module in modules if module.split(".")[0] in ("pipeline", "stages")}
    if path_of(file).startswith("pipeline/"):
        assert not {module for module in inside if module.startswith("stages")}
        return
    folder = file.relative_to(PROJECT / "stages").parts[0]
    others = {module for module in inside if module.startswith("stages.")} - SHARED_BY_STAGES
    assert not {module for module in others if module.split(".")[1] != folder}


@pytest.mark.parametrize("file", SOURCES, ids=path_of)
def test_who_may_use_what(file: Path) -> None:
    """Time, codec and model runtime each have their place."""
    path = path_of(file)
    roots = {module.split(".")[0] for module in imported(file)}
    assert "time" not in roots or path == "pipeline/clock.py"
    assert "onnxruntime" not in roots or path.startswith("stages/detect/")
    may_decode = (
        "stages/capture/",
        "stages/decode/",
        "stages/preprocess/",
        "stages/payloads.py",
        "stages/sink/video.py",
        "stages/bench/clip.py",
    )
    assert "av" not in roots or path.startswith(may_decode)
    if path.startswith("pipeline/"):
        assert not roots & {"cv2", "numpy", "av", "scipy"}


@pytest.mark.parametrize("file", SOURCES, ids=path_of)
def test_who_may_do_what(file: Path) -> None:
    """Only the command line prints, exits and reads the environment; only the run starts threads."""
    path = path_of(file)
    tree = ast.parse(file.read_text())
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    used = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    if "threading.Thread" in called:
        assert path in STARTS_THREADS
    if not path.startswith("pipeline/cli/"):
        assert not called & {"sys.exit", "os._exit", "exit", "quit"}
        assert "print" not in called
        assert "os.environ" not in used or path in READS_THE_ENVIRONMENT
        assert not called & {"os.getenv"}
