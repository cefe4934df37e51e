"""Images that are decoded when they are asked for; to everything that only slices, an array like any other."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeAlias

import numpy as np

from allcnn.data.encoded import EncodedImages
from allcnn.data.images import ResizeRule, decode_image
from allcnn.data.order import CROP_LEFT, CROP_TOP, MIRROR
from allcnn.errors import DataError

#: A preprocessing is fitted to so many of a streamed set's training images, the first in its order, which is mixed.
FIT_IMAGES = 10_000


class Damage:
    """What could not be decoded so far: file names by the images' numbers, and the first error."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self.first: DataError | None = None

    def note(self, number: int, name: str, error: DataError) -> None:
        self.names[number] = name
        self.first = self.first or error


class StreamedImages:
    """(n, size, size, 3) uint8, like an array that is only ever sliced; what is asked for is read and decoded then.

    Args:
        encoded: where the images come from.
        rule: how each is brought to its size.
        skip_damaged: an image that cannot be decoded is passed over (`training_image`) or black (slices), and noted in
            `damage`; otherwise it raises DataError.
        numbers: which of the encoded images, in which order; None for all in their own.
        crops: (n, 3) draws of crop-mirror, by which slices are cut; None for the middle.
    """

    ndim = 4
    dtype = np.dtype(np.uint8)

    def __init__(
        self,
        encoded: EncodedImages,
        rule: ResizeRule,
        *,
        skip_damaged: bool = False,
        numbers: np.ndarray | None = None,
        damage: Damage | None = None,
        crops: np.ndarray | None = None,
    ):
        self.encoded = encoded
        self.rule = rule
        self.skip_damaged = skip_damaged
        self.numbers = numbers
        self.damage = damage or Damage()
        self.crops = crops
        #: Whether an image was met whose size had to be changed.
        self.any_resized = False

    def __len__(self) -> int:
        return len(self.encoded) if self.numbers is None else len(self.numbers)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self), self.rule.size, self.rule.size, 3

    def part(self, indices: np.ndarray) -> StreamedImages:
        """Some of the images, in the given order; nothing is read."""
        numbers = indices if self.numbers is None else self.numbers[indices]
        return StreamedImages(
            self.encoded, self.rule, skip_damaged=self.skip_damaged, numbers=numbers, damage=self.damage
        )

    def cropped(self, draws: np.ndarray) -> StreamedImages:
        """The same images, each sliced as the draws (n, 3) of crop-mirror say and not from its middle."""
        return StreamedImages(
            self.encoded, self.rule,
            skip_damaged=self.skip_damaged, numbers=self.numbers, damage=self.damage, crops=draws,
        )  # fmt: skip

    def __getitem__(self, key: slice | np.ndarray) -> np.ndarray:
        """The images of a slice, or at an array of indices, cut from the middle: (n, size, size, 3) uint8."""
        indices = np.arange(len(self))[key]
        if indices.ndim != 1:
            raise TypeError("streamed images are read by slices or arrays of indices")
        pixels = np.zeros((len(indices), *self.shape[1:]), np.uint8)
        for row, image in enumerate(_threads().map(self._cut_or_none, indices.tolist())):
            if image is not None:
                pixels[row] = image
        return pixels

    def training_image(self, index: int, draws: np.ndarray | None = None) -> tuple[np.ndarray, int]:
        """An image to train on, and its index: with draws (3,) of crop-mirror cropped by them, else from the middle.

        A damaged one, where these are skipped, is replaced by the next one in the list, with that one's index.
        """
        for shift in range(len(self)):
            found = (index + shift) % len(self)
            try:
                image = self._decoded(found)
            except DataError:
                if not self.skip_damaged:
                    raise
                continue
            return self._cut(image, draws), found
        raise DataError(f"{self.encoded.name(0)} and all others: not one image can be read.")

    def will_read(self, indices: np.ndarray) -> None:
        """Told beforehand which images are wanted soon."""
        self.encoded.will_read(indices if self.numbers is None else self.numbers[indices])

    def is_damaged(self, start: int, stop: int) -> np.ndarray:
        """(stop - start,) bool: which of these images were found to be damaged."""
        numbers = np.arange(len(self))[start:stop] if self.numbers is None else self.numbers[start:stop]
        return np.array([int(number) in self.damage.names for number in numbers], bool)

    def _cut(self, image: np.ndarray, draws: np.ndarray | None) -> np.ndarray:
        if draws is None:
            return self.rule.centre(image)
        image = self.rule.crop(image, int(draws[CROP_TOP]), int(draws[CROP_LEFT]))
        return np.ascontiguousarray(image[:, ::-1] if draws[MIRROR] else image)

    def _cut_or_none(self, index: int) -> np.ndarray | None:
        try:
            image = self._decoded(index)
            self.any_resized |= image.shape != self.shape[1:]
            return self._cut(image, None if self.crops is None else self.crops[index])
        except DataError:
            if self.skip_damaged:
                return None
            raise

    def _decoded(self, index: int) -> np.ndarray:
        number = index if self.numbers is None else int(self.numbers[index])
        name = self.encoded.name(number)
        try:
            return decode_image(io.BytesIO(self.encoded.read(number)), name)
        except DataError as error:
            self.damage.note(number, name, error)
            raise


#: Images in memory, or decoded when they are sliced.
Images: TypeAlias = np.ndarray | StreamedImages


def part_of(images: Images, indices: np.ndarray) -> Images:
    """Some of the images: a copy of an array, a view of streamed ones."""
    return images.part(indices) if isinstance(images, StreamedImages) else images[indices]


def images_to_fit(images: Images) -> Images:
    """What a preprocessing is fitted to: all images of an array, `FIT_IMAGES` of streamed ones."""
    return images.part(np.arange(min(len(images), FIT_IMAGES))) if isinstance(images, StreamedImages) else images


def in_blocks(images: Images, size: int) -> Iterator[np.ndarray]:
    """Blocks of `size` images, the last one smaller; of streamed ones the next is decoded meanwhile."""
    starts = range(0, len(images), size)
    if not isinstance(images, StreamedImages):
        yield from (images[start : start + size] for start in starts)
        return
    with ThreadPoolExecutor(1) as ahead:
        following = ahead.submit(images.__getitem__, slice(0, size))
        for start in starts:
            block = following.result()
            if start + size < len(images):
                following = ahead.submit(images.__getitem__, slice(start + size, start + 2 * size))
            yield block


@cache
def _threads() -> ThreadPoolExecutor:
    """One for the process: Pillow decodes and scales without holding Python's lock."""
    return ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
