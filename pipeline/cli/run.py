"""`framepace run`: one run, from flags to exit code."""

from __future__ import annotations

import functools
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from rich.console import Console

from pipeline.cli.console import PlainConsole
from pipeline.cli.logs import ConsoleHandler, JsonHandler, logging_aside, say_failure, set_up_logging
from pipeline.cli.options import Flags, built_from_flags
from pipeline.cli.status import StatusDisplay
from pipeline.cli.summary import log_summary, print_summary
from pipeline.clock import NS_PER_S
from pipeline.config.build import Built
from pipeline.errors import ConfigError, PipelineError
from pipeline.files import identity, is_regular, write_whole
from pipeline.frame import CaptureClock
from pipeline.graph import Plan
from pipeline.report import Report
from pipeline.run import Run
from pipeline.shown import in_one_line, printable

SWITCH_INTERVAL_S = 0.0005
"""A thread that wants the interpreter lock from a busy Python loop waits this long, not the default 5 ms."""
_TICK_NS = NS_PER_S // 5


@dataclass(frozen=True, slots=True)
class Executed:
    """A run that is over."""

    run: Run
    report: Report
    interrupted: bool
    """Whether Ctrl-C or SIGTERM asked it to end, even if it came to its end by itself just then."""

    def whole(self) -> Report:
        """Return the report, for who has no use for half a run.

        Raises:
            PipelineError: it failed, was interrupted, or ended because nobody heard it any more.
        """
        failure = self.run.failure
        if failure is not None:
            raise failure if isinstance(failure, PipelineError) else PipelineError(str(failure)) from failure
        if self.interrupted:
            raise PipelineError("interrupted; nothing is said of half a measurement")
        broken = [f"{name} failed: {sink.failed}" for name, sink in self.report.sinks.items() if sink.failed]
        if broken:
            raise PipelineError("; ".join(broken))
        return self.report


def run_command(flags: Flags) -> int:
    """Run and return the exit code.

    Raises:
        PipelineError: it could not start.
    """
    config, built = built_from_flags(flags)
    wanted = {"--report": config.report, "--record-timings": config.record_timings, "--trace": config.trace}
    files = _reserve_all(wanted, built.plan, {} if flags.config is None else {"--config": flags.config})
    console = make_console()
    as_json = config.log_format == "json"
    handler = JsonHandler(config.stream) if as_json else ConsoleHandler(console)
    set_up_logging(handler, level="error" if config.quiet else config.log_level)
    with _stop_signals():  # one that comes when the run is over must not cost its report
        executed = execute(built, console, quiet=config.quiet or as_json)
        run, report = executed.run, executed.report
        if not config.quiet:
            (log_summary if as_json else functools.partial(print_summary, console=console))(report)
        say = say_failure if as_json else functools.partial(_print_failure, console)
        code = _judge(run, report, say)
        if not code and not executed.interrupted:
            code = _judge_source(report, say)
        written = [
            _write("report", files.get("--report"), lambda: report.model_dump_json(indent=2).encode() + b"\n", say),
            _write("trace", files.get("--trace"), run.trace, say),
        ]
        return code if all(written) else 1


def show_configuration(flags: Flags) -> str:
    """Return the configuration in force as YAML, secrets masked.

    Raises:
        ConfigError: it is not right.
    """
    _, built = built_from_flags(flags)
    configuration = dict(built.settings.configuration)
    text = yaml.safe_dump(configuration, sort_keys=False, allow_unicode=True)
    is_plain = text == printable(text)
    return text if is_plain else yaml.safe_dump(configuration, sort_keys=False, allow_unicode=False)


def make_console() -> Console:
    """Return the console for everything that is not a result: standard error."""
    return PlainConsole(stderr=True, soft_wrap=True)


