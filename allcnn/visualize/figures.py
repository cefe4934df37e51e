"""Panels of small pictures, drawn with matplotlib as one PNG or PDF."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from allcnn.errors import refuse_unknown
from allcnn.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: What figures can be written as, by the ends of their names.
FORMATS = ("png", "pdf")
#: The colour of what lies outside an image, 0..1: rare in photographs, unlike the grey of zero and white paper.
OUTSIDE = (0.84, 0.77, 0.92)
_DPI = 150
# In pixels: all pictures of a sheet together, width and height in the proportions of paper; the largest and the
# smallest picture; the gaps between pictures and between panels; the margin.
_SHEET, _SHEET_HEIGHT, _LARGEST_TILE, _SMALLEST_TILE = 1860, 2500, 270, 48
_GAP, _PANEL_GAP, _MARGIN = 3, 24, 14
# A picture is enlarged a whole number of times if that leaves no more of its room empty than this.
_ROOM_LEFT = 0.12
# The gap beside a row's label, and the label's largest width.
_LABEL_GAP, _WIDEST_LABEL = 8, 260
# Sizes of letters in points; for captions the first that fits.
_TITLE, _HEADING, _LABEL, _NOTE = 11, 9, 7.5, 7
_CAPTIONS = (8, 6.5, 5.5, 4.25)
_INK, _WRONG = "#1c2430", "#b3261e"


class Caption(NamedTuple):
    """The true class of an image, None if it is not known, the predicted one, and its probability in percent."""

    true: str | None
    predicted: str
    percent: float

    @property
    def is_wrong(self) -> bool:
        """Whether another class than the true one was predicted."""
        return self.true not in (None, self.predicted)

    def in_lines(self, count: int = 1) -> str:
        """As "automobile → ship 47 %", in so many lines at most."""
        true = "" if self.true is None else self.true + (" → " if count == 1 else "\n→ ")
        # Wider than a space, as between "4 → 1" and "11 %".
        return f"{true}{self.predicted}" + ("\u2002" if count < 3 else "\n") + f"{self.percent:.0f} %"


@dataclass(frozen=True)
class Panel:
    """A grid of pictures of one size.

    tiles: (rows, columns, height, width, 3), 0..1. A picture all of NaN is an empty place, as at the end of a row. NaN
        in a part of a picture is outside the image, and tinted.
    captions: below the pictures, by row and column; rows may be shorter, or missing at the end.
    """

    title: str
    tiles: np.ndarray
    row_labels: Sequence[str] = ()
    column_labels: Sequence[str] = ()
    captions: Sequence[Sequence[Caption]] = ()


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


def tinted(tiles: np.ndarray) -> np.ndarray:
    """Pictures (..., height, width, 3) with the tint for NaN, except where a whole picture is NaN."""
    return np.where(_outside(tiles), np.asarray(OUTSIDE, tiles.dtype), tiles)


def _outside(tiles: np.ndarray) -> np.ndarray:
    missing = np.isnan(tiles)
    return missing & ~missing.all(axis=(-3, -2, -1), keepdims=True)


def check_format(form: str) -> str:
    """Raises InputError for a format that is not one of `FORMATS`."""
    refuse_unknown("format", form, FORMATS)
    return form


def draw(rows: Sequence[Sequence[Panel]], title: str, path: Path) -> None:
    """Write a figure of panels, row by row, in one step; the end of the path's name is its format."""
    form = check_format(path.suffix[1:].lower())
    figure = compose(rows, title)
    nothing = {"Software": None} if form == "png" else dict.fromkeys(("Creator", "Producer", "CreationDate"))
    with atomic_path(path) as temporary:
        _save(figure, temporary, form, metadata=nothing)


def plotted(rows: Sequence[Sequence[Panel]], title: str) -> Figure:
    """The figure itself, which a notebook shows, whether or not pyplot is loaded."""
    figure = compose(rows, title)

    def as_png() -> bytes:
        content = io.BytesIO()
        _save(figure, content, "png")
        return content.getvalue()

    figure._repr_png_ = as_png  # type: ignore[attr-defined]
    return figure


def _save(figure: Figure, file: Path | io.BytesIO, form: str, **more: Any) -> None:
    from matplotlib import rc_context

    # Letters are as wide as they were measured; in a PDF they are of a kind that journals accept.
    with rc_context({"text.hinting": "no_hinting", "pdf.fonttype": 42}):
        figure.savefig(file, format=form, **more)


