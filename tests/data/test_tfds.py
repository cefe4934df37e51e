"""Data sets that TensorFlow Datasets has prepared: the images as they were put in, streamed or in memory."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from photo_files import write_photographs

import allcnn
from allcnn.data import load_data
from allcnn.data import tfds as ours
from allcnn.errors import DataError, InputError, install_hint
from allcnn.evaluation import evaluate, open_with_data
from allcnn_cli.main import main

CLASSES = ("n00000000", "n00000001")


class Photos(tfds.core.GeneratorBasedBuilder):
    """What a user writes to prepare images of their own: `Photos(...).download_and_prepare()`."""

    VERSION = tfds.core.Version("1.0.0")
    folder: Path

    def _info(self):
        features = {"picture": tfds.features.Image(), "class": tfds.features.ClassLabel(names=CLASSES)}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {
            "train": self._generate_examples(self.folder / "train", None),
            "validation": self._generate_examples(self.folder / "val", None),
            "test": self._generate_examples(self.folder / "val", -1),  # without labels, as ImageNet's
        }

    def _generate_examples(self, folder, label):
        for path in sorted(folder.glob("*/*")):
            yield path.name, {"picture": path, "class": path.parent.name if label is None else label}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photographs(tmp_path_factory.mktemp("photos") / "photos", train=150, test=6)


@pytest.fixture(scope="module")
def root(photos, tmp_path_factory):
    """Prepared once; tests that change it copy it."""
    root = tmp_path_factory.mktemp("tfds")
    Photos.folder = photos
    Photos(data_dir=root, file_format="array_record").download_and_prepare()
    return root


@pytest.fixture
def prepared(root, tmp_path):
    return shutil.copytree(root / "photos/1.0.0", tmp_path / "photos/1.0.0")


def shard(prepared: Path) -> Path:
    (found,) = prepared.glob("*-train.array_record*")
    return found


@pytest.mark.parametrize("stream", [False, True])
def test_images_and_labels_are_those_that_were_put_in(photos, root, stream):
    folders = load_data(data_dir=photos, stream=stream)
    data = load_data("tfds:photos", root, stream=stream)
    assert (data.name, data.layout, data.streamed, data.class_names) == ("photos", "tfds", stream, CLASSES)
    assert data.source == f"{root}/photos/1.0.0 (train and validation)" and data.resize == folders.resize
    for split in ("train", "test"):
        pairs = [
            sorted(zip((image.tobytes() for image in images[:]), labels.tolist(), strict=True))
            for images, labels in (
                (getattr(each, f"{split}_images"), getattr(each, f"{split}_labels")) for each in (data, folders)
            )
        ]
        assert pairs[0] == pairs[1]


def test_the_folder_it_was_found_in_loads_it_again(root, monkeypatch):
    data = load_data("tfds:photos:1.0.0", root, stream=True)
    assert data.found_in == str(root / "photos/1.0.0")
    for dataset in ("cifar10", "tfds:photos"):
        assert load_data(dataset, data.found_in, stream=True).digest == data.digest
    monkeypatch.setenv("TFDS_DATA_DIR", str(root))
    assert load_data("tfds:photos", stream=True).digest == data.digest


def test_a_run_is_measured_again_from_its_folder(root, tmp_path):
    run = allcnn.train(
        "4C3/2-NC1:linear-GAP", dataset="tfds:photos", data_dir=root, recipe="imagenet", image_size=16, batch_size=30,
        steps=7, learning_rate=0.001, run_dir=tmp_path / "run",
    )  # fmt: skip
    opened, data = open_with_data(run.run_dir)
    evaluation = evaluate(opened, data)
    assert data.layout == "tfds" and evaluation.error_percent == run.test_error


def test_labels_are_read_once_until_a_file_changes(prepared, monkeypatch):
    data = load_data(data_dir=prepared, stream=True)
    with monkeypatch.context() as patch:
        patch.setattr(ours, "write_arrays", lambda *_: pytest.fail("the labels were read again"))
        again = load_data(data_dir=prepared, stream=True)
    assert again.digest == data.digest and np.array_equal(again.train_labels, data.train_labels)
    os.utime(shard(prepared), ns=(0, 0))
    written = []
    monkeypatch.setattr(ours, "write_arrays", lambda path, columns, _: written.append(columns))
    assert load_data(data_dir=prepared, stream=True).digest == data.digest
    assert np.array_equal(written[0]["train/labels"], data.train_labels)


def test_the_newest_version(prepared, monkeypatch):
    for version in ("1.2.0", "1.10.0"):
        shutil.copytree(prepared, prepared.parent / version)
    monkeypatch.setenv("HOME", str(prepared.parent))
    assert ours.find_prepared("photos", "~/1.0.0") == prepared
    assert ours.find_prepared("photos", prepared.parents[1]).name == "1.10.0"
    assert ours.find_prepared("photos:1.2.0", prepared.parents[1]).name == "1.2.0"


def test_a_published_name_is_not_that_of_other_images(prepared):
    info = prepared / "dataset_info.json"
    info.write_text(info.read_text().replace('"photos"', '"digits"'))
    for path in prepared.glob("photos-*"):
        path.rename(prepared / path.name.replace("photos", "digits"))
    assert load_data(data_dir=prepared, stream=True).name == "digits-folder"


def message(*arguments, kind=DataError, **options) -> str:
    with pytest.raises(kind) as error:
        load_data(*arguments, **options)
    assert len(str(error.value).splitlines()) <= 2
    return str(error.value)


def test_what_is_not_prepared(tmp_path, prepared, monkeypatch):
    assert message("tfds:flowers", tmp_path) == (
        f"{tmp_path}/flowers: holds no data set that TensorFlow Datasets has prepared.\nPrepare it in Python: "
        f'tensorflow_datasets.builder("flowers", data_dir="{tmp_path}", file_format="array_record")'
        ".download_and_prepare()"
    )
    for name in ("", "..", "/", "photos:**x", "a\0b", "x" * 300):
        assert str(tmp_path) in message(f"tfds:{name}", tmp_path) or name == "/"
    assert "a mirror was given" in message("tfds:flowers", mirror="https://x", kind=InputError)
    path = prepared / "dataset_info.json"
    path.write_text(path.read_text().replace("array_record", "tfrecord"))
    assert message(data_dir=prepared).startswith(f"{prepared}: is prepared as tfrecord; expected array_record")
    monkeypatch.setattr(ours, "find_spec", lambda _: None)
    assert message(data_dir=prepared, kind=InputError).endswith(install_hint("tfds"))


@pytest.mark.parametrize("known", [False, True])
def test_damage_is_named_or_passed_over(prepared, known, capfd):
    """Whether the labels are read before it happens or not."""
    if known:
        load_data(data_dir=prepared, stream=True)
    path, times = shard(prepared), shard(prepared).stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # as if the disk had done it
    (name,) = load_data(data_dir=prepared, stream=True).damaged_files()
    assert main(["data", str(prepared), "--check"]) == 1 and name in capfd.readouterr().out
    with pytest.raises(DataError, match=f"{name}: cannot be read"):
        load_data(data_dir=prepared, stream=True).train_images[:]
    bad = int(name.removeprefix(f"{prepared}: train image "))
    images = load_data(data_dir=prepared, skip_damaged=True).train_images
    assert images.training_image(bad)[1] == (bad + 1) % len(images)


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json", "shard"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe nonsense", b"[" * 100_000, b"{}", b"null"])
def test_a_file_that_is_something_else(prepared, name, content):
    (shard(prepared) if name == "shard" else prepared / name).write_bytes(content)
    assert str(prepared) in message(data_dir=prepared)


@pytest.mark.parametrize("key", ["pythonClassName", "python_class_name", "moduleName"])
def test_no_code_is_imported_by_name(prepared, tmp_path, monkeypatch, key):
    (tmp_path / "hostile_features.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    path = prepared / ("dataset_info.json" if key == "moduleName" else "features.json")
    values = json.loads(path.read_text())
    values.pop("pythonClassName", None)
    path.write_text(json.dumps(values | {key: "hostile_features.Image"}))
    if key == "moduleName":
        load_data(data_dir=prepared)
    else:
        assert "asks for hostile_features.Image" in message(data_dir=prepared)
    assert not (tmp_path / "ran").exists() and "hostile_features" not in sys.modules
