"""Says what is wrong with an evaluation before anything is played."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

from pipeline.clock import RealClock
from pipeline.errors import ConfigError
from pipeline.frame import Mode
from pipeline.stage import OpenContext
from stages.evaluate.play import Case, built_case
from stages.evaluate.scores import check_installed
from stages.evaluate.truth import Truth

_NAMED = 8
"""Classes that an error names."""
_NUMBERED = re.compile(r"class \d+")
"""What a record calls a class without a name."""


def check(case: Case, truth: Truth) -> None:
    """Say what is wrong; opens the model, to see what it knows.

    Raises:
        PipelineError: the case cannot be played, or not be scored.
    """
    if not case.clip.is_file():
        raise ConfigError.one("CLIP", f"{case.clip} is no file; a labelled clip is needed")
    if not truth.frames:
        raise ConfigError.one("--truth", "has no frames")
    check_installed(identities=truth.has_identities)
    built = built_case(case, Path("answers.jsonl"), live=True)
    detector = next(stage for _, stage in built.plan.stages if stage.detector)  # a live graph has one
    settings = built.settings
    detector.open(OpenContext(Mode.LOSSLESS, settings.stream_id, RealClock(), settings.cores, deadline_ns=None))
    try:
        if detector.class_names is not None:
            check_classes(truth.class_names, detector.class_names)
    finally:
        detector.close()


def check_classes(of_truth: Sequence[str], of_model: Sequence[str]) -> None:
    """See that something of what the model reports can be scored.

    Raises:
        ConfigError: the truth names no class that the model does.
    """
    if set(of_truth) & set(of_model) or (not of_model and any(map(_NUMBERED.fullmatch, of_truth))):
        return
    labelled = ", ".join(map(repr, of_truth[:_NAMED])) + (", ..." if len(of_truth) > _NAMED else "")
    if of_model:
        known = f"it has {', '.join(of_model[:_NAMED])}{', ...' if len(of_model) > _NAMED else ''}"
    else:
        known = "its classes have no names; the option `names` takes a file of them"
    near = [close for name in of_truth for close in difflib.get_close_matches(name.lower(), of_model, n=1)]
    meant = f", did you mean {near[0]}?" if near else ""
    message = f"labels {labelled}, of which the model reports nothing{meant} ({known})"
    raise ConfigError.one("--truth", f"{message}; --class says what MOTChallenge labels are")
