"""One image: how deep pixels become RGB, what is refused, and how it comes to the network's size.

`tests/hostile/test_image_files.py` has every odd kind of file.
"""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from allcnn.data import images, read_image
from allcnn.data.images import ResizeRule
from allcnn.errors import DataError, InputError


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_scaled(tmp_path, suffix):
    """65535 / 257 = 255, and 128 of 257 rounds up: not cut off at 255, as a plain conversion would."""
    values = np.array([[0, 128, 129, 257, 32896, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / f"deep.{suffix}")
    assert read_image(tmp_path / f"deep.{suffix}")[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]


def test_transparent_becomes_white(tmp_path):
    pixels = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 51]]], np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    # 51 of 255 is a fifth of black on white: 255 * 4 / 5 = 204.
    found = read_image(tmp_path / "a.png")
    assert found.dtype == np.uint8 and found.tolist() == [[[10, 20, 30], [255] * 3, [204] * 3]]


def test_what_is_no_image_file(tmp_path):
    for path, said in (
        (tmp_path / "none.png", "there is no such file; expected an image."),
        (tmp_path, "the image cannot be read (Is a directory).\nRepair the file or take it away."),
    ):
        with pytest.raises(DataError) as error:
            read_image(path)
        assert str(error.value) == f"{path}: {said}"


# Resizing


def to_size(image: np.ndarray, size: int) -> np.ndarray:
    return ResizeRule(size, size).centre(image)


def test_shrinking_by_hand():
    """To half: each output is 1, 3, 3, 1 eighths of four neighbours; at the border 3, 3, 1 sevenths."""
    row = np.array([0, 0, 80, 160], np.uint8)
    image = np.repeat(np.tile(row, (4, 1))[:, :, None], 3, axis=2)
    # (3*0 + 3*0 + 1*80) / 7 = 11.4; (1*0 + 3*80 + 3*160) / 7 = 102.9
    np.testing.assert_array_equal(to_size(image, 2)[:, :, 1], [[11, 103], [11, 103]])


def test_enlarging_by_hand():
    """From 2 to 4: the outer values stay, the inner ones are 3/4 of the nearer and 1/4 of the farther."""
    image = np.repeat(np.array([[0, 100], [0, 100]], np.uint8)[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(to_size(image, 4)[:, :, 0], [[0, 25, 75, 100]] * 4)


@pytest.mark.parametrize(
    ("shape", "kept"), [((2, 6), (slice(0, 2), slice(2, 4))), ((7, 3), (slice(2, 5), slice(0, 3)))]
)
def test_the_square_in_the_middle_is_kept(shape, kept):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    np.testing.assert_array_equal(to_size(image, min(shape)), image[kept])


def test_same_size_is_the_identity():
    image = np.zeros((5, 5, 3), np.uint8)
    assert to_size(image, 5) is image


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (33, 32), (500, 375)])
def test_every_shape_comes_to_size(shape):
    found = to_size(np.full((*shape, 3), 9, np.uint8), 32)
    assert found.shape == (32, 32, 3) and found.dtype == np.uint8 and (found == 9).all()


@pytest.mark.parametrize("size", [0, -1, 4097, 32.0, True, "32"])
def test_image_size_is_checked(size):
    with pytest.raises(InputError, match=r"^image size .*: expected a whole number of pixels from 1 to 4096\.$"):
        images.check_image_size(size)


def test_more_images_than_memory(monkeypatch):
    monkeypatch.setattr(images, "physical_memory", lambda: 2**31)
    with pytest.raises(DataError) as error:
        images.check_memory(10_000, 224, "photos")
    # 10,000 * 224 * 224 * 3 bytes = 1.40 GiB
    assert str(error.value).splitlines()[0] == (
        "photos: 10,000 images of 224 x 224 need 1.4 GiB; at most 1.0 GiB, half of this machine's memory, "
        "is used for images."
    )
