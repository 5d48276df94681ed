"""`framepace models`: lists the models that have names, fetches those that are not in the package, and inspects any.

Part of the command line: it prints.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from pipeline.config.problems import problems_from
from pipeline.errors import ConfigError, StageOpenError
from pipeline.shown import printable
from stages.detect.store import KNOWN, FileState, KnownModel, default_cache, find_model, known_model

if TYPE_CHECKING:
    from rich.progress import Progress

app = typer.Typer(help="List, fetch and inspect models.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a model, as `framepace models list` shows them.")]
Cache = Annotated[
    Path | None,
    typer.Option("--cache", help="Folder for pulled models; else FRAMEPACE_CACHE, else the user's cache folder."),
]


@app.command("list")
def list_models(*, cache: Cache = None) -> None:
    """Show the models that have names, and whether they are here."""
    folder = cache or default_cache()
    for model in KNOWN.values():
        size_mb = f"{model.size_bytes / 1e6:.1f} MB"
        typer.echo(f"{model.name:12} {_state(model, folder):10} {size_mb:>9}  {model.summary}; {model.licence}")


@app.command("pull")
def pull_model(name: Name, *, cache: Cache = None) -> None:
    """Fetch a model, check its hash, and print where it is."""
    from stages.detect.download import pull  # with its HTTP client, which the other commands do not need

    model = known_model(name)
    with _progress() as progress:
        task = progress.add_task(model.name, total=model.size_bytes)
        try:
            path = pull(
                model,
                cache or default_cache(),
                on_progress=lambda here: progress.update(task, completed=here, refresh=True),
            )
        except KeyboardInterrupt:  # not a clean end, as it is for a run: there is no model yet
            raise StageOpenError(model.name, "interrupted; the same command goes on from there") from None
    typer.echo(path)


@app.command("path")
def print_path(name: Name, *, cache: Cache = None) -> None:
    """Print where a model is; exit code 3 if it has not been pulled, or is damaged."""
    typer.echo(find_model(known_model(name).name, cache or default_cache()))


@app.command("inspect")
def inspect_model(
    model: Annotated[str, typer.Argument(help="Path of an ONNX file, or name of a model; NAME@SIZE sizes it.")],
    *,
    on: Annotated[Path | None, typer.Option("--on", metavar="IMAGE", help="Say what it sees in this picture.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="PICTURE", help="Write the picture of --on with boxes.")
    ] = None,
    size: Annotated[str | None, typer.Option("--size", help="Input size: pixels, or WIDTHxHEIGHT.")] = None,
    family: Annotated[str | None, typer.Option("--family", help="Read it as this family.")] = None,
    min_score: Annotated[float, typer.Option("--min-score", help="Lowest score to show.", min=0, max=1)] = 0.3,
    cache: Cache = None,
) -> None:
    """Show what a model takes and gives, how framepace reads it and why, and what it sees in a picture."""
    from stages.detect import inspect  # with onnxruntime, which the other commands do not need
    from stages.detect.onnx import DetectOptions

    if output is not None and on is None:
        raise ConfigError.one("--output", "needs a picture to draw on: --on IMAGE")
    name, at, sized = model.rpartition("@")
    if at and not Path(model).exists():
        model, size = name, size or sized
    wanted = {"model": model, "provider": "cpu", "input_size": size, "family": family, "cache": cache and str(cache)}
    try:
        options = DetectOptions.model_validate(wanted)
    except ValidationError as error:
        raise ConfigError(problems_from(error, DetectOptions, prefix="$.stages[detect]")) from None
    detector = inspect.opened(options)
    for line in inspect.told(detector):
        typer.echo(printable(line))
    if on is None:
        return
    try:
        picture, shown = inspect.detect_in(detector, on, min_score)
    except ArithmeticError as error:
        raise StageOpenError(model, str(error)) from None
    typer.echo(f"{printable(str(on))}: {len(shown.scores)} boxes, x1 y1 x2 y2 in pixels")
    for box, score, class_id in zip(shown.boxes, shown.scores, shown.class_ids, strict=True):
        corners = " ".join(f"{corner:7.1f}" for corner in box)
        typer.echo(f"    {score:.3f}  {corners}  {inspect.name_of(shown, int(class_id))}")
    if output is not None:
        inspect.draw(picture, shown, output)
        typer.echo(f"drawn: {printable(str(output))}")


def _state(model: KnownModel, cache: Path) -> str:
    match model.state(cache):
        case FileState.MISSING:
            return "missing" if model.url is None else "not pulled"
        case FileState.DAMAGED:
            return "damaged"
        case FileState.WHOLE:
            return "embedded" if model.url is None else "pulled"


def _progress() -> Progress:
    """Return a display on standard error that draws itself when it is told of progress, without a thread."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    return Progress(
        *columns, TimeRemainingColumn(), console=console, auto_refresh=False, disable=not console.is_terminal
    )
