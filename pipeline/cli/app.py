"""The `framepace` command and its exit codes.

0 done (also after Ctrl-C or SIGTERM), 1 the run failed or the books do not balance, 2 wrong usage or
configuration, 3 the source or the model could not be opened.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from pipeline.cli.logs import say_failure
from pipeline.cli.options import Flags
from pipeline.cli.terminal import guarded_streams
from pipeline.errors import ConfigError, OpenError, PipelineError, SinkOpenError
from pipeline.registry import load_commands


class Exit(IntEnum):
    """The exit codes."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    CANNOT_OPEN = 3


app = typer.Typer(
    name="framepace",
    help="Real-time video inference that answers every frame by its deadline.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

Source = Annotated[
    str | None,
    typer.Argument(help="A file, rtsp://, http(s)://, webcam:N, /dev/videoN, lavfi:GRAPH or synthetic:."),
]
Config = Annotated[Path | None, typer.Option(help="YAML file; flags override it.")]
Mode = Annotated[str | None, typer.Option(help="auto, live or lossless.")]
Deadline = Annotated[str | None, typer.Option(help="Live: capture to answer, such as 100ms.")]
Model = Annotated[
    str | None,
    typer.Option(help="Name of a model (framepace models list) or path of an ONNX file; NAME@SIZE sizes it."),
]
Provider = Annotated[str | None, typer.Option(help="auto, cpu, cuda or tensorrt.")]
Classes = Annotated[str | None, typer.Option(help="Only these classes, such as person,car.")]
MinScore = Annotated[float | None, typer.Option(help="Lowest score that starts a track, 0 to 1.", min=0, max=1)]
Pace = Annotated[str | None, typer.Option(help="Play a file as a live camera: pts, a rate in fps, or none.")]
Start = Annotated[str | None, typer.Option(help="Begin at this time of a recording, such as 10s.")]
Duration = Annotated[str | None, typer.Option(help="Stop after this much of the stream, such as 10s.")]
MaxFrames = Annotated[int | None, typer.Option(help="Stop after this many frames.", min=1)]
Stream = Annotated[str | None, typer.Option(help="Name of the stream in the results.")]


@app.command()
def run(
    source: Source = None,
    *,
    config: Config = None,
    mode: Mode = None,
    deadline: Deadline = None,
    model: Model = None,
    provider: Provider = None,
    classes: Classes = None,
    min_score: MinScore = None,
    sink: Annotated[
        list[str] | None,
        typer.Option(help="Where answers go: jsonl:PATH, csv:PATH, mot:PATH, video:PATH, ws://HOST:PORT or stdout."),
    ] = None,
    pace: Pace = None,
    start: Start = None,
    duration: Duration = None,
    max_frames: MaxFrames = None,
    stream: Stream = None,
    report: Annotated[str | None, typer.Option(help="Write the report to this file, JSON.")] = None,
    retry_start: Annotated[
        bool | None, typer.Option("--retry-start", help="Wait for a live source that is not there yet.")
    ] = None,
    give_up_after: Annotated[
        str | None, typer.Option(help="End when a live source is away for so long, such as 1m; otherwise never.")
    ] = None,
    project_to: Annotated[
        str | None, typer.Option(help="Live: the moment that boxes are true for, capture or publish.")
    ] = None,
    record_timings: Annotated[
        str | None, typer.Option(help="Live: write what happened when to this file, for framepace simulate.")
    ] = None,
    trace: Annotated[
        str | None, typer.Option(help="Write a trace of the last seconds to this file, JSON for Perfetto.")
    ] = None,
    trace_seconds: Annotated[float | None, typer.Option(help="How far back traces reach; 30.", min=1, max=600)] = None,
    trace_on_miss: Annotated[
        str | None, typer.Option(help="Live: write traces into this folder when several frames in a row are missed.")
    ] = None,
    serve: Annotated[
        str | None, typer.Option(help="HOST:PORT of a page that shows the run, with its results and metrics.")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(help="Who asks the page must know it, and may control the run. Can be seen by all users here."),
    ] = None,
    token_file: Annotated[
        str | None, typer.Option(help="File with the token; the variable FRAMEPACE_TOKEN does as well.")
    ] = None,
    insecure: Annotated[
        bool | None, typer.Option("--insecure", help="Show the page to the network without a token.")
    ] = None,
    log_format: Annotated[
        str | None, typer.Option(help="Log lines on standard error: text, or json with one object a line.")
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(help="The least that is logged: debug, info, warning or error.")
    ] = None,
    quiet: Annotated[bool | None, typer.Option("--quiet", help="Print errors only.")] = None,
    show_config: Annotated[
        bool, typer.Option("--show-config", help="Print the configuration in force, secrets masked, and leave.")
    ] = False,
) -> None:
    """Detect, track, and answer every frame."""
    from pipeline.cli.run import run_command, show_configuration

    flags = Flags(
        source=source,
        config=config,
        mode=mode,
        deadline=deadline,
        model=model,
        provider=provider,
        classes=classes,
        min_score=min_score,
        sinks=sink or [],
        pace=pace,
        start=start,
        duration=duration,
        max_frames=max_frames,
        stream=stream,
        report=report,
        retry_start=retry_start,
        give_up_after=give_up_after,
        project_to=project_to,
        record_timings=record_timings,
        trace=trace,
        trace_seconds=trace_seconds,
        trace_on_miss=trace_on_miss,
        log_format=log_format,
        log_level=log_level,
        quiet=quiet,
        serve=serve,
        token=token,
        token_file=token_file,
        insecure=insecure,
    )
    if show_config:
        typer.echo(show_configuration(flags), nl=False)
        raise typer.Exit
    raise typer.Exit(run_command(flags))


@app.command()
def check(
    source: Source = None,
    *,
    config: Config = None,
    deadline: Deadline = None,
    model: Model = None,
    provider: Provider = None,
    classes: Classes = None,
    min_score: MinScore = None,
    pace: Pace = None,
    duration: Annotated[str, typer.Option(help="How long to measure.")] = "5s",
) -> None:
    """Measure whether a source, a model and this machine can hold a deadline; writes no output."""
    from pipeline.cli.check import check_command

    flags = Flags(
        source=source,
        config=config,
        deadline=deadline,
        model=model,
        provider=provider,
        classes=classes,
        min_score=min_score,
        pace=pace,
        mode="live",
    )
    raise typer.Exit(check_command(flags, duration))


@app.command()
def simulate(
    config: Annotated[
        Path | None, typer.Argument(help="YAML file; its deadline, credits and stages are simulated.")
    ] = None,
    *,
    arrivals: Annotated[
        str, typer.Option(help="30fps, 30fps+jitter:5ms, 30fps+stall:EVERY,LENGTH, poisson:30fps, or recorded timings.")
    ] = "30fps",
    service_times: Annotated[
        list[str] | None,
        typer.Option(
            help="How long a stage takes: detect=64ms, normal:MEAN,SD, lognormal:MEDIAN,P99, uniform:LOW,HIGH, "
            "exponential:MEAN, a file with one number of ms a line, or recorded timings. Without a name: the detector."
        ),
    ] = None,
    lateness: Annotated[str, typer.Option(help="How late threads run that are woken; as for --service-times.")] = "0ms",
    replay: Annotated[
        Path | None, typer.Option(help="Play recorded timings again and compare the decisions with the recorded ones.")
    ] = None,
    deadline: Deadline = None,
    credits: Annotated[int | None, typer.Option(help="Frames between admission and detection.", min=1, max=8)] = None,  # noqa: A002
    compare: Annotated[bool, typer.Option("--compare", help="Show other policies beside framepace's.")] = False,
    duration: Annotated[str, typer.Option(help="Simulated time.")] = "10m",
    seed: Annotated[int, typer.Option(help="Where chance begins.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Try deadlines, loads and policies on simulated time: the engine's own decisions, without the waiting."""
    from pipeline.cli.simulate import Wishes, simulate_command

    wishes = Wishes(
        config=config,
        arrivals=arrivals,
        service_times=service_times or [],
        lateness=lateness,
        replay=replay,
        deadline=deadline,
        credits=credits,
        compare=compare,
        duration=duration,
        seed=seed,
        as_json=as_json,
    )
    raise typer.Exit(simulate_command(wishes))


@app.command()
def schema(what: Annotated[str, typer.Argument(help="config, model, report or result.")]) -> None:
    """Print the JSON Schema of the configuration, a model's YAML file, the report or a result record."""
    from pipeline.cli.schema import schema_text

    typer.echo(schema_text(what))


def _version(value: bool) -> None:  # noqa: FBT001  # typer calls it with the flag's value
    if value:
        typer.echo(importlib.metadata.version("framepace"))
        raise typer.Exit


@app.callback()
def _top(
    *,
    version: Annotated[  # handled by its callback
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _add_registered_commands() -> None:
    for name, command in sorted(load_commands().items()):
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        elif callable(command):
            app.command(name)(command)


def main() -> NoReturn:
    """Run the command line and exit."""
    if os.environ.get("COLUMNS", "").strip("0 ") == "":
        os.environ.pop("COLUMNS", None)  # of a terminal without a width: nothing would be shown at all
    with guarded_streams():
        code = call(_run_commands)
        try:
            sys.stdout.flush()
        except (OSError, ValueError) as error:
            code = _fail(f"standard output: {_reason(error)}", Exit.FAILED)
    # A thread left behind in a blocked library call must not keep the process; everything is written by now.
    os._exit(code)


def _run_commands() -> object:
    _add_registered_commands()
    return app(sys.argv[1:] or ["--help"], standalone_mode=False)


def call(command: Callable[[], object]) -> int:
    """Call a command; print each problem in one line and return the exit code."""
    try:
        result = command()
    except typer.Exit as leave:
        return leave.exit_code
    except typer.Abort:
        return Exit.DONE
    except typer.TyperException as error:
        return _fail(error.format_message(), Exit.USAGE)
    except ConfigError as error:
        for problem in error.problems:
            _fail(str(problem), Exit.USAGE)
        return Exit.USAGE
    except SinkOpenError as error:
        return _fail(str(error), Exit.USAGE)
    except OpenError as error:
        return _fail(str(error), Exit.CANNOT_OPEN)
    except PipelineError as error:
        return _fail(str(error), Exit.FAILED)
    except BrokenPipeError:
        return Exit.FAILED
    except OSError as error:
        if error.filename is None:
            return _fail(f"standard output: {_reason(error)}", Exit.FAILED)
        return _fail(f"{str(error.filename)[:80]}: {_reason(error)}", Exit.USAGE)
    return result if isinstance(result, int) else Exit.DONE


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _fail(message: str, code: Exit) -> int:
    say_failure(message)
    return code
