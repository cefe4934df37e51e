"""Files out of a .tar.gz, read as a stream: nothing is unpacked to disk, so no member can lie where it should not."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import PurePosixPath
from typing import BinaryIO

from allcnn.data.printable import printable
from allcnn.errors import DataError

#: CIFAR's largest archive unpacks to 186 MB, in 9 members; far more is something else.
_LARGEST = 2**28
_MOST_MEMBERS = 1000


def read_members(file: BinaryIO, where: str, names: Collection[str]) -> Iterator[tuple[str, str, bytes]]:
    """(file name, name for messages, content) of the archive's files of these names, in whichever folder of it.

    Links, folders and devices are passed over. Raises DataError, beginning with `where`, for an archive that is
    damaged, or far larger than one of CIFAR's.
    """
    try:
        with _Unpacked(file, where) as unpacked, tarfile.open(fileobj=unpacked, mode="r|", bufsize=2**20) as archive:
            for number, member in enumerate(archive):
                if number == _MOST_MEMBERS:
                    raise DataError(f"{where}: more than {_MOST_MEMBERS:,} members; expected an official archive.")
                name = PurePosixPath(member.name).name
                content = archive.extractfile(member) if name in names and member.isfile() else None
                if content is not None:
                    # A sparse member holds more than it takes in the stream.
                    if member.size > _LARGEST:
                        raise _too_large(where)
                    yield name, f"{where}: {printable(member.name)}", content.read()
    except DataError:
        raise
    # Broken headers make tarfile raise several kinds.
    except (OSError, EOFError, tarfile.TarError, zlib.error, ArithmeticError, LookupError, ValueError) as error:
        detail = printable(" ".join(str(error).split())[:100])
        raise DataError(f"{where}: the archive cannot be read ({detail}).\nFetch or copy it again.") from None


class _Unpacked(gzip.GzipFile):
    """The unpacked stream. It ends in a DataError once far too long: a few kilobytes can unpack to any length."""

    def __init__(self, file: BinaryIO, where: str) -> None:
        super().__init__(fileobj=file, mode="rb")
        self._where, self._left = where, _LARGEST

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        self._left -= len(content)
        if self._left < 0:
            raise _too_large(self._where)
        return content


def _too_large(where: str) -> DataError:
    return DataError(f"{where}: unpacks to more than {_LARGEST:,} bytes; expected an official archive.")
