from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits as load_bunch

from allcnn.data import load_data
from allcnn.errors import InputError


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


def test_sizes(digits):
    assert digits.train_images.shape == (1438, 32, 32, 3) and digits.test_images.shape == (359, 32, 32, 3)
    assert digits.train_images.dtype == np.uint8 and digits.train_labels.dtype == np.int32
    assert digits.classes == 10 and digits.class_names == tuple("0123456789") and digits.image_shape == (32, 32, 3)
    assert (digits.name, digits.layout) == ("digits", "scikit-learn")
    assert digits.source.startswith("scikit-learn ")
    assert digits.resize == "shorter side to 32, bilinear with antialiasing, centre crop"


def test_every_fifth_is_a_test_image(digits):
    target = load_bunch().target
    assert digits.test_labels.tolist() == target[4::5].tolist()
    # Images 0 to 5 are the digits 0 to 5; number 4 is the first test image.
    assert digits.train_labels[:5].tolist() == [0, 1, 2, 3, 5] and digits.test_labels[0] == 4


def test_pixels_by_hand():
    """0..16 becomes 0..255 (8 * 255 / 16 = 127.5, to the even 128), grey three times."""
    bunch, small = load_bunch(), load_data("digits", image_size=8)
    found = small.train_images[0]
    for value, expected in ((0, 0), (1, 16), (5, 80), (8, 128), (15, 239), (16, 255)):
        assert (found[bunch.images[0] == value] == expected).all()
    np.testing.assert_array_equal(found[:, :, 0], found[:, :, 2])


def test_corners_are_enlarged_by_four(digits):
    """Bilinear, from 8 to 32: beyond the centre of the outermost pixel its value stays."""
    small = load_data("digits", image_size=8)
    np.testing.assert_array_equal(digits.train_images[:, 0, 0], small.train_images[:, 0, 0])
    np.testing.assert_array_equal(digits.train_images[:, 31, 31], small.train_images[:, 7, 7])


@pytest.mark.parametrize(("option", "given"), [({"data_dir": "."}, "data folder"), ({"mirror": "http://x"}, "mirror")])
def test_nothing_to_fetch_or_find(option, given):
    with pytest.raises(InputError) as error:
        load_data("digits", **option)
    assert str(error.value) == f"digits: a {given} was given, but the digits come with scikit-learn.\nLeave it out."
