"""Writes CIFAR's official layouts, small ones, for the tests to read."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np


def short_text(value: str) -> bytes:
    """A Python 2 string (opcode U), as the official files hold them."""
    return b"U" + bytes([len(value)]) + value.encode()


def number(value: int) -> bytes:
    return b"J" + value.to_bytes(4, "little", signed=True)


def array(rows: np.ndarray) -> bytes:
    """A numpy array as cPickle of Python 2 wrote it: _reconstruct(ndarray, (0,), "b"), then its state."""
    header = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + short_text("b") + b"\x87R"
    dtype = b"cnumpy\ndtype\n" + short_text("u1") + b"K\x00K\x01\x87R"
    dtype += b"(K\x03" + short_text("|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    shape = b"(" + b"".join(number(n) for n in rows.shape) + b"t"
    return header + b"(K\x01" + shape + dtype + b"\x89T" + rows.nbytes.to_bytes(4, "little") + rows.tobytes() + b"tb"


def pickled(items: dict[str, bytes]) -> bytes:
    """A protocol 2 pickle of a dict whose values are pickled already."""
    return b"\x80\x02}(" + b"".join(short_text(key) + value for key, value in items.items()) + b"u."


def sequence(values: list[bytes]) -> bytes:
    return b"](" + b"".join(values) + b"e"


def planes(images: np.ndarray) -> np.ndarray:
    """(n, 32, 32, 3) -> (n, 3072): all red values of an image, then all green, then all blue."""
    return np.stack([np.concatenate([image[:, :, c].ravel() for c in range(3)]) for image in images])


def pickled_batch(images: np.ndarray, labels: list[int], key: str = "labels") -> bytes:
    return pickled(
        {
            "batch_label": short_text("a batch"),
            key: sequence([number(int(label)) for label in labels]),
            "data": array(planes(images)),
            "filenames": sequence([short_text(f"{i}.png") for i in range(len(labels))]),
        }
    )


def records(images: np.ndarray, *labels: list[int]) -> bytes:
    return np.concatenate([*(np.array(each, np.uint8)[:, None] for each in labels), planes(images)], axis=1).tobytes()


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def write_archive(path: Path, folder: str, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def random_images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def cifar10_files(binary: bool, images: np.ndarray, labels: list[int]) -> dict[str, bytes]:
    """Two images in each of the five training batches, the rest as the test batch."""
    files = {}
    for i in range(6):
        part = slice(2 * i, 2 * i + 2) if i < 5 else slice(10, None)
        stem = f"data_batch_{i + 1}" if i < 5 else "test_batch"
        if binary:
            files[f"{stem}.bin"] = records(images[part], labels[part])
        else:
            files[stem] = pickled_batch(images[part], labels[part])
    return files
