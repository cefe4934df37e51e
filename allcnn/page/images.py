"""Pixels -> small PNG pictures inside the page, which the browser enlarges crisply."""

from __future__ import annotations

import base64
import io
from typing import NamedTuple

import numpy as np

#: Larger pictures are brought to this: a page holds many.
LARGEST_SIDE = 96
_GAP = 1


class Picture(NamedTuple):
    """A picture for the template: a PNG in base64, its size in pixels, and what it shows, for those who see none."""

    png: str
    width: int
    height: int
    says: str


def picture(pixels: np.ndarray, says: str) -> Picture:
    """A picture of (height, width, 3) or, with transparency, 4: uint8, or 0..1."""
    from PIL import Image

    if pixels.dtype != np.uint8:
        pixels = np.round(np.clip(pixels, 0.0, 1.0) * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, format="PNG", optimize=True)
    height, width = pixels.shape[:2]
    return Picture(base64.b64encode(file.getvalue()).decode("ascii"), width, height, says)


def sheet(tiles: np.ndarray) -> np.ndarray:
    """A grid (rows, columns, height, width, 3) of pictures 0..1 as one, with transparency between and where NaN is."""
    rows, columns, height, width, _ = tiles.shape
    whole = np.zeros((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 4), np.float32)
    for row in range(rows):
        for column in range(columns):
            top, left = row * (height + _GAP), column * (width + _GAP)
            place = whole[top : top + height, left : left + width]
            place[..., :3] = np.nan_to_num(tiles[row, column])
            place[..., 3] = ~np.isnan(tiles[row, column]).any(axis=-1)
    return whole


def small(pixels: np.ndarray) -> np.ndarray:
    """A raw image, not larger than `LARGEST_SIDE`."""
    if max(pixels.shape[:2]) <= LARGEST_SIDE:
        return pixels
    from PIL import Image

    thumbnail = Image.fromarray(pixels)
    thumbnail.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    return np.asarray(thumbnail)
