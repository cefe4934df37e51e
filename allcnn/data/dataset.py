"""What every place that images come from returns."""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from allcnn.data.printable import printable
from allcnn.data.streamed import Images, StreamedImages
from allcnn.errors import DataError

_LONGEST_NAME = 255
#: What looks at single images, for a picture, holds so many bytes of a streamed data set.
HELD_BYTES = 1 << 30
#: Control characters, halves of characters (undecodable bytes), and what ends a line.
_NOT_IN_NAMES = {"Cc", "Cs", "Zl", "Zp"}


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images in a training and a test split, as raw RGB, with where they came from.

    Images are (n, height, width, 3) uint8, 0..255, in memory or decoded when they are needed; labels are (n,) int32,
    indices into `class_names`.
    Raises DataError where the pieces do not fit each other.
    """

    #: "cifar10", "cifar100", "digits", or the name of the folder the images came from.
    name: str
    train_images: Images
    train_labels: np.ndarray
    test_images: Images
    test_labels: np.ndarray
    class_names: tuple[str, ...]
    #: Where it was read from, in words: a path, an archive, a package.
    source: str
    #: "python", "binary", "archive", "folders" or "scikit-learn".
    layout: str
    #: What brought the images to their size: "none", or the rule of `allcnn.data.images`.
    resize: str
    #: The digest of a data set too large to be read for one; None: it is over the pixels.
    stated_digest: str | None = None

    def __post_init__(self) -> None:
        check_class_names(self.class_names, self.source)
        for split, images, labels in (
            ("training", self.train_images, self.train_labels),
            ("test", self.test_images, self.test_labels),
        ):
            if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
                raise DataError(
                    f"{self.source}: the {split} images are {images.dtype} of shape {images.shape}; "
                    "expected uint8 of shape (n, height, width, 3)."
                )
            if labels.shape != (len(images),) or labels.dtype != np.int32:
                raise DataError(
                    f"{self.source}: the {split} labels are {labels.dtype} of shape {labels.shape}; "
                    f"expected int32 of shape ({len(images)},), one for each image."
                )
            if not len(images):
                raise DataError(f"{self.source}: there are no {split} images; expected at least one.")
            if labels.min() < 0 or labels.max() >= len(self.class_names):
                raise DataError(
                    f"{self.source}: the {split} labels run from {labels.min()} to {labels.max()}; "
                    f"expected 0 to {len(self.class_names) - 1}, one for each class."
                )
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise DataError(
                f"{self.source}: training images are {self.train_images.shape[1:]}, "
                f"test images {self.test_images.shape[1:]}; expected the same size for both."
            )

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, 3) of every image."""
        height, width, channels = self.train_images.shape[1:]
        return height, width, channels

    @property
    def streamed(self) -> bool:
        """Whether images are decoded when they are needed, not held in memory."""
        return isinstance(self.train_images, StreamedImages)

    def test_set_in_memory(self) -> tuple[np.ndarray, np.ndarray]:
        """The test images and their labels as arrays; of a streamed set what fits in `HELD_BYTES`, evenly chosen."""
        if not isinstance(self.test_images, StreamedImages):
            return self.test_images, self.test_labels
        count = len(self.test_images)
        held = max(1, min(count, HELD_BYTES // math.prod(self.image_shape)))
        chosen = np.arange(held) * count // held
        return self.test_images[chosen], self.test_labels[chosen]

    @cached_property
    def digest(self) -> str:
        """SHA-256, as hexadecimal text, over the pixels, shapes and labels of both splits in their order.

        The same images in the same order give the same digest, whatever layout they were read from. Of a streamed
        data set it is over its files' names, labels and sizes (`allcnn.data.encoded.files_digest`).
        """
        if self.stated_digest is not None:
            return self.stated_digest
        sha256 = hashlib.sha256()
        for images, labels in ((self.train_images, self.train_labels), (self.test_images, self.test_labels)):
            images = images[:]
            sha256.update(f"images {images.shape}\n".encode())
            sha256.update(np.ascontiguousarray(images).data)
            sha256.update(f"labels {labels.shape}\n".encode())
            # The byte order is fixed, so that the digest does not depend on the machine.
            sha256.update(np.ascontiguousarray(labels, dtype="<i4").data)
        return sha256.hexdigest()


def check_class_names(names: Iterable[str], source: str) -> None:
    """Raise DataError for a name that tables, CSV and JSON files and terminals cannot hold as it is."""
    for name in names:
        if not 1 <= len(name) <= _LONGEST_NAME or any(unicodedata.category(letter) in _NOT_IN_NAMES for letter in name):
            raise DataError(
                f'{source}: a class is named "{printable(name[:_LONGEST_NAME])}"; expected 1 to {_LONGEST_NAME} '
                "characters on one line, none of them a control character.\nRename the class."
            )
