"""Labelled clips."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from stages.evaluate.truth import UNKNOWN_ID, read_truth

BOX: dict[str, object] = {"image_id": 10, "category_id": 3, "bbox": [1, 2, 3, 4]}


def mot(path: Path, *lines: str) -> Path:
    path.write_text("".join(line + "\n" for line in lines))
    return path


def coco(path: Path, **changes: object) -> Path:
    data: dict[str, object] = {
        "images": [{"id": 20, "file_name": "b.png"}, {"id": 10, "file_name": "a.png"}],
        "categories": [{"id": 3, "name": "car"}, {"id": 1, "name": "person"}],
        "annotations": [
            {"id": 1, "image_id": 20, "category_id": 1, "bbox": [10, 20, 30, 40], "attributes": {"track_id": 7}},
            {"id": 2, "image_id": 10, "category_id": 3, "bbox": [1, 2, 3, 4], "track_id": 8},
            {"id": 3, "image_id": 10, "category_id": 3, "bbox": [0, 0, 9, 9], "iscrowd": 1},
        ],
    }
    path.write_text(json.dumps(data | changes))
    return path


def test_mot_rows_become_frames(tmp_path: Path) -> None:
    """Frames and pixels count from 1 there, from 0 here; left, top, width, height; confidence 0 does not count."""
    truth = read_truth(mot(tmp_path / "gt.txt", "3,5,10,20,30,40,1,-1,-1", "1,5,1,2,3,4,1", "1,6,0,0,9,9,0", ""))
    assert truth.class_names == ("person",)
    assert [len(objects) for objects in truth.frames] == [1, 0, 1]
    assert truth.frames[2].boxes.tolist() == [[9, 19, 39, 59]]
    assert truth.frames[2].object_ids.tolist() == [5]
    assert truth.has_identities


def test_the_class_of_mot_labels_is_said_from_outside(tmp_path: Path) -> None:
    """They have no names."""
    assert read_truth(mot(tmp_path / "gt.txt", "1,5,1,2,3,4,1"), "car").class_names == ("car",)


def test_coco_annotations_become_frames(tmp_path: Path) -> None:
    """In the order of the image ids; crowds do not count; identities from the annotation or its attributes."""
    truth = read_truth(coco(tmp_path / "gt.json"))
    assert truth.class_names == ("car", "person")
    assert [objects.object_ids.tolist() for objects in truth.frames] == [[8], [7]]
    assert [objects.class_ids.tolist() for objects in truth.frames] == [[0], [1]]
    assert truth.frames[1].boxes.tolist() == [[10, 20, 40, 60]]


def test_coco_without_identities_says_so(tmp_path: Path) -> None:
    """Then only the boxes can be scored."""
    path = coco(tmp_path / "gt.json", annotations=[{"image_id": 10, "category_id": 3, "bbox": [1, 2, 3, 4]}])
    truth = read_truth(path)
    assert truth.frames[0].object_ids.tolist() == [UNKNOWN_ID]
    assert not truth.has_identities


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("1,2,3,4", ":2: is not frame,id,left"),
        ("1,2,a,4,5,6,7", ":2: is not frame,id,left"),
        ("0,2,3,4,5,6,1", ":2: frames count from 1"),
        ("1,2,nan,4,5,6,1", ":2: has a number that is not finite"),
        ("inf,2,3,4,5,6,1", ":2: is not frame,id,left"),
        ("200000000,2,3,4,5,6,1", ":2: frame 200000000 is beyond the 1000000"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, line: str, said: str) -> None:
    """By its number."""
    with pytest.raises(ValueError, match=said):
        read_truth(mot(tmp_path / "gt.txt", "1,5,1,2,3,4,1", line))


def test_a_file_without_boxes_is_refused(tmp_path: Path) -> None:
    """Everything would score nothing against it."""
    with pytest.raises(ValueError, match="holds no box that counts"):
        read_truth(mot(tmp_path / "gt.txt", "1,5,1,2,3,4,0"))
    with pytest.raises(ValueError, match="holds no box that counts"):
        read_truth(coco(tmp_path / "gt.json", annotations=[]))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"images": None}, "`images` and `categories`"),
        ({"categories": [{"id": 1}]}, "`images` and `categories`"),
        ({"annotations": [{"image_id": 10, "category_id": 9, "bbox": [1, 2, 3, 4]}]}, r"annotations\[0\]"),
        ({"annotations": [{"image_id": 10, "category_id": 3, "bbox": [1, 2]}]}, r"annotations\[0\]"),
        ({"annotations": [5]}, r"annotations\[0\]"),
        ({"annotations": None}, r"\$\.annotations is not a list"),
        ({"annotations": [BOX | {"bbox": [1, 2, float("nan"), 4]}]}, r"annotations\[0\].*not finite"),
        ({"annotations": [BOX | {"track_id": float("inf")}]}, r"annotations\[0\]"),
    ],
)
def test_a_bad_entry_is_named(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    """By its path."""
    with pytest.raises(ValueError, match=said):
        read_truth(coco(tmp_path / "gt.json", **changes))


def test_broken_json_names_its_line(tmp_path: Path) -> None:
    """As any other file."""
    path = tmp_path / "gt.json"
    path.write_text('{"images": [\n}')
    with pytest.raises(ValueError, match=":2: is not JSON"):
        read_truth(path)


def test_between_frames_objects_are_on_straight_lines(tmp_path: Path) -> None:
    """Those that are in both frames, whatever their order."""
    truth = read_truth(
        mot(tmp_path / "gt.txt", "1,5,0,0,10,10,1", "1,6,50,0,10,10,1", "2,6,60,8,10,10,1", "2,7,0,0,1,1,1")
    )
    there = truth.between(0.25)
    assert there.object_ids.tolist() == [6]
    np.testing.assert_allclose(there.boxes, [[51.5, 1, 61.5, 11]])
    assert len(truth.between(0)) == 2
    assert len(truth.between(1.0)) == 2
    with pytest.raises(IndexError):
        truth.between(1.5)


def test_between_frames_without_identities_the_nearest_frame_counts(tmp_path: Path) -> None:
    """All its objects: nobody knows which box became which."""
    images = [{"id": 0}, {"id": 1}]
    boxes = [BOX | {"image_id": image, "bbox": [100 * image + 10 * k, 0, 5, 5]} for image in (0, 1) for k in range(5)]
    truth = read_truth(coco(tmp_path / "gt.json", images=images, annotations=boxes))
    assert truth.between(0.4) is truth.frames[0]
    assert truth.between(0.99) is truth.frames[1]
    assert len(truth.frames[1]) == 5


def test_a_position_that_is_off_by_rounding_only_is_a_frame(tmp_path: Path) -> None:
    """Whoever comes or goes there is there."""
    truth = read_truth(mot(tmp_path / "gt.txt", "1,5,0,0,10,10,1", "2,6,60,8,10,10,1", "3,7,0,0,1,1,1"))
    assert truth.between(1 - 1e-9) is truth.between(1 + 1e-9) is truth.frames[1]
