"""A data set's name, or a folder -> images. What a folder holds is found by looking into it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from allcnn.data import layouts
from allcnn.data.cifar import read_layout
from allcnn.data.dataset import Dataset
from allcnn.data.download import find_or_download
from allcnn.data.folders import holds_image_folders, list_image_folders
from allcnn.data.images import ResizeRule, check_image_size, check_memory
from allcnn.data.tfds import find_prepared, holds_prepared, list_prepared
from allcnn.errors import DataError, InputError, did_you_mean, nearest, printable
from allcnn.waiting import waiting

#: What can be loaded by its name alone; beside these there is "tfds:NAME".
DATASETS = ("cifar10", "cifar100", "digits")
TFDS = "tfds:"

_DEFAULT_SIZE = 32
# The largest value of scikit-learn's 8x8 digits.
_WHITE = 16


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
        dataset: "cifar10", "cifar100" (fine labels), "digits" (scikit-learn's; needs no download), or "tfds:NAME": a
            data set that TensorFlow Datasets has prepared (`allcnn.data.tfds`).
        data_dir: a folder that is or holds an official layout of CIFAR (`cifar-10-batches-py` and so on), an
            official archive (read unopened), or folders of images `train/CLASS/*` with `test/CLASS/*` or `val/CLASS/*`;
            the archive itself; or the folder of a prepared data set. With "tfds:NAME" the folder that holds prepared
            data sets. None: look where data sets are kept, else download.
        image_size: height and width, in pixels, to bring every image to; None: 32.
        mirror: URL to download from instead of the official host; of the archive or of the folder it lies in.
        stream: decode folders of images and prepared data sets when they are needed, and hold none of them. That is
            always done for what does not fit in memory, and with the next two.
        shorter_side: scale to this before `image_size` is cropped, 256 for 224 as with ImageNet; None: `image_size`.
        skip_damaged: pass over images that cannot be decoded, instead of refusing.

    Returns:
        A `Dataset`. Its name is the data set's. Folders of images have the folder's name, unless their classes are
        CIFAR's or ImageNet's.

    Raises:
        InputError: for an unknown name, or arguments that do not go together.
        DataError: for missing or broken data; the message names the file.

    Examples:
        >>> data = load_data("digits")
        >>> data.train_images.shape, data.classes
        ((1438, 32, 32, 3), 10)
    """
    size = _DEFAULT_SIZE if image_size is None else image_size
    check_image_size(size)
    rule = ResizeRule(size, size if shorter_side is None else shorter_side)
    if rule.shorter_side < size:
        raise InputError(f"the shorter side must be at least the image size, {size}; got {shorter_side}.")
    if str(dataset).strip().lower().startswith(TFDS):
        if mirror is not None:
            raise InputError(f"{dataset}: a mirror was given, but prepared data sets are only read.\nLeave it out.")
        path = find_prepared(str(dataset).strip()[len(TFDS) :], data_dir)
        with waiting("reading the images"):
            return replace(list_prepared(path).load(rule, stream, skip_damaged), found_in=str(path.absolute()))
    name = dataset_name(str(dataset))
    if name not in DATASETS:
        hint = did_you_mean(nearest(name, DATASETS))
        raise InputError(
            f"unknown data set {dataset!r}; expected one of {', '.join(DATASETS)}, {TFDS}NAME.{hint}\n"
            "For images of your own, pass their folder with --data-dir, or in Python a `Dataset` with dataset=."
        )
    if name == "digits":
        if data_dir is not None or mirror is not None:
            given = "data folder" if data_dir is not None else "mirror"
            raise InputError(f"digits: a {given} was given, but the digits come with scikit-learn.\nLeave it out.")
        return replace(_resized(_read_digits(), rule), resize=str(rule))
    if data_dir is None:
        return _resized(read_layout(*find_or_download(name, mirror)), rule)
    if mirror is not None:
        raise InputError(
            "both a data folder and a mirror were given; expected one of them.\n"
            "Leave the mirror out to read the folder, or the folder to download."
        )
    path = _existing(data_dir)
    try:
        return replace(_read(name, path, rule, stream, skip_damaged), found_in=str(path.absolute()))
    except OSError as error:  # a folder that may not be looked into, for example
        raise DataError(f"{printable(error.filename or path)}: cannot be read ({error.strerror}).") from None