def execute(built: Built, console: Console, *, quiet: bool, limit_ns: int | None = None) -> Executed:
    """Start a run, show how it goes, stop it on Ctrl-C, SIGTERM or after a time, and finish it."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    run = Run(built.plan, built.settings)
    with _stop_signals() as asked, _quiet_collector(), logging_aside():
        run.start(cancelled=lambda: bool(asked))
        total = built.plan.source.total_frames
        with StatusDisplay(console, built.settings.mode, total, quiet=quiet) as status:
            while not run.wait(_TICK_NS):
                if asked:
                    run.stop()
                if quiet and limit_ns is None:
                    continue  # a report takes a millisecond of the processor that nobody would look at
                report = run.report()
                if limit_ns is not None and report.duration_s * NS_PER_S >= limit_ns:
                    run.stop()
                status.show(report)
        report = run.finish()
    return Executed(run, report, interrupted=bool(asked))


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collect Ctrl-C, SIGTERM and the hanging up of the terminal; a second one ends the process by its default action.

    What is ignored stays ignored, but for SIGTERM: `nohup` and shells that start a command in the background want that.
    """
    asked: list[int] = []

    def note(number: int, frame: object) -> None:  # noqa: ARG001  # the signature is Python's
        asked.append(number)
        signal.signal(number, signal.SIG_DFL)

    wanted = [
        number
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if number == signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN
    ]
    previous = {number: signal.signal(number, note) for number in wanted}
    try:
        yield asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def _quiet_collector() -> Iterator[None]:
    """Keep the collector from walking over what lives as long as the run."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _reserve_all(wanted: Mapping[str, str | None], plan: Plan, read: Mapping[str, Path]) -> dict[str, Path]:
    """Return the files beside the sinks, by flag.

    Args:
        wanted: the paths, by flag.
        plan: whose sinks write files, too.
        read: what else the run reads, by what it is.

    Raises:
        ConfigError: one cannot be written later, or is one that the run reads or writes already; or a sink's is.
    """
    taken = {identity(path): name for name, path in read.items()}
    for name, part in [("source", plan.source), *plan.stages, *plan.sinks]:
        taken |= {identity(path): f"{name} as its {what}" for what, path in part.reads.items()}
    used = {"source": plan.source.resource, **{name: sink.resource for name, sink in plan.sinks}}
    for name, resource in used.items():
        kind, _, path = (resource or "").partition(":")
        if kind != "file" or not is_regular(path):
            continue
        if name != "source" and identity(path) in taken:
            raise ConfigError.one(name, f"{path} is in use by {taken[identity(path)]}, and would be overwritten")
        taken[identity(path)] = name
    files: dict[str, Path] = {}
    for flag, written in wanted.items():
        if written is None:
            continue
        files[flag] = _writable(flag, written)
        if is_regular(files[flag]):
            user = taken.setdefault(identity(files[flag]), flag)
            if user != flag:
                raise ConfigError.one(flag, f"{written} is in use by {user}")
    return files


def _writable(flag: str, path: str) -> Path:
    """Return a path at which a file can be written.

    Raises:
        ConfigError: it cannot.
    """
    file = Path(os.path.expanduser(path))
    try:
        if file.is_dir():
            raise ConfigError.one(flag, f"{path} is a directory; give a file")
        if not file.parent.is_dir():
            raise ConfigError.one(flag, f"{file.parent} does not exist")
        if not os.access(file if file.exists() else file.parent, os.W_OK):
            raise ConfigError.one(flag, f"{path} cannot be written")
    except OSError as error:
        raise ConfigError.one(flag, f"{path[:80]} cannot be written: {error.strerror}") from error
    return file


def _print_failure(console: Console, message: str) -> None:
    console.print(f"framepace: {in_one_line(message)}", style="red")


def _write(what: str, file: Path | None, make: Callable[[], bytes | None], say: Callable[[str], None]) -> bool:
    """Write a file, if there shall be one, as a whole or not at all; return whether all is well."""
    content = None if file is None else make()
    if file is None or content is None:
        return True
    try:
        write_whole(file, content)
    except OSError as error:
        say(f"the {what} could not be written: {error}")
        return False
    return True


def _judge(run: Run, report: Report, say: Callable[[str], None]) -> int:
    """Return 0, or 1 with a line on what went wrong."""
    wrong = []
    if run.failure is not None:
        wrong.append(f"the run failed: {run.failure}")
    if not report.balanced:
        wrong.append("the books do not balance; this is a defect in framepace")
    if report.published_late:
        late = f"{report.published_late} answers were published late"
        wrong.append(f"{late}: the machine is too busy to let framepace finish giving them")
    wrong += [f"{name} failed: {sink.failed}" for name, sink in report.sinks.items() if sink.failed]
    for line in wrong:
        say(line)
    return 1 if wrong else 0


def _judge_source(report: Report, say: Callable[[str], None]) -> int:
    """Return 0, or 3 with a line where a recording came to its end without a single picture."""
    frames = report.frames
    if report.source.clock not in (None, CaptureClock.FILE) or frames.captured > frames.undecodable:
        return 0
    if frames.captured:
        say(f"the source cannot be used: none of its frames could be decoded (there are {frames.captured})")
    else:
        say("the source cannot be used: it has no frame in the part that was asked for")
    return 3
