"""Images of every odd kind: read as the documentation says, or refused by name."""

from __future__ import annotations

import os

import numpy as np
import pytest
from image_bytes import encoded
from odd_images import READ, REFUSED
from PIL import Image
from refusals import refused

from allcnn.data import read_image


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, tmp_path, capfd):
    path = tmp_path / name
    path.write_bytes(REFUSED[name][0])
    message = refused(lambda: read_image(path), f"{path}: ")
    assert REFUSED[name][1] in message
    assert capfd.readouterr() == ("", "")
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", READ)
def test_read(name, tmp_path, capfd):
    path = tmp_path / name
    content, colour = READ[name]
    path.write_bytes(content)
    pixels = read_image(path)
    assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
    if colour is not None:
        np.testing.assert_allclose(pixels[0, 0].astype(int), colour, atol=2)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("form", "options"), [("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})])
def test_of_an_animation_or_pages_the_first(form, options, tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue", "lime")]
    content = encoded(form, frames[0], save_all=True, append_images=frames[1:], **options)
    (tmp_path / "moving").write_bytes(content)
    assert Image.open(tmp_path / "moving").n_frames == 3
    np.testing.assert_array_equal(read_image(tmp_path / "moving"), np.full((4, 4, 3), (255, 0, 0)))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_orientation_is_turned_upright(orientation, form, tmp_path):
    """As a viewer shows it: what the camera calls orientation n is undone by the n-th of these."""
    undone = [None, None, np.fliplr, lambda a: np.rot90(a, 2), np.flipud, lambda a: a.swapaxes(0, 1),
              lambda a: np.rot90(a, -1), lambda a: np.rot90(a, 2).swapaxes(0, 1), np.rot90][orientation]  # fmt: skip
    stored = np.zeros((16, 32, 3), np.uint8)
    stored[:8, :8] = 255  # the corner that shows which way is up
    exif = Image.Exif()
    exif[274] = orientation
    (tmp_path / "turned").write_bytes(encoded(form, stored, exif=exif, **({"quality": 100} if form != "TIFF" else {})))
    expected = undone(stored) if undone else stored
    np.testing.assert_allclose(read_image(tmp_path / "turned").astype(int), expected.astype(int), atol=3)


def test_the_limit_is_pillows_own(tmp_path, monkeypatch):
    """Pillow warns above a number of pixels, and refuses twice as many."""
    (tmp_path / "a.png").write_bytes(encoded("PNG"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)
    assert read_image(tmp_path / "a.png").shape == (20, 30, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 299)
    refused(lambda: read_image(tmp_path / "a.png"), "too many pixels; expected at most 598.")