@waiting("reading the images")
def _read(name: str, path: Path, rule: ResizeRule, stream: bool, skip_damaged: bool) -> Dataset:
    if path.is_file():
        return _resized(read_layout(layouts.layout_of_archive(name, path), path), rule)
    found = layouts.find_layout(name, path)
    if found is not None:
        return _resized(read_layout(*found), rule)
    if holds_prepared(path):
        return list_prepared(path).load(rule, stream, skip_damaged)
    if holds_image_folders(path):
        return list_image_folders(path).load(rule, stream, skip_damaged)
    raise DataError(_nothing_found(name, path))


def dataset_name(dataset: str) -> str:
    """A name as `DATASETS` has it; one that is not there as it is."""
    name = dataset.strip().lower().replace("-", "").replace("_", "")
    return name if name in DATASETS else dataset.strip()


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
    if not exists or is_empty:
        found = "the folder is empty" if exists else "there is no such folder"
        raise DataError(f"{printable(path)}: {found}.\nPass the folder that holds the data set with --data-dir.")
    return path


def _nothing_found(name: str, path: Path) -> str:
    looked_for = [f"{layout.folder}/" for layout in layouts.LAYOUTS if layout.dataset == name]
    looked_for += [layout.archive for layout in layouts.LAYOUTS if layout.dataset == name]
    looked_for.append(
        "folders of images (train/CLASS/* with test/CLASS/* or val/CLASS/*), a data set prepared by TensorFlow Datasets"
    )
    other = next((other for other in layouts.CLASSES if other != name and layouts.find_layout(other, path)), None)
    if other is not None:
        hint = f"It holds {other}: ask for the data set {other}."
    else:
        hint = "Pass the folder that holds one of them with --data-dir."
    return f"{printable(path)}: no data set found. Looked for {', '.join(looked_for)}.\n{hint}"


@waiting("reading the images")
def _read_digits() -> Dataset:
    """The handwritten digits that come with scikit-learn, 8x8: 1438 training and 359 test images.

    Every fifth image (i % 5 == 4) is a test image. Values 0..16 become 0..255; the one grey channel stands three times.
    """
    # Slow to import, and only this data set needs it.
    import sklearn
    from sklearn.datasets import load_digits

    bunch = load_digits()
    grey = np.rint(bunch.images * (255 / _WHITE)).astype(np.uint8)
    images = np.repeat(grey[..., None], 3, axis=3)
    labels = bunch.target.astype(np.int32)
    is_test = np.arange(len(images)) % 5 == 4
    return Dataset(
        name="digits",
        train_images=images[~is_test],
        train_labels=labels[~is_test],
        test_images=images[is_test],
        test_labels=labels[is_test],
        class_names=tuple("0123456789"),
        source=f"scikit-learn {sklearn.__version__}",
        layout="scikit-learn",
        resize="none",
    )


def _resized(data: Dataset, rule: ResizeRule) -> Dataset:
    if data.image_shape[:2] == (rule.size, rule.size) and rule.size == rule.shorter_side:
        return data
    check_memory(len(data.train_images) + len(data.test_images), rule.size, data.source)
    splits = []
    for images in (data.train_images[:], data.test_images[:]):
        fitted = np.empty((len(images), rule.size, rule.size, 3), np.uint8)
        for index, image in enumerate(images):
            fitted[index] = rule.centre(image)
        splits.append(fitted)
    return replace(data, train_images=splits[0], test_images=splits[1], resize=str(rule))