def compose(rows: Sequence[Sequence[Panel]], title: str) -> Figure:
    """Panels, row by row, as a figure of matplotlib."""
    from matplotlib.figure import Figure

    bands = [_Band(row) for row in rows]
    left = _MARGIN + max(band.labels_width for band in bands)
    width = left + max(band.width for band in bands) + _MARGIN
    hangs_over = any(_outside(panel.tiles).any() for row in rows for panel in row)
    title = _wrapped(title, _TITLE, width - 2 * _MARGIN)
    note = _wrapped(_note(rows, hangs_over), _NOTE, width - 2 * _MARGIN)
    top = _MARGIN + _height(title, _TITLE) + _PANEL_GAP
    height = top + sum(band.height + _PANEL_GAP for band in bands) - _PANEL_GAP + _MARGIN
    height += _height(note, _NOTE) + _PANEL_GAP if note else 0

    figure = Figure((width / _DPI, height / _DPI), dpi=_DPI, facecolor="white")
    figure.suptitle(
        title, x=_MARGIN / width, y=1 - _MARGIN / height, ha="left", va="top", size=_TITLE, color=_INK, parse_math=False
    )

    def write(text: str, x: float, y: float, size: float, across: str = "center", colour: str = _INK) -> None:
        """Text around, before or from x pixels from the left, below y pixels from the top."""
        figure.text(
            x / width, 1 - y / height, text, size=size, color=colour, ha=across, va="top", linespacing=1.1,
            parse_math=False,
        )  # fmt: skip

    for band in bands:
        x: float = left
        for panel, layout in zip(band.panels, band.layouts, strict=True):
            write(panel.title, x + layout.width / 2, top + band.titles - _height(panel.title, _HEADING), _HEADING)
            for column, label in enumerate(panel.column_labels):
                label = _cut(label, _LABEL, layout.cell_width)
                middle, bottom = x + column * layout.cell_width + layout.tile_width / 2, top + band.above
                write(label, middle, bottom - _height(label, _LABEL), _LABEL)
            y = top + band.above
            place = (x / width, 1 - (y + layout.height) / height, layout.width / width, layout.height / height)
            axes = figure.add_axes(place, frameon=False, xticks=(), yticks=())
            axes.imshow(layout.mosaic(panel.tiles), interpolation="none", aspect="auto")
            for row, label in enumerate(panel.row_labels):
                label = _cut(label, _LABEL, _WIDEST_LABEL)
                above = y + row * layout.cell_height + (layout.tile_height - _height(label, _LABEL)) / 2
                write(label, x - _LABEL_GAP, above, _LABEL, "right")
            for row, captions in enumerate(panel.captions):
                below = y + row * layout.cell_height + layout.tile_height + 1
                for column, caption in enumerate(captions):
                    said = _cut(caption.in_lines(band.caption_lines), band.caption_size, layout.cell_width)
                    middle = x + column * layout.cell_width + layout.tile_width / 2
                    write(said, middle, below, band.caption_size, colour=_WRONG if caption.is_wrong else _INK)
            x += layout.width + _PANEL_GAP
        top += band.height + _PANEL_GAP
    sample = _height("x", _NOTE) if hangs_over else 0  # of the tint, before the note
    if hangs_over:
        side = 0.7 * sample
        box = (_MARGIN / width, 1 - (top + side) / height, side / width, side / height)
        figure.add_axes(box, facecolor=OUTSIDE, xticks=(), yticks=())
    write(note, _MARGIN + sample, top, _NOTE, "left")
    return figure


