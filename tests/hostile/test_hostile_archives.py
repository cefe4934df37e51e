"""Archives cannot write, reach out of their folder or take all memory; but for the official one, none is opened."""

from __future__ import annotations

import dataclasses
import io
import sys
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from refusals import refused, refused_by_shell, snapshot

from allcnn.data import archives, layouts, load_data

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "data"))
from cifar_writers import cifar10_files, random_images  # noqa: E402

IMAGES, LABELS = random_images(12), [3, 8, 8, 0, 6, 6, 1, 6, 3, 1, 0, 9]
FILES = cifar10_files(False, IMAGES, LABELS)
ARCHIVE, FOLDER = "cifar-10-python.tar.gz", "cifar-10-batches-py"


@pytest.fixture
def any_checksum(monkeypatch) -> None:
    """As if whoever made an archive could make one with the official checksum."""
    monkeypatch.setattr("allcnn.data.cifar.stream_checksum", lambda stream, like: ("SHA-256", like))


def packed(path: Path, *members: tarfile.TarInfo | tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.devmajor, info.devminor = kind, target, 1, 5
    return info


GOOD = [(f"{FOLDER}/{name}", content) for name, content in FILES.items()]
EVIL = b"evil\n"

#: Members that would reach out of the folder if anything were unpacked.
REACHING = {
    "up": [("../evil", EVIL), (f"{FOLDER}/../../evil", EVIL)],
    "absolute": [("/tmp/allcnn-evil", EVIL), ("//tmp/allcnn-evil", EVIL)],
    "through a link": [special("door", tarfile.SYMTYPE, ".."), ("door/evil", EVIL)],
    "a link to a file": [special("evil", tarfile.LNKTYPE, "/etc/passwd"), ("evil", EVIL)],
    "devices": [special("null", tarfile.CHRTYPE), special("disk", tarfile.BLKTYPE), special("pipe", tarfile.FIFOTYPE)],
    "control characters": [("\x1b[2J\nevil\u202e", EVIL)],
}


@pytest.mark.parametrize("name", REACHING)
def test_nothing_is_unpacked(any_checksum, name, tmp_path):
    """What lies beside the batches is passed over, wherever it says it lies."""
    (tmp_path / "deep").mkdir()
    path = packed(tmp_path / "deep" / ARCHIVE, *REACHING[name], *GOOD)
    before = snapshot(tmp_path)
    assert load_data(data_dir=path).train_images.shape == (10, 32, 32, 3)
    assert snapshot(tmp_path) == before
    assert not Path("/tmp/allcnn-evil").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_a_batch_that_is_a_link_or_a_device_in_the_archive(any_checksum, kind, tmp_path):
    members = [special(f"{FOLDER}/data_batch_3", kind, "/etc/passwd"), *(each for each in GOOD if "_3" not in each[0])]
    path = packed(tmp_path / ARCHIVE, *members)
    refused(lambda: load_data(data_dir=path), f"{path}: data_batch_3 missing")


def test_a_batch_that_is_there_twice(any_checksum, tmp_path):
    path = packed(tmp_path / ARCHIVE, *GOOD, ("elsewhere/data_batch_3", FILES["data_batch_1"]))
    refused(lambda: load_data(data_dir=path), f"{path}: elsewhere/data_batch_3: the second file of this name")


def claims_size(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    return info


@pytest.mark.parametrize("size", [2**20, 2**33, 2**62])
def test_a_member_that_claims_any_size(any_checksum, tmp_path, size):
    path = packed(tmp_path / ARCHIVE, claims_size(f"{FOLDER}/data_batch_3", size))
    refused(lambda: load_data(data_dir=path), f"{path}: ")


def test_a_sparse_member(any_checksum, tmp_path):
    """Of 2^50 zeros, none of which is in the file."""
    info = tarfile.TarInfo(f"{FOLDER}/data_batch_3")
    info.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.name": info.name,
                        "GNU.sparse.size": str(2**50), "GNU.sparse.map": f"{2**50},0"}  # fmt: skip
    path = packed(tmp_path / ARCHIVE, info)
    refused(lambda: load_data(data_dir=path), f"{path}: unpacks to more than 268,435,456 bytes")


@pytest.mark.parametrize("place", [f"{FOLDER}/data_batch_3", "a file that is not wanted", "a header"])
def test_an_archive_that_unpacks_to_too_much(any_checksum, monkeypatch, tmp_path, place):
    """On disk it has a few kilobytes."""
    monkeypatch.setattr(archives, "_LARGEST", 2**21)
    header = tarfile.TarInfo("x")
    header.pax_headers = {"comment": "0" * 2**22}
    path = packed(tmp_path / ARCHIVE, header if place == "a header" else (place, bytes(2**22)))
    assert path.stat().st_size < 2**14
    tracemalloc.start()
    refused(lambda: load_data(data_dir=path), f"{path}: unpacks to more than 2,097,152 bytes")
    assert tracemalloc.get_traced_memory()[1] < 2**25
    tracemalloc.stop()


def test_an_archive_of_very_many_members(any_checksum, tmp_path):
    path = packed(tmp_path / ARCHIVE, *(tarfile.TarInfo(str(number)) for number in range(1001)))
    refused(lambda: load_data(data_dir=path), f"{path}: more than 1,000 members")


@pytest.mark.parametrize("name", [*REACHING, "good"])
def test_at_the_shell_no_archive_but_the_official_one_is_opened(name, tmp_path, capfd, monkeypatch):
    path = packed(tmp_path / ARCHIVE, *REACHING.get(name, []), *GOOD)
    monkeypatch.setattr(tarfile, "open", lambda *arguments, **options: pytest.fail("the archive was opened"))
    before = snapshot(tmp_path)
    message = refused_by_shell(capfd, ["data", "--data-dir", tmp_path], f"{path}: its SHA-256 is ")
    assert layouts.LAYOUTS[0].checksum in message
    assert snapshot(tmp_path) == before


def test_the_file_that_is_checked_is_the_file_that_is_read(tmp_path, monkeypatch):
    """Another one moved to its place in between is not read."""
    path = packed(tmp_path / ARCHIVE, *GOOD)
    checksum = layouts.file_checksum(path, layouts.LAYOUTS[0].checksum)[1]
    table = (dataclasses.replace(layouts.LAYOUTS[0], checksum=checksum), *layouts.LAYOUTS[1:])
    monkeypatch.setattr(layouts, "LAYOUTS", table)
    check = layouts.stream_checksum

    def check_and_swap(stream, like):
        found = check(stream, like)
        packed(tmp_path / "other", ("evil", EVIL)).replace(path)
        return found

    monkeypatch.setattr("allcnn.data.cifar.stream_checksum", check_and_swap)
    assert load_data(data_dir=path).train_images.tobytes() == IMAGES[:10].tobytes()
