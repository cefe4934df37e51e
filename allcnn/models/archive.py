"""The .keras file as a file: whole to the last bit, and an archive that cannot hurt whoever unpacks it.

A file that allcnn wrote carries the SHA-256 of all that precedes it as the comment of its zip archive, which zip keeps
at the very end. Nothing inside is read before that was found to be right. It shows that a file is whole, not who made
it; so the rest is checked of every file.
"""

from __future__ import annotations

import hashlib
import re
import stat
import struct
import zipfile
import zlib
from pathlib import Path

from allcnn.errors import CheckpointError

#: What lies beside Keras's own members: the model's card.
CARD_MEMBER = "allcnn.json"
CONFIG_MEMBER = "config.json"

_COMMENT = re.compile(rb"allcnn sha256 [0-9a-f]{64}")
_COMMENT_BYTES = 78
# The largest network of the paper takes 300 MB. Keras stores members as they are; what is compressed says nothing of
# its size on the disk, so that less of it is taken.
_LARGEST_ARCHIVE = 4 << 30
LARGEST_COMPRESSED = 512 << 20
_MOST_MEMBERS = 1000
# Pages of text; ResNet-50's configuration takes 0.2 MB.
_LARGEST_TEXTS = {CARD_MEMBER: 4 << 20, CONFIG_MEMBER: 16 << 20}


def seal_archive(path: Path) -> None:
    """Put the SHA-256 of a finished zip archive at its end, as the archive's comment."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = _comment("0" * 64)  # its length is part of what is summed up
    with open(path, "rb+") as file:
        file.seek(0, 2)
        size = file.tell() - _COMMENT_BYTES
        comment = _comment(_digest_of_first(size, path))
        file.seek(size)
        file.write(comment)


def check_archive(path: Path) -> None:
    """Refuse a file that is damaged, and an archive that would hurt to unpack; its members are not read for that.

    Raises:
        CheckpointError: the message names the file and what is wrong with it.
    """
    try:
        whole = _is_sealed(path)
        with zipfile.ZipFile(path) as archive:
            comment, members = archive.comment, archive.infolist()
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error}).") from None
    except Exception as error:  # a broken zip fails in as many ways
        raise CheckpointError(f"{path}: damaged or cut short; not a readable zip archive ({error}).") from None
    if not whole and (comment or any(member.filename == CARD_MEMBER for member in members)):
        raise CheckpointError(
            f"{path}: does not end in the SHA-256 of allcnn: "
            "damaged, cut short, changed by another program, or written by another version."
        )
    _refuse_harm(path, members)


def _is_sealed(path: Path) -> bool:
    """Whether a file ends in our comment. Raises CheckpointError where it does and the rest does not fit it."""
    with open(path, "rb") as file:
        size = file.seek(0, 2) - _COMMENT_BYTES
        if size < 0:
            return False
        file.seek(size)
        comment = file.read()
    if not _COMMENT.fullmatch(comment):
        return False
    if comment != _comment(_digest_of_first(size, path)):
        raise CheckpointError(
            f"{path}: damaged or changed; its {size + _COMMENT_BYTES:,} bytes do not fit the SHA-256 at their end."
        )
    return True


def _refuse_harm(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Refuse what unpacks to more than there is, or to another place. Raises CheckpointError."""
    if len(members) > _MOST_MEMBERS:
        raise CheckpointError(f"{path}: has {len(members):,} members; at most {_MOST_MEMBERS:,} are read.")
    names = set()
    for member in members:
        name = member.filename
        if name in names:
            raise CheckpointError(f"{path}: has two members named {name!a:.60}.")
        names.add(name)
        if name.startswith("/") or ".." in name.split("/") or "\\" in name or ":" in name:
            raise CheckpointError(f"{path}: its member {name!a:.60} names a place outside of the archive.")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise CheckpointError(f"{path}: its member {name!a:.60} is a link.")
        if member.flag_bits & 1:
            raise CheckpointError(f"{path}: its member {name!a:.60} is encrypted.")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise CheckpointError(f"{path}: its member {name!a:.60} is compressed in a way that Keras does not use.")
        if member.compress_type == zipfile.ZIP_STORED and member.file_size != member.compress_size:
            raise CheckpointError(f"{path}: its member {name!a:.60} has two different sizes.")
        if member.file_size > (limit := _LARGEST_TEXTS.get(name, _LARGEST_ARCHIVE)):
            raise CheckpointError(f"{path}: its {name} has {member.file_size:,} bytes; at most {limit:,} are read.")
    compressed = sum(member.file_size for member in members if member.compress_type != zipfile.ZIP_STORED)
    for size, limit, what in (
        (sum(member.file_size for member in members), _LARGEST_ARCHIVE, "members have"),
        (compressed, LARGEST_COMPRESSED, "compressed members unpack to"),
    ):
        if size > limit:
            raise CheckpointError(f"{path}: its {what} {size:,} bytes; at most {limit:,} are read.")
    if sum(member.compress_size for member in members) > path.stat().st_size:
        raise CheckpointError(f"{path}: its members overlap.")
    for member in members:
        if member.compress_type == zipfile.ZIP_DEFLATED and not _unpacks_to_its_size(path, member):
            raise CheckpointError(f"{path}: its member {member.filename!a:.60} does not have the size that it says.")


def _unpacks_to_its_size(path: Path, member: zipfile.ZipInfo) -> bool:
    """Whether a compressed member has just the bytes that the directory says: zipfile would unpack all there are."""
    inflater, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    try:
        with open(path, "rb") as file:
            file.seek(member.header_offset + 26)
            file.seek(sum(struct.unpack("<HH", file.read(4))), 1)  # the member's name, and what lies behind it
            left = member.compress_size
            while (
                left > 0 and size <= member.file_size and not inflater.eof and (block := file.read(min(left, 1 << 16)))
            ):
                left -= len(block)
                while block and size <= member.file_size:
                    size += len(inflater.decompress(block, 1 << 20))
                    block = inflater.unconsumed_tail
    except (struct.error, zlib.error):
        return False
    return size == member.file_size


def _comment(digest: str) -> bytes:
    return f"allcnn sha256 {digest}".encode()


def _digest_of_first(size: int, path: Path) -> str:
    sha256 = hashlib.sha256()
    with open(path, "rb") as file:
        while size > 0 and (block := file.read(min(size, 1 << 20))):
            sha256.update(block)
            size -= len(block)
    return sha256.hexdigest()
