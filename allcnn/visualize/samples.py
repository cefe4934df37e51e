"""Sample pictures of a data set, before and after preprocessing and augmentation, as one image."""

from __future__ import annotations

import numpy as np
from PIL import Image

from allcnn.preprocessing.versions import to_visible

COLUMNS = 10

_GAP = 2
_BLOCK_GAP = 10
# Small pictures are enlarged by a whole factor until they are at least this many pixels wide.
_SMALLEST_TILE = 64


def pick_samples(labels: np.ndarray, count: int = 2 * COLUMNS) -> np.ndarray:
    """Indices of `count` images: the first of every class, then the second of every class, and so on.

    Fewer where there are fewer images; with more classes than `count`, the first classes only.
    """
    ranks = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        ranks[of_class] = np.arange(len(of_class))
    return np.lexsort((labels, ranks))[:count]


def draw_samples(raw: np.ndarray, preprocessed: np.ndarray, columns: int = COLUMNS) -> Image.Image:
    """A sheet of image pairs: each raw image with its preprocessed version right below it.

    Args:
        raw: (n, height, width, 3) uint8.
        preprocessed: (n, height, width, 3) of any range; each image is shown on its own scale (`to_visible`).
        columns: pairs in a row.
    """
    return draw_stacks(np.stack([raw, to_visible(preprocessed)], axis=1), columns)


def draw_stacks(stacks: np.ndarray, columns: int = COLUMNS) -> Image.Image:
    """A sheet of stacks of pictures, (n, pictures, height, width, 3) uint8, each one below the other."""
    count, pictures, height, width, _ = stacks.shape
    scale = max(1, -(-_SMALLEST_TILE // width))
    tile_height, tile_width = height * scale, width * scale
    columns = min(columns, count)
    blocks = -(-count // columns)
    stack_height = pictures * (tile_height + _GAP) - _GAP
    sheet = np.full(
        (blocks * (stack_height + _BLOCK_GAP) - _BLOCK_GAP, columns * (tile_width + _GAP) - _GAP, 3), 255, np.uint8
    )
    for index, stack in enumerate(stacks):
        block, column = divmod(index, columns)
        top, left = block * (stack_height + _BLOCK_GAP), column * (tile_width + _GAP)
        for image in stack:
            # Whole pixels repeated: smoothing would hide what whitening does to neighbours.
            enlarged = image.repeat(scale, axis=0).repeat(scale, axis=1)
            sheet[top : top + tile_height, left : left + tile_width] = enlarged
            top += tile_height + _GAP
    return Image.fromarray(sheet)
