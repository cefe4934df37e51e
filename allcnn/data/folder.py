"""Folders of images: `train/CLASS/*` for training, `test/CLASS/*` or `val/CLASS/*` for testing."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from allcnn.data.dataset import Dataset, check_class_names
from allcnn.data.images import IMAGE_SUFFIXES, check_memory, fit_to_size, read_image, resize_rule
from allcnn.data.layouts import CLASSES
from allcnn.data.order import epoch_order
from allcnn.data.printable import printable
from allcnn.errors import DataError

_TRAIN = "train"
_TESTS = ("test", "val")
# Any fixed number: the order is part of the data set, and so of its digest.
_MIXING_SEED = 10

#: Class name -> its files, in order.
_Files = dict[str, list[Path]]


def holds_image_folders(folder: Path) -> bool:
    """Whether the folder has one of the subfolders that hold a split."""
    return any((folder / name).is_dir() for name in (_TRAIN, *_TESTS))


def read_image_folders(folder: Path, size: int) -> Dataset:
    """Read every image under the class folders, fitted to (size, size, 3).

    The classes are the sorted names of the class folders; files are ordered by name, those in folders
    further down included. The training images are then mixed once, the same way on every machine, so that a
    recipe that never shuffles does not see one class after the other. Hidden files and files that are not
    images by their name are passed over.
    Where there are both, `test` is the test split and `val` is not read. Raises DataError naming the folder
    or file: a split or class missing or empty, fewer than two classes, an image that cannot be read.
    """
    test = next((name for name in _TESTS if (folder / name).is_dir()), None)
    if test is None or not (folder / _TRAIN).is_dir():
        missing = f"no {_TRAIN}/ folder" if test is not None else f"{_TRAIN}/ but neither test/ nor val/"
        raise DataError(
            f"{printable(folder)}: {missing}; expected train/CLASS/* with test/CLASS/* or val/CLASS/*.\n"
            "Move the images into such folders."
        )
    train_files, test_files = _files_by_class(folder / _TRAIN), _files_by_class(folder / test)
    for split, files in ((_TRAIN, train_files), (test, test_files)):
        check_class_names(files, printable(folder / split))
    _check_classes(folder, test, train_files, test_files)
    images = sum(len(paths) for files in (train_files, test_files) for paths in files.values())
    check_memory(images, size, printable(folder))
    class_names = tuple(train_files)
    train_images, train_labels, train_fitted = _read_split(train_files, size, mixed=True)
    test_images, test_labels, test_fitted = _read_split(test_files, size, mixed=False)
    official = next((name for name, names in CLASSES.items() if names == class_names), None)
    return Dataset(
        name=official or printable(Path(os.path.abspath(folder)).name) or "images",
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        class_names=class_names,
        source=f"{printable(folder)} ({_TRAIN}/ and {test}/)",
        layout="folders",
        resize=resize_rule(size) if train_fitted or test_fitted else "none",
    )


def _files_by_class(split: Path) -> _Files:
    try:
        folders = sorted(entry for entry in split.iterdir() if entry.is_dir() and not entry.name.startswith("."))
        return {entry.name: _image_files(entry) for entry in folders}
    except OSError as error:
        raise DataError(f"{printable(error.filename or split)}: cannot be read ({error.strerror}).") from None


def _image_files(folder: Path) -> list[Path]:
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


def _check_classes(folder: Path, test: str, train_files: _Files, test_files: _Files) -> None:
    for split, files in ((_TRAIN, train_files), (test, test_files)):
        empty = [name for name, paths in files.items() if not paths]
        if empty:
            raise DataError(
                f"{printable(folder / split / empty[0])}: no images{_more(empty)}; "
                f"expected files ending in {', '.join(IMAGE_SUFFIXES)}.\nAdd images, or take the class folder away."
            )
    if set(train_files) != set(test_files):
        odd = [
            f"only in {split}/: {', '.join(sorted(names)[:5])}{_more(sorted(names)[4:])}"
            for split, names in (
                (_TRAIN, set(train_files) - set(test_files)),
                (test, set(test_files) - set(train_files)),
            )
            if names
        ]
        raise DataError(
            f"{printable(folder)}: {_TRAIN}/ and {test}/ have different classes ({'; '.join(odd)}).\n"
            "Give both the same class folders."
        )
    if len(train_files) < 2:
        found = f"one class ({', '.join(train_files)})" if train_files else "no class folders"
        raise DataError(
            f"{printable(folder / _TRAIN)}: {found}; expected at least two, a folder of images for each class."
        )


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def _read_split(files: _Files, size: int, mixed: bool) -> tuple[np.ndarray, np.ndarray, bool]:
    """Images, labels, and whether any image had to be fitted to the size."""
    labelled = [(path, label) for label, class_files in enumerate(files.values()) for path in class_files]
    if mixed:
        labelled = [labelled[index] for index in epoch_order(_MIXING_SEED, 0, len(labelled))]
    images = np.empty((len(labelled), size, size, 3), np.uint8)
    any_fitted = False
    for index, (path, _) in enumerate(labelled):
        image = read_image(path)
        any_fitted |= image.shape[:2] != (size, size)
        images[index] = fit_to_size(image, size)
    return images, np.array([label for _, label in labelled], np.int32), any_fitted
