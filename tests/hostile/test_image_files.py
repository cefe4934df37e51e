"""Images of every odd kind: read as the documentation says, or refused by name, in little time and memory."""

from __future__ import annotations

import os
import zlib

import image_bytes as made
import numpy as np
import pytest
from image_bytes import (
    GREY,
    GREY_ALPHA,
    PALETTE,
    RGB,
    RGB_ALPHA,
    bmp,
    chunk,
    dot,
    encoded,
    gif,
    jpeg_with,
    png,
    tiff,
    webp,
)
from PIL import Image
from refusals import refused, refused_by_shell, snapshot

from allcnn.data import images, load_data, read_image
from allcnn.evaluation import predict

NO_IMAGE = "not an image that can be read; expected one of BMP, GIF, JPEG, PNG, TIFF, WEBP."
TOO_LARGE = "expected at most 64,000,000."
ZEROS = zlib.compress(bytes(30_000_000), 9)
LARGE_TEXT = "Decompressed data too large"

#: File name -> its content, and what the message says.
REFUSED: dict[str, tuple[bytes, str]] = {
    "empty.jpg": (b"", NO_IMAGE),
    "text.jpg": (b"hello\n", NO_IMAGE),
    "page.png": (b"<!DOCTYPE html><html>404</html>", NO_IMAGE),
    "drawing.png": (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", NO_IMAGE),
    "program.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/tmp/allcnn-evil) (w) file\n", NO_IMAGE),
    "document.jpg": (b"%PDF-1.4\n", NO_IMAGE),
    "icon.png": (b"\0\0\1\0\1\0" + bytes(50), NO_IMAGE),
    "zeros.gif": (bytes(1000), NO_IMAGE),
    "pickle.png": (b"\x80\x02cos\nsystem\nX\x04\0\0\0true\x85R.", NO_IMAGE),
    # Cut short
    "cut.png": (encoded("PNG")[:-400], "the image cannot be read ("),
    "cut.jpg": (encoded("JPEG")[:-200], "image file is truncated"),
    "cut.gif": (encoded("GIF")[:-300], "the image cannot be read ("),
    "cut.bmp": (encoded("BMP")[:-300], "image file is truncated"),
    "cut.webp": (encoded("WEBP")[:-200], "the image cannot be read ("),
    "cut.tif": (encoded("TIFF")[:-1000], ""),
    "header.png": (encoded("PNG")[:33], NO_IMAGE),
    "signature.png": (encoded("PNG")[:8], NO_IMAGE),
    "noframe.gif": (b"GIF89a\1\0\1\0\0\0\0;", NO_IMAGE),
    # Huge: refused by what the header says
    "huge.png": (png(2**31 - 1, 2**31 - 1, 8, RGB, b""), TOO_LARGE),
    "huge.gif": (gif(65535, 65535, 65535, 65535), TOO_LARGE),
    "huge frame.gif": (gif(1, 1, 65535, 65535), TOO_LARGE),
    "huge.bmp": (bmp(2**31 - 1, 2**31 - 1), TOO_LARGE),
    "upside down.bmp": (bmp(-5, -(2**31)), TOO_LARGE),
    "huge.webp": (webp(2**24, 256), TOO_LARGE),
    "wide.webp": (webp(16384, 16384), TOO_LARGE),
    "huge.jpg": (jpeg_with(b"\xff\xc0", 5, b"\xff\xff\xff\xff"), TOO_LARGE),
    "huge.tif": (tiff({256: (4, 1, 2**32 - 1), 257: (4, 1, 2**32 - 1)}), TOO_LARGE),
    "huge tiles.tif": (
        tiff({259: (3, 1, 8), 322: (4, 1, 32768), 323: (4, 1, 32768), 324: (4, 1, 8), 325: (4, 1, 100)}), TOO_LARGE),
    "more tiles.tif": (
        tiff({259: (3, 1, 5), 322: (4, 1, 2**31), 323: (4, 1, 2**31), 324: (4, 1, 8), 325: (4, 1, 100)}), TOO_LARGE),
    "tiles of two widths.tif": (
        tiff({259: (3, 1, 5), 322: (4, 2, 8), 323: (4, 1, 16), 324: (4, 1, 8), 325: (4, 1, 100)}), TOO_LARGE),
    "huge strips.tif": (tiff({259: (3, 1, 5), 278: (4, 1, 2**31), 279: (4, 1, 2**31)}), "the image cannot be read ("),
    "very many strips.tif": (tiff({273: (4, 2**31, 8)}), NO_IMAGE),
    # Small files with much in them
    "text of zeros.png": (dot(chunk(b"zTXt", b"a\0\0" + ZEROS)), LARGE_TEXT),
    "other text of zeros.png": (dot(chunk(b"iTXt", b"a\0\1\0\0\0" + ZEROS)), LARGE_TEXT),
    "profile of zeros.png": (dot(chunk(b"iCCP", b"a\0\0" + ZEROS)), LARGE_TEXT),
    "very many texts.png": (
        dot(*[chunk(b"zTXt", b"%d\0\0" % n + zlib.compress(bytes(1_000_000), 9)) for n in range(70)]), "text chunks"),
    # Nonsense
    "no width.png": (png(0, 5, 8, RGB, b""), NO_IMAGE),
    "no size.jpg": (jpeg_with(b"\xff\xc0", 5, bytes(4)), NO_IMAGE),
    "12 bits.jpg": (jpeg_with(b"\xff\xc0", 4, b"\x0c"), NO_IMAGE),
    "long chunk.png": (b"\x89PNG\r\n\x1a\n\x7f\xff\xff\xffIHDR" + bytes(13), "the image cannot be read ("),
    "very many colours.bmp": (bmp(1, 1, 8, colours=2**31, content=bytes(100)), "the image cannot be read ("),
    "runs.bmp": (bmp(4000, 4000, 8, 1, content=bytes(5)), "the image cannot be read ("),
    "palette too short.png": (png(1, 1, 8, PALETTE, b"\0\0", chunk(b"PLTE", bytes(3)), chunk(b"tRNS", bytes(999))),
                              "the image cannot be read ("),
    # Numbers that are no colours
    "floats.tif": (encoded("TIFF", np.zeros((2, 2), np.float32)), "its pixels are floating-point numbers"),
    "32 bits.tif": (encoded("TIFF", np.array([[0, 70000]], np.int32)), "its values run from 0 to 70000"),
    "negative.tif": (encoded("TIFF", np.array([[-1, 7]], np.int32)), "its values run from -1 to 7"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, tmp_path, capfd):
    path = tmp_path / name
    path.write_bytes(REFUSED[name][0])
    message = refused(lambda: read_image(path), f"{path}: ")
    assert REFUSED[name][1] in message
    assert capfd.readouterr() == ("", "")
    assert os.listdir(tmp_path) == [name]


def test_none_of_them_takes_much_memory_or_time(tmp_path, run_python):
    """In a process that is ended at 1 GiB of addresses and at 20 seconds; 20,000 x 20,000 pixels take more."""
    for name, (content, _) in REFUSED.items():
        (tmp_path / name).write_bytes(content)
    program = """
import resource, sys
from pathlib import Path
from allcnn.data.images import read_image
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in Path(sys.argv[1]).iterdir():
    try:
        read_image(path)
        print("read", path)
    except Exception as error:
        assert "MemoryError" not in str(error), error
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    megabytes = run_python("-c", program, str(tmp_path), timeout=20).stdout
    assert int(megabytes) < 200


# What is read, and the colours it has


def ycck() -> bytes:
    """A JPEG whose four channels are brightness, two differences and black: CMYK's, with the mark of the other kind."""
    whole = encoded("JPEG", Image.new("CMYK", (16, 16), (40, 90, 200, 30)), quality=100)
    place = whole.index(b"Adobe") + 11
    return whole[:place] + b"\2" + whole[place + 1 :]


#: File name -> its content, and its first pixel.
READ: dict[str, tuple[bytes, tuple[int, int, int]]] = {
    "grey.png": (png(1, 1, 8, GREY, b"\0\x07"), (7, 7, 7)),
    "1 bit.png": (png(1, 1, 1, GREY, b"\0\xff"), (255, 255, 255)),
    "2 bits.png": (png(1, 1, 2, GREY, b"\0\x40"), (85, 85, 85)),
    "4 bits.png": (png(1, 1, 4, GREY, b"\0\x10"), (17, 17, 17)),
    "16 bits.png": (png(1, 1, 16, GREY, b"\0\x80\x80"), (128, 128, 128)),
    "16 bits a colour.png": (png(1, 1, 16, RGB, b"\0\x10\x10\x20\x20\xff\xff"), (16, 32, 255)),
    "16 bits, transparent.png": (png(1, 1, 16, RGB_ALPHA, b"\0" + bytes(8)), (255, 255, 255)),
    "grey, half transparent.png": (png(1, 1, 8, GREY_ALPHA, b"\0\0\x80"), (127, 127, 127)),
    "16 bits of grey, opaque.png": (png(1, 1, 16, GREY_ALPHA, b"\0\x20\x20\xff\xff"), (32, 32, 32)),
    "palette.png": (png(1, 1, 8, PALETTE, b"\0\1", chunk(b"PLTE", bytes(range(6)))), (3, 4, 5)),
    "1 bit of palette.png": (png(1, 1, 1, PALETTE, b"\0\x80", chunk(b"PLTE", bytes(range(6)))), (3, 4, 5)),
    "palette, transparent.png": (
        png(1, 1, 8, PALETTE, b"\0\1", chunk(b"PLTE", bytes(range(6))), chunk(b"tRNS", b"\xff\0")), (255, 255, 255)),
    "a transparent grey.png": (png(1, 1, 8, GREY, b"\0\7", chunk(b"tRNS", b"\0\7")), (255, 255, 255)),
    "a transparent grey of 1 bit.png": (png(1, 1, 1, GREY, b"\0\0", chunk(b"tRNS", b"\0\0")), (255, 255, 255)),
    "a transparent grey of 16 bits.png": (png(1, 1, 16, GREY, b"\0\1\7", chunk(b"tRNS", b"\1\7")), (255, 255, 255)),
    "a transparent colour.png": (
        png(1, 1, 8, RGB, b"\0\1\2\3", chunk(b"tRNS", b"\0\1\0\2\0\3")), (255, 255, 255)),
    "CMYK.jpg": (encoded("JPEG", Image.new("CMYK", (16, 16), (0, 255, 255, 0)), quality=100), (255, 0, 0)),
    # Y 215, Cb 165, Cr 55 are R 113, G 254, B 255; under black 30 of 255 that leaves (225 - 225 * ink / 255).
    "YCCK.jpg": (ycck(), (125, 1, 0)),
    "another name.jpg": (png(1, 1, 8, RGB, b"\0\1\2\3"), (1, 2, 3)),
    "more rows than it says.png": (png(1, 1, 8, RGB, b"\0\1\2\3" + bytes(3_000_000)), (1, 2, 3)),
    "several pictures.jpg": (
        encoded("MPO", Image.new("RGB", (8, 8), "red"), save_all=True,
                append_images=[Image.new("RGB", (8, 8), "blue")], quality=100), (254, 0, 0)),
    "odd orientation.jpg": (made.jpeg_with_segment(0xE1, b"Exif\0\0" + tiff({274: (3, 1, 99)})), (147, 121, 124)),
    "EXIF in a circle.jpg": (made.jpeg_with_segment(0xE1, b"Exif\0\0" + tiff({0x8769: (4, 1, 8)})), (147, 121, 124)),
    "EXIF of any length.jpg": (made.jpeg_with_segment(0xE1, b"Exif\0\0" + tiff({274: (3, 2**31, 8)})), (147, 121, 124)),
    "pages in a circle.tif": (tiff({330: (4, 1, 8)}, bytes([9]) * 200), None),
}  # fmt: skip


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


def test_a_whole_image_of_the_largest_size_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "LARGEST_PIXELS", 600)
    (tmp_path / "a.png").write_bytes(encoded("PNG"))
    assert read_image(tmp_path / "a.png").shape == (20, 30, 3)
    monkeypatch.setattr(images, "LARGEST_PIXELS", 599)
    refused(lambda: read_image(tmp_path / "a.png"), "30 x 20 pixels; expected at most 599.")


