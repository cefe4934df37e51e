"""Data sets that TensorFlow Datasets has prepared: few large files that are read at any place, in its own order.

`tensorflow_datasets.builder(NAME, file_format="array_record").download_and_prepare()` prepares one. It is only read
here: nothing is downloaded, and the code that made it is not run.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from allcnn.data.dataset import Listing, data_set_name, files_digest
from allcnn.data.folders import read_class_index
from allcnn.errors import CheckpointError, DataError, InputError, install_hint, printable
from allcnn.files import cache_folder, open_file, read_arrays, write_arrays

_INFO, _FEATURES = "dataset_info.json", "features.json"
_OWN_FEATURES = "tensorflow_datasets.core.features."
# ImageNet's test split has no labels.
_TESTS = ("test", "validation")
_LARGEST_JSON = 16 << 20


@dataclass(eq=False)
class PreparedImages:
    """One split of a prepared data set. TensorFlow Datasets compares what it reads with checksums."""

    records: Any
    image_key: str
    #: The data set's folder and the split.
    where: str
    #: (n,) int32.
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def name(self, index: int) -> str:
        return f"{self.where} image {index}"

    def read(self, index: int) -> bytes:
        try:
            return self.records[index][self.image_key]
        except Exception as error:  # its readers raise RuntimeError, and protobuf an error of its own
            raise _unreadable(self.name(index), error) from None


def holds_prepared(folder: Path) -> bool:
    """Whether a folder is a data set that TensorFlow Datasets has prepared."""
    return (folder / _INFO).is_file() and (folder / _FEATURES).is_file()


def find_prepared(name: str, data_dir: str | Path | None = None) -> Path:
    """The folder of a prepared data set: of its newest version, if none is named.

    Args:
        name: as in TensorFlow Datasets, "NAME", "NAME/CONFIG" or either with ":VERSION".
        data_dir: the folder that holds prepared data sets, or the prepared one itself; None: where TensorFlow Datasets
            keeps them.

    Raises:
        DataError: it is not there; the message says how to prepare it.
    """
    root = Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    if data_dir is not None and holds_prepared(root):
        return root
    plain, _, version = name.partition(":")
    try:
        found = [path for path in (root / plain).glob(version or "*") if plain and holds_prepared(path)]
    except (OSError, ValueError, NotImplementedError) as error:  # a folder that may not be read, a pattern that is none
        raise _unreadable(printable(root / name), error) from None
    if not found:
        raise DataError(
            f"{printable(root / plain)}: holds no data set that TensorFlow Datasets has prepared.\n"
            f'Prepare it in Python: tensorflow_datasets.builder("{printable(plain)}", data_dir="{printable(root)}", '
            'file_format="array_record").download_and_prepare()'
        )
    return max(found, key=lambda path: [int(number) for number in re.findall(r"\d+", path.name)])


def list_prepared(folder: Path) -> Listing:
    """The images of a prepared data set, in its order; none is decoded.

    They have one image feature and one label feature, or the two that `supervised_keys` names. "test" is the test
    split, or "validation" if "test" is missing or without labels. The labels are read once, with all records, and
    then kept in the cache folder for as long as no file changes.

    Raises:
        InputError: TensorFlow Datasets is not installed.
        DataError: a file is missing or damaged, is of another format, or holds other things than labelled images.
    """
    where = printable(folder)
    if find_spec("tensorflow_datasets") is None:
        raise InputError(f"{where}: TensorFlow Datasets, which prepared it, is not installed.\n{install_hint('tfds')}")
    _refuse_foreign_features(folder / _FEATURES)
    try:
        import tensorflow_datasets as tfds

        builder = tfds.builder_from_directory(folder)
        if builder.info.file_format is not tfds.core.FileFormat.ARRAY_RECORD:
            found = builder.info.file_format.value
            raise DataError(
                f"{where}: is prepared as {found}; expected array_record, which is read in any order.\n"
                'Prepare it again with file_format="array_record".'
            )
        image_key, label_key = _keys(builder.info, tfds, where)
        sources = {
            split: builder.as_data_source(split, decoders={image_key: tfds.decode.SkipDecoding()})
            for split in ("train", *_TESTS)
            if split in builder.info.splits
        }
        class_names = tuple(builder.info.features[label_key].names)
        test = next((split for split in _TESTS if split in sources and sources[split][0][label_key] >= 0), None)
        if test is None or "train" not in sources:
            raise DataError(
                f"{where}: has the splits {', '.join(builder.info.splits)}; expected train, and test or validation."
            )
        columns = _columns(folder, {split: sources[split] for split in ("train", test)}, image_key, label_key)
        name = data_set_name(class_names, printable(builder.info.name))
    except DataError:
        raise
    except Exception as error:  # whatever TensorFlow Datasets, protobuf and array_record raise for a damaged file
        raise _unreadable(where, error) from None
    train, tests = (
        PreparedImages(sources[split], image_key, f"{where}: {split}", columns[f"{split}/labels"])
        for split in ("train", test)
    )
    return Listing(
        name=name,
        class_names=read_class_index(folder, class_names),
        train=train,
        test=tests,
        digest=files_digest(
            class_names,
            *(
                (map(str, range(len(split))), split.labels, columns[f"{key}/sizes"])
                for key, split in (("train", train), (test, tests))
            ),
        ),
        source=f"{where} (train and {test})",
        layout="tfds",
    )


def _refuse_foreign_features(path: Path) -> None:
    """Raise DataError for features of other code: TensorFlow Datasets imports what the file names."""

    def check(entries: dict[str, Any]) -> dict[str, Any]:
        for key in ("pythonClassName", "python_class_name"):
            if not str(entries.get(key, _OWN_FEATURES)).startswith(_OWN_FEATURES):
                raise ValueError(f"asks for {entries[key]}")
        return entries

    try:
        with open_file(path) as file:
            json.loads(file.read(_LARGEST_JSON), object_hook=check)
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(printable(path), error) from None


def _keys(info: Any, tfds: Any, where: str) -> tuple[str, str]:
    """The names of the image's and the label's feature. Raises DataError where that is not clear."""
    features = info.features
    images = [key for key in features if isinstance(features[key], tfds.features.Image)]
    labels = [key for key in features if isinstance(features[key], tfds.features.ClassLabel)]
    if len(images) == len(labels) == 1:
        return images[0], labels[0]
    supervised = info.supervised_keys
    if supervised and supervised[0] in images and supervised[1] in labels:
        return supervised[0], supervised[1]
    raise DataError(
        f"{where}: has {len(images)} image features and {len(labels)} label features; expected one of each."
    )


def _columns(folder: Path, sources: dict[str, Any], image_key: str, label_key: str) -> dict[str, np.ndarray]:
    """SPLIT/labels (n,) int32 and SPLIT/sizes (n,) int64 in bytes, from the cache or from the records.

    A damaged record has the label 0 and the size -1, and is named when it is decoded.
    """
    files = sorted((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in folder.iterdir())
    state = hashlib.sha256(f"{folder.resolve()} {sorted(sources)} {files}".encode("utf-8", "surrogateescape"))
    cached = cache_folder() / "tfds" / f"{state.hexdigest()[:32]}.h5"
    try:
        return read_arrays(cached)[0]
    except CheckpointError:
        pass
    columns: dict[str, np.ndarray] = {}
    for split, records in sources.items():
        labels, sizes = np.zeros(len(records), np.int32), np.full(len(records), -1, np.int64)
        for index in range(len(records)):
            with suppress(Exception):
                record = records[index]
                labels[index], sizes[index] = record[label_key], len(record[image_key])
        columns |= {f"{split}/labels": labels, f"{split}/sizes": sizes}
    if all((columns[f"{split}/sizes"] >= 0).all() for split in sources):
        with suppress(OSError):  # without a cache they are only read again
            write_arrays(cached, columns, {})
    return columns


def _unreadable(name: str, error: Exception) -> DataError:
    detail = printable(" ".join(str(error).split())[:200]) or type(error).__name__
    return DataError(f"{name}: cannot be read ({detail}).\nPrepare the data set again, or copy its files again.")
