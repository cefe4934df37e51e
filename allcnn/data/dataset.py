"""A `Dataset`, whatever its images were read from; and a `Listing`, encoded images that become one."""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from allcnn.data.images import ResizeRule, fits_memory
from allcnn.data.layouts import CLASSES
from allcnn.data.streamed import EncodedImages, Images, StreamedImages, as_images
from allcnn.errors import DataError, first_of, printable
from allcnn.tables import facts_html

#: `Dataset.test_set_in_memory` holds at most this many bytes of a streamed test set.
HELD_BYTES = 1 << 30

_LONGEST_NAME = 255
# Names that a notebook shows of a data set.
_SHOWN_CLASSES = 10
#: Control characters, halves of characters (undecodable bytes), and what ends a line.
_NOT_IN_NAMES = {"Cc", "Cs", "Zl", "Zp"}
# ImageNet's classes are called by their WordNet ids.
_IMAGENET_CLASSES = 1000
_WORDNET_ID = re.compile(r"n\d{8}")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images in a training and a test split, as raw RGB, with where they came from.

    Images are (n, height, width, 3) uint8, 0..255, in memory or decoded when they are needed; labels are (n,) int32,
    indices into `class_names`.
    Raises DataError where the pieces do not fit each other.
    """

    #: "cifar10", "cifar100", "digits", "imagenet", or the name of the folder the images came from.
    name: str
    train_images: Images
    train_labels: np.ndarray
    test_images: Images
    test_labels: np.ndarray
    class_names: tuple[str, ...]
    #: Where it was read from, in words: a path, an archive, a package.
    source: str
    #: "python", "binary", "archive", "folders", "tfds" or "scikit-learn".
    layout: str
    #: What brought the images to their size: "none", or the rule of `allcnn.data.images`.
    resize: str
    #: The digest of the files that the images come from (`files_digest`), if they were listed.
    files_digest: str | None = None
    #: The folder or archive to load it from again; None if its name is enough, or if it was made in Python.
    found_in: str | None = None

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

    def __repr__(self) -> str:
        counts = f"{len(self.train_images):,} training and {len(self.test_images):,} test images"
        height, width, _ = self.image_shape
        streamed = ", streamed" if self.streamed else ""
        return f"Dataset({self.name}: {counts} of {height}x{width}, {self.classes} classes{streamed})"

    def _repr_html_(self) -> str:
        return facts_html(
            f"Dataset {self.name}",
            {
                "training images": f"{len(self.train_images):,}",
                "test images": f"{len(self.test_images):,}",
                "image": f"{self.image_shape} uint8" + (", decoded when needed" if self.streamed else ""),
                "classes": f"{self.classes}: {first_of(self.class_names, _SHOWN_CLASSES)}",
                "source": self.source,
            },
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
        return as_images(self.train_images).streamed

    def test_set_in_memory(self) -> tuple[np.ndarray, np.ndarray]:
        """The test images and their labels as arrays; of a streamed set as many as fit in `HELD_BYTES`, evenly spaced.

        With `skip_damaged`, images that cannot be read are left out. Raises DataError if none is left.
        """
        count = len(self.test_images)
        held = max(1, min(count, HELD_BYTES // math.prod(self.image_shape))) if self.streamed else count
        chosen = np.arange(held) * count // held
        images = as_images(self.test_images).part(chosen)
        pixels = images[:]
        read = ~images.is_damaged()  # known now
        if not read.any():
            raise DataError(f"{self.source}: not one of the test images can be read.")
        return (pixels, self.test_labels[chosen]) if read.all() else (pixels[read], self.test_labels[chosen][read])

    @cached_property
    def digest(self) -> str:
        """SHA-256, as hexadecimal text, over the pixels, shapes and labels of both splits in their order.

        The same images in the same order give the same digest, whatever layout they were read from. The digest of a
        streamed data set is over its files' names, labels and sizes (`files_digest`).
        """
        if self.streamed and self.files_digest is not None:
            return self.files_digest
        sha256 = hashlib.sha256()
        for images, labels in ((self.train_images, self.train_labels), (self.test_images, self.test_labels)):
            images = images[:]
            sha256.update(f"images {images.shape}\n".encode())
            sha256.update(np.ascontiguousarray(images).data)
            sha256.update(f"labels {labels.shape}\n".encode())
            # The byte order is fixed, so that the digest does not depend on the machine.
            sha256.update(np.ascontiguousarray(labels, dtype="<i4").data)
        return sha256.hexdigest()

    def damaged_files(self) -> list[str]:
        """Decode every image of a streamed data set; the names of those that cannot be decoded."""
        both = as_images(self.train_images), as_images(self.test_images)
        return sorted({name for images in both for name in images.find_damage()})


@dataclass(frozen=True)
class Listing:
    """Encoded images in a training and a test split, none of them decoded yet; to be held or streamed."""

    name: str
    class_names: tuple[str, ...]
    train: EncodedImages
    test: EncodedImages
    #: Of the files (`files_digest`).
    digest: str
    source: str
    #: "folders" or "tfds".
    layout: str

    def load(self, rule: ResizeRule, stream: bool = False, skip_damaged: bool = False) -> Dataset:
        """The data set with all images in memory, or, where that is asked for or needed, streamed.

        Images are streamed with `stream` or `skip_damaged`, with a `rule` that crops, and if they do not fit in memory.
        Raises DataError naming an image that cannot be read.
        """
        count = len(self.train) + len(self.test)
        splits = [StreamedImages.all_of(split, rule, skip_damaged) for split in (self.train, self.test)]
        streamed = stream or skip_damaged or rule.shorter_side != rule.size or not fits_memory(count, rule.size)
        images: Sequence[Images] = splits if streamed else [split[:] for split in splits]
        return Dataset(
            name=self.name,
            train_images=images[0],
            train_labels=self.train.labels,
            test_images=images[1],
            test_labels=self.test.labels,
            class_names=self.class_names,
            source=self.source,
            layout=self.layout,
            resize=str(rule) if streamed or any(split.any_resized for split in splits) else "none",
            files_digest=self.digest,
        )


def files_digest(class_names: Iterable[str], *splits: tuple[Iterable[str], np.ndarray, np.ndarray]) -> str:
    """SHA-256 over the names, labels and sizes of images in their order: a digest for which no image is read.

    It changes if an image is added, removed or renamed, or its size in bytes changes. Other changes it does not see.

    Args:
        class_names: of the folders.
        splits: for each split the names of its images, their labels, and their encoded sizes in bytes.
    """
    sha256 = hashlib.sha256("".join(f"{name}\n" for name in class_names).encode("utf-8", "surrogateescape"))
    for names, labels, sizes in splits:
        sha256.update(f"split {len(labels)}\n".encode())
        for name, label, size in zip(names, labels.tolist(), sizes.tolist(), strict=True):
            sha256.update(f"{label} {size} {name}\n".encode("utf-8", "surrogateescape"))
    return sha256.hexdigest()


def data_set_name(classes: tuple[str, ...], own: str) -> str:
    """The published data set that has these classes: CIFAR, or ImageNet with its thousand WordNet ids; else `own`.

    If `own` is a published name, "-folder" is added: other images have neither that data set's recipe nor its errors.
    """
    if len(classes) == _IMAGENET_CLASSES and all(_WORDNET_ID.fullmatch(name) for name in classes):
        return "imagenet"
    published = next((name for name, names in CLASSES.items() if names == classes), None)
    return published or (f"{own}-folder" if own in (*CLASSES, "digits", "imagenet") else own)


def check_class_names(names: Iterable[str], source: str) -> None:
    """Raise DataError for a name that two classes have, or that tables, files and terminals cannot hold as it is."""
    for name, times in Counter(iter(names)).items():  # of a dict its keys
        if times > 1:
            raise DataError(f'{source}: {times} classes are named "{printable(name)}"; expected one.')
        if not 1 <= len(name) <= _LONGEST_NAME or any(unicodedata.category(letter) in _NOT_IN_NAMES for letter in name):
            raise DataError(
                f'{source}: a class is named "{printable(name[:_LONGEST_NAME])}"; expected 1 to {_LONGEST_NAME} '
                "characters on one line, none of them a control character.\nRename the class."
            )
