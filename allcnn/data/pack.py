"""Packing: folders of images -> TFRecord files that are read in long runs, with a count and a checksum each."""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from allcnn.data.encoded import EncodedImages, TextList, files_digest
from allcnn.data.folder import list_image_folders
from allcnn.data.images import decode_image
from allcnn.data.listing import Listing
from allcnn.data.packed import COLUMNS, INDEX, MANIFEST, Manifest, Shard, file_sha256
from allcnn.data.printable import printable
from allcnn.errors import DataError, InputError
from allcnn.files import atomic_folder, write_arrays, write_text

SHARD_BYTES = 1 << 30
# Images that are read and tried at a time.
_CHUNK = 256


@dataclass
class _SplitIndex:
    """Where the images of a split went."""

    columns: dict[str, list[int]] = field(default_factory=lambda: {column: [] for column in COLUMNS})
    names: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def add(self, name: str, **values: int) -> None:
        self.names.append(name)
        for column, value in values.items():
            self.columns[column].append(value)

    def arrays(self, split: str) -> dict[str, np.ndarray]:
        names = TextList.of(self.names)
        arrays = {f"{split}/{column}": np.array(self.columns[column], kind) for column, kind in COLUMNS.items()}
        return {**arrays, f"{split}/names": names.content, f"{split}/name_ends": names.ends}


def pack_images(
    folder: str | Path,
    out: str | Path,
    *,
    shard_bytes: int = SHARD_BYTES,
    skip_damaged: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> Manifest:
    """Pack folders of images (`train/CLASS/*` with `test/CLASS/*` or `val/CLASS/*`) into a new folder.

    The encoded files go in as they are, training images in the data set's mixed order, as records of
    `tf.train.Example` with "image/encoded", "image/class/label", "image/class/text" and "image/filename", which any
    TFRecord reader reads. Beside them lie pack.json (images, bytes and SHA-256 of every shard, the classes) and
    index.h5 (where each image lies). Every image is decoded once on the way. The digest stays that of the folders
    unless images were skipped, so that a run may begin on one and go on on the other.

    Args:
        out: a folder that does not exist yet, or is empty; it appears when it is whole.
        shard_bytes: a shard is ended when it has so many.
        skip_damaged: leave out what cannot be decoded (the manifest names it), instead of refusing.
        progress: called with the split, how many of its images are done, and how many there are.

    Raises:
        DataError: `folder` holds no such folders, or an image is damaged.
        InputError: `out` is something already.
    """
    folder, out = Path(folder).expanduser(), Path(out).expanduser()
    if not folder.is_dir():
        raise DataError(f"{printable(folder)}: there is no such folder; expected train/CLASS/* and val/CLASS/*.")
    _refuse_existing(out)
    listing = list_image_folders(folder)
    splits: dict[str, EncodedImages] = {"train": listing.train, "test": listing.test}
    with atomic_folder(out) as building:
        building.mkdir()
        shards: list[Shard] = []
        indices: dict[str, _SplitIndex] = {}
        for split, images in splits.items():
            shards += _write_split(building, split, images, listing, shard_bytes, skip_damaged, indices, progress)
        arrays = {name: array for split, index in indices.items() for name, array in index.arrays(split).items()}
        write_arrays(building / INDEX, arrays, {"splits": list(splits)})
        manifest = Manifest(
            name=listing.name,
            class_names=listing.class_names,
            digest=_digest(listing, indices),
            shards=tuple(shards),
            skipped={split: tuple(index.skipped) for split, index in indices.items()},
            index_sha256=file_sha256(building / INDEX),
        )
        write_text(building / MANIFEST, manifest.text())
        if out.is_dir():
            out.rmdir()  # empty
    return manifest


def _write_split(
    building: Path,
    split: str,
    images: EncodedImages,
    listing: Listing,
    shard_bytes: int,
    skip_damaged: bool,
    indices: dict[str, _SplitIndex],
    progress: Callable[[str, int, int], None] | None,
) -> Iterator[Shard]:
    index = indices[split] = _SplitIndex()
    writer: _ShardWriter | None = None
    count = 0
    for number, content in _sound_images(images, index, skip_damaged):
        if writer is not None and writer.position >= shard_bytes:
            yield writer.close()
            count, writer = count + 1, None
        writer = writer or _ShardWriter(building / f"{split}-{count:05d}.tfrecord", split)
        label, name = int(images.labels[number]), images.names[number]
        offset = writer.add(content, name, label, listing.class_names[label])
        index.add(name, shard=count, offset=offset, bytes=len(content), crc32=zlib.crc32(content), label=label)
        if progress:
            progress(split, number + 1, len(images))
    if writer is None:
        raise DataError(f"{listing.source}: not one {split} image can be read.")
    yield writer.close()


class _ShardWriter:
    def __init__(self, path: Path, split: str):
        import tensorflow as tf

        self.path = path
        self.split = split
        self.images = 0
        self.position = 0
        self.writer = tf.io.TFRecordWriter(str(path))

    def add(self, content: bytes, name: str, label: int, text: str) -> int:
        """Write a record; gives the offset in the file at which the image's own bytes begin."""
        import tensorflow as tf

        def of_bytes(value: bytes) -> tf.train.Feature:
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

        features = {
            "image/encoded": of_bytes(content),
            "image/class/label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
            "image/class/text": of_bytes(text.encode()),
            "image/filename": of_bytes(os.fsencode(name)),
        }
        record = tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True)
        self.writer.write(record)
        # A record is its length (8 bytes), the length's checksum (4), the data, the data's checksum (4).
        offset = self.position + 12 + record.index(content)
        self.position += len(record) + 16
        self.images += 1
        return offset

    def close(self) -> Shard:
        self.writer.close()
        with open(self.path, "rb+") as file:
            os.fsync(file.fileno())
        if (size := self.path.stat().st_size) != self.position:
            raise OSError(f"{self.path}: has {size:,} bytes; expected {self.position:,}")
        return Shard(self.path.name, self.split, self.images, self.position, file_sha256(self.path))


def _sound_images(images: EncodedImages, index: _SplitIndex, skip_damaged: bool) -> Iterator[tuple[int, bytes]]:
    """Every image that decodes, with its number; a damaged one raises, or is noted."""

    def try_image(number: int) -> bytes | DataError:
        try:
            content = images.read(number)
            decode_image(io.BytesIO(content), images.name(number))
            return content
        except DataError as error:
            return error

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for start in range(0, len(images), _CHUNK):
            numbers = range(start, min(start + _CHUNK, len(images)))
            for number, found in zip(numbers, threads.map(try_image, numbers), strict=True):
                if isinstance(found, bytes):
                    yield number, found
                elif skip_damaged:
                    index.skipped.append(images.names[number])
                else:
                    raise found


def _digest(listing: Listing, indices: dict[str, _SplitIndex]) -> str:
    if not any(index.skipped for index in indices.values()):
        return listing.digest
    columns = (
        (index.names, np.array(index.columns["label"]), np.array(index.columns["bytes"])) for index in indices.values()
    )
    return files_digest(listing.class_names, columns)


def _refuse_existing(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{printable(out)}: is there already; expected a folder to be made, or an empty one.")
