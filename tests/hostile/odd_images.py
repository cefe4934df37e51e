"""Image files of every odd kind: those to refuse, with what the message says, and those to read, with a colour."""

from __future__ import annotations

import zlib

import numpy as np
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
    jpeg_with_segment,
    png,
    tiff,
    webp,
)
from PIL import Image

NO_IMAGE = "not an image that can be read; expected one of BMP, GIF, JPEG, PNG, TIFF, WEBP."
TOO_LARGE = "too many pixels; expected at most 178,956,970."
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
    "cut, packed.tif": (encoded("TIFF", compression="tiff_lzw")[:-900], ""),
    # Small files with much in them
    "text of zeros.png": (dot(chunk(b"zTXt", b"a\0\0" + ZEROS)), LARGE_TEXT),
    "profile of zeros.png": (dot(chunk(b"iCCP", b"a\0\0" + ZEROS)), LARGE_TEXT),
    # Nonsense
    "no width.png": (png(0, 5, 8, RGB, b""), NO_IMAGE),
    "long chunk.png": (b"\x89PNG\r\n\x1a\n\x7f\xff\xff\xffIHDR" + bytes(13), "the image cannot be read ("),
    "runs.bmp": (bmp(4000, 4000, 8, 1, content=bytes(5)), "the image cannot be read ("),
    "palette too short.png": (png(1, 1, 8, PALETTE, b"\0\0", chunk(b"PLTE", bytes(3)), chunk(b"tRNS", bytes(999))),
                              "the image cannot be read ("),
    # Numbers that are no colours
    "floats.tif": (encoded("TIFF", np.zeros((2, 2), np.float32)), "its pixels are floating-point numbers"),
    "32 bits.tif": (encoded("TIFF", np.array([[0, 70000]], np.int32)), "its values run from 0 to 70000"),
    "negative.tif": (encoded("TIFF", np.array([[-1, 7]], np.int32)), "its values run from -1 to 7"),
}  # fmt: skip


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
    "odd orientation.jpg": (jpeg_with_segment(0xE1, b"Exif\0\0" + tiff({274: (3, 1, 99)})), (147, 121, 124)),
    "EXIF in a circle.jpg": (jpeg_with_segment(0xE1, b"Exif\0\0" + tiff({0x8769: (4, 1, 8)})), (147, 121, 124)),
    "EXIF of any length.jpg": (jpeg_with_segment(0xE1, b"Exif\0\0" + tiff({274: (3, 2**31, 8)})), (147, 121, 124)),
    "pages in a circle.tif": (tiff({330: (4, 1, 8)}, bytes([9]) * 200), None),
}  # fmt: skip
