"""Images in memory, or decoded when they are needed: one type, sliced like an array.

A `Dataset` holds images in memory as a plain array, for anybody's own use; `as_images` gives both the same methods.
"""

from __future__ import annotations

import io
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Protocol, TypeAlias

import numpy as np

from allcnn.data.images import ResizeRule, decode_image
from allcnn.data.order import CROP_LEFT, CROP_TOP, MIRROR
from allcnn.errors import DataError, InputError

_CHECKED_AT_ONCE = 256


class EncodedImages(Protocol):
    """Labelled images of one split, still encoded (JPEG and the like), in the data set's own fixed order."""

    #: (n,) int32.
    labels: np.ndarray

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """What messages call an image, fit to be printed."""
        ...

    def read(self, index: int) -> bytes:
        """The encoded bytes of an image. Raises DataError."""
        ...


@dataclass
class Damage:
    """What could not be decoded so far."""

    #: File names by the images' numbers.
    names: dict[int, str] = field(default_factory=dict)
    #: The first error that was raised, where damaged images are not passed over.
    refused: DataError | None = None


class ImageStack(ABC):
    """Images of one size, (n, height, width, 3), in memory or decoded when they are sliced."""

    dtype: np.dtype
    #: Whether images are decoded when they are needed, not held in memory.
    streamed = False
    #: What could not be decoded so far; shared with every part of these images.
    damage: Damage

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]: ...

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    @abstractmethod
    def __getitem__(self, key: slice | np.ndarray) -> np.ndarray:
        """The images of a slice, or at an array of indices."""

    @abstractmethod
    def part(self, indices: np.ndarray) -> ImageStack:
        """Some of the images, in the given order: a copy in memory, a view of streamed ones."""

    def crops(self, draws: np.ndarray) -> ImageStack:
        """The same images, sliced where the draws (n, 3) of crop-mirror say. Raises InputError for images in memory."""
        raise InputError("several tests crop images as they are decoded; expected streamed images, got an array.")

    def is_damaged(self) -> np.ndarray:
        """(n,) bool: which of the images could not be decoded so far."""
        return np.zeros(len(self), bool)

    def find_damage(self) -> set[str]:
        """Decode all images of the split; the names of those that cannot be decoded."""
        return set()

    def blocks(self, size: int) -> Iterator[np.ndarray]:
        """Blocks of `size` images, the last one smaller; the next is read or decoded meanwhile."""
        with ThreadPoolExecutor(1) as ahead:
            following = ahead.submit(self.__getitem__, slice(0, size))
            for start in range(0, len(self), size):
                block = following.result()
                if start + size < len(self):
                    following = ahead.submit(self.__getitem__, slice(start + size, start + 2 * size))
                yield block


class HeldImages(ImageStack):
    """An array in memory."""

    def __init__(self, array: np.ndarray):
        self.array = array
        self.dtype = array.dtype
        self.damage = Damage()

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def __getitem__(self, key: slice | np.ndarray) -> np.ndarray:
        return self.array[key]

    def part(self, indices: np.ndarray) -> HeldImages:
        return HeldImages(self.array[indices])


@dataclass(eq=False)
class StreamedImages(ImageStack):
    """(n, size, size, 3) uint8; what is asked for is read and decoded then.

    An image that cannot be decoded raises DataError. With `skip_damaged` it is noted in `damage` and passed over
    (`training_image`), or black (slices).
    """

    encoded: EncodedImages
    #: How each image is brought to its size.
    rule: ResizeRule
    #: Which of the encoded images, in which order: (n,).
    numbers: np.ndarray
    skip_damaged: bool = False
    #: (n, 3) draws of crop-mirror, by which slices are cut; None for the middle.
    crop_draws: np.ndarray | None = None
    damage: Damage = field(default_factory=Damage)
    #: Whether an image was met whose size had to be changed.
    any_resized: bool = field(default=False, init=False)

    dtype = np.dtype(np.uint8)
    streamed = True

    @classmethod
    def all_of(cls, encoded: EncodedImages, rule: ResizeRule, skip_damaged: bool = False) -> StreamedImages:
        """All images of a split, in its order."""
        return cls(encoded, rule, np.arange(len(encoded), dtype=np.int32), skip_damaged)

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.numbers), self.rule.size, self.rule.size, 3

    def part(self, indices: np.ndarray) -> StreamedImages:
        return replace(self, numbers=self.numbers[indices], crop_draws=None)

    def crops(self, draws: np.ndarray) -> StreamedImages:
        return replace(self, crop_draws=draws)

    def is_damaged(self) -> np.ndarray:
        return np.isin(self.numbers, list(self.damage.names))

    def find_damage(self) -> set[str]:
        looked_at = self.all_of(self.encoded, self.rule, skip_damaged=True)
        for _ in looked_at.blocks(_CHECKED_AT_ONCE):
            pass
        return set(looked_at.damage.names.values())

    def __getitem__(self, key: slice | np.ndarray) -> np.ndarray:
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

        With `skip_damaged` the next image in the list takes the place of a damaged one, with its own index.
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

    def _cut(self, image: np.ndarray, draws: np.ndarray | None) -> np.ndarray:
        if draws is None:
            return self.rule.centre(image)
        image = self.rule.crop(image, int(draws[CROP_TOP]), int(draws[CROP_LEFT]))
        return np.ascontiguousarray(image[:, ::-1] if draws[MIRROR] else image)

    def _cut_or_none(self, index: int) -> np.ndarray | None:
        try:
            image = self._decoded(index)
        except DataError:
            if self.skip_damaged:
                return None
            raise
        self.any_resized |= image.shape != self.shape[1:]
        return self._cut(image, None if self.crop_draws is None else self.crop_draws[index])

    def _decoded(self, index: int) -> np.ndarray:
        number = int(self.numbers[index])
        name = self.encoded.name(number)
        try:
            return decode_image(io.BytesIO(self.encoded.read(number)), name)
        except DataError as error:
            self.damage.names[number] = name
            if not self.skip_damaged:
                self.damage.refused = self.damage.refused or error
            raise


#: What functions take as images.
Images: TypeAlias = np.ndarray | ImageStack


def as_images(images: object) -> ImageStack:
    """Images with the methods of `ImageStack`: streamed ones as they are, everything else as an array in memory."""
    return images if isinstance(images, ImageStack) else HeldImages(np.asarray(images))


@cache
def _threads() -> ThreadPoolExecutor:
    """One for the process: Pillow decodes and scales without holding Python's lock."""
    return ThreadPoolExecutor(cores_here())


def cores_here() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
