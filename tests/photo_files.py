"""Small picture files of the kinds that ImageNet holds, each told from the others by its colour."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image


def picture(index: int, width: int = 40, height: int = 30) -> np.ndarray:
    """A smooth picture (height, width, 3) uint8 that JPEG keeps nearly as it is."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [(y * 4 + index * 3) % 256, np.full((height, width), (index * 37) % 256), (x * 3 + index) % 256]
    return np.stack(channels, axis=-1).astype(np.uint8)


def jpeg(index: int, width: int = 40, height: int = 30, mode: str = "RGB") -> bytes:
    """The picture as a JPEG in a colour mode: "RGB", "L" or "CMYK"."""
    content = io.BytesIO()
    Image.fromarray(picture(index, width, height)).convert(mode).save(content, "JPEG", quality=95)
    return content.getvalue()


def png(index: int, width: int = 40, height: int = 30) -> bytes:
    content = io.BytesIO()
    Image.fromarray(picture(index, width, height)).save(content, "PNG")
    return content.getvalue()


def write_photographs(folder: Path, train: int = 20, test: int = 6, classes: int = 2) -> Path:
    """train/CLASS/*.JPEG and val/CLASS/*.JPEG; among them a grey one, one in CMYK, and a PNG named JPEG."""
    odd = {1: lambda: jpeg(1, mode="L"), 2: lambda: jpeg(2, mode="CMYK"), 3: lambda: png(3)}
    for split, count, first in (("train", train, 0), ("val", test, 100)):
        for index in range(count):
            path = folder / split / f"n{index % classes:08d}" / f"photo_{index}.JPEG"
            path.parent.mkdir(parents=True, exist_ok=True)
            make = odd.get(first + index, lambda index=first + index: jpeg(index, 40 + index % 5, 30 + index % 7))
            path.write_bytes(make())
    return folder
