"""CIFAR-10 and CIFAR-100 in their official layouts: python pickles or binary records, in folders or archives.

Both layouts hold an image as 3072 bytes: the red plane, then the green, then the blue, row by row.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from allcnn.data.dataset import Dataset
from allcnn.data.layouts import CLASSES, Layout, stream_checksum
from allcnn.data.pickles import load_pickle
from allcnn.errors import DataError, printable
from allcnn.files import open_file
from allcnn.waiting import waiting

_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE

# The largest official file has 155 MB; a far larger one is something else.
_LARGEST_FILE = 1 << 28

_Batch = tuple[np.ndarray, np.ndarray]  # (n, 3072) uint8 pixels, (n,) int32 labels


@waiting("reading the images")
def read_layout(layout: Layout, path: Path) -> Dataset:
    """Read a layout's folder, or its official archive unopened, as 32x32 images.

    Raises DataError, naming the file, for a missing, truncated or corrupt one, and for an archive whose
    checksum is not the official one.
    """
    if path.is_dir():
        return _assemble(layout, _files_of_folder(layout, path), printable(path), layout.form)
    return _assemble(layout, _files_of_archive(layout, path), printable(path), "archive")


def _files_of_folder(layout: Layout, folder: Path) -> Iterator[tuple[str, str, bytes]]:
    """(file name, name for messages, content) of every file of the layout that there is."""
    for name in (*layout.files, layout.names_file):
        path = folder / name
        where = printable(path)
        if not path.exists():
            continue
        try:
            with open_file(path) as file:
                content = file.read(_LARGEST_FILE + 1)
        except OSError as error:
            raise DataError(
                f"{where}: cannot be read ({error.strerror}); expected a file of {layout.folder}."
            ) from None
        if len(content) > _LARGEST_FILE:
            raise DataError(f"{where}: more than {_LARGEST_FILE:,} bytes; expected a file of CIFAR.")
        yield name, where, content


def _files_of_archive(layout: Layout, path: Path) -> Iterator[tuple[str, str, bytes]]:
    """The same for an archive. It is parsed only if its checksum is the official one.

    The file is opened once, so that what is checked is what is read. Nothing is unpacked to disk.
    """
    where = printable(path)
    wanted = (*layout.files, layout.names_file)
    try:
        with open_file(path) as file:
            kind, found = stream_checksum(file, layout.checksum)
            if found != layout.checksum:
                raise DataError(
                    f"{where}: its {kind} is {found}, that of the official {layout.archive} is {layout.checksum}.\n"
                    "Fetch the archive again; if you packed it yourself, unpack it and pass the folder to --data-dir."
                )
            file.seek(0)
            with tarfile.open(fileobj=file, mode="r:gz") as archive:
                for member in archive:
                    name = PurePosixPath(member.name).name
                    content = archive.extractfile(member) if name in wanted and member.isfile() else None
                    if content is not None:
                        yield name, f"{where}: {printable(member.name)}", content.read()
    except OSError as error:
        raise DataError(f"{where}: cannot be read ({error.strerror}); expected {layout.archive}.") from None


def _assemble(layout: Layout, files: Iterator[tuple[str, str, bytes]], source: str, kind: str) -> Dataset:
    classes = CLASSES[layout.dataset]
    class_names = classes
    batches: dict[str, _Batch] = {}
    for name, where, content in files:
        if name == layout.names_file:
            class_names = _read_names(layout, content, where, len(classes))
        elif layout.form == "python":
            batches[name] = _read_pickled_batch(layout, content, where, len(classes))
        else:
            batches[name] = _read_records(layout, content, where, len(classes))
    missing = [name for name in layout.files if name not in batches]
    if missing:
        raise DataError(
            f"{source}: {', '.join(missing)} missing; expected {', '.join(layout.files)}.\n"
            "Copy or unpack the data set again."
        )
    train_images, train_labels = _join([batches.pop(name) for name in layout.train_files])
    test_images, test_labels = _join([batches.pop(layout.test_file)])
    return Dataset(
        name=layout.dataset,
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        class_names=class_names,
        source=source,
        layout=kind,
        resize="none",
    )


def _join(batches: list[_Batch]) -> _Batch:
    """Batches one after the other, their planes of red, green and blue brought together pixel by pixel."""
    images = np.empty((sum(len(labels) for _, labels in batches), _SIDE, _SIDE, 3), np.uint8)
    start = 0
    for pixels, labels in batches:
        planes = pixels.reshape(-1, 3, _SIDE, _SIDE)
        for channel in range(3):  # one at a time takes half as long as one transposition of all
            images[start : start + len(labels), ..., channel] = planes[:, channel]
        start += len(labels)
    return images, np.concatenate([labels for _, labels in batches])


def _read_pickled_batch(layout: Layout, content: bytes, where: str, classes: int) -> _Batch:
    batch = load_pickle(content, where)
    for key in ("data", layout.label_key):
        if key not in batch:
            found = printable(", ".join(sorted(batch))[:200]) or "nothing"
            raise DataError(f"{where}: no {key!r} in this batch, only {found}; expected one of {layout.folder}.")
    pixels, values = batch["data"], batch[layout.label_key]
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != (_PIXELS,):
        found = f"{pixels.dtype} {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise DataError(f"{where}: 'data' is {found}; expected uint8 (n, {_PIXELS}), a row for each image.")
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if not isinstance(values, list) or not all(type(value) is int and value.bit_length() <= 64 for value in values):
        raise DataError(
            f"{where}: {layout.label_key!r} is not a list of whole numbers; expected a label for each image."
        )
    return pixels, _checked_labels(values, len(pixels), where, classes)


def _read_records(layout: Layout, content: bytes, where: str, classes: int) -> _Batch:
    length = layout.label_bytes + _PIXELS
    if not content or len(content) % length:
        raise DataError(
            f"{where}: {len(content):,} bytes; expected a multiple of {length}, a record for each image.\n"
            "The file is truncated or of another layout: copy or unpack it again."
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, length)
    labels = records[:, layout.label_bytes - 1].tolist()
    return records[:, layout.label_bytes :], _checked_labels(labels, len(records), where, classes)


def _checked_labels(values: list[int], images: int, where: str, classes: int) -> np.ndarray:
    if not values or len(values) != images:
        raise DataError(f"{where}: {len(values)} labels for {images} images; expected one for each, at least one.")
    odd = next((value for value in values if not 0 <= value < classes), None)
    if odd is not None:
        raise DataError(f"{where}: label {odd} among the labels; expected 0 to {classes - 1}.")
    return np.array(values, np.int32)


def _read_names(layout: Layout, content: bytes, where: str, classes: int) -> tuple[str, ...]:
    if layout.form == "python":
        value = load_pickle(content, where).get(layout.names_key)
        names = [_name(item) for item in value] if isinstance(value, list) else []
    else:
        names = [line.strip() for line in content.decode("utf-8", "replace").splitlines() if line.strip()]
    if len(names) != classes or len(set(names)) != classes or "" in names:
        raise DataError(f"{where}: {len(set(names))} class names; expected {classes} different ones.")
    return tuple(names)


def _name(item: object) -> str:
    if isinstance(item, bytes):
        return item.decode("utf-8", "replace")
    return item if isinstance(item, str) else ""
