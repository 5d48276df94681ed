"""Measures one part at a time, each made by its kind as a configuration would make it, alone on the machine."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.clock import NS_PER_MS, NS_PER_S, RealClock
from pipeline.errors import ConfigError, Undecodable
from pipeline.frame import FrameInfo, Mode
from pipeline.histogram import Histogram
from pipeline.registry import find_decoder, find_source, find_stage, make
from pipeline.report import percentiles_ms
from pipeline.stage import Decoded, Decoder, Forecaster, OpenContext, Source, Stage
from stages.bench.figures import DecodeFigures, DetectorFigures, TrackerFigures
from stages.payloads import Detections

BOXES = 30
_FPS = 30
_PERIOD_NS = NS_PER_S // _FPS
_CLOCK = RealClock()


@dataclass(frozen=True, slots=True)
class Effort:
    """How long something is measured: until the time is up, but so many times at least."""

    seconds: float
    least: int = 5


def stage_of(kind: str, **options: object) -> Stage:
    """Return an unopened stage of a registered kind."""
    found = find_stage(kind)
    return make(found, found.options_type.model_validate(options))


def context(mode: Mode, cores: int, *, downstream: object | None = None) -> OpenContext:
    """Return what a part is told when it opens."""
    deadline_ns = 100 * NS_PER_MS if mode is Mode.LIVE else None
    return OpenContext(mode, "bench", _CLOCK, cores, deadline_ns, downstream)


def timed(call: Callable[[int], object], effort: Effort) -> Histogram:
    """Call with 0, 1, 2, ... for as long as the effort says; return how long each call took."""
    took = Histogram()
    end_ns = _CLOCK.now_ns() + round(effort.seconds * NS_PER_S)
    for number in itertools.count():
        start_ns = _CLOCK.now_ns()
        if start_ns >= end_ns and number >= effort.least:
            break
        call(number)
        took.add(_CLOCK.now_ns() - start_ns)
    return took


# Decoding


def decoded(clip: Path, mode: Mode, cores: int, took: Histogram) -> Iterator[Sequence[Decoded]]:
    """Read a clip as fast as can be, and decode it as a run of this mode does.

    Args:
        clip: a recording.
        mode: of the decoder.
        cores: that it may use.
        took: gets the time of each packet's decoding.

    Yields:
        The pictures that came out of a packet.
    """
    source_kind, decoder_kind = find_source("video"), find_decoder("video")
    source: Source = make(source_kind, source_kind.options_type.model_validate({"url": str(clip)}))
    decoder: Decoder = make(decoder_kind, decoder_kind.options_type())
    source.open(context(Mode.LOSSLESS, cores))
    decoder.open(context(mode, cores))
    try:
        for ticket in itertools.count():
            sample = source.read()
            if sample is None:
                break
            start_ns = _CLOCK.now_ns()
            try:
                pictures = decoder.decode(sample.payload, ticket)
            except Undecodable:
                continue
            took.add(_CLOCK.now_ns() - start_ns)
            yield pictures
        yield decoder.flush()
    finally:
        decoder.close()
        source.close()


def pictures_of(clip: Path, count: int, cores: int) -> list[Decoded]:
    """Return the first pictures of a clip.

    Raises:
        OpenError: it cannot be read.
        ConfigError: it has none.
    """
    every = (picture for pictures in decoded(clip, Mode.LIVE, cores, Histogram()) for picture in pictures)
    found = list(itertools.islice(every, count))
    if not found:
        raise ConfigError.one("--clip", f"{clip} has no picture that can be decoded")
    return found


def decode_figures(clip: Path, name: str, cores: int, effort: Effort) -> DecodeFigures:
    """Measure the decoding of a clip in both modes."""
    live = Histogram()
    live_fps = _pictures_per_second(clip, Mode.LIVE, cores, effort, live)
    return DecodeFigures(
        clip=name,
        live_fps=round(live_fps, 1),
        live_ms=percentiles_ms(live),
        recorded_fps=round(_pictures_per_second(clip, Mode.LOSSLESS, cores, effort, Histogram()), 1),
    )


def _pictures_per_second(clip: Path, mode: Mode, cores: int, effort: Effort, took: Histogram) -> float:
    start_ns = _CLOCK.now_ns()
    end_ns = start_ns + round(effort.seconds * NS_PER_S)
    count = 0
    for pictures in decoded(clip, mode, cores, took):
        count += len(pictures)
        if _CLOCK.now_ns() >= end_ns and count >= effort.least:
            break
    return count * NS_PER_S / (_CLOCK.now_ns() - start_ns)


# Preprocessing and detection


def detector_figures(
    name: str, options: dict[str, object], pictures: Sequence[Decoded], cores: int, effort: Effort
) -> DetectorFigures:
    """Measure a model, and the preprocessing for it, on pictures that are decoded already.

    Raises:
        OpenError: the model cannot be had.
    """
    detector, preprocess = stage_of("detect", **options), stage_of("preprocess")
    detector.open(context(Mode.LIVE, cores))
    try:
        preprocess.open(context(Mode.LIVE, cores, downstream=detector.input_spec))
        detector.warm()
        infos = [_info(number) for number in range(len(pictures))]

        def prepared(number: int) -> object:
            place = number % len(pictures)
            return preprocess.process(pictures[place].payload, infos[place])

        inputs = [prepared(number) for number in range(len(pictures))]

        def detect(number: int) -> object:
            place = number % len(inputs)
            return detector.process(inputs[place], infos[place])

        detect(0)
        preprocess_ms = timed(prepared, Effort(effort.seconds / 5, effort.least))
        detect_ms = timed(detect, effort)
    finally:
        preprocess.close()
        detector.close()
    facts = detector.describe()
    return DetectorFigures(
        name=name,
        provider=str(facts["provider"]),
        input=str(facts["input"]),
        preprocess_ms=percentiles_ms(preprocess_ms),
        detect_ms=percentiles_ms(detect_ms),
        fps=round(detect_ms.count * NS_PER_S / detect_ms.total_ns, 1),
    )


# Tracking


def tracker_figures(frames: int) -> TrackerFigures:
    """Measure the tracker with BOXES boxes that move and jitter, seen at 30 fps, and a forecast of 50 ms."""
    tracker = stage_of("track")
    tracker.open(context(Mode.LIVE, 1))
    process_ms, forecast_ms = Histogram(), Histogram()
    for number, detections in enumerate(_moving_boxes(frames)):
        info = _info(number)
        start_ns = _CLOCK.now_ns()
        snapshot = tracker.process(detections, info)
        middle_ns = _CLOCK.now_ns()
        assert isinstance(snapshot, Forecaster)
        snapshot.forecast(info.captured_ns + 50 * NS_PER_MS)
        process_ms.add(middle_ns - start_ns)
        forecast_ms.add(_CLOCK.now_ns() - middle_ns)
    tracker.close()
    return TrackerFigures(boxes=BOXES, process_ms=percentiles_ms(process_ms), forecast_ms=percentiles_ms(forecast_ms))


def _moving_boxes(frames: int) -> Iterator[Detections]:
    random = np.random.default_rng(0)
    corner = random.uniform(0, 1, (BOXES, 2)) * [1800, 900]
    boxes = np.concatenate([corner, corner + random.uniform(50, 120, (BOXES, 2))], axis=1)
    velocity = np.tile(random.normal(0, 40, (BOXES, 2)), 2)
    for number in range(frames):
        moved = boxes + velocity * (number % 60) / _FPS + random.normal(0, 1, boxes.shape)
        yield Detections(
            boxes=moved.astype(np.float32),
            scores=np.full(BOXES, 0.9, dtype=np.float32),
            class_ids=np.zeros(BOXES, dtype=np.int32),
            class_names=("object",),
            image_size=(1920, 1080),
        )


def _info(number: int) -> FrameInfo:
    at_ns = number * _PERIOD_NS
    return FrameInfo("bench", number, at_ns / NS_PER_S, at_ns, None)
