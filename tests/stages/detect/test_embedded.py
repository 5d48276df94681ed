"""The embedded model on the shipped clip, against boxes that were stored when it was last looked at.

    python tests/stages/detect/test_embedded.py --regenerate      # writes data/pedestrians.json anew

Regenerate only after a change that is meant to change boxes (the model, its decoding, the letterbox), and look at what
changed. Stored are the boxes of some key frames from a score of 0.3 on, all classes, in source-picture pixels.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import onnxruntime as ort
import pytest

from pipeline.stage import Options
from pipeline.testing import ManualClock, frame_info, open_context
from stages.boxes import iou_matrix
from stages.detect.names import coco_names
from stages.detect.onnx import DetectOptions, OnnxDetector
from stages.detect.store import DATA
from stages.payloads import Detections, Picture
from stages.preprocess.letterbox import Letterbox

CLIP = Path(__file__).resolve().parents[3] / "sample_videos" / "pedestrians.mp4"
STORED = Path(__file__).resolve().parent / "data" / "pedestrians.json"
FRAMES = (0, 150, 300, 450, 600, 750)
"""Key frames, so that nothing else has to be decoded."""
STORED_FROM = 0.3
SCORE_TOLERANCE = 0.1
"""8-bit arithmetic differs a little between kinds of processors."""
LEAST_IOU = 0.8
PERSON = 0

Detect = Callable[[int], Detections]


@contextmanager
def on_clip(**options: object) -> Iterator[Detect]:
    """Give a function that runs letterbox and detector on a key frame of the clip."""
    detector = OnnxDetector(DetectOptions.model_validate({"provider": "cpu", **options}))
    letterbox = Letterbox(Options())
    context = open_context(ManualClock())
    detector.open(context)
    letterbox.open(replace(context, downstream=detector.input_spec))

    def run(frame: int) -> Detections:
        model_input = letterbox.process(Picture(video=picture_of(frame)), frame_info(frame))
        return detector.process(model_input, frame_info(frame))

    yield run
    letterbox.close()
    detector.close()


def picture_of(frame: int) -> av.VideoFrame:
    """Decode one key frame of the clip."""
    with av.open(str(CLIP)) as container:
        stream = container.streams.video[0]
        assert stream.average_rate is not None
        assert stream.time_base is not None
        container.seek(round(frame / stream.average_rate / stream.time_base), stream=stream)
        picture = next(container.decode(stream))
        assert picture.time == pytest.approx(float(frame / stream.average_rate))
        return picture


def rows_of(found: Detections, floor: float) -> list[list[float]]:
    """Class, score and box of each detection that reaches the floor, rounded."""
    return [
        [int(class_id), round(float(score), 3), *(round(float(edge), 1) for edge in box)]
        for class_id, score, box in zip(found.class_ids, found.scores, found.boxes, strict=True)
        if score >= floor
    ]


def unmatched(rows: list[list[float]], others: list[list[float]]) -> list[list[float]]:
    """Return the rows for which there is no row of that class, about that place and about that score."""
    first, second = (np.array(part, dtype=np.float64).reshape(-1, 6) for part in (rows, others))
    alike = iou_matrix(first[:, 2:], second[:, 2:]) >= LEAST_IOU
    alike &= first[:, None, 0] == second[None, :, 0]
    alike &= np.abs(first[:, None, 1] - second[None, :, 1]) <= SCORE_TOLERANCE
    return [row for row, found in zip(rows, alike.any(axis=1), strict=True) if not found]


def test_finds_what_was_stored() -> None:
    """The same boxes, classes and scores as stored, within tolerance: none missing, none more."""
    stored = json.loads(STORED.read_text())["frames"]
    assert list(stored) == [str(frame) for frame in FRAMES]
    with on_clip() as detect:
        for frame in FRAMES:
            known = stored[str(frame)]
            found = detect(frame)
            clear = [row for row in known if row[1] >= STORED_FROM + SCORE_TOLERANCE]
            assert unmatched(clear, rows_of(found, STORED_FROM)) == []
            assert unmatched(rows_of(found, STORED_FROM + SCORE_TOLERANCE), known) == []


def test_stored_boxes_are_people() -> None:
    """What is stored is worth comparing with: several people in each frame, upright, inside the picture."""
    for rows in json.loads(STORED.read_text())["frames"].values():
        people = np.array([row for row in rows if row[0] == PERSON])
        assert len(people) >= 3
        widths, heights = (people[:, 4:] - people[:, 2:4]).T
        assert (heights > widths).mean() > 0.8
        assert people[:, 2:4].min() >= 0
        assert (people[:, 4:] <= [768, 576]).all()


@pytest.mark.parametrize("input_size", [320, 608, "416x320"])
def test_input_size_is_free(input_size: int | str) -> None:
    """At other sizes it finds most of the same people, in the same places."""
    known = [row for row in json.loads(STORED.read_text())["frames"]["300"] if row[0] == PERSON and row[1] > 0.6]
    with on_clip(input_size=input_size, classes="person") as detect:
        found = detect(300)
    overlap = iou_matrix(np.array(known)[:, 2:], found.boxes.astype(np.float64)).max(axis=1)
    assert (overlap > 0.5).mean() >= 0.7


def test_facts_inside() -> None:
    """It carries COCO's names in our order, and the hash of the weights that it was made from."""
    session = ort.InferenceSession(DATA / "yolov3-tiny-int8.onnx", providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    assert tuple(json.loads(metadata["names"])) == coco_names()
    assert metadata["weights_sha256"] == "dccea06f59b781ec1234ddf8d1e94b9519a97f4245748a7d4db75d5b7080a42c"


def test_batch_is_free() -> None:
    """Pictures that go in together come out as they do alone."""
    session = ort.InferenceSession(DATA / "yolov3-tiny-int8.onnx", providers=["CPUExecutionProvider"])
    two = np.random.default_rng(3).integers(0, 256, (2, 96, 128, 3), dtype=np.uint8)
    together = session.run(None, {"images": two})[0]
    for number in range(2):
        alone = session.run(None, {"images": two[number : number + 1]})[0]
        np.testing.assert_allclose(together[number], alone[0], rtol=1e-3, atol=1e-3)


def regenerate() -> None:
    """Store what is found now."""
    with on_clip() as detect:
        frames = {str(frame): rows_of(detect(frame), STORED_FROM) for frame in FRAMES}
    head = '{"rows": "class_id, score, x1, y1, x2, y2", "frames": {\n'
    body = ",\n".join(f'"{frame}": {json.dumps(rows)}' for frame, rows in frames.items())
    STORED.write_text(f"{head}{body}\n}}}}\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] != ["--regenerate"]:
        sys.exit(__doc__)
    regenerate()
