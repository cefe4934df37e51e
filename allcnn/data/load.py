"""From a data set's name, or a folder, to images: what is there is found by looking."""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path

import numpy as np

from allcnn.data import layouts
from allcnn.data.cifar import read_layout
from allcnn.data.dataset import Dataset
from allcnn.data.digits import load_digits
from allcnn.data.download import find_or_download
from allcnn.data.folder import holds_image_folders, list_image_folders
from allcnn.data.images import ResizeRule, check_image_size, check_memory, fit_to_size, resize_rule
from allcnn.data.packed import holds_packed, list_packed
from allcnn.data.printable import printable
from allcnn.errors import DataError, InputError

DATASETS = ("cifar10", "cifar100", "digits")

_DEFAULT_SIZE = 32


def load_data(
    dataset: str = "cifar10",
    data_dir: str | Path | None = None,
    *,
    image_size: int | None = None,
    mirror: str | None = None,
    stream: bool = False,
    shorter_side: int | None = None,
    skip_damaged: bool = False,
) -> Dataset:
    """Load a data set as raw RGB images with labels.

    Args:
        dataset: "cifar10", "cifar100" (fine labels) or "digits" (scikit-learn's; needs no download).
        data_dir: a folder that is or holds an official layout of CIFAR (`cifar-10-batches-py` and so on), an
            official archive (read unopened), folders of images `train/CLASS/*` with `test/CLASS/*` or `val/CLASS/*`, or
            a packed data set (`allcnn.data.pack.pack_images`); or the archive itself. None: look where data sets are
            kept, else download.
        image_size: height and width, in pixels, to bring every image to; None: 32.
        mirror: URL to download from instead of the official host; of the archive or of the folder it lies in.
        stream: decode folders of images when they are needed, and hold none of them; it is always so for a packed data
            set, for one that does not fit in memory, and with the next two.
        shorter_side: scale to this before `image_size` is cropped, 256 for 224 as with ImageNet; None: `image_size`.
        skip_damaged: pass over images that cannot be decoded, instead of refusing.

    Returns:
        A `Dataset`. Its name is the data set's; for folders of images the folder's, unless the classes are CIFAR's.

    Raises:
        InputError: for an unknown name, or arguments that do not go together.
        DataError: for missing or broken data; the message names the file.

    Example:
        >>> data = load_data("digits")
        >>> data.train_images.shape, data.classes
        ((1438, 32, 32, 3), 10)
    """
    name = _dataset_name(dataset)
    size = _DEFAULT_SIZE if image_size is None else image_size
    check_image_size(size)
    rule = ResizeRule(size, size if shorter_side is None else shorter_side)
    if rule.shorter_side < size:
        raise InputError(f"the shorter side must be at least the image size, {size}; got {shorter_side}.")
    if name == "digits":
        if data_dir is not None or mirror is not None:
            given = "data folder" if data_dir is not None else "mirror"
            raise InputError(f"digits: a {given} was given, but the digits come with scikit-learn.\nLeave it out.")
        return load_digits(size)
    if data_dir is None:
        return _resized(read_layout(*find_or_download(name, mirror)), size)
    if mirror is not None:
        raise InputError(
            "both a data folder and a mirror were given; expected one of them.\n"
            "Leave the mirror out to read the folder, or the folder to download."
        )
    path = _existing(data_dir)
    try:
        return _read(name, path, rule, stream, skip_damaged)
    except OSError as error:  # a folder that may not be looked into, for example
        raise DataError(f"{printable(error.filename or path)}: cannot be read ({error.strerror}).") from None


def _read(name: str, path: Path, rule: ResizeRule, stream: bool, skip_damaged: bool) -> Dataset:
    size = rule.size
    if path.is_file():
        return _resized(read_layout(layouts.layout_of_archive(name, path), path), size)
    found = layouts.find_layout(name, path)
    if found is not None:
        return _resized(read_layout(*found), size)
    if holds_packed(path):
        return list_packed(path).streamed(rule, skip_damaged)
    if holds_image_folders(path):
        listing = list_image_folders(path)
        if stream or skip_damaged or rule.shorter_side != size or not listing.fits_memory(size):
            return listing.streamed(rule, skip_damaged)
        return listing.read(size)
    raise DataError(_nothing_found(name, path))


def _dataset_name(dataset: str) -> str:
    name = str(dataset).strip().lower().replace("-", "").replace("_", "")
    if name in DATASETS:
        return name
    near = difflib.get_close_matches(name, DATASETS, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise InputError(
        f"unknown data set {dataset!r}; expected one of {', '.join(DATASETS)}.{hint}\n"
        "For images of your own, pass their folder with --data-dir."
    )


def _existing(data_dir: str | Path) -> Path:
    if not str(data_dir).strip():
        raise InputError("the data folder's name is empty; pass the folder that holds the data set.")
    try:
        path = Path(data_dir).expanduser()
        exists = path.exists()
        is_empty = exists and path.is_dir() and not any(path.iterdir())
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(
            f"{printable(data_dir)}: cannot be read ({printable(str(error))}); expected a folder that holds a data set."
        ) from None
    if not exists:
        raise DataError(
            f"{printable(path)}: there is no such folder.\nPass the folder that holds the data set with --data-dir."
        )
    if is_empty:
        raise DataError(
            f"{printable(path)}: the folder is empty.\nPass the folder that holds the data set with --data-dir."
        )
    return path


def _nothing_found(name: str, path: Path) -> str:
    looked_for = [f"{layout.folder}/" for layout in layouts.LAYOUTS if layout.dataset == name]
    looked_for += [layout.archive for layout in layouts.LAYOUTS if layout.dataset == name]
    looked_for.append("folders of images (train/CLASS/* with test/CLASS/* or val/CLASS/*), a packed data set")
    other = next((other for other in layouts.CLASSES if other != name and layouts.find_layout(other, path)), None)
    if other is not None:
        hint = f"It holds {other}: ask for the data set {other}."
    else:
        hint = "Pass the folder that holds one of them with --data-dir."
    return f"{printable(path)}: no data set found. Looked for {', '.join(looked_for)}.\n{hint}"


def _resized(data: Dataset, size: int) -> Dataset:
    if data.image_shape[:2] == (size, size):
        return data
    check_memory(len(data.train_images) + len(data.test_images), size, data.source)
    splits = []
    for images in (data.train_images[:], data.test_images[:]):
        fitted = np.empty((len(images), size, size, 3), np.uint8)
        for index, image in enumerate(images):
            fitted[index] = fit_to_size(image, size)
        splits.append(fitted)
    train_images, test_images = splits
    return replace(data, train_images=train_images, test_images=test_images, resize=resize_rule(size))
