"""The errors that framepace raises, as one tree.

    PipelineError
      ConfigError (ValueError)       wrong usage or configuration: exit code 2
      OpenError                      something outside could not be opened
        SourceOpenError (OSError)    exit code 3
        StageOpenError               exit code 3 (a model that is missing, broken or not understood)
        SinkOpenError (OSError)      exit code 2 (a path or port that cannot be used)
      StreamLost (ConnectionError)   a live source broke or went silent: the engine reconnects
      Undecodable                    the codec gave no picture for a packet: counted, the run goes on
      StageFailed                    a stage raised on a frame: counted, the cause is kept
      LinkClosed                     our side closed the link: put or get no more
      LinkEnded (EOFError)           the other side finished: nothing more will come
      LedgerError                    the books were written wrongly: a defect in the engine

A dropped frame is not an error: it is data in the ledger, with a reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class PipelineError(Exception):
    """Base of every error that framepace raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a configuration."""

    path: str
    """Where: `$.sinks[1].port`, or the flag, such as `--deadline`."""
    message: str
    """What is wrong and what would be right, in one sentence without a full stop."""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class ConfigError(PipelineError, ValueError):
    """Wrong usage or configuration; carries every problem found, not only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))

    @classmethod
    def one(cls, path: str, message: str) -> ConfigError:
        """Make an error with a single problem."""
        return cls([Problem(path, message)])


class OpenError(PipelineError):
    """Something outside could not be opened: `what`, and why in one line."""

    def __init__(self, what: str, why: str) -> None:
        self.what = what
        self.why = why
        super().__init__(f"{what}: {why}")


class SourceOpenError(OpenError, OSError):
    """The video source could not be opened."""


class StageOpenError(OpenError):
    """A stage (mostly: its model) could not be made ready."""


class SinkOpenError(OpenError, OSError):
    """A sink's path or port cannot be used."""


class Outage(StrEnum):
    """Why no frame can be answered just now. All but the last two are losses: the source is opened again."""

    ENDED = "ended"
    """The source said, or its connection did, that nothing more comes."""
    ERROR = "error"
    """Reading it failed."""
    SILENT = "silent"
    """The connection stands, but nothing came for the stall timeout."""
    FROZEN = "frozen"
    """The very same picture came again and again, for the stall timeout."""
    UNDECODABLE = "undecodable"
    """Packets come, but no picture can be made of them."""
    MISSED = "missed"
    """Frames come, but their deadlines are over before they can be answered: others have the processor."""


LOSSES = (Outage.ENDED, Outage.ERROR, Outage.SILENT, Outage.FROZEN)


class StreamLost(PipelineError, ConnectionError):
    """A live source is lost; `why` says it in words."""

    def __init__(self, why: str, outage: Outage = Outage.ERROR) -> None:
        self.why = why
        self.outage = outage
        super().__init__(why)


class Undecodable(PipelineError):
    """The codec gave no picture for a packet."""


class StageFailed(PipelineError):
    """A stage raised while it worked on a frame; the original error is the `__cause__`."""

    def __init__(self, stage: str, frame_id: int, cause: BaseException) -> None:
        self.stage = stage
        self.frame_id = frame_id
        super().__init__(f"stage {stage} failed on frame {frame_id}: {type(cause).__name__}: {cause}")
        self.__cause__ = cause


class LinkClosed(PipelineError):
    """This side closed the link; nothing more can be put into or taken from it."""


class LinkEnded(PipelineError, EOFError):
    """The producer finished and everything it put has been taken."""


class LedgerError(PipelineError, RuntimeError):
    """A frame got two fates, or a fate without having been captured."""
