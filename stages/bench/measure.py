"""Goes through everything that `framepace bench` measures."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.clock import NS_PER_S, RealClock
from pipeline.config.build import build
from pipeline.config.load import parse
from pipeline.errors import ConfigError
from pipeline.stage import Decoded
from stages.bench.clip import FPS, long_enough, make_clip
from stages.bench.engine import engine_figures
from stages.bench.figures import (
    DecodeFigures,
    DetectorFigures,
    Figures,
    LiveFigures,
    LoadFigures,
    Machine,
    TrackerFigures,
    Verdict,
)
from stages.bench.live import Choice, LiveCase, live_figures, play
from stages.bench.parts import Effort, decode_figures, detector_figures, pictures_of, tracker_figures
from stages.bench.verdict import (
    Candidate,
    Question,
    answer,
    engine_line,
    overload_line,
    questions,
)

_EMBEDDED = "yolov3-tiny"
_USUAL_PX = 416
"""The embedded model's size where nobody asks for another one."""
_MOST_FPS = 1000.0
"""The most that a recording can be paced at."""
_DECODE_FRAMES = 600
_PICTURES = 30
_OWN_FRAMES = 60


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured."""

    sizes: tuple[tuple[int, int], ...]
    """Of the pictures that are made, pixels; live runs play the first."""
    flat_out_frames: int
    paced_seconds: float
    part: Effort
    """For each part alone."""
    tracker_frames: int
    loads: tuple[float, ...]
    """Multiples of what the detector can do."""
    model_sizes: tuple[int, ...]
    """Of the embedded model, pixels."""
    live_seconds: float
    try_seconds: float
    """Of each live run that a verdict rests on."""
    most_questions: int


FULL = Scale(
    sizes=((1280, 720), (1920, 1080)),
    flat_out_frames=5000,
    paced_seconds=5.0,
    part=Effort(2.0),
    tracker_frames=300,
    loads=(0.5, 1.0, 2.0, 4.0),
    model_sizes=(320, 416, 480, 608),
    live_seconds=8.0,
    try_seconds=5.0,
    most_questions=100,
)
QUICK = Scale(
    sizes=((1280, 720),),
    flat_out_frames=500,
    paced_seconds=1.0,
    part=Effort(0.3),
    tracker_frames=60,
    loads=(0.5, 2.0),
    model_sizes=(320, 416),
    live_seconds=2.0,
    try_seconds=2.0,
    most_questions=1,
)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is to be measured."""

    clip: Path | None
    """The user's own; made here if None."""
    deadline_ms: float
    """Of the live runs."""
    own: Sequence[Choice] = ()
    """The user's models: live runs and verdicts are about these, if there are any."""


def embedded(size_px: int) -> Choice:
    """Return the embedded model at a size."""
    return Choice(f"{_EMBEDDED}@{size_px}", {"model": _EMBEDDED, "input_size": size_px})


