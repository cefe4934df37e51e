"""Image files that are read when they are needed, each known by its number. Packed ones: `allcnn.data.packed`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from allcnn.data.images import LARGEST_PIXELS
from allcnn.data.printable import printable
from allcnn.errors import DataError

#: As many bytes as the largest image that is read (`LARGEST_PIXELS`) has pixels, uncompressed, four times.
LARGEST_FILE = 4 * LARGEST_PIXELS


class EncodedImages(Protocol):
    """Labelled images of one split, still encoded (JPEG and the like), in the data set's own fixed order."""

    #: (n,) int32.
    labels: np.ndarray

    @property
    def names(self) -> Sequence[str]:
        """File names, relative to the split's folder."""
        ...

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """What messages call an image, fit to be printed."""
        ...

    def read(self, index: int) -> bytes:
        """The encoded bytes of an image. Raises DataError."""
        ...

    def will_read(self, indices: np.ndarray) -> None:
        """Told beforehand which images are wanted soon, so that they may be fetched in the order they lie in."""
        ...


class TextList(Sequence[str]):
    """Many short texts in two arrays: a million file names take a few tens of megabytes, not hundreds."""

    def __init__(self, content: np.ndarray, ends: np.ndarray):
        self.content = content
        self.ends = ends

    @classmethod
    def of(cls, texts: Iterable[str]) -> TextList:
        content, ends = bytearray(), []
        for text in texts:
            content += os.fsencode(text)
            ends.append(len(content))
        return cls(np.frombuffer(bytes(content), np.uint8), np.array(ends, np.int64))

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index):  # one text; slices are not needed
        begin = int(self.ends[index - 1]) if index else 0
        return os.fsdecode(self.content[begin : int(self.ends[index])].tobytes())

    @classmethod
    def joined(cls, lists: Sequence[TextList]) -> TextList:
        """One after the other."""
        offsets = np.cumsum([0, *(len(texts.content) for texts in lists)])
        ends = [texts.ends + offset for texts, offset in zip(lists, offsets, strict=False)]
        return cls(np.concatenate([texts.content for texts in lists]), np.concatenate(ends))

    def taken(self, indices: np.ndarray) -> TextList:
        """The texts at `indices`, in their order."""
        return TextList.of(self[int(index)] for index in indices)


class ImageFiles:
    """Image files below one folder.

    Args:
        folder: of the split.
        names: file names relative to it.
        labels: (n,) int32.
        sizes: (n,) int64, bytes.
    """

    def __init__(self, folder: Path, names: TextList, labels: np.ndarray, sizes: np.ndarray):
        self.folder = folder
        self.names: TextList = names
        self.labels = labels
        self.sizes = sizes

    def __len__(self) -> int:
        return len(self.labels)

    def name(self, index: int) -> str:
        return printable(self.folder / self.names[index])

    def read(self, index: int) -> bytes:
        if self.sizes[index] > LARGEST_FILE:
            raise DataError(
                f"{self.name(index)}: {int(self.sizes[index]):,} bytes; expected at most {LARGEST_FILE:,}.\n"
                "Save a smaller copy, or take the file away."
            )
        try:
            with open(self.folder / self.names[index], "rb") as file:
                return file.read()
        except OSError as error:
            raise DataError(f"{self.name(index)}: cannot be read ({error.strerror}).") from None

    def will_read(self, indices: np.ndarray) -> None:
        """Files lie anywhere; there is no order to prefer."""


def files_digest(class_names: Sequence[str], splits: Iterable[tuple[Sequence[str], np.ndarray, np.ndarray]]) -> str:
    """SHA-256 over what files there are, in their order: the digest of a data set too large to be read for one.

    It sees a file added, taken away, renamed or of another size; not one that was changed and kept its size.

    Args:
        class_names: of the folders.
        splits: for each split the names of its files, their labels, and their sizes in bytes.
    """
    sha256 = hashlib.sha256("".join(f"{name}\n" for name in class_names).encode("utf-8", "surrogateescape"))
    for names, labels, sizes in splits:
        sha256.update(f"split {len(names)}\n".encode())
        for name, label, size in zip(_each(names), labels.tolist(), sizes.tolist(), strict=True):
            sha256.update(f"{label} {size} {name}\n".encode("utf-8", "surrogateescape"))
    return sha256.hexdigest()


def _each(names: Sequence[str]) -> Iterator[str]:
    return (names[index] for index in range(len(names)))
