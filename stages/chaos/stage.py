"""A stage with bad days: slow, raising, or hanging."""

from __future__ import annotations

import random
from typing import Annotated

from pydantic import Field

from pipeline.clock import Flag
from pipeline.frame import FrameInfo
from pipeline.stage import OpenContext, Options, Stage
from pipeline.units import Duration

_FOR_EVER_NS = 3600 * 1_000_000_000


class ChaosStageOptions(Options):
    """What goes wrong, and on which frames; nothing by default."""

    seed: int = Field(default=0, description="Same seed, same trouble.")
    slow: Duration = Field(default=0, description="How long a slow frame takes.")
    slow_share: Annotated[float, Field(ge=0, le=1)] = Field(default=1.0, description="Share of frames that are slow.")
    raise_on: tuple[int, ...] = Field(default=(), description="Frame numbers on which it raises.")
    raise_share: Annotated[float, Field(ge=0, le=1)] = Field(default=0.0, description="Share of frames that raise.")
    hang_on: int | None = Field(default=None, description="Frame number on which it hangs, for ever or until closed.")


class ChaosStage(Stage):
    """Hands on what it gets. It may stand anywhere before or after the detector; it never changes a payload."""

    options_type = ChaosStageOptions

    def __init__(self, options: ChaosStageOptions) -> None:
        self._options = options
        self._random = random.Random(options.seed)
        self._closing: Flag | None = None
        self._input_spec: object | None = None

    @property
    def input_spec(self) -> object | None:
        return self._input_spec

    def open(self, context: OpenContext) -> None:
        self._closing = Flag(context.clock)
        self._input_spec = context.downstream

    def close(self) -> None:
        if self._closing is not None:
            self._closing.set()

    def process(self, payload: object, info: FrameInfo) -> object:
        assert self._closing is not None
        options = self._options
        if info.frame_id == options.hang_on:
            self._closing.wait(_FOR_EVER_NS)
        if options.slow and self._random.random() < options.slow_share:
            self._closing.wait(options.slow)
        if info.frame_id in options.raise_on or self._random.random() < options.raise_share:
            raise RuntimeError("asked to fail on this frame (chaos)")
        return payload
