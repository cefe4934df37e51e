"""Writing files so that a reader never meets half of one."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from allcnn.errors import CheckpointError

# HDF5 allows 512 bytes, or a power of two above, in front of what is its own.
_HEADER_BYTES = 512
_HEADER = re.compile(rb"allcnn sha256 [0-9a-f]{64}\n")
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# Far more than the state of the largest network here; what it bounds is the memory that a file can ask for.
_LARGEST = 16 << 30


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
    except OSError as error:
        # A full disk names no file, or the temporary one, which is gone when the message is read.
        if error.errno is not None and error.filename in (None, str(temporary)):
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)
        if second is not None:
            second.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, for a folder to be made there; when the block ends well, sync and rename it.

    When the block fails nothing of it is left. A folder cannot take another's place in one step: `path` must not be
    there. Raises FileExistsError where it is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_name(path)
    shutil.rmtree(temporary, ignore_errors=True)  # of a process of the same number that was killed
    try:
        yield temporary
        for folder, _, names in os.walk(temporary, topdown=False):
            for name in names:
                with open(os.path.join(folder, name), "rb+") as file:
                    os.fsync(file.fileno())
            sync_folder(Path(folder))
        if path.exists() or path.is_symlink():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        os.rename(temporary, path)
        sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def open_file(path: Path) -> BinaryIO:
    """Open for reading what is a file, not a pipe or a device, which might never end. Raises OSError."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EINVAL, "not a file", str(path))
    return open(path, "rb")


def write_text(path: Path, text: str) -> None:
    """Replace the file at `path` by `text` (UTF-8) in one step."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))  # as they are on every system: checksums are over bytes


def create_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) that must not be there yet, in one step. Raises FileExistsError where it is."""
    temporary = _temporary_name(path)
    try:
        with open(temporary, "wb") as file:
            _write_synced(file, text.encode("utf-8"))
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links: still only one process gets the name
            with open(path, "xb") as file:
                _write_synced(file, text.encode("utf-8"))
        sync_folder(path.parent)
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
    """Write arrays and JSON-able attributes to an HDF5 file in one step, with the SHA-256 of the file in front.

    The SHA-256 lies in HDF5's user block, 512 bytes that HDF5 itself passes over, so that any HDF5 program reads the
    file. `keep_previous` is `atomic_path`'s: the name that the file now at `path` has afterwards.
    """
    import h5py

    # In memory first: HDF5 answers a full disk with an error when it closes, or with none; a plain write says it.
    content = io.BytesIO()
    with h5py.File(content, "w", userblock_size=_HEADER_BYTES) as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
        file.attrs["attributes"] = json.dumps(attributes, sort_keys=True)
    with content.getbuffer() as view, atomic_path(path, keep_previous) as temporary:
        view[:_HEADER_BYTES] = _header(_checksum(view[_HEADER_BYTES:]))
        with open(temporary, "wb") as stream:
            stream.write(view)


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read back what `write_arrays` wrote. HDF5 sees the file only after its SHA-256 was found to be right.

    Raises:
        CheckpointError: the file is missing, is not such a file, or its SHA-256 does not fit.
    """
    content = _checked_content(path)
    import h5py

    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            arrays: dict[str, np.ndarray] = {}

            def collect(name: str, item: Any) -> None:
                if isinstance(item, h5py.Dataset):
                    arrays[name] = _stored_values(item)

            file.visititems(collect)
            attributes = json.loads(file.attrs["attributes"])
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, MemoryError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{path}: not a readable file of allcnn ({reason}).") from None
    return arrays, attributes


def _checked_content(path: Path) -> bytes:
    """The bytes of a file of `write_arrays`, none of them other than they were written. Raises CheckpointError."""
    try:
        with open_file(path) as stream:
            header = stream.read(_HEADER_BYTES)
            if header.startswith(_HDF5_SIGNATURE):
                raise CheckpointError(
                    f"{path}: HDF5 without the SHA-256 of allcnn in front; "
                    "written by another version of allcnn, or by another program."
                )
            found = _HEADER.match(header)
            if found is None:
                raise CheckpointError(f"{path}: not a file of allcnn, or damaged in its first {_HEADER_BYTES} bytes.")
            if (size := os.fstat(stream.fileno()).st_size) > _LARGEST:
                raise CheckpointError(f"{path}: {size:,} bytes; allcnn reads no such file above {_LARGEST >> 30} GiB.")
            content = header + stream.read()
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file.") from None
    except (OSError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or "it does not fit into memory"
        raise CheckpointError(f"{path}: cannot be read ({reason}).") from None
    checksum = _checksum(memoryview(content)[_HEADER_BYTES:])
    if header != _header(checksum):
        raise CheckpointError(
            f"{path}: damaged or cut short; its {len(content):,} bytes do not fit the SHA-256 in front of them."
        )
    return content


def _stored_values(dataset: Any) -> np.ndarray:
    """The values of a dataset that is a plain run of numbers in the file itself, as `write_arrays` makes them.

    HDF5 can also have them in other files, or compressed, or declare terabytes of a fill value. A SHA-256 shows that
    a file is whole, not who made it.
    """
    stored = dataset.id.get_storage_size()
    if dataset.external or dataset.is_virtual or dataset.chunks is not None or stored != dataset.nbytes:
        raise ValueError(f"{dataset.name} is not stored as allcnn stores arrays")
    if dataset.dtype.kind not in "biuf":
        raise ValueError(f"{dataset.name} holds no numbers")
    return dataset[()]


def _header(checksum: str) -> bytes:
    return f"allcnn sha256 {checksum}\n".encode().ljust(_HEADER_BYTES, b"\0")


def _checksum(content: memoryview) -> str:
    return hashlib.sha256(content).hexdigest()


def _link_or_copy(path: Path, second: Path) -> None:
    """Give a file a second name, or on a file system without hard links a synced copy under it."""
    second.unlink(missing_ok=True)
    try:
        os.link(path, second)
    except OSError:
        shutil.copyfile(path, second)
        with open(second, "rb+") as file:
            os.fsync(file.fileno())


def _write_synced(file: BinaryIO, content: bytes) -> None:
    file.write(content)
    file.flush()
    os.fsync(file.fileno())


def _temporary_name(path: Path) -> Path:
    return path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")


def cache_folder() -> Path:
    """Where caches lie: `ALLCNN_CACHE`, else `allcnn` in the user's cache folder."""
    if folder := os.environ.get("ALLCNN_CACHE"):
        return Path(folder).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "allcnn"
