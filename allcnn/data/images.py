"""One image: from a file to RGB, and from any size to the network's.

Training and prediction share these functions, so that a network sees an image the same way in both.
"""

from __future__ import annotations

import logging
import re
import threading
import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from allcnn.backend import hold_standard_error
from allcnn.device import physical_memory
from allcnn.errors import DataError, InputError, is_whole, printable
from allcnn.files import open_file

#: File names of images end in one of these, in any case.
IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")

#: The largest height and width of the network's images, in pixels.
LARGEST_SIZE = 4096

# Pillow logs some of what it then raises; where nobody listens, Python would print it.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def read_image(path: str | Path) -> np.ndarray:
    """Read an image file as (height, width, 3) uint8 RGB, 0..255.

    Turned upright by its EXIF orientation; grey, palette and CMYK become RGB; transparent parts become white;
    16 bits a channel are scaled to 8; of an animation or a file of several pages, the first image.

    Raises:
        DataError: the file is missing, no regular file, damaged, of another format (which its content says, not its
            name), of floating-point numbers, or larger than Pillow's limit of 179 million pixels; the message names it.
    """
    name = printable(path)
    try:
        file = open_file(Path(path))
    except FileNotFoundError:
        raise DataError(f"{name}: there is no such file; expected an image.") from None
    except (OSError, ValueError) as error:
        raise _unreadable(name, error) from None
    with file:
        return decode_image(file, name)


def decode_image(file: BinaryIO, name: str) -> np.ndarray:
    """`read_image` of an opened file, or of bytes in memory; `name` is what messages call it."""
    try:
        with warnings.catch_warnings():
            # Pillow warns of large images, damaged EXIF and the like; it raises an error for what matters.
            warnings.simplefilter("ignore")
            with Image.open(file, formats=_FORMATS) as image:
                _decode(image)
                ImageOps.exif_transpose(image, in_place=True)
                return np.array(_to_rgb(image, name))
    except DataError:
        raise
    except Image.DecompressionBombError:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise DataError(
            f"{name}: too many pixels; expected at most {limit:,}.\nSave a smaller copy, or take the file away."
        ) from None
    except UnidentifiedImageError:
        raise DataError(
            f"{name}: not an image that can be read; expected one of {', '.join(_FORMATS)}.\n"
            "Repair the file or take it away."
        ) from None
    except Exception as error:  # Pillow's decoders raise many kinds on a damaged file
        raise _unreadable(name, error) from None


@dataclass(frozen=True)
class ResizeRule:
    """How an image of any size becomes the network's: its shorter side to `shorter_side`, then a square of `size`.

    Bilinear, with antialiasing where it shrinks. Only what is kept is computed: the same pixels as those of the whole
    image scaled, whatever its proportions.
    """

    size: int
    shorter_side: int

    def __str__(self) -> str:
        crop = "" if self.size == self.shorter_side else f" of {self.size}"
        return f"shorter side to {self.shorter_side}, bilinear with antialiasing, centre crop{crop}"

    @classmethod
    def of(cls, text: str, size: int) -> ResizeRule:
        """The rule that a data set or a model's card states; where it states none, the shorter side to `size`."""
        found = re.match(r"shorter side to (\d{1,5}),", text)
        return cls(size, int(found.group(1)) if found else size)

    def centre(self, image: np.ndarray) -> np.ndarray:
        """The square in the middle: (height, width, 3) uint8 -> (size, size, 3) uint8."""
        height, width = image.shape[:2]
        if (height, width) == (self.size, self.size) and self.size == self.shorter_side:
            return image
        side = min(height, width) * self.size / self.shorter_side
        return self._square(image, (height - side) / 2, (width - side) / 2, side)

    def crop(self, image: np.ndarray, top: int, left: int) -> np.ndarray:
        """A square anywhere: top and left, 0 to 2^31 - 1, stand for the first and the last place a whole pixel can be.

        (height, width, 3) uint8 -> (size, size, 3) uint8, a view or a new array.
        """
        height, width = image.shape[:2]
        scale = min(height, width) / self.shorter_side
        # Places are whole pixels of the scaled image, so that one that needs no scaling is not smoothed either.
        places = (int(height / scale) - self.size + 1, int(width / scale) - self.size + 1)
        offsets = [(draw * count) >> 31 for draw, count in zip((top, left), places, strict=True)]
        if scale == 1:
            return image[offsets[0] : offsets[0] + self.size, offsets[1] : offsets[1] + self.size]
        return self._square(image, offsets[0] * scale, offsets[1] * scale, self.size * scale)

    def _square(self, image: np.ndarray, top: float, left: float, side: float) -> np.ndarray:
        square = (left, top, min(left + side, image.shape[1]), min(top + side, image.shape[0]))
        resized = Image.fromarray(image).resize((self.size, self.size), Image.Resampling.BILINEAR, box=square)
        return np.array(resized)


def check_image_size(image_size: int) -> None:
    """Raise InputError unless `image_size` is a usable number of pixels."""
    if not is_whole(image_size) or not 1 <= image_size <= LARGEST_SIZE:
        raise InputError(f"image size {image_size!r}: expected a whole number of pixels from 1 to {LARGEST_SIZE}.")


def fits_memory(count: int, size: int) -> bool:
    """Whether `count` images of (size, size, 3) uint8 can be held: in half of this machine's memory."""
    return count * size * size * 3 <= physical_memory() // 2


def check_memory(count: int, size: int, source: str) -> None:
    """Raise DataError, with the figures, where `count` images of (size, size, 3) uint8 cannot be held."""
    needed, limit = count * size * size * 3, physical_memory() // 2
    if not fits_memory(count, size):
        raise DataError(
            f"{source}: {count:,} images of {size} x {size} need {needed / 2**30:.1f} GiB; at most "
            f"{limit / 2**30:.1f} GiB, half of this machine's memory, is used for images.\n"
            "Pass a smaller --image-size, or fewer images."
        )


def _decode(image: Image.Image) -> None:
    if image.format != "TIFF":
        image.load()
        return
    failure = None
    # Of a damaged file libtiff writes lines of its own to standard error. That is the whole process's: where threads
    # decode, others' lines would be held back with them.
    with hold_standard_error() if threading.current_thread() is threading.main_thread() else nullcontext():
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


def _unreadable(name: str, error: Exception) -> DataError:
    said = getattr(error, "strerror", None) or str(error)
    detail = printable(" ".join(said.split())[:100]) or type(error).__name__
    return DataError(f"{name}: the image cannot be read ({detail}).\nRepair the file or take it away.")
