"""The roles that authors of sources, decoders, stages and sinks fill.

Each role is a small base class with one required method. Constructors do no I/O: `open` acquires, `close`
releases, is idempotent, and is called exactly when `open` succeeded. A class takes one argument, its
validated options (`options_type`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from pipeline.clock import Clock
from pipeline.frame import Answer, CaptureClock, FrameInfo, Heartbeat, Mode


class Options(BaseModel):
    """Base of the settings of a source, decoder, stage or sink kind; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class OpenContext:
    """What a part may know about the run when it opens."""

    mode: Mode
    stream_id: str
    clock: Clock
    cores: int
    """Processor cores that this process may use."""
    deadline_ns: int | None
    """Capture to answer; None in lossless mode."""
    downstream: object | None = None
    """The `input_spec` of the next stage, which is opened first. None at the end of the chain."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One packet, or one ready picture, as it came from a source."""

    payload: object | None
    """None: the frame was captured, but the source knows that too much of it was lost to decode it."""
    pts_ns: int | None
    """Presentation time on the stream's own time line; None when the stream does not say."""
    dts_ns: int | None
    """Decode time; None when it equals the presentation time or is not known."""
    captured_ns: int | None
    """Capture time on the engine's clock; None: the engine takes the moment at which read() returned.
    May lie in the past, and in live mode never in the future."""
    clock: CaptureClock


@dataclass(frozen=True, slots=True)
class Decoded:
    """One picture out of a decoder."""

    ticket: int
    """The ticket of the sample that it came from, carried through the codec."""
    payload: object
    size: tuple[int, int]
    """Width and height as a viewer sees it, pixels."""


class Part(ABC):
    """What sources, decoders, stages and sinks share."""

    options_type: ClassVar[type[Options]] = Options
    """The settings of this kind; the engine validates them and hands them to the constructor."""

    @classmethod
    def options_from_spec(cls, spec: str) -> dict[str, object]:
        """Turn the short form of the command line, the text after `KIND:`, into unvalidated options.

        Raises:
            ValueError: the text is not understood; the message says what would be right.
        """
        if spec:
            raise ValueError("takes no argument")
        return {}

    @property
    def resource(self) -> str | None:
        """What a sink writes to, or a source reads from, and no sink may write to at the same time.

        `file:/abs/path`, `port:127.0.0.1:8765`; known before open.
        """
        return None

    @property
    def reads(self) -> Mapping[str, Path]:
        """Files that the part reads besides its resource, by what they are; nothing may be written over them."""
        return {}

    def open(self, context: OpenContext) -> None:
        """Acquire what is needed (files, sockets, models); raise OpenError when that fails."""

    def close(self) -> None:
        """Release everything. Idempotent; called from another thread only after work has stopped."""


class Source(Part):
    """Gives packets or ready pictures."""

    produces: ClassVar[type] = object
    """The class of the payloads."""
    default_stages: ClassVar[tuple[str, ...]] = ("preprocess", "detect", "track")
    """Stage kinds that a configuration without `stages` gets behind this source."""

    @property
    def live(self) -> bool:
        """Whether time passes without us: a camera, not a file read as fast as possible. Known before open."""
        return False

    @property
    def total_frames(self) -> int | None:
        """How many frames there will be, if the source can tell (after open); for progress only."""
        return None

    @abstractmethod
    def read(self) -> Sample | None:
        """Return the next sample in decode order, or None at the end.

        Blocks for a bounded time. Never waits for anything downstream.

        Raises:
            StreamLost: a live source ended, broke or went silent. The engine closes it, waits, opens it again.
        """

    def describe(self) -> dict[str, int | str]:
        """Return facts and counters for the report, over all the times that it was opened."""
        return {}

    def interrupt(self) -> None:
        """End the open() or read() that another thread is in, as soon as can be: the run stops.

        Never waits; whatever the other thread then returns or raises counts no more.
        """


class Decoder(Part):
    """Turns packets into pictures; one packet may give none, one or several."""

    accepts: ClassVar[type] = object
    produces: ClassVar[type] = object

    @abstractmethod
    def decode(self, payload: object, ticket: int) -> Sequence[Decoded]:
        """Feed one packet; return the pictures that came out, in presentation order.

        Raises:
            Undecodable: this packet is broken. The decoder stays usable.
        """

    def flush(self) -> Sequence[Decoded]:
        """Return the pictures still inside at the end of the stream."""
        return ()


