"""A packed data set is the folders it was made of, to the byte; what is not as it was packed is refused."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
from photo_files import write_photographs

from allcnn.data import load_data
from allcnn.data.check import damaged_files
from allcnn.data.pack import pack_images
from allcnn.data.packed import PackedImages, check_shards, list_packed
from allcnn.data.pipeline import BatchOrder, training_batches
from allcnn.errors import DataError, InputError


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = write_photographs(tmp_path_factory.mktemp("photos") / "photos")
    (folder / "class_index.json").write_text('{"n00000000": "tench", "n00000001": "goldfish"}')
    return folder


@pytest.fixture(scope="module")
def whole(photos):
    """Packed once; tests that change it copy it."""
    out = photos.parent / "packed"
    pack_images(photos, out, shard_bytes=5_000)
    return out


@pytest.fixture
def packed(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "packed")


def test_the_same_images_labels_names_and_digest(photos, whole):
    folders, packed = load_data(data_dir=photos, stream=True), load_data(data_dir=whole)
    assert packed.streamed and packed.layout == "packed"
    assert packed.digest == folders.digest and packed.class_names == folders.class_names == ("tench", "goldfish")
    for split in ("train", "test"):
        ours, theirs = getattr(packed, f"{split}_images").encoded, getattr(folders, f"{split}_images").encoded
        assert np.array_equal(ours.labels, theirs.labels) and list(ours.names) == list(theirs.names)
        assert [ours.read(index) for index in range(len(ours))] == [theirs.read(index) for index in range(len(theirs))]
    assert np.array_equal(packed.train_images[:], folders.train_images[:])


def test_the_same_batches(photos, whole):
    order = BatchOrder(20, 6, seed=5, augmentation="crop-mirror", streamed=True)
    folders, packed = (load_data(data_dir=data, shorter_side=36) for data in (photos, whole))
    pairs = (
        training_batches(data.train_images, data.train_labels, order, 1, 6).as_numpy_iterator()
        for data in (folders, packed)
    )
    for (ours, our_labels), (theirs, their_labels) in zip(*pairs, strict=True):
        assert np.array_equal(ours["images"], theirs["images"]) and np.array_equal(our_labels, their_labels)


def test_any_reader_of_records_reads_the_shards(photos, whole):
    import tensorflow as tf

    manifest = json.loads((whole / "pack.json").read_text())
    assert len([shard for shard in manifest["shards"] if shard["split"] == "train"]) > 2
    data = load_data(data_dir=photos, stream=True)
    found = []
    for shard in manifest["shards"]:
        records = list(tf.data.TFRecordDataset(str(whole / shard["file"])))  # checks the records' own checksums
        assert len(records) == shard["images"] and os.stat(whole / shard["file"]).st_size == shard["bytes"]
        for record in records:
            features = tf.train.Example.FromString(record.numpy()).features.feature
            if shard["split"] == "train":
                found.append(features["image/encoded"].bytes_list.value[0])
                label = features["image/class/label"].int64_list.value[0]
                assert features["image/class/text"].bytes_list.value[0].decode() == data.class_names[label]
    assert found == [data.train_images.encoded.read(index) for index in range(20)]


def test_damaged_images_are_named_or_left_out_and_counted(photos, tmp_path):
    folder = shutil.copytree(photos, tmp_path / "photos")
    bad = folder / "train/n00000000/photo_6.JPEG"
    bad.write_bytes(b"not an image")
    with pytest.raises(DataError, match="photo_6.JPEG: not an image that can be read"):
        pack_images(folder, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]
    seen = []
    manifest = pack_images(folder, tmp_path / "out", skip_damaged=True, progress=lambda *done: seen.append(done))
    assert manifest.skipped == {"train": ("n00000000/photo_6.JPEG",), "test": ()}
    assert seen[-1] == ("test", 6, 6)
    data = load_data(data_dir=tmp_path / "out")
    assert len(data.train_images) == 19 and data.digest == manifest.digest
    assert data.digest != load_data(data_dir=folder, stream=True).digest
    assert damaged_files(load_data(data_dir=folder, stream=True)) == [str(bad)]


def test_what_is_there_is_not_overwritten(photos, whole, tmp_path):
    with pytest.raises(InputError, match="is there already"):
        pack_images(photos, whole)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        pack_images(photos, tmp_path / "file")
    (tmp_path / "empty").mkdir()
    assert pack_images(photos, tmp_path / "empty").name == "photos"


class TestDamage:
    def test_a_changed_byte(self, packed):
        images = list_packed(packed).train
        assert isinstance(images, PackedImages)
        number = int(np.flatnonzero(images.columns["shard"] == 0)[1])
        position = int(images.columns["offset"][number]) + 100
        shard = packed / "train-00000.tfrecord"
        content = bytearray(shard.read_bytes())
        content[position] ^= 1
        shard.write_bytes(content)
        assert check_shards(packed) == ["train-00000.tfrecord"]
        assert damaged_files(load_data(data_dir=packed), packed) == [str(shard)]
        images = list_packed(packed).train
        with pytest.raises(DataError, match="its bytes are not those that were packed") as error:
            images.read(number)
        assert str(error.value).startswith(f"{shard}: {images.names[number]}: ")
        assert images.read(number - 1)

    def test_a_shard_cut_short_or_gone(self, packed):
        shard = packed / "test-00000.tfrecord"
        size = shard.stat().st_size
        os.truncate(shard, size - 1)
        with pytest.raises(DataError, match=f"test-00000.tfrecord: has {size - 1:,} bytes; expected {size:,}"):
            load_data(data_dir=packed)
        shard.unlink()
        with pytest.raises(DataError, match="test-00000.tfrecord: cannot be read"):
            load_data(data_dir=packed)

    @pytest.mark.parametrize(
        "change",
        [
            lambda values: values.update(format=2),
            lambda values: values.pop("digest"),
            lambda values: values["shards"][0].update(file="../../etc/passwd"),
            lambda values: values["shards"].pop(),
            lambda values: values.update(shards=[1]),
            lambda values: values.update(index_sha256="0" * 64),
        ],
    )
    def test_a_manifest_that_was_changed(self, packed, change):
        path = packed / "pack.json"
        values = json.loads(path.read_text())
        change(values)
        path.write_text(json.dumps(values))
        with pytest.raises(DataError) as error:
            load_data(data_dir=packed)
        assert len(str(error.value).splitlines()) <= 2 and str(packed) in str(error.value)

    @pytest.mark.parametrize("name", ["pack.json", "index.h5"])
    @pytest.mark.parametrize("content", [b"", b"\xff\xfe nonsense", b"[" * 100_000, b"{}"])
    def test_a_file_that_is_something_else(self, packed, name, content):
        (packed / name).write_bytes(content)
        with pytest.raises(DataError) as error:
            load_data(data_dir=packed)
        assert len(str(error.value).splitlines()) <= 2 and str(packed) in str(error.value)
