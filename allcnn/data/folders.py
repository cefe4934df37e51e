"""Folders of images: `train/CLASS/*` for training, `test/CLASS/*` or `val/CLASS/*` for testing.

A class index beside them names the classes whose folders have names such as n01440764.
"""

from __future__ import annotations

import json
import os
import stat
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from allcnn.data.dataset import Listing, check_class_names, data_set_name, files_digest
from allcnn.data.images import IMAGE_SUFFIXES
from allcnn.data.order import epoch_order
from allcnn.errors import DataError, printable
from allcnn.files import open_file

_TRAIN = "train"
_TESTS = ("test", "val")
# Any fixed number: the order is part of the data set, and so of its digest.
_MIXING_SEED = 10
# An image of Pillow's largest size, uncompressed, is about this large.
_LARGEST_FILE = 1 << 28
# Far more than the names of 22,000 classes take.
_LARGEST_INDEX = 16 << 20


#: A class: its folder's name, its files' names as in `ImageFiles`, their sizes in bytes.
_Class = tuple[str, np.ndarray, np.ndarray]


@dataclass(eq=False)
class ImageFiles:
    """The image files of one split."""

    folder: Path
    #: (n,) file names relative to the folder, as bytes: a million take a few tens of megabytes, not hundreds.
    names: np.ndarray
    #: (n,) int32.
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def path(self, index: int) -> Path:
        return self.folder / os.fsdecode(self.names[index])

    def name(self, index: int) -> str:
        return printable(self.path(index))

    def read(self, index: int) -> bytes:
        try:
            with open_file(self.path(index)) as file:
                content = file.read(_LARGEST_FILE + 1)
        except OSError as error:
            raise DataError(f"{self.name(index)}: cannot be read ({error.strerror}).") from None
        if len(content) > _LARGEST_FILE:
            raise DataError(
                f"{self.name(index)}: more than {_LARGEST_FILE:,} bytes; expected an image.\n"
                "Save a smaller copy, or take the file away."
            )
        return content


def holds_image_folders(folder: Path) -> bool:
    """Whether the folder has one of the subfolders that hold a split."""
    return any((folder / name).is_dir() for name in (_TRAIN, *_TESTS))


