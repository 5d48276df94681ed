"""A source with bad days: jitter, bursts, silence, loss, wrong time stamps, broken connections."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import replace
from typing import Annotated, Self

from pydantic import Field, model_validator

from pipeline.clock import NS_PER_MS, NS_PER_S, Clock, Flag
from pipeline.config.model import PartConfig
from pipeline.errors import Outage, StreamLost
from pipeline.registry import find_source
from pipeline.stage import OpenContext, Options, Sample, Source
from pipeline.units import Duration
from stages.chaos.inner import make_inner

Share = Annotated[float, Field(ge=0, le=1)]


class ChaosSourceOptions(Options):
    """What goes wrong, how often and when; nothing by default."""

    of: PartConfig = Field(description="The source that is made worse, with its `kind` and options.")
    seed: int = Field(default=0, description="Same seed, same trouble.")
    jitter: Duration = Field(default=0, description="Samples come late by up to this, in order.")
    burst_every: int = Field(default=0, ge=0, description="After so many samples, some are held back and come at once.")
    burst_size: int = Field(default=5, ge=2, le=100, description="How many come at once.")
    loss: Share = Field(default=0.0, description="Share of samples that never come.")
    same_stamp: Share = Field(default=0.0, description="Share of samples with the time stamp of the one before.")
    backward_stamp: Share = Field(default=0.0, description="Share of samples with a time stamp before the last one.")
    freeze_every: Duration = Field(default=0, description="Every so often the source goes silent; 0s: never.")
    freeze_for: Duration = Field(default=3 * NS_PER_S, description="How long it is silent.")
    lost_every: Duration = Field(default=0, description="Every so often the connection breaks; 0s: never.")
    lost_most: int | None = Field(default=None, ge=1, description="It breaks so many times at the most.")
    stall_timeout: Duration = Field(default=2 * NS_PER_S, description="Silence after which the source counts as lost.")

    @model_validator(mode="after")
    def _inner_is_right(self) -> Self:
        _make(self.of)
        return self


def _make(part: PartConfig) -> Source:
    try:
        kind = find_source(part.kind)
    except LookupError as error:  # pydantic shows a ValueError as a problem of the configuration
        raise ValueError(str(error)) from error
    return make_inner(kind, part)


class ChaosSource(Source):
    """Hands on the samples of another source, with the trouble that was asked for.

    Comes in and goes out: whatever the other source gives. Kept: samples held back, the last time stamp, when the next
    trouble is due. A sample that comes late keeps the capture time that the other source gave it.
    """

    options_type = ChaosSourceOptions

    def __init__(self, options: ChaosSourceOptions) -> None:
        self._options = options
        self._inner = _make(options.of)
        self.produces = self._inner.produces  # type: ignore[misc]  # what it gives depends on what it wraps
        self.default_stages = self._inner.default_stages  # type: ignore[misc]
        self._random = random.Random(options.seed)
        self._held: deque[Sample] = deque()
        self._count = 0
        self._breaks = 0
        self._last_pts_ns = 0
        self._clock: Clock | None = None
        self._closing: Flag | None = None
        self._next_freeze_ns = self._next_loss_ns = 0

    @property
    def live(self) -> bool:
        return self._inner.live

    @property
    def total_frames(self) -> int | None:
        return self._inner.total_frames

    @property
    def resource(self) -> str | None:
        return self._inner.resource

    def open(self, context: OpenContext) -> None:
        self._inner.open(context)
        self._clock = context.clock
        self._closing = Flag(context.clock)
        now_ns = context.clock.now_ns()
        self._next_freeze_ns = now_ns + self._options.freeze_every
        self._next_loss_ns = now_ns + self._options.lost_every

    def close(self) -> None:
        self._held.clear()
        self._inner.close()

    def describe(self) -> dict[str, int | str]:
        return self._inner.describe()

    def interrupt(self) -> None:
        if self._closing is not None:
            self._closing.set()
        self._inner.interrupt()

    def read(self) -> Sample | None:
        assert self._clock is not None
        options = self._options
        self._break_down(self._clock.now_ns())
        while not self._held:
            sample = self._inner.read()
            if sample is None:
                return None
            if self._random.random() < options.loss:
                continue
            self._count += 1
            self._held.append(self._restamped(sample))
            if options.burst_every and self._count % options.burst_every == 0:
                self._hold_back(options.burst_size - 1)
        if options.jitter:
            self._wait(self._random.randrange(options.jitter))
        return self._held.popleft()

    def _break_down(self, now_ns: int) -> None:
        """Go silent, or lose the connection, when it is time to."""
        options = self._options
        if options.freeze_every and now_ns >= self._next_freeze_ns:
            self._next_freeze_ns = now_ns + options.freeze_for + options.freeze_every
            self._wait(min(options.freeze_for, options.stall_timeout))
            if options.freeze_for >= options.stall_timeout:
                raise StreamLost(f"nothing came for {options.stall_timeout / NS_PER_S:g} s (chaos)", Outage.SILENT)
        may_break = options.lost_every and (options.lost_most is None or self._breaks < options.lost_most)
        if may_break and now_ns >= self._next_loss_ns:
            self._breaks += 1
            raise StreamLost("the connection broke (chaos)")

    def _hold_back(self, count: int) -> None:
        for _ in range(count):
            sample = self._inner.read()
            if sample is None:
                return
            self._held.append(self._restamped(sample))

    def _restamped(self, sample: Sample) -> Sample:
        if sample.pts_ns is None:
            return sample
        chance = self._random.random()
        options = self._options
        if chance < options.same_stamp:
            return replace(sample, pts_ns=self._last_pts_ns, dts_ns=None)
        if chance < options.same_stamp + options.backward_stamp:
            return replace(sample, pts_ns=max(0, self._last_pts_ns - 40 * NS_PER_MS), dts_ns=None)
        self._last_pts_ns = sample.pts_ns
        return sample

    def _wait(self, duration_ns: int) -> None:
        assert self._closing is not None
        self._closing.wait(duration_ns)
