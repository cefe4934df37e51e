"""Image files byte by byte, for what no program would save."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def encoded(form: str, pixels: np.ndarray | Image.Image = PIXELS, **options: object) -> bytes:
    """As Pillow writes it."""
    buffer = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(buffer, form, **options)
    return buffer.getvalue()


# PNG: the kinds of pixels, and the chunks, which every one has its length and checksum

GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, bits: int, kind: int, rows: bytes, *chunks: bytes) -> bytes:
    """`rows`: each begins with a byte for its filter, 0 for none."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))
    return _SIGNATURE + header + b"".join(chunks) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def dot(*chunks: bytes) -> bytes:
    """One black pixel, with chunks before it."""
    return png(1, 1, 8, RGB, b"\0\0\0\0", *chunks)


# TIFF: a list of tags, each (number, type: 3 of 16 bits, 4 of 32, how many, value or place)

TIFF_BASE = {256: (4, 1, 10), 257: (4, 1, 10), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 273: (4, 1, 8),
             277: (3, 1, 1), 278: (4, 1, 10), 279: (4, 1, 100)}  # fmt: skip


def tiff(changes: dict[int, tuple[int, int, int] | None], content: bytes = bytes(100)) -> bytes:
    """A grey image of 10x10 pixels with some tags changed; None takes one away."""
    tags = sorted((tag, entry) for tag, entry in (TIFF_BASE | changes).items() if entry is not None)
    body = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, *entry) for tag, entry in tags)
    return b"II*\0\x08\0\0\0" + body + bytes(4) + content


# GIF, BMP, WebP, JPEG


def gif(width: int, height: int, frame_width: int, frame_height: int) -> bytes:
    frame = b"," + struct.pack("<HHHH", 0, 0, frame_width, frame_height) + b"\0\2\2\x4c\1\0;"
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\0\0\0" + frame


def bmp(width: int, height: int, bits: int = 24, compression: int = 0, colours: int = 0, content: bytes = b"") -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, 0, 0, 0, colours, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(content), 0, 0, 54) + header + content


def webp(width: int, height: int) -> bytes:
    """An animation of that size without a sound frame."""
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    body = b"WEBP"
    for kind, content in (
        (b"VP8X", struct.pack("<I", 2) + size),
        (b"ANIM", bytes(6)),
        (b"ANMF", bytes(16) + b"VP8L" + struct.pack("<I", 10) + bytes(10)),
    ):
        body += kind + struct.pack("<I", len(content)) + content
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg_with(place: bytes, offset: int, new: bytes) -> bytes:
    """A sound JPEG with bytes put over those at `offset` from the first marker `place`."""
    whole = encoded("JPEG")
    start = whole.index(place) + offset
    return whole[:start] + new + whole[start + len(new) :]


def jpeg_with_segment(marker: int, content: bytes) -> bytes:
    whole = encoded("JPEG")
    return whole[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content + whole[2:]
