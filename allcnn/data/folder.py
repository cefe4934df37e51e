"""Folders of images: `train/CLASS/*` for training, `test/CLASS/*` or `val/CLASS/*` for testing."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import numpy as np

from allcnn.data.class_index import read_class_index
from allcnn.data.dataset import check_class_names
from allcnn.data.encoded import ImageFiles, TextList, files_digest
from allcnn.data.images import IMAGE_SUFFIXES
from allcnn.data.layouts import CLASSES
from allcnn.data.listing import Listing
from allcnn.data.order import epoch_order
from allcnn.data.printable import printable
from allcnn.errors import DataError

_TRAIN = "train"
_TESTS = ("test", "val")
# Any fixed number: the order is part of the data set, and so of its digest.
_MIXING_SEED = 10

# ImageNet's classes are called by their WordNet ids.
_IMAGENET_CLASSES = 1000
_WORDNET_ID = re.compile(r"n\d{8}")

#: A class: its folder's name, its files' names relative to the split, their sizes in bytes.
_Class = tuple[str, TextList, np.ndarray]


def holds_image_folders(folder: Path) -> bool:
    """Whether the folder has one of the subfolders that hold a split."""
    return any((folder / name).is_dir() for name in (_TRAIN, *_TESTS))


def list_image_folders(folder: Path) -> Listing:
    """List every image under the class folders; nothing is decoded.

    The classes are the class folders in the order of their names, called what a class index in `folder` calls them
    (`allcnn.data.class_index`), else as the folders. Files are ordered by name, those in folders further down included.
    The training images are then mixed once, the same way on every machine, so that a recipe that never shuffles does
    not see one class after the other. Hidden files and files that are not images by their name are passed over. Where
    there are both, `test` is the test split and `val` is not read.

    Raises:
        DataError: a split or class is missing or empty, or there are fewer than two classes; it names the folder.
    """
    test = _find_test_split(folder)
    splits = {split: _list_split(folder / split) for split in (_TRAIN, test)}
    counts = {split: {name: len(names) for name, names, _ in classes} for split, classes in splits.items()}
    for split in splits:
        check_class_names(counts[split], printable(folder / split))
    _check_classes(folder, test, counts[_TRAIN], counts[test])
    class_folders = tuple(counts[_TRAIN])
    train, tests = (_joined(folder / split, classes, mixed=split == _TRAIN) for split, classes in splits.items())
    return Listing(
        name=_official_name(class_folders) or printable(Path(os.path.abspath(folder)).name) or "images",
        class_names=read_class_index(folder, class_folders),
        train=train,
        test=tests,
        digest=files_digest(class_folders, ((split.names, split.labels, split.sizes) for split in (train, tests))),
        source=f"{printable(folder)} ({_TRAIN}/ and {test}/)",
        layout="folders",
    )


def _find_test_split(folder: Path) -> str:
    """The name of the subfolder with the test images. Raises DataError where it or the training images' is missing."""
    test = next((name for name in _TESTS if (folder / name).is_dir()), None)
    if test is None or not (folder / _TRAIN).is_dir():
        missing = f"no {_TRAIN}/ folder" if test is not None else f"{_TRAIN}/ but neither test/ nor val/"
        raise DataError(
            f"{printable(folder)}: {missing}; expected train/CLASS/* with test/CLASS/* or val/CLASS/*.\n"
            "Move the images into such folders."
        )
    return test


def _official_name(class_folders: tuple[str, ...]) -> str | None:
    """The name of the published data set that has these classes: CIFAR, or ImageNet with its thousand WordNet ids."""
    if len(class_folders) == _IMAGENET_CLASSES and all(_WORDNET_ID.fullmatch(folder) for folder in class_folders):
        return "imagenet"
    return next((name for name, names in CLASSES.items() if names == class_folders), None)


def _list_split(split: Path) -> list[_Class]:
    try:
        folders = sorted(entry for entry in split.iterdir() if entry.is_dir() and not entry.name.startswith("."))
        classes = []
        for entry in folders:  # one class at a time: Path objects are large
            files = _image_files(entry)
            sizes = np.array([_size(path) for path in files], np.int64)
            classes.append((entry.name, TextList.of(path.relative_to(split).as_posix() for path in files), sizes))
        return classes
    except OSError as error:
        raise DataError(f"{printable(error.filename or split)}: cannot be read ({error.strerror}).") from None


def _size(path: Path) -> int:
    """The size of a file in bytes; what is none is refused: to read from a pipe would wait for ever."""
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{printable(path)}: not a file; expected an image.")
    return found.st_size


def _joined(split: Path, classes: list[_Class], mixed: bool) -> ImageFiles:
    counts = [len(names) for _, names, _ in classes]
    labels = np.repeat(np.arange(len(classes), dtype=np.int32), counts)
    sizes = np.concatenate([sizes for _, _, sizes in classes])
    names = TextList.joined([names for _, names, _ in classes])
    if mixed:
        order = epoch_order(_MIXING_SEED, 0, len(labels))
        labels, sizes, names = labels[order], sizes[order], names.taken(order)
    return ImageFiles(split, names, labels, sizes)


def _image_files(folder: Path) -> list[Path]:
    """The images of a class, in order: by name, those in folders further down included. Raises OSError."""

    def refuse(error: OSError) -> None:
        raise error

    files = []
    # A class folder may be a link; links further down are not followed, since they could lead in circles.
    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [Path(parent, name) for name in names if _is_image(name)]
    return sorted(files, key=lambda path: path.relative_to(folder).as_posix())


def _is_image(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES)


def _check_classes(folder: Path, test: str, train_counts: dict[str, int], test_counts: dict[str, int]) -> None:
    """Raise DataError unless both splits have the same classes, at least two, none without images."""
    for split, counts in ((_TRAIN, train_counts), (test, test_counts)):
        empty = [name for name, count in counts.items() if not count]
        if empty:
            raise DataError(
                f"{printable(folder / split / empty[0])}: no images{_more(empty)}; "
                f"expected files ending in {', '.join(IMAGE_SUFFIXES)}.\nAdd images, or take the class folder away."
            )
    if set(train_counts) != set(test_counts):
        odd = [
            f"only in {split}/: {', '.join(sorted(names)[:5])}{_more(sorted(names)[4:])}"
            for split, names in (
                (_TRAIN, set(train_counts) - set(test_counts)),
                (test, set(test_counts) - set(train_counts)),
            )
            if names
        ]
        raise DataError(
            f"{printable(folder)}: {_TRAIN}/ and {test}/ have different classes ({'; '.join(odd)}).\n"
            "Give both the same class folders."
        )
    if len(train_counts) < 2:
        found = f"one class ({', '.join(train_counts)})" if train_counts else "no class folders"
        raise DataError(
            f"{printable(folder / _TRAIN)}: {found}; expected at least two, a folder of images for each class."
        )


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
