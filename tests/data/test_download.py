"""CIFAR from a mirror, or from where it was kept: whole and official, or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
from cifar_writers import cifar10_files, random_images, write, write_archive

from allcnn.data import download, layouts, load_data
from allcnn.errors import DataError, InputError

LABELS = [3, 8, 8, 0, 6, 6, 1, 6, 3, 1, 0, 9]
ARCHIVE = "cifar-10-python.tar.gz"


@pytest.fixture(autouse=True)
def keras_home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("ALLCNN_DATA", raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return tmp_path / "keras"


@pytest.fixture
def mirror(tmp_path, monkeypatch) -> Path:
    """A folder with an archive whose checksum is made the official one."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    path = write_archive(folder / ARCHIVE, "cifar-10-batches-py", cifar10_files(False, random_images(12), LABELS))
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    table = [dataclasses.replace(x, checksum=checksum) if x.archive == ARCHIVE else x for x in layouts.LAYOUTS]
    monkeypatch.setattr(layouts, "LAYOUTS", tuple(table))
    return folder


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*arguments, **options):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_no_network(keras_home, no_network):
    with pytest.raises(DataError) as error:
        load_data("cifar100")
    assert str(error.value) == (
        "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz cannot be downloaded: "
        "[Errno -2] Name or service not known.\n"
        f"Put cifar-100-python.tar.gz into {keras_home}/datasets or pass its folder with --data-dir; "
        "--dataset digits needs no download."
    )
    assert not keras_home.exists()


def test_downloaded_once_and_read_by_the_same_reader(keras_home, mirror, capfd):
    data = load_data(mirror=mirror.as_uri())
    np.testing.assert_array_equal(data.train_images, random_images(12)[:10])
    assert data.source == str(keras_home / "datasets" / ARCHIVE) and data.layout == "archive"
    assert [path.name for path in (keras_home / "datasets").iterdir()] == [ARCHIVE]
    assert capfd.readouterr().out == ""
    shutil.rmtree(mirror)
    assert load_data().digest == data.digest


def test_mirror_names_the_archive_itself(keras_home, mirror):
    (mirror / ARCHIVE).rename(mirror / "c10.tar.gz")
    load_data(mirror=(mirror / "c10.tar.gz").as_uri())
    assert (keras_home / "datasets" / ARCHIVE).is_file()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [(lambda path: path.write_bytes(b"<html>"), "its SHA-256 is "), (lambda path: path.unlink(), "No such file")],
)
def test_failed_download_leaves_nothing(keras_home, mirror, damage, reason):
    damage(mirror / ARCHIVE)
    with pytest.raises(DataError) as error:
        load_data(mirror=mirror.as_uri())
    first, second = str(error.value).splitlines()
    assert first.startswith(f"{mirror.as_uri()}/{ARCHIVE} cannot be downloaded: ") and reason in first
    assert second.startswith(f"Put {ARCHIVE} into {keras_home}/datasets or pass its folder with --data-dir")
    assert list(keras_home.rglob("*")) in ([], [keras_home / "datasets"])


def test_a_damaged_archive_in_the_cache_is_fetched_again(keras_home, mirror):
    cached = write(keras_home / "datasets", {ARCHIVE: b"half of it"}) / ARCHIVE
    assert load_data(mirror=mirror.as_uri()).name == "cifar10"
    assert cached.read_bytes() == (mirror / ARCHIVE).read_bytes()


def test_folders_that_are_looked_into_first(keras_home, no_network, tmp_path, monkeypatch):
    files = cifar10_files(False, random_images(12), LABELS)
    # Where keras.datasets.cifar10.load_data() leaves it.
    unpacked = write(keras_home / "datasets" / "cifar-10-batches-py-target" / "cifar-10-batches-py", files)
    assert load_data().source == str(unpacked)
    named = write(tmp_path / "named" / "cifar-10-batches-bin", cifar10_files(True, random_images(12), LABELS))
    monkeypatch.setenv("ALLCNN_DATA", str(tmp_path / "named"))
    assert load_data().source == str(named)
    (unpacked / "data_batch_5").unlink()
    (named / "data_batch_5.bin").unlink()
    with pytest.raises(DataError, match="cannot be downloaded"):
        load_data()


@pytest.mark.parametrize("mirror", ["/data/cifar", "example.org/cifar", "ftp://example.org/", "https://", ""])
def test_mirror_must_be_a_url(mirror):
    with pytest.raises(InputError) as error:
        load_data(mirror=mirror)
    assert str(error.value) == (
        f"mirror {mirror!r}: expected a URL that begins with https://, of {ARCHIVE} or of the folder it lies in.\n"
        "For a folder on this machine use --data-dir."
    )


def test_a_silent_host_is_given_up(keras_home, monkeypatch):
    monkeypatch.setattr(download, "_TIMEOUT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes the call and never answers
        host, port = server.getsockname()
        with pytest.raises(DataError, match="cannot be downloaded: timed out"):
            load_data(mirror=f"http://{host}:{port}/")