@dataclass(frozen=True)
class _Layout:
    """The sizes of a panel, of its pictures and of the captions below them, in pixels."""

    rows: int
    columns: int
    tile_width: int
    tile_height: int
    captions: int

    @property
    def cell_width(self) -> int:
        return self.tile_width + _GAP

    @property
    def cell_height(self) -> int:
        return self.tile_height + self.captions + _GAP

    @property
    def width(self) -> int:
        return self.columns * self.cell_width - _GAP

    @property
    def height(self) -> int:
        return self.rows * self.cell_height - _GAP

    def mosaic(self, tiles: np.ndarray) -> np.ndarray:
        """The panel as one uint8 picture, white between its pictures and in empty places, in the pixels of the file."""
        pictures = np.round(np.clip(np.nan_to_num(tinted(tiles), nan=1.0), 0.0, 1.0) * 255).astype(np.uint8)
        mosaic = np.full((self.height, self.width, 3), 255, np.uint8)
        # Repeated, then averaged: no smoothing, which would hide what whitening does to neighbours.
        enlarged = -(-self.tile_width // tiles.shape[3])
        for row, column in np.ndindex(self.rows, self.columns):
            top, left = row * self.cell_height, column * self.cell_width
            tile = pictures[row, column].repeat(enlarged, axis=0).repeat(enlarged, axis=1)
            shown = Image.fromarray(tile).resize((self.tile_width, self.tile_height), Image.Resampling.BOX)
            mosaic[top : top + self.tile_height, left : left + self.tile_width] = np.asarray(shown)
        return mosaic


class _Band:
    """Panels side by side: the size of their pictures, and the room for what is written around them, in pixels."""

    def __init__(self, panels: Sequence[Panel]):
        self.panels = panels
        high = _SHEET_HEIGHT // max(panel.tiles.shape[0] for panel in panels)
        wide = _SHEET // sum(panel.tiles.shape[1] for panel in panels)
        room = max(_SMALLEST_TILE, min(_LARGEST_TILE, wide, high)) - _GAP
        sizes = []
        for panel in panels:
            rows, columns, height, width, _ = panel.tiles.shape
            # A picture that is larger than its room is worth a larger sheet, up to a limit.
            shown = min(width * max(1, room // width), 2 * room)
            shown = max(shown, room) if shown < (1 - _ROOM_LEFT) * room else shown
            sizes.append((rows, columns, shown, max(1, round(shown * height / width))))
        self.caption_size, self.caption_lines, below = _captions_fit(panels, [size[2] + _GAP for size in sizes])
        self.layouts = [_Layout(*size, below) for size in sizes]
        self.titles = max((_height(panel.title, _HEADING) for panel in panels if panel.title), default=0)
        labels = max((_height(label, _LABEL) for panel in panels for label in panel.column_labels), default=0)
        self.above = self.titles + labels + (_GAP if self.titles and labels else 0)
        self.height = self.above + max(layout.height for layout in self.layouts)
        self.width = sum(layout.width + _PANEL_GAP for layout in self.layouts) - _PANEL_GAP
        labels_width = max((_width(label, _LABEL) for label in panels[0].row_labels), default=0)
        self.labels_width = min(labels_width, _WIDEST_LABEL) + _LABEL_GAP if labels_width else 0


def _captions_fit(panels: Sequence[Panel], widths: Sequence[int]) -> tuple[float, int, int]:
    """The size and number of lines in which the captions fit below their pictures, and the height of that."""
    captions = [
        (caption, width)
        for panel, width in zip(panels, widths, strict=True)
        for row in panel.captions
        for caption in row
    ]
    if not captions:
        return _CAPTIONS[0], 1, 0
    choices = [*((size, lines) for size in _CAPTIONS for lines in (1, 2)), (_CAPTIONS[-1], 3)]
    for size, lines in choices:
        if all(_width(caption.in_lines(lines), size) <= width for caption, width in captions):
            break
    return size, lines, max(_height(caption.in_lines(lines), size) for caption, _ in captions) + 4


def _note(rows: Sequence[Sequence[Panel]], hangs_over: bool) -> str:
    """What the tint and the captions mean. hangs_over: whether a part of any picture is outside its image."""
    said = ["Outside the image."] if hangs_over else []
    captions = [caption for row in rows for panel in row for captions in panel.captions for caption in captions]
    if any(caption.true is not None for caption in captions):
        said.append("Below an image: its true class → the class predicted for it, in red if wrong.")
    return "  ".join(said)


def _width(text: str, size: float) -> float:
    """Of the longest line, in pixels."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size)
    lines = (text_to_path.get_text_width_height_descent(line, font, False) for line in text.split("\n"))
    return max(width for width, _, _ in lines) * _DPI / 72


def _height(text: str, size: float) -> int:
    return round((text.count("\n") + 1) * size * 1.3 * _DPI / 72)


def _cut(text: str, size: float, width: float) -> str:
    """The text with lines that are wider cut to the width, in pixels."""
    lines = text.split("\n")
    for index, line in enumerate(lines):
        while line and _width(lines[index], size) > width:
            line = line[:-1]
            lines[index] = f"{line}…"
    return "\n".join(lines)


def _wrapped(text: str, size: float, width: float) -> str:
    return textwrap.fill(text, max(20, int(len(text) * width / max(1, _width(text, size)))))
