"""Files by odd names, and what is not a file: nothing is waited for, and messages stay one line that can be printed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cifar_writers import cifar10_files, random_images, write
from image_bytes import encoded
from refusals import refused, refused_by_shell, snapshot

from allcnn.data import load_data, read_image

#: A name on disk, and how a message shows it.
ODD_NAMES = {
    b"line\nbreak": "line\\nbreak",
    b"\x1b[31mred\x1b[0m": "\\x1b[31mred\\x1b[0m",
    b"back\x08\x08\x08\x08": "back\\x08\\x08\\x08\\x08",
    b"not\xffUTF-8": "not\\udcffUTF-8",
    "right\u202egnp".encode(): "right\\u202egnp",
    b"-rf": "-rf",
    b"$(touch evil)`touch evil`;touch evil": "$(touch evil)`touch evil`;touch evil",
    "Größe Ωμέγα 猫".encode(): "Größe Ωμέγα 猫",
}


def in_folder(folder: Path, name: bytes, suffix: bytes = b"") -> Path:
    return Path(os.fsdecode(os.fsencode(folder) + b"/" + name + suffix))


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_broken_image_by_an_odd_name(name, pets, capfd):
    in_folder(pets / "train/dog", name, b".jpg").write_bytes(b"no image")
    shown = f"{pets}/train/dog/{ODD_NAMES[name]}.jpg: not an image"
    before = snapshot(pets)
    refused_by_shell(capfd, ["data", "--data-dir", pets], shown)
    assert snapshot(pets) == before


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_good_image_by_an_odd_name(name, pets):
    in_folder(pets / "train/dog", name, b".png").write_bytes(encoded("PNG"))
    assert len(load_data(data_dir=pets, image_size=8).train_images) == 3


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_class_by_an_odd_name(name, pets, capfd):
    """It would stand in tables, JSON and CSV files, and in the model."""
    for split in ("train", "test"):
        (pets / split / "dog").rename(in_folder(pets / split, name))
    if ODD_NAMES[name] == os.fsdecode(name) or name.startswith(b"right"):
        assert os.fsdecode(name) in load_data(data_dir=pets, image_size=8).class_names
    else:
        refused_by_shell(capfd, ["data", "--data-dir", pets], f'{pets}/train: a class is named "{ODD_NAMES[name]}"')


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_data_folder_by_an_odd_name(name, pets, tmp_path, capfd):
    folder = pets.rename(in_folder(tmp_path, name))
    data = load_data(data_dir=folder, image_size=8)
    assert data.name == ODD_NAMES[name] and data.source == f"{tmp_path}/{ODD_NAMES[name]} (train/ and test/)"
    (folder / "test").rename(folder / "other")
    refused_by_shell(capfd, ["data", "--data-dir", folder], f"{tmp_path}/{ODD_NAMES[name]}: train/ but neither")


def test_names_that_are_none(tmp_path):
    long = tmp_path / ("a" * 300)
    refused(lambda: load_data(data_dir=long), "File name too long")
    refused(lambda: read_image(long), "File name too long")
    refused(lambda: read_image("a\0b.png"), "a\\x00b.png: ")
    refused(lambda: read_image(""), "the image cannot be read (Is a directory)")


@pytest.fixture(params=["pipe", "folder", "device", "link in a circle", "link to nothing"])
def no_file(request):
    """Put something else in the place of a file, and say what. Pipes would be waited for, devices read, without end."""

    def take_place_of(path: Path) -> str:
        path.unlink(missing_ok=True)
        match request.param:
            case "pipe":
                os.mkfifo(path)
            case "folder":
                path.mkdir()
            case "device":
                path.symlink_to("/dev/zero")
            case "link in a circle":
                path.symlink_to(path)
            case _:
                path.symlink_to(path.parent / "nothing")
        return request.param

    return take_place_of


def test_an_image_that_is_no_file(no_file, pets, tmp_path, capfd):
    path = pets / "train/dog/b.jpg"
    kind = no_file(path)
    before = snapshot(tmp_path)
    refused(lambda: read_image(path), f"{path}: ")
    if kind == "folder":  # it may well hold images
        assert len(load_data(data_dir=pets, image_size=8).train_images) == 2
    else:
        refused_by_shell(capfd, ["data", "--data-dir", pets], f"{path}: ")
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("name", ["data_batch_1", "test_batch", "batches.meta"])
def test_a_batch_that_is_no_file(no_file, binary, name, tmp_path, capfd):
    folder = write(tmp_path, cifar10_files(binary, random_images(12), [3, 8, 8, 0, 6, 6, 1, 6, 3, 1, 0, 9]))
    path = folder / f"{name}{'' if not binary else '.txt' if name == 'batches.meta' else '.bin'}"
    missing = no_file(path).startswith("link")
    before = snapshot(tmp_path)
    if missing and name == "batches.meta":
        assert load_data(data_dir=folder).class_names[0] == "airplane"
    else:
        message = refused_by_shell(capfd, ["data", "--data-dir", folder], path.name)
        assert ("missing; expected" if missing else f"{path}: cannot be read (") in message
    assert snapshot(tmp_path) == before


def test_a_data_folder_that_is_no_folder(no_file, tmp_path, capfd):
    if no_file(tmp_path / "data") != "folder":
        refused_by_shell(capfd, ["data", "--data-dir", tmp_path / "data"], f"{tmp_path / 'data'}: ")


def test_folders_that_link_in_circles(pets):
    before = load_data(data_dir=pets, image_size=8).digest
    (pets / "train/dog/deeper").symlink_to(pets / "train/dog")
    (pets / "train/dog/up").symlink_to("..")
    assert load_data(data_dir=pets, image_size=8).digest == before
    for split in ("train", "test"):
        (pets / split / "self").symlink_to("self")  # leads nowhere, so it is no folder
    assert load_data(data_dir=pets, image_size=8).class_names == ("cat", "dog")
    for split in ("train", "test"):
        (pets / split / "all").symlink_to(pets / split)  # a class folder may be a link, and is gone through once
    data = load_data(data_dir=pets, image_size=8)
    assert data.class_names == ("all", "cat", "dog") and len(data.train_images) == 4


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read(pets, capfd):
    (pets / "train/dog/a.png").chmod(0)
    refused_by_shell(capfd, ["data", "--data-dir", pets], f"{pets}/train/dog/a.png: the image cannot be read (")
    (pets / "train/dog").chmod(0)
    refused_by_shell(capfd, ["data", "--data-dir", pets], f"{pets}/train/dog: cannot be read (Permission denied)")
    (pets / "train/dog").chmod(0o700)