# At the shell: predicting, and a folder of images to train on


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from allcnn.models.build import build_model
    from allcnn.models.saved import ModelCard, save_model

    path = tmp_path_factory.mktemp("model") / "model.keras"
    card = ModelCard("", "NC1-GAP", "pets", "", ("cat", "dog"), (8, 8, 3), "none", "none", "paper", 8)
    save_model(build_model("NC1-GAP", (8, 8, 3), 2, seed=0), card, path)
    return path


@pytest.mark.parametrize("name", ["text.jpg", "cut.png", "huge.webp", "huge tiles.tif", "profile of zeros.png"])
def test_predict_refuses(name, model, tmp_path, capfd):
    (tmp_path / "good.png").write_bytes(encoded("PNG"))
    (tmp_path / name).write_bytes(REFUSED[name][0])
    before = snapshot(tmp_path)
    for options in ([], ["--json"]):
        refused_by_shell(
            capfd, ["predict", model, tmp_path / "good.png", tmp_path / name, *options], f"{tmp_path / name}: "
        )
    assert snapshot(tmp_path) == before


@pytest.fixture
def pets(tmp_path):
    folder = tmp_path / "pets"
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (folder / split / name).mkdir(parents=True)
            (folder / split / name / "a.png").write_bytes(encoded("PNG"))
    return folder


