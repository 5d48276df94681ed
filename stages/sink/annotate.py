"""Draws an answer on its picture so that fresh, forecast and blind can be told apart at a glance."""

from __future__ import annotations

import math

import cv2
import numpy as np

from pipeline.clock import NS_PER_MS
from pipeline.frame import Answer, Status
from stages.payloads import ByteArray, Tracks, class_name

Colour = tuple[int, int, int]
"""Blue, green, red, 0..255."""

_STATUS_COLOUR: dict[Status, Colour] = {
    Status.FRESH: (60, 150, 20),
    Status.FORECAST: (0, 165, 255),
    Status.BLIND: (40, 40, 215),
}
_WHITE: Colour = (255, 255, 255)
_BLACK: Colour = (0, 0, 0)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_GOLDEN_TURN = 0.618033988749895
"""Hues a golden section of the circle apart: neighbouring track numbers get colours that differ much."""


def annotate(picture: ByteArray, answer: Answer) -> None:
    """Draw the answer into the picture.

    Args:
        picture: uint8 (H, W, 3) BGR, contiguous, in source-picture pixels; changed in place.
        answer: its payload is Tracks, or None when blind.
    """
    unit = _unit(picture)
    if isinstance(answer.payload, Tracks):
        _draw_tracks(picture, answer.payload, dashed=answer.status is not Status.FRESH, unit=unit)
    colour = _STATUS_COLOUR[answer.status]
    if answer.status is Status.BLIND:
        height, width = picture.shape[:2]
        cv2.rectangle(picture, (0, 0), (width - 1, height - 1), colour, thickness=max(3, round(8 * unit)))
    _draw_banner(picture, banner_text(answer), colour, unit)


def banner_text(answer: Answer) -> tuple[str, str]:
    """Return the status in capitals, and the rest of the banner.

    The age is from capture to answer; a forecast says too how long before this frame its newest track was measured.
    """
    info = answer.info
    parts = [f"frame {info.frame_id}"]
    if info.due_ns is not None and answer.published_ns is not None:
        parts.append(f"age {(answer.published_ns - info.captured_ns) / NS_PER_MS:.0f} ms")
    else:
        parts.append(f"{info.pts_s:.2f} s")
    tracks = answer.payload
    if answer.status is Status.FORECAST and isinstance(tracks, Tracks) and len(tracks):
        parts.append(f"measured {(info.captured_ns - int(tracks.measured_ns.max())) / NS_PER_MS:.0f} ms before")
    if answer.reason is not None:
        parts.append(answer.reason.value.replace("_", " "))
    if answer.health is not None:
        parts.append(f"health {answer.health.value}")
    return answer.status.value.upper(), "   ".join(parts)


def colour_of(track_id: int) -> Colour:
    """Return a bright colour that stays with a track."""
    hue = round(track_id * _GOLDEN_TURN % 1 * 179)
    blue, green, red = cv2.cvtColor(np.full((1, 1, 3), (hue, 190, 255), np.uint8), cv2.COLOR_HSV2BGR)[0, 0].tolist()
    return blue, green, red


def _unit(picture: ByteArray) -> float:
    """Return the size of things, 1 for a picture of 720 lines, so that text can be read in small ones too."""
    return float(min(max(min(picture.shape[0] / 720, picture.shape[1] / 960), 0.55), 3.0))


def _draw_tracks(picture: ByteArray, tracks: Tracks, *, dashed: bool, unit: float) -> None:
    height, width = picture.shape[:2]
    thickness = max(1, round(2 * unit))
    limit = np.array([width, height, width, height])
    # A wild box would make the dashes endless; beyond the picture nothing is seen anyway.
    corners = np.clip(np.nan_to_num(tracks.boxes), -limit, 2 * limit).round().astype(int).tolist()
    for track_id, class_id, score, (x1, y1, x2, y2) in zip(
        tracks.track_ids.tolist(), tracks.class_ids.tolist(), tracks.scores.tolist(), corners, strict=True
    ):
        colour = colour_of(track_id)
        if dashed:
            _dashed_rectangle(picture, (x1, y1), (x2, y2), colour, thickness)
        else:
            cv2.rectangle(picture, (x1, y1), (x2, y2), colour, thickness)
        label = f"{class_name(tracks.class_names, class_id)} {track_id} {score:.2f}"
        _draw_label(picture, label, (x1, y1), colour, unit)


