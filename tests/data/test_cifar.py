"""CIFAR in its four official forms, in folders and in archives; broken ones are refused by name."""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from cifar_writers import (
    array,
    cifar10_files,
    number,
    pickled,
    pickled_batch,
    planes,
    random_images,
    records,
    sequence,
    short_text,
    write,
    write_archive,
)

from allcnn.data import layouts, load_data
from allcnn.errors import DataError

LABELS = [3, 8, 8, 0, 6, 6, 1, 6, 3, 1, 0, 9]
FOLDERS = {False: "cifar-10-batches-py", True: "cifar-10-batches-bin"}


@pytest.fixture(params=[False, True], ids=["python", "binary"])
def binary(request) -> bool:
    return request.param


def test_planes_become_pixels_by_hand(tmp_path, binary):
    """The first row of the red plane is 0..31; green begins at value 1024, blue at 2048."""
    row = np.zeros((12, 3072), np.uint8)
    row[0, :32] = np.arange(32)
    row[0, 1024], row[0, 1024 + 33] = 200, 201
    row[0, 2048 + 31], row[0, 3071] = 250, 251
    files = {}
    for i, stem in enumerate([f"data_batch_{n}" for n in range(1, 6)] + ["test_batch"]):
        part = row[2 * i : 2 * i + 2]
        if binary:
            files[stem + ".bin"] = b"".join(bytes([7]) + each.tobytes() for each in part)
        else:
            files[stem] = pickled({"labels": sequence([number(7)] * 2), "data": array(part)})
    write(tmp_path, files)
    image = load_data(data_dir=tmp_path).train_images[0]
    assert image[0, 5].tolist() == [5, 0, 0]
    assert image[0, 0].tolist() == [0, 200, 0]
    assert image[1, 1].tolist() == [0, 201, 0]
    assert image[0, 31].tolist() == [31, 0, 250]
    assert image[31, 31].tolist() == [0, 0, 251]


@pytest.mark.parametrize("place", ["itself", "holder"])
def test_cifar10_folder(tmp_path, binary, place):
    images = random_images(12)
    folder = write(tmp_path / FOLDERS[binary], cifar10_files(binary, images, LABELS))
    data = load_data("cifar10", folder if place == "itself" else tmp_path)
    assert (data.name, data.layout, data.source) == ("cifar10", "binary" if binary else "python", str(folder))
    assert data.resize == "none"
    np.testing.assert_array_equal(data.train_images, images[:10])
    np.testing.assert_array_equal(data.test_images, images[10:])
    assert data.train_labels.tolist() == LABELS[:10] and data.test_labels.tolist() == LABELS[10:]
    assert data.class_names[:2] == ("airplane", "automobile") and data.classes == 10


def test_layouts_have_one_digest(tmp_path):
    images = random_images(12)
    found = []
    for binary, folder in FOLDERS.items():
        write(tmp_path / folder, cifar10_files(binary, images, LABELS))
        found.append(load_data(data_dir=tmp_path / folder).digest)
    sha256 = hashlib.sha256()
    for part, labels in ((images[:10], LABELS[:10]), (images[10:], LABELS[10:])):
        sha256.update(f"images {part.shape}\n".encode() + part.tobytes())
        sha256.update(f"labels ({len(labels)},)\n".encode() + np.array(labels, "<i4").tobytes())
    assert found == [sha256.hexdigest()] * 2


def test_class_names_come_from_the_files(tmp_path, binary):
    names = [f"class{i}" for i in range(10)]
    folder = write(tmp_path, cifar10_files(binary, random_images(12), LABELS))
    meta = pickled({"label_names": sequence([short_text(name) for name in names])})
    write(folder, {"batches.meta.txt": "\n".join([*names, "", ""]).encode()} if binary else {"batches.meta": meta})
    assert load_data(data_dir=folder).class_names == tuple(names)


