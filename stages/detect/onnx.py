"""Runs a detector with onnxruntime."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from pydantic import Field, field_validator

from pipeline.clock import Flag
from pipeline.errors import ConfigError, PipelineError, StageOpenError
from pipeline.frame import FrameInfo, Mode
from pipeline.stage import OpenContext, Options, Stage
from pipeline.units import Duration
from stages.boxes import clip, image_boxes_from_model
from stages.detect.evidence import Answers, are_shares, filled
from stages.detect.facts import FamilyName, ModelFacts, Signature, facts_for, sidecars
from stages.detect.families import Family, Outputs
from stages.detect.input import input_spec
from stages.detect.names import coco_names, ids_of, read_names
from stages.detect.nms import keep_best
from stages.detect.readers import Raw
from stages.detect.recognition import recognise
from stages.detect.session import ProviderChoice, open_session, provider_in_use, reason, signature_of
from stages.detect.store import find_model
from stages.payloads import Detections, InputSpec, ModelInput

log = logging.getLogger("framepace.detect")

LOW_SCORE = 0.1
"""Boxes below `min_score` are kept down to here: they do not start a track, but they can continue one (ByteTrack, Zhang
et al. 2022, section 3, which uses the same value)."""


_MOST_SCORE = 1.001
"""Rounding of half-precision numbers goes a little beyond 1."""


class DetectOptions(Options):
    """Settings of the detector."""

    model: str = Field(default="yolov3-tiny", description="Name (framepace models list) or path of an ONNX file.")
    provider: ProviderChoice = Field(default="auto", description="Where it runs.")
    input_size: int | str | None = Field(
        default=None, description="Pixels, or WIDTHxHEIGHT; the model's own if absent."
    )
    classes: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="Names of the only classes to report; all if absent."
    )
    min_score: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.3, description="Lowest score that counts by itself. Boxes down to 0.1 go on to the tracker too."
    )
    iou_threshold: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.5, description="Of two boxes of one class that overlap by more than this, the better one stays."
    )
    agnostic_nms: bool = Field(default=False, description="Let boxes of different classes replace each other too.")
    threads: Annotated[int, Field(ge=1, le=256)] | None = Field(
        default=None, description="Processor threads of one run; for this machine and mode if absent."
    )
    family: FamilyName | None = Field(default=None, description="How to read the outputs; recognised if absent.")
    names: str | None = Field(default=None, description="File of class names, one a line; the model's own if absent.")
    delay: Duration = Field(
        default=0, description="Wait so long in every run, as if the model were slower; to try out."
    )
    cache: str | None = Field(default=None, description="Folder of pulled models; the user's cache folder if absent.")

    @field_validator("classes", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


class OnnxDetector(Stage):
    """Finds objects in a picture.

    Comes in: a ModelInput as `input_spec` asks for. Goes out: Detections in source-picture pixels, best first, cut to
    the picture, down to a score of LOW_SCORE (or `min_score`, if that is lower). Kept between frames: nothing but the
    session, and what was tuned last. A frame on which the model fails, or gives what is not a number, raises; it never
    becomes an empty result.
    """

    accepts = ModelInput
    produces = Detections
    options_type = DetectOptions
    stateless = True
    detector = True
    tunable = frozenset({"classes", "min_score", "iou_threshold"})

    def __init__(self, options: DetectOptions) -> None:
        self._choice = _Choice(options, None)
        self._model: _Loaded | None = None
        self._closing: Flag | None = None
        self._facts: dict[str, str | int | float | None] = {}

    @property
    def reads(self) -> Mapping[str, Path]:
        options = self.options
        try:
            model = find_model(options.model, _cache(options))
        except PipelineError:
            return {}  # said when it is opened
        read = {"model": model}
        read |= {f"model's {path.suffix} file": path for path in sidecars(model)}
        if options.names:
            read["file of names"] = Path(os.path.expanduser(options.names))
        return read

    def open(self, context: OpenContext) -> None:
        options = self.options
        path = find_model(options.model, _cache(options))
        threads = options.threads or threads_for(context.mode, context.cores)
        session = open_session(path, provider=options.provider, threads=threads, cores=context.cores)
        model = _Loaded(options, path, session)
        self._choice = _choice(options, model.names)
        if options.agnostic_nms and not model.family.overlapping:
            log.warning("agnostic_nms changes nothing: %s models give no two boxes for one object", model.family.name)
        self._model = model
        self._closing = Flag(context.clock)
        self._facts = {
            "model": options.model,
            "family": model.family.name,
            "evidence": model.family.evidence,
            "provider": provider_in_use(session),
            "input": f"{model.spec.width_px}x{model.spec.height_px} {model.spec.dtype} {model.spec.layout}",
            "threads": threads,
        }

    def close(self) -> None:
        self._model = None
        if self._closing is not None:
            self._closing.set()

    @property
    def options(self) -> DetectOptions:
        return self._choice.options

    def tune(self, options: Options) -> None:
        """Take other classes or thresholds.

        A `min_score` above LOW_SCORE changes nothing here: what is below it goes on to the tracker, which has a
        `min_score` of its own.

        Raises:
            ValueError: the model has no such class, or is not loaded.
        """
        assert isinstance(options, DetectOptions)
        model = self._model
        if model is None:
            raise ValueError("the model is not loaded")
        try:
            self._choice = _choice(options, model.names)
        except ConfigError as error:
            raise ValueError("; ".join(problem.message for problem in error.problems)) from None

    @property
    def input_spec(self) -> InputSpec | None:
        return None if self._model is None else self._model.spec

    @property
    def class_names(self) -> tuple[str, ...]:
        """All that the model names, or those that were asked for."""
        names, class_ids = self._opened().names, self._choice.class_ids
        return names if class_ids is None else tuple(names[class_id] for class_id in class_ids)

    def warm(self) -> None:
        model = self._opened()
        model.run(model.empty_picture())

    def describe(self) -> dict[str, str | int | float | None]:
        return self._facts

    def process(self, payload: object, info: FrameInfo) -> Detections:
        assert isinstance(payload, ModelInput)
        model, choice = self._opened(), self._choice
        raw = model.read(payload.tensor, min(LOW_SCORE, choice.options.min_score))
        if choice.options.delay and self._closing is not None:
            self._closing.wait(choice.options.delay)
        _check_values(raw, model.family)
        chosen = _kept(raw, model.family, choice)
        in_image = image_boxes_from_model(raw.boxes[chosen], payload.image_from_model)
        boxes = clip(in_image, *payload.image_size).astype(np.float32)
        # What the model saw wholly in the border of the letterbox has no area left.
        inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        chosen = chosen[inside]
        return Detections(
            boxes[inside], raw.scores[chosen].clip(0, 1), raw.class_ids[chosen], model.names, payload.image_size
        )

    def inspected(self) -> Inspected:
        """Return what was found out about the model, which must be open."""
        model = self._opened()
        spec = model.spec
        facts = model.facts.model_copy(update={"family": model.family.name, "size": (spec.width_px, spec.height_px)})
        sidecar = model.path.with_name(f"{model.path.name}.yaml")
        return Inspected(model.signature, model.family.name, model.family.evidence, facts, sidecar)

    def _opened(self) -> _Loaded:
        assert self._model is not None, "the stage is not open"
        return self._model


def _cache(options: DetectOptions) -> Path | None:
    """Return the folder of pulled models that was asked for; None: the usual one."""
    return Path(os.path.expanduser(options.cache)) if options.cache else None


@dataclass(frozen=True, slots=True)
class Inspected:
    """What was found out about a model."""

    signature: Signature
    family: FamilyName
    evidence: str
    """By what the family was recognised."""
    facts: ModelFacts
    """How the model is fed and read, all told."""
    sidecar: Path
    """The file that would say so."""


@dataclass(frozen=True, slots=True)
class _Choice:
    """What is to be reported; replaced as a whole, so that each frame sees one."""

    options: DetectOptions
    class_ids: NDArray[np.int32] | None
    """The only classes; None: all."""


def _check_values(raw: Raw, family: Family) -> None:
    """Raise ArithmeticError where a model gave what cannot be: the frame fails, and no sink ever sees it."""
    for what, values in (("boxes", raw.boxes), ("scores", raw.scores)):
        if not np.isfinite(values).all():
            raise ArithmeticError(f"the model gave {what} that are not numbers")
    if len(raw.scores) and raw.scores.max() > _MOST_SCORE:
        most = float(raw.scores.max())
        raise ArithmeticError(f"the model gave a score of {most:.3g}, read as {family.name}; the most is 1")
    if len(raw.class_ids) and raw.class_ids.min() < 0:
        raise ArithmeticError("the model gave a class below 0")


def _choice(options: DetectOptions, names: tuple[str, ...]) -> _Choice:
    """Return what the options ask for of a model with these class names.

    Raises:
        ConfigError: it has no such class.
    """
    return _Choice(options, None if options.classes is None else ids_of(options.classes, names))


def _kept(raw: Raw, family: Family, choice: _Choice) -> NDArray[np.int64]:
    """Return the places of the boxes to report, best first."""
    places = np.arange(len(raw.scores))
    if choice.class_ids is not None:
        places = places[np.isin(raw.class_ids, choice.class_ids)]
    if not family.overlapping:
        return places[np.argsort(-raw.scores[places], kind="stable")]
    class_ids = raw.class_ids[places]
    if choice.options.agnostic_nms:
        class_ids = np.zeros_like(class_ids)
    kept = keep_best(raw.boxes[places], raw.scores[places], class_ids, iou_threshold=choice.options.iou_threshold)
    return places[kept]


class _Loaded:
    """A session, and everything that was found out about its model. Safe to use from several threads."""

    def __init__(self, options: DetectOptions, path: Path, session: ort.InferenceSession) -> None:
        self.path = path
        self.session = session
        self.signature = signature_of(session)
        said = facts_for(path, self.signature)
        written = read_names(Path(options.names)) if options.names else None
        said = said.model_copy(
            update={key: value for key, value in (("family", options.family), ("names", written)) if value}
        )
        # The size of the input does not depend on the family; the family may show only in what comes out.
        self.spec = input_spec(options.input_size, self.signature, said, options.model)
        self._extra = _extra_inputs(self.signature, (self.spec.width_px, self.spec.height_px), options.model)
        answers = self._first_answers(options.model)
        self.signature = filled(self.signature, answers)
        self.family = recognise(self.signature, said, options.model, answers)
        self.facts = facts = said.over(self.family.usual)
        self.spec = input_spec(options.input_size, self.signature, facts, options.model)
        if said.mean is not None and self.spec.dtype == "uint8":
            why = "takes bytes and brings its own arithmetic: leave `mean` and `std` out of its YAML file"
            raise StageOpenError(options.model, why)
        self.names = facts.names or (coco_names() if self.family.classes in (None, len(coco_names())) else ())
        self._shares: bool | None = None if self.family.name == "end2end" else self.family.shares
        self._check_reading(answers, options.model)

    def read(self, tensor: NDArray[np.generic], floor: float) -> Raw:
        """Return what the model says about one picture, from the score `floor` on."""
        return self._read(self.run(tensor), floor)

    def run(self, tensor: NDArray[np.generic]) -> Answers:
        """Return the outputs for one picture (1, ...) by name."""
        picture = self.signature.picture
        feeds = {picture.name: tensor if len(picture.shape) == 4 else tensor[0], **self._extra}
        values = self.session.run(None, feeds)
        return {output.name: value for output, value in zip(self.signature.outputs, values, strict=True)}

    def empty_picture(self) -> NDArray[np.generic]:
        """Return an input of plain grey."""
        spec = self.spec
        shape = (spec.height_px, spec.width_px, 3) if spec.layout == "NHWC" else (3, spec.height_px, spec.width_px)
        return np.full((1, *shape), spec.pad_value, dtype=spec.dtype)

    def _read(self, answers: Answers, floor: float) -> Raw:
        arrays = answers
        if self.family.batched:
            arrays = {name: value[0] if np.ndim(value) else value for name, value in answers.items()}
        size = (self.spec.width_px, self.spec.height_px)
        raw = self.family.read(Outputs(arrays, floor, size))
        if self._shares is None and len(raw.boxes):  # finished rows tell when there is one
            self._shares = are_shares(raw.boxes)
        return replace(raw, boxes=raw.boxes * np.array([*size, *size], np.float32)) if self._shares else raw

    def _first_answers(self, model: str) -> Answers:
        """Return what it answers for an empty picture.

        Raises:
            StageOpenError: it fails.
        """
        try:
            return self.run(self.empty_picture())
        except Exception as error:  # onnxruntime's exceptions have no common base but Exception
            size = f"{self.spec.width_px}x{self.spec.height_px}"
            raise StageOpenError(model, f"cannot be used: its first run, at {size}, failed: {reason(error)}") from error

    def _check_reading(self, answers: Answers, model: str) -> None:
        """Read the first answers, so that outputs that are not as expected are found before the first frame.

        Raises:
            StageOpenError: they cannot be read.
        """
        try:
            self._read(answers, LOW_SCORE)
        except ArithmeticError:
            return  # values that are not numbers; frames with them fail one by one
        except Exception as error:
            listed = "; ".join(f"{name} {np.shape(value)}" for name, value in answers.items())
            why = f"cannot be used: its answers cannot be read as those of {self.family.name}: {listed}"
            raise StageOpenError(model, why) from error
        self._shares = None if self.family.name == "end2end" else self.family.shares


def threads_for(mode: Mode, cores: int) -> int:
    """Return how many processor threads one run of the model gets.

    Live: all but one core, which decoding and publishing need. Lossless: one, because the engine runs as many frames at
    once as there are cores, which does more per second than many threads on one frame.
    """
    return max(1, cores - 1) if mode is Mode.LIVE else 1


def _extra_inputs(signature: Signature, size: tuple[int, int], model: str) -> dict[str, NDArray[np.generic]]:
    """Return the values of inputs besides the picture.

    Known is one: the (1, 2) width and height in whose pixels RT-DETR and D-FINE give boxes (`orig_target_sizes`). Being
    told the model's own size, they answer in model pixels, as everybody else.
    """
    others = [tensor for tensor in signature.inputs if tensor.name != signature.picture.name]
    for other in others:
        # Whole numbers: PaddleDetection's `scale_factor` has the same shape, in floats, and means something else.
        if len(others) > 1 or other.shape not in ((1, 2), (None, 2)) or other.dtype not in _SIZE_DTYPES:
            raise StageOpenError(model, f"it needs an input that is not understood: {other} {other.dtype}")
    return {other.name: np.array([size], dtype=_SIZE_DTYPES[other.dtype]) for other in others}


_SIZE_DTYPES = {"tensor(int64)": "int64", "tensor(int32)": "int32"}
