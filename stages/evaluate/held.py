"""What a reader holds in its hands: at every moment, the newest answer that was given by then."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.evaluate.truth import NOTHING, Objects


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """One answer as a reader got it."""

    frame_id: int
    published_s: float
    """When it was given; in lossless mode the capture time."""
    true_at_s: float
    """The moment that its boxes are true for."""
    captured_s: float
    status: str
    objects: Objects
    velocities: np.ndarray[Any, np.dtype[np.float64]]
    """(N, 4) of the box corners, px/s."""

    def moved_to(self, at_s: float) -> Objects:
        """Return the objects moved by their velocities to another moment, as the result record says."""
        boxes = self.objects.boxes + self.velocities * (at_s - self.true_at_s)
        return Objects(boxes, self.objects.class_ids, self.objects.object_ids, self.objects.scores)


def given_from_records(records: Sequence[Mapping[str, Any]], class_names: Sequence[str]) -> list[Given]:
    """Return the answers of result records, live or lossless, in order.

    Args:
        records: parsed lines of a JSONL sink; heartbeats are passed over.
        class_names: of the truth; tracks of other classes are left out, since nothing is known of them.
    """
    class_of = {name: place for place, name in enumerate(class_names)}
    return [_given(record, class_of) for record in records if record["frame"] is not None]


def _given(record: Mapping[str, Any], class_of: Mapping[str, int]) -> Given:
    tracks = [track for track in record["tracks"] if track["class"] in class_of]
    captured_s = record.get("captured_s", record["pts_s"])
    objects = Objects(
        boxes=np.array([track["box"] for track in tracks], dtype=np.float64).reshape(-1, 4),
        class_ids=np.array([class_of[track["class"]] for track in tracks], dtype=np.int64),
        object_ids=np.array([track["id"] for track in tracks], dtype=np.int64),
        scores=np.array([track["score"] for track in tracks], dtype=np.float64),
    )
    return Given(
        frame_id=record["frame"],
        published_s=record.get("published_s", captured_s),
        true_at_s=record.get("boxes_at_s", captured_s),
        captured_s=captured_s,
        status=record["status"],
        objects=objects,
        velocities=np.array([track["velocity"] for track in tracks], dtype=np.float64).reshape(-1, 4),
    )


def capture_times(given: Sequence[Given], frames: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return when each frame of the clip was captured, seconds; those without an answer lie evenly between the others.

    Raises:
        ValueError: fewer than two frames have an answer.
    """
    if len(given) < 2:
        raise ValueError("fewer than two frames were answered; nothing can be scored")
    numbers = np.array([answer.frame_id for answer in given], dtype=np.float64)
    times = np.array([answer.captured_s for answer in given])
    period = (times[-1] - times[0]) / (numbers[-1] - numbers[0])
    wanted = np.arange(frames, dtype=np.float64)
    found = np.interp(wanted, numbers, times)
    found = np.where(wanted < numbers[0], times[0] - (numbers[0] - wanted) * period, found)
    return np.asarray(np.where(wanted > numbers[-1], times[-1] + (wanted - numbers[-1]) * period, found))


@dataclass(frozen=True, slots=True)
class View:
    """What a reader saw of each frame of the truth, at the moment of its capture."""

    held: list[Objects]
    """Boxes as they were given."""
    moved: list[Objects]
    """Boxes moved to the moment of use."""
    ages_s: list[float]
    """From the capture of the frame that is held to the moment of use; only where something was held."""
    blind: int
    """Frames for which the newest answer was blind."""
    empty: int
    """Frames before the first answer."""


def view(given: Sequence[Given], instants_s: Sequence[float]) -> View:
    """Return what a reader holds at each moment: the answer that was published last, at or before it.

    This is the rule of streaming accuracy (Li et al., Towards Streaming Perception, ECCV 2020, section 3.1). Where
    nothing was published yet, and where the newest answer is blind, it holds nothing.
    """
    given = sorted(given, key=lambda answer: answer.published_s)
    published = [answer.published_s for answer in given]
    held, moved, ages = [], [], []
    blind = empty = 0
    for at_s in instants_s:
        place = bisect_right(published, at_s) - 1
        answer = given[place] if place >= 0 else None
        if answer is None or answer.status == "blind":
            held.append(NOTHING)
            moved.append(NOTHING)
            empty += answer is None
            blind += answer is not None
            continue
        held.append(answer.objects)
        moved.append(answer.moved_to(at_s))
        ages.append(at_s - answer.captured_s)
    return View(held, moved, ages, blind, empty)