def _dashed_rectangle(
    picture: ByteArray, low: tuple[int, int], high: tuple[int, int], colour: Colour, thickness: int
) -> None:
    (x1, y1), (x2, y2) = low, high
    for start, end in (((x1, y1), (x2, y1)), ((x2, y1), (x2, y2)), ((x2, y2), (x1, y2)), ((x1, y2), (x1, y1))):
        length = math.dist(start, end)
        count = max(1, round(length / (8 * thickness)))
        for dash in range(count):
            first, last = (dash + 0.2) / count, (dash + 0.8) / count
            cv2.line(picture, _between(start, end, first), _between(start, end, last), colour, thickness)


def _between(start: tuple[int, int], end: tuple[int, int], share: float) -> tuple[int, int]:
    return round(start[0] + (end[0] - start[0]) * share), round(start[1] + (end[1] - start[1]) * share)


def _draw_label(picture: ByteArray, label: str, corner: tuple[int, int], colour: Colour, unit: float) -> None:
    """Write on a patch of the track's colour, above the box's top left corner or, where the banner is, below it."""
    left, top = corner
    scale = 0.55 * unit
    thickness = 1 if unit < 1.5 else 2
    (text_width, text_height), below = cv2.getTextSize(label, _FONT, scale, thickness)
    pad = max(2, round(3 * unit))
    patch_height = text_height + below + pad
    patch_top = top - patch_height
    if patch_top < banner_height(picture):
        patch_top = max(top, banner_height(picture))
    left = max(0, min(left, picture.shape[1] - text_width - 2 * pad))
    cv2.rectangle(picture, (left, patch_top), (left + text_width + 2 * pad, patch_top + patch_height), colour, -1)
    origin = (left + pad, patch_top + text_height + pad // 2)
    cv2.putText(picture, label, origin, _FONT, scale, _BLACK, thickness, cv2.LINE_AA)


def banner_height(picture: ByteArray) -> int:
    """Return the height of the banner at the top, pixels."""
    return int(min(round(40 * _unit(picture)), picture.shape[0]))


def _draw_banner(picture: ByteArray, text: tuple[str, str], colour: Colour, unit: float) -> None:
    """Write the status on its colour at the left, and the rest on a darkened strip beside it."""
    status, rest = text
    height, width = banner_height(picture), picture.shape[1]
    strip = picture[:height]
    np.copyto(strip, strip // 4)
    pad = round(10 * unit)
    scale = 0.85 * unit
    thickness = max(1, round(2 * unit))
    (status_width, text_height), _ = cv2.getTextSize(status, _FONT, scale, thickness)
    baseline = (height + text_height) // 2
    cv2.rectangle(picture, (0, 0), (min(status_width + 2 * pad, width), height - 1), colour, -1)
    ink = _BLACK if colour is _STATUS_COLOUR[Status.FORECAST] else _WHITE
    cv2.putText(picture, status, (pad, baseline), _FONT, scale, ink, thickness, cv2.LINE_AA)
    room = width - status_width - 4 * pad
    rest_scale = 0.6 * unit
    (rest_width, _), _ = cv2.getTextSize(rest, _FONT, rest_scale, 1)
    if rest_width > room > 0:
        rest_scale = max(rest_scale * room / rest_width, 0.28)
    (_, rest_height), _ = cv2.getTextSize(rest, _FONT, rest_scale, 1)
    origin = (status_width + 3 * pad, (height + rest_height) // 2)
    cv2.putText(picture, rest, origin, _FONT, rest_scale, _WHITE, 1, cv2.LINE_AA)
