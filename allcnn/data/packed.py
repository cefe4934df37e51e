"""A packed data set: few large TFRecord files, read by offset, instead of a million small ones."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from allcnn.data.dataset import check_class_names
from allcnn.data.encoded import TextList
from allcnn.data.listing import Listing
from allcnn.data.printable import printable
from allcnn.errors import CheckpointError, DataError
from allcnn.files import read_arrays

#: What makes a folder a packed data set: JSON with its shards, and HDF5 with where each image lies.
MANIFEST, INDEX = "pack.json", "index.h5"
FORMAT = 1
#: The columns of the index, each (n,): where an image's encoded bytes are, their CRC-32, and its label.
COLUMNS = {"shard": "int32", "offset": "int64", "bytes": "int64", "crc32": "uint32", "label": "int32"}
# Images this near to each other are fetched in one go.
_GAP = 1 << 16


@dataclass(frozen=True)
class Shard:
    """One TFRecord file of a split."""

    file: str
    split: str
    images: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What pack.json says. skipped: file names of damaged images that were left out, by split."""

    name: str
    class_names: tuple[str, ...]
    digest: str
    shards: tuple[Shard, ...]
    skipped: dict[str, tuple[str, ...]]
    index_sha256: str
    format: int = FORMAT

    def text(self) -> str:
        return json.dumps(asdict(self), indent=1)


class PackedImages:
    """One split of a packed data set. Every image's bytes are held against their CRC-32 when they are read."""

    def __init__(self, folder: Path, shards: list[Shard], columns: dict[str, np.ndarray], names: TextList):
        self.folder = folder
        self.shards = shards
        self.columns = columns
        self.labels = columns["label"]
        self.names = names
        self._files: dict[int, int] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.labels)

    def name(self, index: int) -> str:
        shard = self.shards[int(self.columns["shard"][index])]
        return f"{printable(self.folder / shard.file)}: {printable(self.names[index])}"

    def read(self, index: int) -> bytes:
        shard, offset, length = (int(self.columns[column][index]) for column in ("shard", "offset", "bytes"))
        try:
            content = os.pread(self._file(shard), length, offset)
        except OSError as error:
            raise DataError(f"{self.name(index)}: cannot be read ({error.strerror}).") from None
        if len(content) != length or zlib.crc32(content) != int(self.columns["crc32"][index]):
            raise DataError(
                f"{self.name(index)}: its bytes are not those that were packed; the shard is damaged.\n"
                "Copy the shard again, or pack the data set again."
            )
        return content

    def will_read(self, indices: np.ndarray) -> None:
        """Ask the system to fetch what these images take, in the order it lies in, in runs as long as they come."""
        if not hasattr(os, "posix_fadvise"):
            return
        shard, offset, length = (self.columns[column][indices] for column in ("shard", "offset", "bytes"))
        order = np.lexsort((offset, shard))
        shard, begin, end = shard[order], offset[order], (offset + length)[order]
        breaks = np.flatnonzero((shard[1:] != shard[:-1]) | (begin[1:] > end[:-1] + _GAP)) + 1
        for first, last in zip([0, *breaks], [*breaks, len(order)], strict=True):
            if last > first:
                run = int(end[last - 1] - begin[first])
                os.posix_fadvise(self._file(int(shard[first])), int(begin[first]), run, os.POSIX_FADV_WILLNEED)

    def _file(self, shard: int) -> int:
        """The open file of a shard; a process opens each once and keeps it."""
        with self._lock:
            if shard not in self._files:
                self._files[shard] = os.open(self.folder / self.shards[shard].file, os.O_RDONLY)
            return self._files[shard]

    def __del__(self) -> None:
        for file in getattr(self, "_files", {}).values():
            os.close(file)


def holds_packed(folder: Path) -> bool:
    """Whether a folder is a packed data set."""
    return (folder / MANIFEST).is_file()