def list_image_folders(folder: Path) -> Listing:
    """List every image under the class folders; nothing is decoded.

    The classes are the class folders in the order of their names, named by a class index in `folder`
    (`read_class_index`), else like the folders. Files are ordered by name, those in folders further down included.
    The training images are then mixed once, the same way on every machine, so that a recipe that never shuffles does
    not see one class after the other. Hidden files and files without an image's suffix are passed over. Where there are
    both, `test` is the test split and `val` is not read.

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
    (train, train_sizes), (tests, test_sizes) = (
        _joined(folder / split, classes, mixed=split == _TRAIN) for split, classes in splits.items()
    )
    return Listing(
        name=data_set_name(class_folders, printable(Path(os.path.abspath(folder)).name) or "images"),
        class_names=read_class_index(folder, class_folders),
        train=train,
        test=tests,
        digest=files_digest(
            class_folders,
            (map(os.fsdecode, train.names), train.labels, train_sizes),
            (map(os.fsdecode, tests.names), tests.labels, test_sizes),
        ),
        source=f"{printable(folder)} ({_TRAIN}/ and {test}/)",
        layout="folders",
    )


def _find_test_split(folder: Path) -> str:
    """The name of the subfolder with the test images. Raises DataError if a split is missing."""
    test = next((name for name in _TESTS if (folder / name).is_dir()), None)
    if test is None or not (folder / _TRAIN).is_dir():
        missing = f"no {_TRAIN}/ folder" if test is not None else f"{_TRAIN}/ but neither test/ nor val/"
        raise DataError(
            f"{printable(folder)}: {missing}; expected train/CLASS/* with test/CLASS/* or val/CLASS/*.\n"
            "Move the images into such folders."
        )
    return test


def _list_split(split: Path) -> list[_Class]:
    try:
        folders = sorted(entry for entry in split.iterdir() if entry.is_dir() and not entry.name.startswith("."))
        classes = []
        for entry in folders:  # one class at a time: Path objects are large
            files = image_files(entry)
            sizes = np.array([_size(path) for path in files], np.int64)
            names = np.array([os.fsencode(path.relative_to(split).as_posix()) for path in files], np.bytes_)
            classes.append((entry.name, names, sizes))
        return classes
    except OSError as error:
        raise DataError(f"{printable(error.filename or split)}: cannot be read ({error.strerror}).") from None


def image_files(folder: Path) -> list[Path]:
    """The images in a folder, in order: by name, those in folders further down included. Raises OSError."""

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


def _size(path: Path) -> int:
    """The size of a file in bytes. Raises DataError for a pipe or a device, which might never end."""
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{printable(path)}: not a file; expected an image.")
    return found.st_size


def _joined(split: Path, classes: list[_Class], mixed: bool) -> tuple[ImageFiles, np.ndarray]:
    """The images of all classes, and the sizes of their files (n,) int64."""
    labels = np.repeat(np.arange(len(classes), dtype=np.int32), [len(names) for _, names, _ in classes])
    sizes = np.concatenate([sizes for _, _, sizes in classes])
    names = np.concatenate([names for _, names, _ in classes])
    if mixed:
        order = epoch_order(_MIXING_SEED, 0, len(labels))
        labels, sizes, names = labels[order], sizes[order], names[order]
    return ImageFiles(split, names, labels), sizes


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


def read_class_index(folder: Path, class_folders: Sequence[str]) -> tuple[str, ...]:
    """The names of the classes, in the order of their folders; without a class index the folders' own names.

    Looked for in `folder`, in this order: `class_index.json` and `imagenet_class_index.json` (Keras's), {"0":
    ["n01440764", "tench"], ...} or {"n01440764": "tench", ...}; `synset_words.txt` (Caffe's) and
    `LOC_synset_mapping.txt` (Kaggle's), lines of "n01440764 tench, Tinca tinca", of which the first name is taken. Two
    classes of one name (ImageNet has two cranes) have their folder's name added.

    Raises:
        DataError: the file cannot be read, or lacks a class.
    """
    path = next((folder / name for name in _INDEX_FORMATS if (folder / name).is_file()), None)
    if path is None:
        return tuple(class_folders)
    try:
        with open_file(path) as file:
            content = file.read(_LARGEST_INDEX + 1)
        if len(content) > _LARGEST_INDEX:
            raise ValueError(f"more than {_LARGEST_INDEX:,} bytes")
        names = _INDEX_FORMATS[path.name](content.decode("utf-8"))
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        detail = printable(" ".join(str(error).split())[:100])
        raise DataError(f"{printable(path)}: not a class index ({detail}).\nRepair it or take it away.") from None
    if missing := [printable(folder) for folder in class_folders if folder not in names]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DataError(f"{printable(path)}: does not name the class {missing[0]}{more}.\nAdd it, or take it away.")
    times = Counter(names[folder] for folder in class_folders)
    found = tuple(
        names[folder] if times[names[folder]] == 1 else f"{names[folder]} ({folder})" for folder in class_folders
    )
    check_class_names(found, printable(path))
    return found


def _parse_json(text: str) -> dict[str, str]:
    entries = json.loads(text)
    if not isinstance(entries, dict):
        raise ValueError("expected an object of classes")
    names = {}
    for key, value in entries.items():
        folder, name = value if isinstance(value, list) else (key, value)
        if not isinstance(folder, str) or not isinstance(name, str):
            raise ValueError(f'expected a name for "{key}"')
        names[folder] = name.replace("_", " ")
    return names


def _parse_lines(text: str) -> dict[str, str]:
    names = {}
    for line in text.splitlines():
        folder, _, words = line.strip().partition(" ")
        if folder:
            names[folder] = words.split(",")[0].strip() or folder
    return names


_INDEX_FORMATS: dict[str, Callable[[str], dict[str, str]]] = {
    "class_index.json": _parse_json,
    "imagenet_class_index.json": _parse_json,
    "synset_words.txt": _parse_lines,
    "LOC_synset_mapping.txt": _parse_lines,
}
