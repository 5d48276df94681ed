"""The number of a picture, in its pixels: what was answered needs no word of whoever answered.

Needs nothing but numpy, so that it can be read in any environment.
"""

from __future__ import annotations

import numpy as np

BITS = 12
"""Fields at the top of each picture, black or white; the lowest bit first."""
STRIP_PX = 16
"""Their height."""


def write_number(picture: np.ndarray, number: int) -> None:
    """Draw a number, 0 to 4095, along the upper edge of a picture, uint8 (H, W) or (H, W, 3)."""
    edges = np.linspace(0, picture.shape[1], BITS + 1).round().astype(int)
    for bit in range(BITS):
        picture[:STRIP_PX, edges[bit] : edges[bit + 1]] = 235 if number >> bit & 1 else 16


def read_number(picture: np.ndarray) -> int:
    """Return the number in a picture, uint8 (H, W) or (H, W, 3); only the middle of each field is looked at."""
    middles = ((np.arange(BITS) + 0.5) * picture.shape[1] / BITS).astype(int)
    values = picture[STRIP_PX // 2 - 2 : STRIP_PX // 2 + 2, middles].reshape(4, BITS, -1).mean(axis=(0, 2))
    return int((values > 128) @ (1 << np.arange(BITS)))
