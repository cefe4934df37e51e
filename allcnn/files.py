"""Files that are never read half-written, and that show damage.

A file is written beside its place, synced and renamed. Its last bytes hold the SHA-256 of all bytes before them, which
is checked before anything parses the file. Programs that read HDF5 or zip ignore what follows their own content; in
JSON the SHA-256 is the last member. It shows damage, not who wrote a file.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from allcnn.errors import CheckpointError, InputError

#: How a file ends, with the SHA-256 as 64 hexadecimal digits.
SEAL = b"allcnn sha256 %s"
#: How a JSON file ends.
JSON_SEAL = b'"sha256": "%s"\n}\n'
#: The length of `SEAL` with its digits.
SEAL_BYTES = 78
# Where older HDF5 files have the same line: in front, in HDF5's user block.
_FORMER_BLOCK = 512


def seal_of(content: bytes | memoryview, seal: bytes = SEAL) -> bytes:
    """The bytes that end a file with this content before them."""
    return seal % hashlib.sha256(content).hexdigest().encode()


def check_seal(
    path: Path, content: bytes, seal: bytes = SEAL, error: type[InputError] = CheckpointError, former: bool = False
) -> None:
    """Refuse the content of a file that does not end in its SHA-256. Raises `error`, which names the file.

    former: whether an HDF5 file that has it in front, as an earlier version wrote it, is accepted too.
    """
    view, length = memoryview(content), len(seal_of(b"", seal))
    if content[-length:] == seal_of(view[:-length], seal):
        return
    if former and content[:_FORMER_BLOCK] == (seal_of(view[_FORMER_BLOCK:]) + b"\n").ljust(_FORMER_BLOCK, b"\0"):
        return
    raise error(
        f"{path}: damaged or edited, or not by allcnn: its {len(content):,} bytes do not end in their SHA-256. "
        "Use a whole copy of it."
    )


def read_file(path: Path, error: type[InputError] = CheckpointError) -> bytes:
    """The content of a file. Raises `error`, which names it, also for a pipe or a device, which might never end."""
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise OSError(errno.EINVAL, "not a file")
        return path.read_bytes()
    except FileNotFoundError:
        raise error(f"{path}: no such file.") from None
    except (OSError, MemoryError) as failure:
        reason = getattr(failure, "strerror", None) or "it does not fit into memory"
        raise error(f"{path}: cannot be read ({reason}).") from None


@contextmanager
def atomic_path(path: Path, keep_previous: Path | None = None) -> Iterator[Path]:
    """Give a temporary path beside `path`; when the block ends well, sync it and rename it to `path`.

    When the block fails, the temporary file is removed and `path` is as it was before. The temporary name keeps the
    suffix, since Keras chooses a file's format by it.

    keep_previous: a name in the same folder, for the file that was at `path`. It is renamed first: at every moment the
    last whole file is at `path`, or, if none is there, at `keep_previous`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_name(path)
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        if keep_previous is not None and path.exists():
            os.replace(path, keep_previous)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        # A full disk names no file, or the temporary one, which is gone when the message is read.
        if error.errno is not None and error.filename in (None, str(temporary)):
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` for a new folder; when the block ends well, sync it and rename it to `path`.

    When the block fails, nothing of it is left. A folder cannot replace another in one step, so `path` must not exist.
    Raises FileExistsError if it does.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_name(path)
    shutil.rmtree(temporary, ignore_errors=True)  # left by a killed process with the same number
    try:
        yield temporary
        for folder, _, names in os.walk(temporary, topdown=False):
            for name in names:
                with open(os.path.join(folder, name), "rb+") as file:
                    os.fsync(file.fileno())
            _sync_folder(Path(folder))
        if path.exists() or path.is_symlink():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        os.rename(temporary, path)
        _sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Replace the file at `path` by `text` (UTF-8) in one step."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode())  # the same bytes on every system: a SHA-256 is over bytes


def write_arrays(
    path: Path, arrays: dict[str, np.ndarray], attributes: dict[str, Any], keep_previous: Path | None = None
) -> None:
    """Write arrays and JSON-able attributes to an HDF5 file in one step.

    keep_previous: as for `atomic_path`.
    """
    import h5py

    # In memory first: on a full disk HDF5 fails only when it closes the file, or not at all; a plain write fails.
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
        file.attrs["attributes"] = json.dumps(attributes, sort_keys=True)
    content = buffer.getbuffer()
    with atomic_path(path, keep_previous) as temporary, open(temporary, "wb") as stream:
        stream.write(content)
        stream.write(seal_of(content))


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read back the arrays and attributes that `write_arrays` wrote.

    Raises:
        CheckpointError: the file is missing, damaged, or not such a file.
    """
    content = read_file(path)
    check_seal(path, content, former=True)
    import h5py

    arrays: dict[str, np.ndarray] = {}

    def collect(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual or item.dtype.kind not in "biuf":
                raise ValueError(f"{name} is not numbers in the file itself")
            arrays[name] = item[()]

    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            file.visititems(collect)
            attributes = json.loads(file.attrs["attributes"])
    except Exception as error:  # a SHA-256 does not show who wrote a file, and HDF5 fails in many ways
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{path}: not a readable file of allcnn ({reason}).") from None
    return arrays, attributes


def _sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` survive a power cut, where the system allows it."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _temporary_name(path: Path) -> Path:
    return path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
