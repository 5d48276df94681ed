"""`framepace models`: lists the models that have names, and fetches those that are not in the package.

Part of the command line: it prints.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.errors import StageOpenError
from stages.detect.store import KNOWN, FileState, KnownModel, default_cache, find_model, known_model

if TYPE_CHECKING:
    from rich.progress import Progress

app = typer.Typer(help="List and fetch models.")

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
