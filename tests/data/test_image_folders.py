from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from allcnn.data import fit_to_size, load_data, read_image
from allcnn.data.order import epoch_order
from allcnn.errors import DataError


def image_file(path: Path, value: int, size: tuple[int, int] = (32, 32)) -> Path:
    """A one-coloured image: `value` tells it from the others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)
    return path


@pytest.fixture
def pets(tmp_path) -> Path:
    folder = tmp_path / "pets"
    image_file(folder / "train/dog/b.png", 1)
    image_file(folder / "train/dog/a.PNG", 2)
    image_file(folder / "train/cat/z.bmp", 3)
    image_file(folder / "train/cat/deeper/y.png", 4)
    image_file(folder / "test/cat/x.png", 5)
    image_file(folder / "test/dog/x.png", 6)
    return folder


def message(folder: Path) -> str:
    with pytest.raises(DataError) as error:
        load_data(data_dir=folder)
    assert len(str(error.value).splitlines()) <= 2
    return str(error.value)


def test_order_and_names(pets):
    data = load_data(data_dir=pets)
    assert (data.name, data.layout, data.resize) == ("pets", "folders", "none")
    assert data.class_names == ("cat", "dog")
    assert data.source == f"{pets} (train/ and test/)"
    # cat: deeper/y.png, z.bmp; dog: a.PNG, b.png; in the order that the fixed mixing gives four images.
    order = epoch_order(10, 0, 4)
    assert data.train_images[:, 0, 0, 0].tolist() == [[4, 3, 2, 1][index] for index in order]
    assert data.train_labels.tolist() == [[0, 0, 1, 1][index] for index in order]
    assert data.test_images[:, 0, 0, 0].tolist() == [5, 6]
    assert data.test_labels.tolist() == [0, 1] and data.test_labels.dtype == np.int32


def test_other_files_are_passed_over(pets):
    before = load_data(data_dir=pets).digest
    for name in ("train/cat/.hidden.png", "train/cat/Thumbs.db", "train/notes.txt", "train/.cache/x.png"):
        (pets / name).parent.mkdir(exist_ok=True)
        (pets / name).write_text("not an image")
    assert load_data(data_dir=pets).digest == before


def test_val_stands_for_test(pets):
    before = load_data(data_dir=pets).digest
    (pets / "test").rename(pets / "val")
    data = load_data(data_dir=pets)
    assert data.digest == before and data.source == f"{pets} (train/ and val/)"


def test_test_goes_before_val(pets):
    before = load_data(data_dir=pets).digest
    image_file(pets / "val/cat/v.png", 7)
    assert load_data(data_dir=pets).digest == before


def test_other_sizes_are_fitted(pets):
    wide = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(wide).save(pets / "train/dog/c.png")
    data = load_data(data_dir=pets)
    assert data.resize == "shorter side to 32, bilinear with antialiasing, centre crop"
    last_by_name = epoch_order(10, 0, 5).tolist().index(4)
    fitted = fit_to_size(read_image(pets / "train/dog/c.png"), 32)
    np.testing.assert_array_equal(data.train_images[last_by_name], fitted)
    small = load_data(data_dir=pets, image_size=16)
    assert small.image_shape == (16, 16, 3) and small.resize.startswith("shorter side to 16,")


def test_folders_of_cifar10_keep_its_name(tmp_path):
    names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    for split in ("train", "test"):
        for value, name in enumerate(names):
            image_file(tmp_path / split / name / "0.png", value)
    data = load_data("cifar10", tmp_path)
    assert data.name == "cifar10" and data.class_names == names
    assert sorted(data.train_labels.tolist()) == data.test_labels.tolist() == list(range(10))
    # Mixed, so that a recipe that never shuffles does not see class after class; each image with its label.
    assert data.train_labels.tolist() != list(range(10))
    assert data.train_images[:, 0, 0, 0].tolist() == data.train_labels.tolist()


def test_the_folder_is_called_as_it_was_given(pets, tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(pets)
    assert load_data(data_dir=tmp_path / "link").name == "link"
    monkeypatch.chdir(pets)
    assert load_data(data_dir=".").name == "pets"


def test_more_images_than_memory_are_streamed(pets, monkeypatch):
    assert not load_data(data_dir=pets).streamed
    monkeypatch.setattr("allcnn.data.images._memory_limit", lambda: 6 * 32 * 32 * 3 - 1)
    data = load_data(data_dir=pets)
    assert data.streamed
    assert sorted(data.train_images[:][:, 0, 0, 0].tolist()) == [1, 2, 3, 4]


def test_classes_are_called_what_the_class_index_calls_them(pets):
    before = load_data(data_dir=pets)
    (pets / "class_index.json").write_text('{"0": ["dog", "barking_dog"], "1": ["cat", "purring_cat"]}')
    named = load_data(data_dir=pets)
    assert named.class_names == ("purring cat", "barking dog")
    assert named.digest == before.digest


def test_unreadable_image_is_named(pets):
    broken = pets / "train/dog/broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0")
    assert message(pets).startswith(f"{broken}: ")
    assert message(pets).endswith("Repair the file or take it away.")


def test_one_class(pets):
    for split in ("train", "test"):
        shutil.rmtree(pets / split / "dog")
    assert message(pets) == f"{pets}/train: one class (cat); expected at least two, a folder of images for each class."


def test_images_without_class_folders(tmp_path):
    for split in ("train", "test"):
        image_file(tmp_path / split / "a.png", 0)
    assert message(tmp_path).startswith(f"{tmp_path}/train: no class folders; expected at least two")


def test_different_classes_are_named(pets):
    (pets / "test/dog").rename(pets / "test/dogs")
    assert message(pets) == (
        f"{pets}: train/ and test/ have different classes (only in train/: dog; only in test/: dogs).\n"
        "Give both the same class folders."
    )


def test_empty_class(pets):
    (pets / "train/bird").mkdir()
    (pets / "train/bird/readme.txt").write_text("none yet")
    assert message(pets).startswith(f"{pets}/train/bird: no images; expected files ending in .bmp, .gif, .jpeg, .jpg")


@pytest.mark.parametrize(
    ("taken", "found"), [("test", "train/ but neither test/ nor val/"), ("train", "no train/ folder")]
)
def test_missing_split(pets, taken, found):
    shutil.rmtree(pets / taken)
    expected = "train/CLASS/* with test/CLASS/* or val/CLASS/*"
    assert message(pets) == f"{pets}: {found}; expected {expected}.\nMove the images into such folders."
