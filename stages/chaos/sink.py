"""A sink with bad days: slow, blocking, or failing."""

from __future__ import annotations

import errno
import os
from typing import Self

from pydantic import Field, model_validator

from pipeline.clock import Flag
from pipeline.config.model import PartConfig
from pipeline.frame import Answer
from pipeline.observe import Observer
from pipeline.registry import find_sink
from pipeline.stage import OpenContext, Options, Sink
from pipeline.units import Duration
from stages.chaos.inner import make_inner

_FOR_EVER_NS = 3600 * 1_000_000_000


class ChaosSinkOptions(Options):
    """What goes wrong, and when; nothing by default."""

    of: PartConfig = Field(description="The sink that is made worse, with its `kind` and options.")
    slow: Duration = Field(default=0, description="How long each write takes.")
    block_on: int | None = Field(default=None, description="Frame number on which it blocks, for ever or until closed.")
    fail_on: int | None = Field(default=None, description="Frame number from which the disk is full.")

    @model_validator(mode="after")
    def _inner_is_right(self) -> Self:
        _make(self.of)
        return self


def _make(part: PartConfig) -> Sink:
    try:
        kind = find_sink(part.kind)
    except LookupError as error:  # pydantic shows a ValueError as a problem of the configuration
        raise ValueError(str(error)) from error
    if issubclass(kind, Observer):
        raise ValueError(f"{part.kind} looks at the run itself and cannot be wrapped; give another kind of sink")
    return make_inner(kind, part)


class ChaosSink(Sink):
    """Writes through another sink, with the trouble that was asked for."""

    options_type = ChaosSinkOptions

    def __init__(self, options: ChaosSinkOptions) -> None:
        self._options = options
        self._inner = _make(options.of)
        self.wants_pictures = self._inner.wants_pictures  # type: ignore[misc]  # depends on what it wraps
        self._closing: Flag | None = None

    @property
    def resource(self) -> str | None:
        return self._inner.resource

    def open(self, context: OpenContext) -> None:
        self._closing = Flag(context.clock)
        self._inner.open(context)

    def begin(self) -> None:
        self._inner.begin()

    def close(self) -> None:
        if self._closing is not None:
            self._closing.set()
        self._inner.close()

    def write(self, answer: Answer, *, gap: int) -> None:
        assert self._closing is not None
        options = self._options
        if answer.info.frame_id == options.block_on:
            self._closing.wait(_FOR_EVER_NS)
        if options.slow:
            self._closing.wait(options.slow)
        if options.fail_on is not None and answer.info.frame_id >= options.fail_on:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC) + " (chaos)")
        self._inner.write(answer, gap=gap)

    def statistics(self) -> dict[str, int]:
        return self._inner.statistics()
