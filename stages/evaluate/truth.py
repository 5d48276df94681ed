"""What was really there: labelled clips in MOTChallenge or COCO form."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SAME_FRAME = 0.001
BoxArray = NDArray[np.float64]
IdArray = NDArray[np.int64]

UNKNOWN_ID = -1
MOST_FRAMES = 1_000_000
"""Nine hours at 30 fps. A number beyond is taken for a mistake."""


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """What is in the picture at one moment, or what somebody says of it."""

    boxes: BoxArray
    """(N, 4) x1, y1, x2, y2 in source-picture pixels."""
    class_ids: IdArray
    """(N,) place in the class names of the truth."""
    object_ids: IdArray
    """(N,) who it is; UNKNOWN_ID where nobody knows."""
    scores: BoxArray
    """(N,) 0 to 1; 1 in the truth."""

    def __len__(self) -> int:
        return len(self.boxes)


NOTHING = Objects(np.empty((0, 4)), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))


@dataclass(frozen=True, slots=True)
class Truth:
    """A labelled clip."""

    class_names: tuple[str, ...]
    frames: tuple[Objects, ...]
    """One a frame, in presentation order from the first one."""

    @property
    def has_identities(self) -> bool:
        """Whether it says who is who, without which tracks cannot be scored."""
        return all(bool((objects.object_ids != UNKNOWN_ID).all()) for objects in self.frames)

    def between(self, position: float) -> Objects:
        """Return what is there between two frames, each object on a straight line between its two boxes.

        Where nobody knows who is who there are no such lines: then it is what is there in the nearest frame.

        Args:
            position: in frames, such as 3.5, to a thousandth; an object that is not in both frames is not there between
                them.

        Raises:
            IndexError: the position is outside the clip.
        """
        if not 0 <= position <= len(self.frames) - 1:
            raise IndexError(f"position {position} is not between 0 and {len(self.frames) - 1}")
        place = int(position + _SAME_FRAME / 2)
        share = position - place
        if share < _SAME_FRAME / 2:
            return self.frames[place]
        before, after = self.frames[place], self.frames[place + 1]
        if UNKNOWN_ID in before.object_ids or UNKNOWN_ID in after.object_ids:
            return before if share < 0.5 else after
        _, rows, later_rows = np.intersect1d(before.object_ids, after.object_ids, return_indices=True)
        boxes = before.boxes[rows] * (1 - share) + after.boxes[later_rows] * share
        return Objects(boxes, before.class_ids[rows], before.object_ids[rows], np.ones(len(rows)))


def read_truth(path: Path, class_name: str = "person") -> Truth:
    """Read a labelled clip; a file that begins with `{` is COCO, any other MOTChallenge.

    Args:
        path: of the file.
        class_name: what MOTChallenge labels are, which do not say it by name.

    Raises:
        ValueError: naming the line or the entry that is not understood.
        OSError: the file cannot be read.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        return _from_coco(json.loads(text)) if text.lstrip().startswith("{") else _from_mot(text, class_name)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}: is not JSON: {error.msg}") from None
    except ValueError as error:
        raise ValueError(f"{path}:{error}") from None


def _from_mot(text: str, class_name: str) -> Truth:
    """Read rows of frame, id, left, top, width, height, confidence, ...; those of confidence 0 do not count.

    The format is that of MOTChallenge (Leal-Taixé et al., 2015), whose frames and pixels count from 1.
    """
    rows: dict[int, list[tuple[int, float, float, float, float]]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        cells = line.split(",")
        try:
            frame, object_id = int(float(cells[0])), int(float(cells[1]))
            left, top, width, height, confidence = (float(cell) for cell in cells[2:7])
        except (ValueError, IndexError, OverflowError):
            raise ValueError(f"{number}: is not frame,id,left,top,width,height,confidence: {line[:60]!r}") from None
        if not np.isfinite([left, top, width, height, confidence]).all():
            raise ValueError(f"{number}: has a number that is not finite: {line[:60]!r}")
        if frame < 1:
            raise ValueError(f"{number}: frames count from 1, not {frame}")
        if frame > MOST_FRAMES:
            raise ValueError(f"{number}: frame {frame} is beyond the {MOST_FRAMES} that a labelled clip may have")
        if confidence != 0:
            rows.setdefault(frame - 1, []).append((object_id, left - 1, top - 1, width, height))
        else:
            rows.setdefault(frame - 1, [])
    if not any(rows.values()):
        raise ValueError("1: holds no box that counts")
    labelled = {place: _objects((object_id, 0, *box) for object_id, *box in row) for place, row in rows.items()}
    return Truth((class_name,), tuple(labelled.get(place, NOTHING) for place in range(max(rows) + 1)))


def _from_coco(data: Mapping[str, Any]) -> Truth:
    """Read COCO annotations; frames are the images in the order of their ids, `iscrowd` does not count.

    Identities are `track_id` of the annotation or of its `attributes`, as labelling tools write them.
    """
    try:
        names = {category["id"]: str(category["name"]) for category in data["categories"]}
        place_of = {image_id: place for place, image_id in enumerate(sorted(image["id"] for image in data["images"]))}
    except (KeyError, TypeError) as error:
        raise ValueError(f" `images` and `categories` of COCO are missing or incomplete ({error})") from None
    class_of = {category_id: place for place, category_id in enumerate(names)}
    rows: dict[int, list[tuple[Any, ...]]] = {}
    annotations = data.get("annotations", [])
    if not isinstance(annotations, list):
        raise ValueError(" $.annotations is not a list")
    for number, annotation in enumerate(annotations):
        try:
            if annotation.get("iscrowd"):
                continue
            place = place_of[annotation["image_id"]]
            rows.setdefault(place, []).append(_row_of(annotation, class_of[annotation["category_id"]]))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ValueError(f" $.annotations[{number}] is not understood ({type(error).__name__}: {error})") from None
    if not rows:
        raise ValueError(" $.annotations holds no box that counts")
    return Truth(tuple(names.values()), tuple(_objects(rows.get(place, [])) for place in range(len(place_of))))


def _row_of(annotation: Mapping[str, Any], class_id: int) -> tuple[int, int, float, float, float, float]:
    object_id = annotation.get("track_id", annotation.get("attributes", {}).get("track_id", UNKNOWN_ID))
    left, top, width, height = (float(value) for value in annotation["bbox"])
    if not np.isfinite([left, top, width, height]).all():
        raise ValueError("bbox has a number that is not finite")
    return int(object_id), class_id, left, top, width, height


def _objects(rows: Iterable[tuple[Any, ...]]) -> Objects:
    """Return objects from rows of id, class, left, top, width, height."""
    table = np.array(list(rows), dtype=np.float64).reshape(-1, 6)
    boxes = np.concatenate([table[:, 2:4], table[:, 2:4] + table[:, 4:6]], axis=1)
    return Objects(boxes, table[:, 1].astype(np.int64), table[:, 0].astype(np.int64), np.ones(len(table)))
