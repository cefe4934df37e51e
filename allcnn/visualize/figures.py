"""Panels of small pictures, drawn with matplotlib as one PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from allcnn.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 150
# Of one picture, in inches, between these by how many stand side by side.
_LARGEST_TILE, _SMALLEST_TILE, _WIDEST = 1.3, 0.32, 11.0
# Pixels between pictures, of a picture enlarged by whole pixels.
_GAP = 2
_ENLARGED = 96


@dataclass(frozen=True)
class Panel:
    """A grid of pictures of one size.

    tiles: (rows, columns, height, width, 3), 0..1; rows may lack pictures at their end, which are then NaN.
    """

    title: str
    tiles: np.ndarray
    row_labels: Sequence[str] = ()
    column_labels: Sequence[str] = ()


def signal_pictures(maps: np.ndarray, one_scale: bool = False) -> np.ndarray:
    """Signals of both signs, (..., height, width, 3), as pictures 0..1 with zero grey, each on its own scale or not."""
    largest = np.abs(maps).max(axis=None if one_scale else (-3, -2, -1), keepdims=True)
    return 0.5 + 0.5 * maps / np.where(largest > 0, largest, 1.0)


def image_pictures(images: np.ndarray) -> np.ndarray:
    """Raw images, 0..255, as pictures 0..1."""
    return np.clip(np.asarray(images, np.float32) / 255.0, 0.0, 1.0)


def as_grid(pictures: np.ndarray, columns: int) -> np.ndarray:
    """(n, height, width, 3) in rows of so many: (rows, columns, height, width, 3), filled up with NaN."""
    rows = -(-len(pictures) // columns)
    filled = np.full((rows * columns, *pictures.shape[1:]), np.nan, np.float32)
    filled[: len(pictures)] = pictures
    return filled.reshape(rows, columns, *pictures.shape[1:])


def draw(rows: Sequence[Sequence[Panel]], title: str, path: Path) -> None:
    """Write a figure of panels, row by row, to a PNG file, in one step."""
    figure = compose(rows, title)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


def plotted(rows: Sequence[Sequence[Panel]], title: str) -> Figure:
    """The figure itself, which a notebook shows, whether or not pyplot is loaded."""
    figure = compose(rows, title)

    def as_png() -> bytes:
        content = io.BytesIO()
        figure.savefig(content, format="png")
        return content.getvalue()

    figure._repr_png_ = as_png  # type: ignore[attr-defined]
    return figure


def compose(rows: Sequence[Sequence[Panel]], title: str) -> Figure:
    """Panels, row by row, as a figure of matplotlib."""
    from matplotlib.figure import Figure

    widest = max(sum(panel.tiles.shape[1] for panel in row) for row in rows)
    tile = min(_LARGEST_TILE, max(_SMALLEST_TILE, _WIDEST / widest))
    widths = [[panel.tiles.shape[1] * tile for panel in row] for row in rows]
    heights = [
        max(panel.tiles.shape[0] * tile * panel.tiles.shape[2] / panel.tiles.shape[3] for panel in row) + 0.55
        for row in rows
    ]
    size = (max(6.0, max(map(sum, widths)) + 1.2), sum(heights) + 0.5)
    figure = Figure(figsize=size, dpi=_DPI, layout="constrained")
    figure.suptitle(title, fontsize=10, wrap=True)
    bands = figure.subfigures(len(rows), 1, height_ratios=heights, squeeze=False)[:, 0]
    for band, row, columns in zip(bands, rows, widths, strict=True):
        for panel, axis in zip(row, band.subplots(1, len(row), width_ratios=columns, squeeze=False)[0], strict=True):
            mosaic = _mosaic(panel.tiles)
            axis.imshow(mosaic, interpolation="nearest")
            axis.set_title(panel.title, fontsize=8)
            _label(axis, panel, mosaic.shape)
    return figure


def _mosaic(tiles: np.ndarray) -> np.ndarray:
    """The grid as one picture, white between and where there is none."""
    rows, columns, height, width, _ = tiles.shape
    scale = max(1, _ENLARGED // max(height, width))
    tiles = tiles.repeat(scale, axis=2).repeat(scale, axis=3)
    height, width = height * scale, width * scale
    mosaic = np.ones((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3), np.float32)
    for row in range(rows):
        for column in range(columns):
            top, left = row * (height + _GAP), column * (width + _GAP)
            mosaic[top : top + height, left : left + width] = np.nan_to_num(tiles[row, column], nan=1.0)
    return np.clip(mosaic, 0.0, 1.0)


def _label(axis: Any, panel: Panel, shape: tuple[int, ...]) -> None:
    """The labels of rows and columns at their middles; no frame, no ticks."""
    rows, columns = panel.tiles.shape[:2]
    axis.set_yticks([(row + 0.5) * shape[0] / rows for row in range(len(panel.row_labels))], panel.row_labels)
    axis.set_xticks([(column + 0.5) * shape[1] / columns for column in range(len(panel.column_labels))])
    axis.set_xticklabels(panel.column_labels)
    axis.xaxis.set_ticks_position("top")
    axis.tick_params(length=0, labelsize=6, pad=1)
    for spine in axis.spines.values():
        spine.set_visible(False)
