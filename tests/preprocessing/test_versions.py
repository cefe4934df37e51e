"""What the pictures of an augmentation show: the image as it is, then what training would see."""

from __future__ import annotations

import numpy as np
import pytest

from allcnn.data.order import FLIP, SHIFT_X, SHIFT_Y, flip_shift_draws
from allcnn.errors import InputError
from allcnn.preprocessing import make_preprocessing
from allcnn.preprocessing.versions import VERSIONS, augmented_versions

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 12, 12, 3)).astype(np.uint8)


@pytest.mark.parametrize("kind", ["center", "standardize", "none"])
def test_flips_and_shifts_show_the_pixels_themselves(kind) -> None:
    preprocessing = make_preprocessing(kind).adapt(IMAGES)
    stacks = augmented_versions(IMAGES, preprocessing, "flip-shift")
    assert stacks.shape == (4, 1 + VERSIONS, 12, 12, 3) and stacks.dtype == np.uint8
    assert np.array_equal(stacks[:, 0], IMAGES)
    for version in range(VERSIONS):
        for index, draws in enumerate(flip_shift_draws(0, 0, version, 4)):
            dy, dx = int(draws[SHIFT_Y]), int(draws[SHIFT_X])
            shown = stacks[index, 1 + version]
            shown = shown[:, ::-1] if draws[FLIP] else shown
            rows, columns = slice(max(0, -dy), 12 - max(0, dy)), slice(max(0, -dx), 12 - max(0, dx))
            moved = IMAGES[index][max(0, dy) : 12 + min(0, dy), max(0, dx) : 12 + min(0, dx)]
            assert np.array_equal(shown[rows, columns], moved)


def test_a_field_around_has_the_mean_colour() -> None:
    preprocessing = make_preprocessing("center").adapt(IMAGES)
    stacks = augmented_versions(IMAGES, preprocessing, "large", field=30)
    assert stacks.shape == (4, 1 + VERSIONS, 30, 30, 3)
    assert np.array_equal(stacks[:, 0, 9:21, 9:21], IMAGES)
    mean = np.rint(IMAGES.mean(axis=(0, 1, 2)))
    assert np.array_equal(stacks[:, :, 0, 0], np.broadcast_to(mean, (4, 1 + VERSIONS, 3)))
    assert len({picture.tobytes() for picture in stacks[0]}) == 1 + VERSIONS


def test_whitened_images_are_shown_on_their_own_scale() -> None:
    whitening = make_preprocessing("gcn-zca").adapt(IMAGES)
    stacks = augmented_versions(IMAGES, whitening, "large", field=20)
    assert abs(int(stacks[0, 0, 0, 0, 0]) - 128) < 20 and stacks.std() > 10


def test_no_such_augmentation() -> None:
    with pytest.raises(InputError) as caught:
        augmented_versions(IMAGES, make_preprocessing("none").adapt(IMAGES), "flip")
    assert str(caught.value) == (
        'no augmentation "flip" to show; expected one of: flip-shift, flip-reflect, large. '
        "Did you mean flip-shift or flip-reflect?"
    )