class Stage(Part):
    """One step on one thread."""

    accepts: ClassVar[type] = object
    """The class of the payloads that process() takes."""
    produces: ClassVar[type] = object
    """The class of the payloads that process() returns."""
    stateless: ClassVar[bool] = False
    """Whether frames may be processed by several threads at once, in any order (lossless mode does so)."""
    detector: ClassVar[bool] = False
    """Whether this is the slow step that admission is about. Exactly one stage of a live graph is."""
    tunable: ClassVar[frozenset[str]] = frozenset()
    """Names of the options that may be changed while it runs."""
    watches: ClassVar[type | None] = None
    """The class of the pictures that watch() takes; None: it has no use for those that are not admitted."""

    @property
    def input_spec(self) -> object | None:
        """What this stage, once open, wants its input to look like; handed to the stage before it."""
        return None

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """What this detector, once open, reports, by name; empty where classes have no names, None if not known."""
        return None

    def warm(self) -> None:
        """Run once with made-up input of the exact shape. Called on the stage's thread before any frame."""

    def describe(self) -> dict[str, str | int | float | None]:
        """Return facts for the report (model, provider in use, ...), valid after open, and still after close."""
        return {}

    @property
    def options(self) -> Options:
        """The options that are in force; asked of stages with something tunable, from any thread."""
        raise NotImplementedError(f"{type(self).__name__} has nothing tunable")

    def tune(self, options: Options) -> None:
        """Take other options, validated, that differ in tunable ones only, from the next frame on.

        Called one call at a time, on another thread than the one that may be in open() or process() meanwhile: no frame
        may see the old value of one option and the new one of another. Never waits.

        Raises:
            ValueError: that is not possible; the message says what would be right, and nothing has changed.
        """
        raise NotImplementedError(f"{type(self).__name__} has nothing tunable")

    def would_watch(self, info: FrameInfo) -> bool:
        """Return whether watch() has a use for the picture of this frame; asked of every frame, so answer at once."""
        return True

    def watch(self, payload: object, info: FrameInfo) -> None:
        """See a decoded picture, whether or not it is admitted; live only, on a thread of its own, in order.

        Pictures that it is too slow for are left out.

        Raises:
            Exception: it is logged, and the stage is shown no more.
        """

    @abstractmethod
    def process(self, payload: object, info: FrameInfo) -> object | None:
        """Do this step for one frame.

        Returns:
            The payload for the next stage, or None to skip the frame: it is then answered with the reason `shed`.

        Raises:
            Exception: whatever is raised is kept and counted as `failed`, never taken for an empty result.
        """


class Sink(Part):
    """Takes answers, on its own thread behind its own bounded queue."""

    wants_pictures: ClassVar[bool] = False
    """Whether answers must carry the decoded picture."""

    def begin(self) -> None:
        """Start writing: called once, when every part of the run is open, on the sink's own thread.

        What an earlier run left may be replaced here, and not before: another part may fail to open.

        Raises:
            Exception: as from write.
        """

    @abstractmethod
    def write(self, answer: Answer, *, gap: int) -> None:
        """Write one answer.

        Args:
            answer: the answer.
            gap: how many frames before this one have no record at this sink (missed, undecodable or
                skipped because this sink was too slow).

        Raises:
            Exception: the sink is then closed and reported as failed; the other sinks go on.
        """

    def beat(self, heartbeat: Heartbeat) -> None:
        """Say that there is no frame to answer; for sinks whose readers must know at once.

        Raises:
            Exception: as from write.
        """

    def statistics(self) -> dict[str, int]:
        """Return counters for the report (clients, skipped per client, ...)."""
        return {}


@runtime_checkable
class Forecaster(Protocol):
    """What the last stage returns, so that the publisher can answer frames that were not measured.

    Immutable, and asked from any thread. What `forecast` says of a time after the measurement may get better as more
    becomes known of it (a watching stage); it never takes back the measurement.
    """

    @property
    def measured_ns(self) -> int:
        """The capture time of the newest frame that was measured."""

    def forecast(self, at_ns: int) -> object | None:
        """Return the payload moved to `at_ns`, or None when that is beyond the horizon.

        `forecast(measured_ns)` is the measured state itself.
        """
