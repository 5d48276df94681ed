"""The orientation that a JPEG's Exif block states (Exif 2.32, section 4.6.4), as far as it has one."""

from __future__ import annotations

_START, _APP1, _SCAN = b"\xff\xd8", 0xE1, 0xDA
_EXIF = b"Exif\0\0"
_ORIENTATION = 0x0112
_MOST_ENTRIES = 200

MIRRORED = frozenset({2, 4, 5, 7})
"""Orientations in which left and right are exchanged, before or after a turn."""
TURN_DEG = {1: 0, 2: 0, 3: 180, 4: 180, 5: 270, 6: 90, 7: 90, 8: 270}
"""The clockwise turn after that, by orientation."""


def orientation_in(jpeg: bytes) -> int | None:
    """Return 1 to 8, or None: it is no JPEG, or says nothing that can be understood."""
    if not jpeg.startswith(_START):
        return None
    position = 2
    while position + 4 <= len(jpeg) and jpeg[position] == 0xFF and jpeg[position + 1] != _SCAN:
        length = int.from_bytes(jpeg[position + 2 : position + 4])
        segment = jpeg[position + 4 : position + 2 + length]
        if jpeg[position + 1] == _APP1 and segment.startswith(_EXIF):
            return _orientation_of(segment[len(_EXIF) :])
        position += 2 + max(length, 2)
    return None


def _orientation_of(tiff: bytes) -> int | None:
    """Return what the first directory of a TIFF block says."""
    if tiff[:2] not in (b"II", b"MM"):
        return None
    order = "little" if tiff[:2] == b"II" else "big"

    def number(start: int, size: int) -> int:
        return int.from_bytes(tiff[start : start + size], order)  # type: ignore[arg-type]  # one of the two

    directory = number(4, 4)
    for entry in range(min(number(directory, 2), _MOST_ENTRIES)):
        place = directory + 2 + 12 * entry
        if number(place, 2) == _ORIENTATION:
            value = number(place + 8, 2)
            return value if value in TURN_DEG else None
    return None