def test_cifar100_takes_the_fine_labels(tmp_path, binary):
    images, fine, coarse = random_images(5), [19, 29, 0, 99, 1], [11, 15, 4, 14, 1]
    if binary:
        files = {
            "train.bin": records(images[:3], coarse[:3], fine[:3]),
            "test.bin": records(images[3:], coarse[3:], fine[3:]),
        }
    else:
        files = {}
        for name, part in (("train", slice(0, 3)), ("test", slice(3, 5))):
            labels = {"fine_labels": fine[part], "coarse_labels": coarse[part]}
            items = {key: sequence([number(value) for value in values]) for key, values in labels.items()}
            files[name] = pickled(items | {"data": array(planes(images[part]))})
    data = load_data("cifar100", write(tmp_path, files))
    assert data.train_labels.tolist() == fine[:3] and data.test_labels.tolist() == fine[3:]
    np.testing.assert_array_equal(data.test_images, images[3:])
    assert data.name == "cifar100" and data.classes == 100
    assert (data.class_names[0], data.class_names[19], data.class_names[99]) == ("apple", "cattle", "worm")


def test_batches_pickled_again_by_python_3(tmp_path):
    images = random_images(12)
    for i, name in enumerate([f"data_batch_{n}" for n in range(1, 6)] + ["test_batch"]):
        part = slice(2 * i, 2 * i + 2)
        batch = {"labels": LABELS[part], "data": planes(images)[part]}
        (tmp_path / name).write_bytes(pickle.dumps(batch, protocol=i))
    np.testing.assert_array_equal(load_data(data_dir=tmp_path).train_images, images[:10])


@pytest.mark.parametrize("dataset", ["cifar10", "cifar100"])
def test_official_images_pixel_for_pixel(photographs, tmp_path, dataset):
    """Written in the official layout and read again, the first official images are what they were."""
    with np.load(photographs / f"{dataset}-head.npz") as head:
        train, test = head["x_train"], head["x_test"]
        labels = [head[("y_" if dataset == "cifar10" else "fine_") + split].tolist() for split in ("train", "test")]
    if dataset == "cifar10":
        parts = np.array_split(np.arange(len(train)), 5)
        files = {
            f"data_batch_{i}": pickled_batch(train[part], [labels[0][j] for j in part])
            for i, part in enumerate(parts, 1)
        }
        files["test_batch"] = pickled_batch(test, labels[1])
    else:
        files = {"train": pickled_batch(train, labels[0], "fine_labels")}
        files["test"] = pickled_batch(test, labels[1], "fine_labels")
    data = load_data(dataset, write(tmp_path, files))
    np.testing.assert_array_equal(data.train_images, train)
    np.testing.assert_array_equal(data.test_images, test)
    assert [data.train_labels.tolist(), data.test_labels.tolist()] == labels
    # The first training images of CIFAR-10 are a frog and two trucks; of CIFAR-100, cattle and a dinosaur.
    first = [data.class_names[label] for label in data.train_labels[:3]]
    assert first == (["frog", "truck", "truck"] if dataset == "cifar10" else ["cattle", "dinosaur", "apple"])


# Archives


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


def test_the_file_that_is_checked_is_the_file_that_is_read(archive, monkeypatch):
    """Another one moved to its place in between is not read."""
    check = layouts.stream_checksum

    def check_and_swap(stream, like):
        found = check(stream, like)
        (archive.parent / "other").write_bytes(b"evil")
        (archive.parent / "other").replace(archive)
        return found

    monkeypatch.setattr("allcnn.data.cifar.stream_checksum", check_and_swap)
    assert load_data(data_dir=archive.parent).train_images.tobytes() == random_images(12)[:10].tobytes()


def test_archive_with_another_checksum_is_not_opened(archive, tmp_path, monkeypatch):
    content = archive.read_bytes()
    archive.write_bytes(content[:-1] + b"x")
    monkeypatch.setattr(tarfile, "open", lambda *arguments, **options: pytest.fail("the archive was opened"))
    with pytest.raises(DataError) as error:
        load_data(data_dir=tmp_path)
    lines = str(error.value).splitlines()
    assert len(lines) == 2
    assert f"{archive}: its " in lines[0] and f"that of the official {archive.name} is " in lines[0]
    assert lines[1].endswith("if you packed it yourself, unpack it and pass the folder to --data-dir.")


def test_archive_of_the_other_data_set(tmp_path):
    path = tmp_path / "cifar-100-python.tar.gz"
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"(?s)archive of cifar100; expected cifar10\..*Pass --dataset cifar100\."):
        load_data("cifar10", path)


