"""`framepace eval`: how good is what a reader holds in its hands, on this machine?

Part of the command line: it prints.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from stages.evaluate.play import Evaluation
    from stages.evaluate.truth import Truth

_MOST_FPS = 1000
"""That a recording can be played at."""


def eval_clip(
    clip: Annotated[Path, typer.Argument(help="A labelled clip.")],
    *,
    truth: Annotated[Path, typer.Option(help="Its labels: MOTChallenge gt.txt or COCO JSON.")],
    config: Annotated[Path | None, typer.Option(help="YAML file; its source and sinks do not count.")] = None,
    class_name: Annotated[str, typer.Option("--class", help="What MOTChallenge labels are.")] = "person",
    pace: Annotated[str, typer.Option(help="Play at its own rate, pts, or at a number of frames per second.")] = "pts",
    deadline: Annotated[str | None, typer.Option(help="Capture to answer, such as 100ms.")] = None,
    model: Annotated[str | None, typer.Option(help="Name or path, and size: yolov3-tiny@608.")] = None,
    models: Annotated[str | None, typer.Option(help="Compare several, such as yolov3-tiny@320,yolox-nano.")] = None,
    delay: Annotated[str | None, typer.Option(help="Add so much to every live run of the detector.")] = None,
    project_to: Annotated[
        str | None, typer.Option(help="The moment that boxes are true for: capture, publish.")
    ] = None,
    runs: Annotated[int, typer.Option(help="Live runs; mean and spread are shown.", min=1, max=100)] = 1,
    plot: Annotated[Path | None, typer.Option(help="With --models: draw score against age into this PNG.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score what a reader holds at each moment, on a labelled clip."""
    # With the arrays and the settings, which other commands may do without.
    from pipeline.cli.options import model_options
    from pipeline.config.load import read_yaml
    from stages.evaluate.check import check
    from stages.evaluate.play import Case, evaluate

    labels = _read(truth, class_name)
    settings: dict[str, object] = {} if config is None else dict(read_yaml(config))
    settings |= {key: value for key, value in (("deadline", deadline), ("project_to", project_to)) if value is not None}
    if plot is not None and models is None:
        raise ConfigError.one("--plot", "draws a comparison; give --models as well")
    if model is not None and models is not None:
        raise ConfigError.one("--model", "is one, --models are several; give one of the two")
    if plot is not None:
        _check_plot(plot)
    wanted = [name.strip() for name in (models or model or "").split(",") if name.strip()] or [""]
    cases = {
        name or "as configured": Case(
            clip, settings, pace=_pace(pace), detector_options=model_options(name) if name else {}, delay=delay
        )
        for name in wanted
    }
    for case in cases.values():
        check(case, labels)
    rows = [(name, evaluate(case, labels, runs=runs)) for name, case in cases.items()]
    _show(rows, as_json=as_json, compares=models is not None)
    if plot is not None:
        _plot(rows, plot)


def _show(rows: list[tuple[str, Evaluation]], *, as_json: bool, compares: bool) -> None:
    from pipeline.cli.console import PlainConsole
    from stages.evaluate.play import as_data
    from stages.evaluate.report import pick, print_evaluation, print_frontier

    console = PlainConsole()
    if as_json:
        models = [{"model": name, **as_data(evaluation)} for name, evaluation in rows]
        typer.echo(json.dumps({"models": models, "pick": pick(rows)}))
    elif compares:
        print_frontier(rows, console)
    else:
        print_evaluation(rows[0][1], console)


def _plot(rows: list[tuple[str, Evaluation]], path: Path) -> None:
    from stages.evaluate.report import plot_frontier

    try:
        plot_frontier(rows, path)
    except (OSError, ValueError) as error:
        raise ConfigError.one("--plot", f"{path} cannot be written: {error}") from error


def _check_plot(path: Path) -> None:
    """Say before anything is played why a plot could not be written."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError as error:
        raise ConfigError.one("--plot", "needs matplotlib: pip install 'framepace[eval]'") from error
    if path.suffix[1:].lower() not in FigureCanvasAgg.filetypes:
        raise ConfigError.one("--plot", f"{path} is of no kind that can be drawn; give a name that ends in .png")
    if not path.parent.is_dir():
        raise ConfigError.one("--plot", f"{path.parent} is no folder")
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ConfigError.one("--plot", f"{path} cannot be written")


def _read(path: Path, class_name: str) -> Truth:
    from stages.evaluate.truth import read_truth

    try:
        return read_truth(path, class_name)
    except OSError as error:
        raise ConfigError.one("--truth", f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError.one("--truth", str(error)) from error


def _pace(text: str) -> str | float:
    if text == "pts":
        return text
    try:
        fps = float(text)
    except ValueError:
        fps = 0.0
    if not 0 < fps <= _MOST_FPS:
        message = f"{text!r} is not pts or a number of frames per second, above 0 and up to {_MOST_FPS}"
        raise ConfigError.one("--pace", message)
    return fps
