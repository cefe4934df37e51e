"""Panels of pictures: grey is zero, every picture in its place, white where there is none."""

import numpy as np
import pytest
from PIL import Image

from allcnn.visualize.figures import Panel, as_grid, draw, image_pictures, signal_pictures


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
