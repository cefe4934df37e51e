"""Sample pictures of a data set, before and after preprocessing and augmentation, as one sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from allcnn.visualize.figures import Panel, as_grid, draw, image_pictures

COLUMNS = 10


def pick_samples(labels: np.ndarray, count: int = 2 * COLUMNS) -> np.ndarray:
    """Indices of `count` images: the first of every class, then the second of every class, and so on.

    Fewer where there are fewer images; with more classes than `count`, the first classes only.
    """
    ranks = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        ranks[of_class] = np.arange(len(of_class))
    return np.lexsort((labels, ranks))[:count]


def draw_stacks(
    stacks: np.ndarray, class_names: Sequence[str], row_labels: Sequence[str], title: str, path: Path
) -> None:
    """Write a sheet of stacks of pictures as a PNG file, each below the name of its class, in rows of `COLUMNS`.

    Args:
        stacks: (n, pictures, height, width, 3) uint8, each stack from top to bottom.
        class_names: (n,), of the class of each stack.
        row_labels: what the pictures of every stack are.
    """
    panels = []
    for start in range(0, len(stacks), COLUMNS):
        some = image_pictures(stacks[start : start + COLUMNS])
        rows = [as_grid(pictures, min(COLUMNS, len(stacks)))[0] for pictures in some.swapaxes(0, 1)]
        panels.append([Panel("", np.stack(rows), row_labels, class_names[start : start + COLUMNS])])
    draw(panels, title, path)
