"""Names of classes: COCO's, a file's, and which ids a user means."""

from __future__ import annotations

import difflib
import functools
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError
from stages.detect.facts import clean_name
from stages.detect.store import DATA

_UNUSED_COCO_IDS = (0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
"""COCO numbers its categories from 1 to 90 and left ten of them out of the published annotations (Lin et al.,
arXiv:1405.0312, appendix II); models that count as the annotation files do have no objects of these ids."""


@functools.cache
def coco_names() -> tuple[str, ...]:
    """Return COCO's 80 classes, in the order in which most detectors count them: without gaps, from 0."""
    return tuple((DATA / "coco.names").read_text(encoding="utf-8").splitlines())


@functools.cache
def coco_category_names() -> tuple[str, ...]:
    """Return the same 80 at their category ids, 0 to 90, as COCO's annotation files count; `unused` in the gaps."""
    names = list(coco_names())
    for category_id in _UNUSED_COCO_IDS:
        names.insert(category_id, "unused")
    return tuple(names)


def read_names(path: Path) -> tuple[str, ...]:
    """Return the class names in a file, one a line; the first line is class 0.

    Raises:
        ConfigError: it cannot be read, or holds no names.
    """
    try:
        lines = Path(os.path.expanduser(path)).read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise _wrong_file(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _wrong_file(f"{path} is not a text file with one class name a line") from error
    except ValueError as error:  # a NUL in the path
        raise _wrong_file(f"{str(path)!r} cannot be the name of a file") from error
    names = [clean_name(line) for line in lines]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise _wrong_file(f"{path} holds no class names; write one a line")
    return tuple(names)


def ids_of(wanted: Iterable[str], names: tuple[str, ...]) -> NDArray[np.int32]:
    """Return the ids of class names, whatever their case.

    Raises:
        ConfigError: names are not known; says which, and offers the near ones.
    """
    known: dict[str, list[int]] = {}
    for class_id, name in enumerate(names):
        known.setdefault(name.lower(), []).append(class_id)
    missing = [name for name in wanted if name.lower() not in known]
    if missing:
        text = "; ".join(f"the model has no class {name!r}{_near(name, known)}" for name in missing)
        raise ConfigError.one("$.stages[detect].classes", text)
    return np.array([class_id for name in wanted for class_id in known[name.lower()]], dtype=np.int32)


def _near(word: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(word.lower(), known, n=3, cutoff=0.5)
    if close:
        return f", did you mean {' or '.join(close)}?"
    if not known:
        return " (its classes have no names; the option `names` takes a file of them)"
    return f" (it has {', '.join(known[:8])}{', ...' if len(known) > 8 else ''})"


def _wrong_file(message: str) -> ConfigError:
    return ConfigError.one("$.stages[detect].names", message)
