"""The sheet of samples, from arrays alone."""

from __future__ import annotations

import numpy as np
from PIL import Image

from allcnn.preprocessing.versions import to_visible
from allcnn.visualize.samples import draw_stacks, pick_samples


def test_picks_the_first_of_every_class_then_the_second():
    labels = np.array([1, 1, 0, 2, 0, 1])
    assert pick_samples(labels, 5).tolist() == [2, 0, 3, 4, 1]
    assert pick_samples(labels, 2).tolist() == [2, 0]
    assert sorted(pick_samples(labels, 99).tolist()) == [0, 1, 2, 3, 4, 5]


def test_three_deviations_fill_the_range():
    # Mean 0 and deviation 1: 0 -> the middle, 1 -> (0.5 + 1/6) * 255 = 170, -1 -> 85.
    image = np.array([1.0, -1.0, 1.0, -1.0]).reshape(1, 2, 2, 1).repeat(3, axis=3)
    assert to_visible(image)[0, :, :, 0].tolist() == [[170, 85], [170, 85]]
    # One value in many is more than three deviations away, and is cut off.
    spike = np.zeros((1, 10, 10, 3))
    spike[0, 0, 0] = 1.0
    assert to_visible(spike)[0, 0, 0].tolist() == [255, 255, 255]


def test_an_image_of_one_colour_is_grey():
    assert np.unique(to_visible(np.full((1, 4, 4, 3), 7.0))).tolist() == [128]


def test_pictures_stand_below_each_other_and_below_their_class(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    texts = []
    text = Figure.text
    monkeypatch.setattr(
        Figure, "text", lambda self, x, y, said, **more: texts.append(said) or text(self, x, y, said, **more)
    )
    values = range(10, 250, 20)
    stacks = np.stack([np.stack([np.full((32, 32, 3), value + more, np.uint8) for more in (0, 5)]) for value in values])
    path = tmp_path / "samples.png"
    draw_stacks(stacks, [f"class {value}" for value in values], ["image", "whitened"], "noise: samples", path)
    sheet = np.asarray(Image.open(path).convert("L")).astype(int)
    assert sheet.shape[1] > 1700  # ten pictures fill the sheet
    assert [said for said in texts if said.startswith("class")] == [f"class {value}" for value in values]
    assert texts.count("image") == texts.count("whitened") == 2
    for value in values:
        above, below = np.argwhere(sheet == value).mean(axis=0), np.argwhere(sheet == value + 5).mean(axis=0)
        assert below[0] - above[0] > 100 and abs(below[1] - above[1]) < 10
