from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from allcnn.data import fit_to_size, images, read_image
from allcnn.errors import DataError, InputError


def saved(path, pixels, mode=None, **options):
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.asarray(pixels, np.uint8), mode)
    image.save(path, **options)
    return path


def test_rgb_comes_back_as_it_is(tmp_path):
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    found = read_image(saved(tmp_path / "a.png", pixels))
    assert found.dtype == np.uint8 and found.shape == (2, 3, 3)
    np.testing.assert_array_equal(found, pixels)


def test_grey_and_black_and_white(tmp_path):
    assert read_image(saved(tmp_path / "grey.png", [[0, 7, 255]])).tolist() == [[[0] * 3, [7] * 3, [255] * 3]]
    bits = Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1")
    assert read_image(saved(tmp_path / "bits.png", bits)).tolist() == [[[0] * 3, [255] * 3]]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_scaled(tmp_path, suffix):
    """65535 / 257 = 255, and 128 of 257 rounds up: not cut off at 255, as a plain conversion would."""
    values = np.array([[0, 128, 129, 257, 32896, 65535]], np.uint16)
    path = saved(tmp_path / f"deep.{suffix}", Image.fromarray(values))
    assert read_image(path)[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]


def test_palette(tmp_path):
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    palette.putpalette([10, 20, 30, 40, 50, 60])
    assert read_image(saved(tmp_path / "a.png", palette)).tolist() == [[[10, 20, 30], [40, 50, 60]]]
    # Palette entry 0 transparent: it becomes white.
    assert read_image(saved(tmp_path / "b.png", palette, transparency=0)).tolist() == [[[255] * 3, [40, 50, 60]]]


def test_transparent_becomes_white(tmp_path):
    pixels = [[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 51]]]
    # 51 of 255 is a fifth of black on white: 255 * 4 / 5 = 204.
    assert read_image(saved(tmp_path / "a.png", pixels)).tolist() == [[[10, 20, 30], [255] * 3, [204] * 3]]


def test_cmyk(tmp_path):
    path = saved(tmp_path / "a.jpg", Image.new("CMYK", (8, 8), (0, 255, 255, 0)), quality=100)
    red, green, blue = read_image(path)[4, 4]
    assert red > 250 and green < 5 and blue < 5


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    for name in ("a.gif", "a.webp"):
        assert read_image(tmp_path / name)[0, 0].tolist() == [255, 0, 0]


def test_turned_upright(tmp_path):
    """EXIF orientation 6: the camera's top row is the right column."""
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = [[[1, 1, 1], [2, 2, 2]], [[3, 3, 3], [4, 4, 4]], [[5, 5, 5], [6, 6, 6]]]
    path = saved(tmp_path / "a.png", pixels, exif=exif)
    assert read_image(path)[:, :, 0].tolist() == [[5, 3, 1], [6, 4, 2]]


def message(path) -> str:
    with pytest.raises(DataError) as error:
        read_image(path)
    assert str(error.value).startswith(f"{path}: ")
    assert len(str(error.value).splitlines()) <= 2
    return str(error.value).removeprefix(f"{path}: ")


def test_unreadable_images_are_named(tmp_path):
    whole = saved(tmp_path / "whole.jpg", np.random.default_rng(0).integers(0, 256, (32, 32, 3)))
    for name, content in (("empty.jpg", b""), ("text.png", b"hello"), ("svg.png", b"<svg/>")):
        (tmp_path / name).write_bytes(content)
        assert message(tmp_path / name).startswith("not an image that can be read; expected one of BMP, GIF, JPEG")
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(whole.read_bytes()[:700])
    assert message(cut).startswith("the image cannot be read (image file is truncated")
    assert message(tmp_path / "none.png") == "there is no such file; expected an image."
    assert message(tmp_path) == "not a file; expected an image."
    floats = saved(tmp_path / "f.tif", Image.fromarray(np.zeros((2, 2), np.float32)))
    assert message(floats) == "its pixels are floating-point numbers; expected 8 or 16 bits a channel."
    deep = saved(tmp_path / "i.tif", Image.fromarray(np.array([[0, 70000]], np.int32)))
    assert message(deep).startswith("its values run from 0 to 70000; expected 8 or 16 bits a channel.")


@pytest.mark.parametrize("width", [8001, 10_000, 100_000])
def test_an_image_of_very_many_pixels_is_refused(tmp_path, width):
    """A file of 50 bytes that claims 8,000 and more rows; nothing is decoded."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, 8000, 8, 2, 0, 0, 0))
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    assert "pixels; expected at most 64,000,000.\nSave a smaller copy" in message(path)


# Resizing


def test_shrinking_by_hand():
    """To half: each output is 1, 3, 3, 1 eighths of four neighbours; at the border 3, 3, 1 sevenths."""
    row = np.array([0, 0, 80, 160], np.uint8)
    image = np.repeat(np.tile(row, (4, 1))[:, :, None], 3, axis=2)
    # (3*0 + 3*0 + 1*80) / 7 = 11.4; (1*0 + 3*80 + 3*160) / 7 = 102.9
    np.testing.assert_array_equal(fit_to_size(image, 2)[:, :, 1], [[11, 103], [11, 103]])


def test_enlarging_by_hand():
    """From 2 to 4: the outer values stay, the inner ones are 3/4 of the nearer and 1/4 of the farther."""
    image = np.repeat(np.array([[0, 100], [0, 100]], np.uint8)[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(fit_to_size(image, 4)[:, :, 0], [[0, 25, 75, 100]] * 4)


@pytest.mark.parametrize(
    ("shape", "kept"), [((2, 6), (slice(0, 2), slice(2, 4))), ((7, 3), (slice(2, 5), slice(0, 3)))]
)
def test_the_square_in_the_middle_is_kept(shape, kept):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    np.testing.assert_array_equal(fit_to_size(image, min(shape)), image[kept])


def test_same_size_is_the_identity():
    image = np.zeros((5, 5, 3), np.uint8)
    assert fit_to_size(image, 5) is image


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (33, 32), (500, 375)])
def test_every_shape_comes_to_size(shape):
    found = fit_to_size(np.full((*shape, 3), 9, np.uint8), 32)
    assert found.shape == (32, 32, 3) and found.dtype == np.uint8 and (found == 9).all()


@pytest.mark.parametrize("size", [0, -1, 4097, 32.0, True, "32"])
def test_image_size_is_checked(size):
    with pytest.raises(InputError, match=r"^image size .*: expected a whole number of pixels from 1 to 4096\.$"):
        images.check_image_size(size)


def test_more_images_than_memory(monkeypatch):
    monkeypatch.setattr(images, "_memory_limit", lambda: 2**30)
    with pytest.raises(DataError) as error:
        images.check_memory(10_000, 224, "photos")
    # 10,000 * 224 * 224 * 3 bytes = 1.40 GiB
    assert str(error.value).splitlines()[0] == (
        "photos: 10,000 images of 224 x 224 need 1.4 GiB; at most 1.0 GiB, half of this machine's memory, "
        "is used for images."
    )