class Bench:
    """One pass over everything.

    Args:
        wishes: what.
        scale: how much.
        tell: is told what is measured now.
        folder: for clips.
    """

    def __init__(self, wishes: Wishes, scale: Scale, tell: Callable[[str], None], folder: Path) -> None:
        self._wishes = wishes
        self._scale = scale
        self._tell = tell
        self._folder = folder
        self._clips: list[Path] = []
        self._embedded = [embedded(size_px) for size_px in scale.model_sizes]
        self._cores = len(os.sched_getaffinity(0))

    def measure(self) -> Figures:
        """Measure everything.

        Raises:
            PipelineError: something cannot be measured.
        """
        self._check()
        clock = RealClock()
        start_ns = clock.now_ns()
        self._make_clips()
        pictures = pictures_of(self._clips[0], _PICTURES, self._cores)
        detectors = self._detectors(pictures)
        decode = self._decode(pictures)
        self._tell("the engine alone")
        engine = engine_figures(flat_out_frames=self._scale.flat_out_frames, paced_seconds=self._scale.paced_seconds)
        self._tell("the tracker")
        tracker = tracker_figures(self._scale.tracker_frames)
        usual = self._wishes.own[0] if self._wishes.own else embedded(_USUAL_PX)
        loads = self._loads(usual, detectors[usual.name])
        verdicts = self._verdicts(detectors, decode[0], tracker)
        summary = [engine_line(engine), overload_line(loads), *(verdict.sentence for verdict in verdicts)]
        return Figures(
            machine=machine(self._cores),
            quick=self._scale is QUICK,
            engine=engine,
            decode=decode,
            detectors=list(detectors.values()),
            tracker=tracker,
            loads=loads,
            verdicts=verdicts,
            summary=[line for line in summary if line is not None],
            duration_s=round((clock.now_ns() - start_ns) / NS_PER_S, 1),
        )

    def _check(self) -> None:
        """Say what is wrong before anything is measured."""
        wishes = self._wishes
        if wishes.clip is not None and not wishes.clip.is_file():
            raise ConfigError.one("--clip", f"{wishes.clip} is no file")
        for choice in [*wishes.own, *self._embedded]:
            case = LiveCase(wishes.clip or Path("made.mp4"), FPS, 1, wishes.deadline_ms, choice)
            build(parse(case.config(self._folder / "answers.jsonl")))

    def _make_clips(self) -> None:
        if self._wishes.clip is not None:
            self._clips = [self._wishes.clip]
            return
        self._tell("making pictures")
        for width, height in self._scale.sizes:
            path = self._folder / f"{width}x{height}.mp4"
            make_clip(path, (width, height), _OWN_FRAMES)
            self._clips.append(path)

    def _decode(self, pictures: Sequence[Decoded]) -> list[DecodeFigures]:
        found = []
        for clip, size in zip(self._clips, [pictures[0].size, *self._scale.sizes[1:]], strict=False):
            name = f"{size[0]}x{size[1]}"
            self._tell(f"decoding {name}")
            long = long_enough(clip, _DECODE_FRAMES, self._folder / f"decode-{name}.mkv")
            found.append(decode_figures(long, name, self._cores, self._scale.part))
        return found

    def _detectors(self, pictures: Sequence[Decoded]) -> dict[str, DetectorFigures]:
        """Measure each model; the user's first, so that what is wrong with one is said soon."""
        found = {}
        for choice in [*self._wishes.own, *self._embedded]:
            if choice.name not in found:
                self._tell(f"detector {choice.name}")
                found[choice.name] = detector_figures(
                    choice.name, choice.options, pictures, self._cores, self._scale.part
                )
        return found

    def _loads(self, usual: Choice, capacity: DetectorFigures) -> list[LoadFigures]:
        found = []
        for load in self._scale.loads:
            fps = round(min(_MOST_FPS, load * capacity.fps), 1)
            self._tell(f"live at {load:g} times what {usual.name} can do: {fps:g} fps")
            live = self._live(usual, fps, self._wishes.deadline_ms, self._scale.live_seconds)
            found.append(LoadFigures(load=load, live=live))
        return found

    def _verdicts(
        self, detectors: dict[str, DetectorFigures], decode: DecodeFigures, tracker: TrackerFigures
    ) -> list[Verdict]:
        rest_ms = decode.live_ms.p50 + tracker.process_ms.p50
        choices = {choice.name: choice for choice in self._wishes.own or self._embedded}
        candidates = [
            Candidate(one.name, one.detect_ms.p50, rest_ms + one.preprocess_ms.p50 + one.detect_ms.p50)
            for one in detectors.values()
            if one.name in choices
        ]

        def run_live(question: Question, candidate: Candidate) -> LiveFigures:
            self._tell(f"live at {question.fps:g} fps and {question.deadline_ms:g} ms with {candidate.name}")
            return self._live(choices[candidate.name], question.fps, question.deadline_ms, self._scale.try_seconds)

        asked = questions(self._wishes.deadline_ms)
        if len(asked) > self._scale.most_questions:
            asked = [Question(FPS, self._wishes.deadline_ms)]
        return [answer(question, candidates, run_live) for question in asked]

    def _live(self, choice: Choice, fps: float, deadline_ms: float, seconds: float) -> LiveFigures:
        wanted = LiveCase(self._clips[0], fps, seconds, deadline_ms, choice)
        clip = long_enough(wanted.clip, wanted.frames, self._folder / "live.mkv")
        case = LiveCase(clip, fps, seconds, deadline_ms, choice)
        return live_figures(case, play(case))


def measure(wishes: Wishes, scale: Scale, tell: Callable[[str], None]) -> Figures:
    """Measure everything; see Bench."""
    with tempfile.TemporaryDirectory(prefix="framepace-bench-") as folder:
        return Bench(wishes, scale, tell, Path(folder)).measure()


def machine(cores: int) -> Machine:
    """Return what is to be known of where this runs."""
    return Machine(
        processor=_processor(),
        cores=cores,
        python=platform.python_version(),
        framepace=importlib.metadata.version("framepace"),
    )


def _processor() -> str:
    """Return the processor's name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()