@pytest.mark.parametrize("name", ["empty.jpg", "cut.jpg", "huge.gif", "floats.tif"])
def test_a_folder_of_images_is_refused(name, pets, tmp_path, capfd):
    (pets / "train" / "dog" / name).write_bytes(REFUSED[name][0])
    before = snapshot(tmp_path)
    arguments = ["--data-dir", pets, "--image-size", "8"]
    refused_by_shell(capfd, ["data", *arguments], f"{pets / 'train' / 'dog' / name}: ")
    run = ["train", "--spec", "NC1-GAP", "--epochs", "1", "--run-dir", tmp_path / "run", *arguments]
    refused_by_shell(capfd, run, f"{pets / 'train' / 'dog' / name}: ")
    assert snapshot(tmp_path) == before


def test_training_and_predicting_turn_an_image_the_same_way(pets, model, tmp_path):
    upright = load_data(data_dir=pets, image_size=8).digest
    exif = Image.Exif()
    exif[274] = 6  # the camera's top row is the right column
    turned = pets / "train/dog/a.png"
    turned.write_bytes(encoded("PNG", np.ascontiguousarray(np.rot90(made.PIXELS)), exif=exif))
    assert load_data(data_dir=pets, image_size=8).digest == upright
    one, other = predict(model, [turned, pets / "train/cat/a.png"])
    assert one.classes == other.classes
