from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest
from cifar_writers import cifar10_files, random_images, write, write_archive

from allcnn.data import layouts, load_data
from allcnn.errors import DataError

LABELS = [3, 8, 8, 0, 6, 6, 1, 6, 3, 1, 0, 9]
FOLDERS = {False: "cifar-10-batches-py", True: "cifar-10-batches-bin"}


@pytest.fixture(params=[False, True], ids=["python", "binary"])
def binary(request) -> bool:
    return request.param


@pytest.fixture
def archive(tmp_path, monkeypatch, binary) -> Path:
    """An archive like an official one, whose checksum is made the official one."""
    name = "cifar-10-binary.tar.gz" if binary else "cifar-10-python.tar.gz"
    path = write_archive(tmp_path / name, FOLDERS[binary], cifar10_files(binary, random_images(12), LABELS))
    content = path.read_bytes()
    checksum = hashlib.md5(content).hexdigest() if binary else hashlib.sha256(content).hexdigest()
    table = [dataclasses.replace(x, checksum=checksum) if x.archive == name else x for x in layouts.LAYOUTS]
    monkeypatch.setattr(layouts, "LAYOUTS", tuple(table))
    return path


def test_archive_is_read_unopened(archive, tmp_path):
    data = load_data(data_dir=tmp_path)
    np.testing.assert_array_equal(data.train_images, random_images(12)[:10])
    assert (data.layout, data.source) == ("archive", str(archive))
    assert [path.name for path in tmp_path.iterdir()] == [archive.name]
    assert load_data(data_dir=archive).digest == data.digest
    renamed = archive.rename(tmp_path / "download(1)")
    assert load_data(data_dir=renamed).digest == data.digest


def test_archive_with_another_checksum(archive, tmp_path):
    content = archive.read_bytes()
    archive.write_bytes(content[:-1] + b"x")
    with pytest.raises(DataError) as error:
        load_data(data_dir=tmp_path)
    lines = str(error.value).splitlines()
    assert len(lines) == 2
    assert f"{archive}: its " in lines[0] and f"that of the official {archive.name} is " in lines[0]
    assert lines[1].endswith("if you packed it yourself, unpack it and pass the folder to --data-dir.")


def test_archive_that_lacks_a_batch(tmp_path, monkeypatch):
    files = cifar10_files(True, random_images(12), LABELS)
    del files["data_batch_4.bin"]
    path = write_archive(tmp_path / "cifar-10-binary.tar.gz", "cifar-10-batches-bin", files)
    official = dataclasses.replace(layouts.LAYOUTS[1], checksum=hashlib.md5(path.read_bytes()).hexdigest())
    monkeypatch.setattr(layouts, "LAYOUTS", (official,))
    with pytest.raises(DataError, match=r"cifar-10-binary.tar.gz: data_batch_4.bin missing; expected data_batch_1.bin"):
        load_data(data_dir=tmp_path)


def test_archive_of_the_other_data_set(tmp_path):
    path = tmp_path / "cifar-100-python.tar.gz"
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"(?s)archive of cifar100; expected cifar10\..*Pass --dataset cifar100\."):
        load_data("cifar10", path)


def test_official_checksums():
    assert {layout.archive: layout.checksum for layout in layouts.LAYOUTS} == {
        "cifar-10-python.tar.gz": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        "cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530",
        "cifar-100-python.tar.gz": "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
        "cifar-100-binary.tar.gz": "03b5dce01913d631647c71ecec9e9cb8",
    }
    assert len(set(layouts.CLASSES["cifar100"])) == 100
    assert list(layouts.CLASSES["cifar100"]) == sorted(layouts.CLASSES["cifar100"])


def test_a_complete_layout_goes_before_a_broken_one(tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(b"")
    write(tmp_path / "cifar-10-batches-bin", cifar10_files(True, random_images(12), LABELS))
    assert load_data(data_dir=tmp_path).layout == "binary"
