"""What `framepace models inspect` tells about a model, and shows on a picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import yaml

from pipeline.clock import RealClock
from pipeline.errors import SinkOpenError, SourceOpenError
from pipeline.frame import FrameInfo, Mode
from pipeline.registry import find_decoder, find_source, find_stage, make
from pipeline.stage import OpenContext
from stages.detect.facts import clean_name
from stages.detect.onnx import DetectOptions, OnnxDetector
from stages.payloads import Detections, Picture

_COLOUR = (0, 200, 0)
_NAMES_SHOWN = 8


def opened(options: DetectOptions) -> OnnxDetector:
    """Return a detector that is ready.

    Raises:
        PipelineError: the model cannot be used; the message says why.
    """
    detector = OnnxDetector(options)
    detector.open(_context())
    return detector


def told(detector: OnnxDetector) -> Iterator[str]:
    """Give lines about a model: what it takes and gives, how that is read and why, and the YAML file that says so."""
    found = detector.inspected()
    for what, tensors in (("input", found.signature.inputs), ("output", found.signature.outputs)):
        for tensor in tensors:
            yield f"{what:<9} {tensor} {tensor.dtype}"
    for key in sorted(found.signature.metadata):
        yield f"metadata  {clean_name(key)}"
    names = detector.class_names
    more = f", ... ({len(names)})" if len(names) > _NAMES_SHOWN else ""
    yield f"read as   {found.family}: {found.evidence}"
    yield f"classes   {', '.join(names[:_NAMES_SHOWN])}{more}" if names else "classes   without names"
    yield f"to say so in a file, write into {found.sidecar}:"
    facts = found.facts.model_dump(mode="json", exclude_none=True, exclude={"names"})
    text = yaml.safe_dump(facts, sort_keys=False, default_flow_style=None)
    yield from (f"    {line}" for line in text.splitlines())


def detect_in(detector: OnnxDetector, image: Path, min_score: float) -> tuple[Picture, Detections]:
    """Return the first picture of a file, and what the model sees in it with at least this score.

    Raises:
        SourceOpenError: there is no picture.
        ArithmeticError: the model fails on it.
    """
    source_type, decoder_type, fit_type = find_source("video"), find_decoder("video"), find_stage("preprocess")
    source = make(source_type, source_type.options_type.model_validate({"url": str(image)}))
    decoder = make(decoder_type, decoder_type.options_type())
    fit = make(fit_type, fit_type.options_type())
    source.open(_context())
    try:
        decoder.open(_context())
        sample = source.read()
        decoded = [] if sample is None else [*decoder.decode(sample.payload, 0), *decoder.flush()]
        if not decoded:
            raise SourceOpenError(str(image), "no picture could be decoded")
    finally:
        decoder.close()
        source.close()
    fit.open(replace(_context(), downstream=detector.input_spec))
    info = FrameInfo("image", 0, 0.0, 0, None)
    picture = decoded[0].payload
    assert isinstance(picture, Picture)
    found = detector.process(fit.process(picture, info), info)
    shown = found.scores >= min_score
    return picture, replace(
        found, boxes=found.boxes[shown], scores=found.scores[shown], class_ids=found.class_ids[shown]
    )


def draw(picture: Picture, found: Detections, path: Path) -> None:
    """Write the picture with its boxes; the ending of the name says in which format.

    Raises:
        SinkOpenError: it cannot be written.
    """
    image = np.ascontiguousarray(picture.bgr())
    for box, score, class_id in zip(found.boxes, found.scores, found.class_ids, strict=True):
        left, top, right, bottom = (round(float(corner)) for corner in box)
        cv2.rectangle(image, (left, top), (right, bottom), _COLOUR, 2)
        text = f"{name_of(found, int(class_id))} {score:.2f}".encode("ascii", "replace").decode()
        cv2.putText(image, text, (left, max(top - 5, 12)), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _COLOUR, 1, cv2.LINE_AA)
    try:
        done, content = cv2.imencode(path.suffix or ".png", image)
        path.write_bytes(content.tobytes())
    except cv2.error as error:
        raise SinkOpenError(str(path), "give it an ending such as .png or .jpg") from error
    except OSError as error:
        raise SinkOpenError(str(path), f"cannot be written: {error.strerror}") from error
    assert done


def name_of(found: Detections, class_id: int) -> str:
    """Return a class's name, or its number."""
    return found.class_names[class_id] if class_id < len(found.class_names) else f"class {class_id}"


def _context() -> OpenContext:
    return OpenContext(Mode.LOSSLESS, "image", RealClock(), cores=1, deadline_ns=None)
