"""Panels of pictures: grey is zero, every picture in its place, white where there is none, lilac outside an image."""

from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from allcnn.errors import InputError
from allcnn.visualize.figures import OUTSIDE, Caption, Panel, as_grid, draw, image_pictures, signal_pictures, tinted


def test_zero_is_grey_and_each_signal_has_its_own_scale() -> None:
    maps = np.zeros((2, 2, 2, 3), np.float32)
    maps[0, 0, 0] = (-4.0, 0.0, 2.0)
    pictures = signal_pictures(maps)
    assert pictures[0, 0, 0].tolist() == [0.0, 0.5, 0.75]
    assert (pictures[1] == 0.5).all()  # a signal that is zero everywhere
    assert signal_pictures(np.stack([maps[0], maps[0] / 2]), one_scale=True)[1, 0, 0].tolist() == [0.25, 0.5, 0.625]


def test_images_become_pictures() -> None:
    assert image_pictures(np.array([[[[0, 255, 51]]]], np.uint8)).ravel().tolist() == pytest.approx([0.0, 1.0, 0.2])


def test_a_grid_is_filled_up_with_nothing() -> None:
    grid = as_grid(np.ones((5, 2, 2, 3), np.float32), 3)
    assert grid.shape == (2, 3, 2, 2, 3)
    assert np.isnan(grid[1, 2]).all() and not np.isnan(grid[1, 1]).any()


def test_every_picture_is_in_the_file(tmp_path) -> None:
    """Four colours in a grid of two rows, the last place empty, next to a panel of one grey picture."""
    colours = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    tiles = as_grid(np.broadcast_to(colours[:, None, None], (3, 8, 8, 3)), 2)
    grey = np.full((1, 1, 8, 8, 3), 0.6, np.float32)
    path = tmp_path / "new" / "figure.png"
    draw([[Panel("colours", tiles, ["first row", "second"], ["a", "b"]), Panel("grey", grey)]], "a title", path)
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    counts = {name: int((pixels == colour).all(axis=1).sum()) for name, colour in {
        "red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "grey": (153, 153, 153)}.items()}  # fmt: skip
    assert min(counts.values()) > 1000
    assert counts["red"] == pytest.approx(counts["blue"], rel=0.1)
    assert not list(path.parent.glob(".*"))


@pytest.fixture
def texts(monkeypatch) -> list:
    """The texts of the figures that were saved, each with its box in pixels, and the size of the figure as a box."""
    from matplotlib.figure import Figure

    seen = []
    save = Figure.savefig

    def saved(self, *parts, **more):
        save(self, *parts, **more)
        seen.extend((text, text.get_window_extent()) for text in self.texts if text.get_text())
        seen.append((None, self.bbox))

    monkeypatch.setattr(Figure, "savefig", saved)
    return seen


def test_a_caption_has_the_true_class_beside_the_predicted() -> None:
    wrong = Caption("automobile", "ship", 46.7)
    assert wrong.in_lines() == "automobile → ship\u200247 %" and wrong.is_wrong
    assert wrong.in_lines(2) == "automobile\n→ ship\u200247 %" and wrong.in_lines(3) == "automobile\n→ ship\n47 %"
    assert Caption(None, "ship", 99.9).in_lines(2) == "ship\u2002100 %"
    assert not Caption(None, "ship", 1).is_wrong and not Caption("ship", "ship", 1).is_wrong


def test_only_a_part_of_a_picture_is_tinted() -> None:
    tiles = as_grid(np.ones((3, 2, 2, 3), np.float32), 2)
    tiles[0, 0, 0] = np.nan
    shown = tinted(tiles)
    np.testing.assert_allclose(shown[0, 0, 0], np.broadcast_to(OUTSIDE, (2, 3)), rtol=1e-6)
    assert (shown[0, 0, 1] == 1).all() and np.isnan(shown[1, 1]).all()


@pytest.mark.parametrize("hangs_over", [False, True])
def test_the_tint_is_in_the_file_and_said_below(tmp_path, texts, hangs_over) -> None:
    tiles = np.zeros((1, 3, 9, 9, 3), np.float32)
    if hangs_over:
        tiles[0, 1, :4] = np.nan
    path = tmp_path / "figure.png"
    draw([[Panel("", tiles)]], "a title", path)
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    found = (abs(pixels - np.round(np.array(OUTSIDE) * 255)) < 2).all(axis=-1).sum()
    assert bool(found > 5000) is hangs_over
    assert any("Outside the image" in text.get_text() for text, _ in texts[:-1]) is hangs_over


@pytest.mark.parametrize(("columns", "side"), [(2, 8), (10, 21), (10, 224), (1, 3), (30, 9)])
def test_texts_lie_on_the_sheet_and_not_on_each_other(tmp_path, texts, columns, side) -> None:
    tiles = np.zeros((2, columns, side, side, 3), np.float32)
    tiles[0, 0, 0] = np.nan
    captions = [[Caption("automobile", "great white shark, a fish", 47.0)] * columns, [Caption("a", "a", 100.0)]]
    rows = ["unit 0\n(never active)", "a file of a long name that says very much and has no end.jpeg"]
    headings = [f"guided backprop.,\nrandom weights {column}" for column in range(columns)]
    panels = [Panel("signals", tiles, rows), Panel("image", tiles, (), headings, captions)]
    draw([panels, panels], "a model of a $name$: " + "a title that goes on and on " * 9, tmp_path / "figure.png")
    *written, (_, sheet) = texts
    boxes = [box for _, box in written]
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= sheet.x1 and box.y1 <= sheet.y1 for box in boxes)
    # Few pixels are rounding: every line has its height to itself.
    overlaps = [
        (one, other)
        for one, other in combinations(boxes, 2)
        if min(one.x1, other.x1) - max(one.x0, other.x0) > 4 and min(one.y1, other.y1) - max(one.y0, other.y0) > 4
    ]
    assert not overlaps
    wrong = [text.get_color() for text, _ in written if text.get_text().startswith("autom")]
    assert wrong == ["#b3261e"] * 2 * columns


def test_pictures_fill_the_sheet(tmp_path) -> None:
    """More than two thirds of a sheet of many pictures are pictures."""
    path = tmp_path / "figure.png"
    draw([[Panel("filters", np.zeros((6, 24, 3, 3, 3), np.float32))]], "a title", path)
    with Image.open(path) as picture:
        assert (np.asarray(picture.convert("L")) == 0).mean() > 0.67


def test_a_figure_for_print(tmp_path) -> None:
    draw([[Panel("", np.zeros((1, 2, 8, 8, 3), np.float32))]], "a title", tmp_path / "figure.pdf")
    assert (tmp_path / "figure.pdf").read_bytes().startswith(b"%PDF")
    with pytest.raises(InputError, match='unknown format "jpg"; expected one of: png, pdf'):
        draw([], "", tmp_path / "figure.jpg")
