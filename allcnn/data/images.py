"""One image: from a file to RGB, and from any size to the network's.

Training and prediction share these two functions, so that a network sees an image the same way in both.
"""

from __future__ import annotations

import logging
import os
import stat
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from allcnn.backend import hold_standard_error
from allcnn.data.printable import printable
from allcnn.errors import DataError, InputError

#: What `fit_to_size` does, for people; fill in `size`.
RESIZE_RULE = "shorter side to {size}, bilinear with antialiasing, centre crop"

#: File names of images end in one of these, in any case.
IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")

#: A file of a few kilobytes can claim any number of pixels; below Pillow's own limit, so that ours is the one met.
LARGEST_PIXELS = 64_000_000

LARGEST_SIZE = 4096

# Pillow logs some of what it then raises; where nobody listens, Python would print it.
logging.getLogger("PIL").addHandler(logging.NullHandler())

_TILE_WIDTH, _TILE_LENGTH = 322, 323
#: Encoders write about ten. A hundred bytes are enough for one more, which takes milliseconds.
_MOST_SCANS = 1000


def read_image(path: str | Path) -> np.ndarray:
    """Read an image file as (height, width, 3) uint8 RGB, 0..255.

    Turned upright by its EXIF orientation; grey, palette and CMYK become RGB; transparent parts become white;
    16 bits a channel are scaled to 8; of an animation or a file of several pages, the first image.

    Raises:
        DataError: the file is missing, no regular file, damaged, of another format (which its content says, not its
            name), of more than `LARGEST_PIXELS` or of floating-point numbers; the message names it.
    """
    name = printable(path)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # to read from a pipe would wait for ever
            raise DataError(f"{name}: not a file; expected an image.")
        with warnings.catch_warnings():
            # Pillow warns of large images, damaged EXIF and the like; what matters is refused below.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=_FORMATS) as image:
                _check_pixels(image, name)
                if image.info.get("progressive"):
                    _check_scans(path, name)
                _decode(image)
                ImageOps.exif_transpose(image, in_place=True)
                return np.array(_to_rgb(image, name))
    except DataError:
        raise
    except Image.DecompressionBombError:
        raise DataError(_too_many_pixels(name, "too many pixels")) from None
    except FileNotFoundError:
        raise DataError(f"{name}: there is no such file; expected an image.") from None
    except UnidentifiedImageError:
        raise DataError(
            f"{name}: not an image that can be read; expected one of {', '.join(_FORMATS)}.\n"
            "Repair the file or take it away."
        ) from None
    except Exception as error:  # Pillow's decoders raise many kinds on a damaged file
        detail = printable(" ".join(str(error).split())[:100]) or type(error).__name__
        raise DataError(f"{name}: the image cannot be read ({detail}).\nRepair the file or take it away.") from None


def fit_to_size(image: np.ndarray, size: int) -> np.ndarray:
    """Scale an image so that its shorter side is `size`, and keep the square in the middle.

    (height, width, 3) uint8 -> (size, size, 3) uint8; bilinear, with antialiasing where it shrinks. An image
    that is already `size` by `size` comes back unchanged.
    """
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    # Only the middle square is scaled: the same pixels as scaling everything, whatever the image's proportions.
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    square = (left, top, left + side, top + side)
    return np.array(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR, box=square))


def resize_rule(size: int) -> str:
    """`RESIZE_RULE` with its size."""
    return RESIZE_RULE.format(size=size)


def check_image_size(image_size: int) -> None:
    """Raise InputError unless `image_size` is a usable number of pixels."""
    if isinstance(image_size, bool) or not isinstance(image_size, int) or not 1 <= image_size <= LARGEST_SIZE:
        raise InputError(f"image size {image_size!r}: expected a whole number of pixels from 1 to {LARGEST_SIZE}.")


def check_memory(count: int, size: int, source: str) -> None:
    """Raise DataError, with the figures, where `count` images of (size, size, 3) uint8 cannot be held."""
    needed, limit = count * size * size * 3, _memory_limit()
    if needed > limit:
        raise DataError(
            f"{source}: {count:,} images of {size} x {size} need {needed / 2**30:.1f} GiB; at most "
            f"{limit / 2**30:.1f} GiB, half of this machine's memory, is used for images.\n"
            "Pass a smaller --image-size, or fewer images."
        )


def _memory_limit() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, OSError, ValueError):  # not on every system
        return 8 * 2**30


def _check_pixels(image: Image.Image, name: str) -> None:
    """Refuse, before anything is decoded, what would take gigabytes."""
    if image.width * image.height > LARGEST_PIXELS:
        raise DataError(_too_many_pixels(name, f"{image.width} x {image.height} pixels"))
    if tags := getattr(image, "tag_v2", None):
        # A TIFF. Room is made for a whole tile, however small the image.
        tile = [tags.get(tag, 1) for tag in (_TILE_WIDTH, _TILE_LENGTH)]
        if not all(isinstance(side, int) for side in tile) or tile[0] * tile[1] > LARGEST_PIXELS:
            raise DataError(_too_many_pixels(name, f"tiles of {str(tile[0])[:20]} x {str(tile[1])[:20]} pixels"))


def _check_scans(path: str | Path, name: str) -> None:
    """Refuse a JPEG that goes over its pixels so often that it would take minutes."""
    with open(path, "rb") as file:
        scans = sum(block.count(b"\xff\xda") for block in iter(partial(file.read, 2**20), b""))
    if scans > _MOST_SCANS:
        raise DataError(
            f"{name}: {scans:,} scans; expected at most {_MOST_SCANS:,}.\nSave it again, or take the file away."
        )


def _decode(image: Image.Image) -> None:
    if image.format != "TIFF":
        image.load()
        return
    failure = None
    # Of a damaged file libtiff writes lines of its own to standard error.
    with hold_standard_error():
        try:
            image.load()
        except Exception as error:
            failure = error
    if failure is not None:
        raise failure


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _eight_bits(image, name).convert("RGB")
    if image.mode == "F":
        raise DataError(f"{name}: its pixels are floating-point numbers; expected 8 or 16 bits a channel.")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        upper = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", upper.size, "white"), upper).convert("RGB")
    return image.convert("RGB")


def _eight_bits(image: Image.Image, name: str) -> Image.Image:
    values = np.asarray(image).astype(np.int32)
    if values.min() < 0 or values.max() > 65535:
        raise DataError(
            f"{name}: its values run from {values.min()} to {values.max()}; expected 8 or 16 bits a channel.\n"
            "Save it as an 8-bit image."
        )
    transparent = image.info.get("transparency")
    # 65535 / 257 = 255: white stays white. Pillow's own conversion would cut everything above 255 off.
    grey = ((values + 128) // 257).astype(np.uint8)
    return Image.fromarray(grey if transparent is None else np.where(values == transparent, np.uint8(255), grey))


def _too_many_pixels(name: str, found: str) -> str:
    return f"{name}: {found}; expected at most {LARGEST_PIXELS:,}.\nSave a smaller copy, or take the file away."
