"""The sheet of samples, from arrays alone."""

from __future__ import annotations

import numpy as np

from allcnn.preprocessing.versions import to_visible
from allcnn.visualize.samples import draw_samples, draw_stacks, pick_samples


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


def test_each_picture_stands_above_its_preprocessed_version():
    raw = np.stack([np.full((64, 64, 3), value, np.uint8) for value in (10, 20, 30)])
    sheet = np.asarray(draw_samples(raw, np.zeros(raw.shape), columns=2))
    # Two blocks, the second with one picture; gaps of 2 between pictures and 10 between blocks, white.
    assert sheet.shape == (2 * 130 + 10, 130, 3)
    assert [int(sheet[0, column, 0]) for column in (0, 64, 66)] == [10, 255, 20]
    assert [int(sheet[row, 0, 0]) for row in (63, 64, 66, 129, 130, 140, 206)] == [10, 255, 128, 128, 255, 30, 128]
    assert np.unique(sheet[140:, 66:]).tolist() == [255]


def test_stacks_of_any_height():
    stacks = np.stack([np.full((3, 70, 70, 3), value, np.uint8) for value in (10, 20)])
    sheet = np.asarray(draw_stacks(stacks))
    assert sheet.shape == (3 * 72 - 2, 2 * 72 - 2, 3)
    assert [int(sheet[row, 72, 0]) for row in (0, 69, 70, 72, 144, 213)] == [20, 20, 255, 20, 20, 20]
