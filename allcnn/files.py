"""Writing files so that a reader never meets half of one."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from allcnn.errors import CheckpointError


@contextmanager
def atomic_path(path: Path, keep_previous: Path | None = None) -> Iterator[Path]:
    """Give a temporary path beside `path`; when the block ends well, sync it and rename it over `path`.

    When the block fails the temporary file is removed and `path` is as it was before. The temporary name
    keeps the suffix, since Keras chooses a file's format by it.

    With `keep_previous`, a name in the same folder, the file that was at `path` has that name afterwards. At every
    moment the two names hold two different whole files, if they did before: the new one takes its name first, then
    the one before takes the place of the one before it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_name(path)
    second = _temporary_name(keep_previous) if keep_previous is not None and path.exists() else None
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        if second is not None:
            _link_or_copy(path, second)
        os.replace(temporary, path)
        if second is not None and keep_previous is not None:
            os.replace(second, keep_previous)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
        if second is not None:
            second.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replace the file at `path` by `text` (UTF-8) in one step."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def create_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) that must not be there yet, in one step. Raises FileExistsError where it is."""
    temporary = _temporary_name(path)
    try:
        temporary.write_text(text, encoding="utf-8")
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links: still only one process gets the name
            with open(path, "x", encoding="utf-8") as file:
                file.write(text)
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` survive a power cut, where the system allows it."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_arrays(
    path: Path, arrays: dict[str, np.ndarray], attributes: dict[str, Any], keep_previous: Path | None = None
) -> None:
    """Write arrays and JSON-able attributes to an HDF5 file in one step, with a SHA-256 over all of them.

    `keep_previous` is `atomic_path`'s: the name that the file now at `path` has afterwards.
    """
    import h5py

    with atomic_path(path, keep_previous) as temporary, h5py.File(temporary, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
        file.attrs["attributes"] = json.dumps(attributes, sort_keys=True)
        file.attrs["sha256"] = _checksum(arrays, attributes)


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read back what `write_arrays` wrote.

    Raises:
        CheckpointError: the file is missing, is not such a file, or its checksum does not fit.
    """
    import h5py

    try:
        if not path.is_file():
            raise FileNotFoundError("no such file")
        with h5py.File(path, "r") as file:
            arrays: dict[str, np.ndarray] = {}

            def collect(name: str, item: Any) -> None:
                if isinstance(item, h5py.Dataset):
                    arrays[name] = item[()]

            file.visititems(collect)
            attributes = json.loads(file.attrs["attributes"])
            expected = file.attrs["sha256"]
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file.") from None
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, MemoryError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{path}: not a readable file of allcnn ({reason}).") from None
    if _checksum(arrays, attributes) != expected:
        raise CheckpointError(f"{path}: damaged; its content does not fit the checksum inside it.")
    return arrays, attributes


def _link_or_copy(path: Path, second: Path) -> None:
    """Give a file a second name, or on a file system without hard links a synced copy under it."""
    second.unlink(missing_ok=True)
    try:
        os.link(path, second)
    except OSError:
        shutil.copyfile(path, second)
        with open(second, "rb+") as file:
            os.fsync(file.fileno())


def _temporary_name(path: Path) -> Path:
    return path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")


def _checksum(arrays: dict[str, np.ndarray], attributes: dict[str, Any]) -> str:
    sha256 = hashlib.sha256(json.dumps(attributes, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        sha256.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        sha256.update(array.data)
    return sha256.hexdigest()