def test_a_complete_layout_goes_before_a_broken_one(tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(b"")
    write(tmp_path / "cifar-10-batches-bin", cifar10_files(True, random_images(12), LABELS))
    assert load_data(data_dir=tmp_path).layout == "binary"


# Broken batches: (the file, its new content, what the message says)

IMAGES = random_images(12)
GOOD = pickled_batch(IMAGES[:2], [1, 2])
TWO = array(planes(IMAGES[:2]))
BROKEN_PICKLES = [
    (GOOD[:1000], "truncated or corrupt"),
    (b"", "truncated or corrupt"),
    (b"<html>404 Not Found</html>", "truncated or corrupt"),
    (pickle.dumps([1, 2]), "holds a list; expected a pickled dict"),
    (pickled({"labels": sequence([number(1)])}), "no 'data' in this batch, only labels"),
    (pickled({"data": TWO}), "no 'labels' in this batch, only data"),
    (pickled({"data": TWO, "labels": sequence([number(1)])}), "1 labels for 2 images; expected one for each"),
    (pickled_batch(IMAGES[:2], [1, 10]), "label 10 among the labels; expected 0 to 9"),
    (pickled_batch(IMAGES[:2], [-1, 1]), "label -1 among the labels; expected 0 to 9"),
    (pickled({"data": TWO, "labels": short_text("ab")}), "'labels' is not a list of whole numbers"),
    (pickled({"data": TWO, "labels": sequence([short_text("a")] * 2)}), "'labels' is not a list of whole numbers"),
    (pickled({"data": short_text("x"), "labels": sequence([number(1)])}), "'data' is bytes; expected uint8 (n, 3072)"),
    (
        pickled({"data": array(np.zeros((2, 3071), np.uint8)), "labels": sequence([number(1)] * 2)}),
        "'data' is uint8 (2, 3071); expected uint8 (n, 3072)",
    ),
    (
        pickle.dumps({"data": np.zeros((1, 3072), np.float32), "labels": [1]}),
        "'data' is float32 (1, 3072); expected uint8 (n, 3072)",
    ),
]


@pytest.mark.parametrize(("content", "message"), BROKEN_PICKLES)
def test_broken_pickled_batch(tmp_path, content, message):
    folder = write(tmp_path, cifar10_files(False, IMAGES, LABELS) | {"data_batch_3": content})
    with pytest.raises(DataError) as error:
        load_data(data_dir=folder)
    assert str(error.value).startswith(f"{folder / 'data_batch_3'}: {message}")
    assert len(str(error.value).splitlines()) <= 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 bytes; expected a multiple of 3073, a record for each image."),
        (bytes(3072), "3,072 bytes; expected a multiple of 3073, a record for each image."),
        (b"\x0a" + bytes(3072), "label 10 among the labels; expected 0 to 9."),
    ],
)
def test_broken_records(tmp_path, content, message):
    folder = write(tmp_path, cifar10_files(True, IMAGES, LABELS) | {"test_batch.bin": content})
    with pytest.raises(DataError) as error:
        load_data(data_dir=folder)
    assert str(error.value).splitlines()[0] == f"{folder / 'test_batch.bin'}: {message}"


def test_missing_batch_is_named(tmp_path, binary):
    files = cifar10_files(binary, IMAGES, LABELS)
    missing = "data_batch_2.bin" if binary else "data_batch_2"
    del files[missing]
    folder = write(tmp_path, files)
    with pytest.raises(DataError, match=f"{folder}: {missing} missing; expected data_batch_1"):
        load_data(data_dir=folder)


def test_wrong_class_names(tmp_path):
    folder = write(tmp_path, cifar10_files(True, IMAGES, LABELS) | {"batches.meta.txt": b"cat\ndog\n"})
    with pytest.raises(DataError, match=r"batches.meta.txt: 2 class names; expected 10 different ones\."):
        load_data(data_dir=folder)


def test_a_file_far_too_large_is_not_read(tmp_path):
    folder = write(tmp_path, cifar10_files(True, IMAGES, LABELS))
    with (folder / "data_batch_1.bin").open("r+b") as sparse:
        sparse.truncate(2**28 + 1)
    with pytest.raises(DataError, match="more than 268,435,456 bytes; expected a file of CIFAR"):
        load_data(data_dir=folder)