def list_packed(folder: Path) -> Listing:
    """The images of a packed data set. Raises DataError: a file is missing, damaged or of another length."""
    manifest = read_manifest(folder)
    try:
        arrays, attributes = read_arrays(folder / INDEX)
        if file_sha256(folder / INDEX) != manifest.index_sha256:
            raise DataError(
                f"{printable(folder / INDEX)}: is not the index that {MANIFEST} names.\nPack the data again."
            )
        splits = {split: _split(folder, manifest, split, arrays) for split in attributes["splits"]}
        test = next(split for split in splits if split != "train")
        return Listing(
            name=manifest.name, class_names=manifest.class_names, train=splits["train"], test=splits[test],
            digest=manifest.digest, source=f"{printable(folder)} (train and {test})", layout="packed",
        )  # fmt: skip
    except (CheckpointError, KeyError, StopIteration, OSError, ValueError) as error:
        raise DataError(f"{printable(folder)}: its index cannot be read ({printable(str(error))[:200]}).") from None


def read_manifest(folder: Path) -> Manifest:
    """What pack.json says; every shard is there and has its length. Raises DataError."""
    path = folder / MANIFEST
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        manifest = _manifest(values)
        check_class_names(manifest.class_names, printable(path))
    except DataError:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        detail = printable(" ".join(str(error).split())[:100])
        raise DataError(f"{printable(path)}: not a packed data set's description ({detail}).") from None
    for shard in manifest.shards:
        try:
            found = os.stat(folder / shard.file).st_size
        except OSError as error:
            raise DataError(f"{printable(folder / shard.file)}: cannot be read ({error.strerror}).") from None
        if found != shard.bytes:
            raise DataError(
                f"{printable(folder / shard.file)}: has {found:,} bytes; expected {shard.bytes:,}.\nCopy it again."
            )
    return manifest


def check_shards(folder: Path) -> list[str]:
    """The names of the shards whose SHA-256 is not that of the manifest; reads all of them."""
    return [shard.file for shard in read_manifest(folder).shards if file_sha256(folder / shard.file) != shard.sha256]


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's content, as hexadecimal text."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(values: dict[str, Any]) -> Manifest:
    """Raises nearly anything for what is none."""
    if values["format"] != FORMAT:
        raise ValueError(f"format {values['format']}, expected {FORMAT}")
    shards = tuple(Shard(**shard) for shard in values["shards"])
    for shard in shards:
        if Path(shard.file).name != shard.file or not isinstance(shard.bytes, int):
            raise ValueError(f"a shard called {shard.file!r:.60}")
    return Manifest(
        name=printable(values["name"]),
        class_names=tuple(str(name) for name in values["class_names"]),
        digest=str(values["digest"]),
        shards=shards,
        skipped={str(split): tuple(map(str, names)) for split, names in values["skipped"].items()},
        index_sha256=str(values["index_sha256"]),
    )


def _split(folder: Path, manifest: Manifest, split: str, arrays: dict[str, np.ndarray]) -> PackedImages:
    columns = {column: arrays[f"{split}/{column}"] for column in COLUMNS}
    names = TextList(arrays[f"{split}/names"], arrays[f"{split}/name_ends"])
    shards = [shard for shard in manifest.shards if shard.split == split]
    count = len(names)
    if any(values.shape != (count,) for values in columns.values()) or count != sum(shard.images for shard in shards):
        raise ValueError(f"the {split} split's columns do not fit each other")
    if not count or not (0 <= columns["shard"].min() and columns["shard"].max() < len(shards)):
        raise ValueError(f"the {split} split names shards that there are not")
    ends = np.array([shard.bytes for shard in shards])[columns["shard"]]
    if min(columns["offset"].min(), columns["bytes"].min()) < 0 or (columns["offset"] > ends - columns["bytes"]).any():
        raise ValueError(f"the {split} split has images outside of its shards")
    if not 0 <= columns["label"].min() <= columns["label"].max() < len(manifest.class_names):
        raise ValueError(f"the {split} split has labels of no class")
    return PackedImages(folder, shards, columns, names)
