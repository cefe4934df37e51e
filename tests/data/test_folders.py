"""Folders of images: which images, in which order, under which names; and what is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from allcnn.data import load_data, read_image
from allcnn.data.folders import read_class_index
from allcnn.data.images import ResizeRule
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
    files = ("train/dog/b.png", "train/dog/a.PNG", "train/cat/z.bmp", "train/cat/deeper/y.png")
    for value, name in enumerate((*files, "test/cat/x.png", "test/dog/x.png"), 1):
        image_file(folder / name, value)
    return folder


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


def test_other_files_are_passed_over_and_val_stands_for_test(pets):
    before = load_data(data_dir=pets).digest
    for name in ("train/cat/.hidden.png", "train/cat/Thumbs.db", "train/notes.txt", "train/.cache/x.png"):
        (pets / name).parent.mkdir(exist_ok=True)
        (pets / name).write_text("not an image")
    assert load_data(data_dir=pets).digest == before
    (pets / "test").rename(pets / "val")
    data = load_data(data_dir=pets)
    assert data.digest == before and data.source == f"{pets} (train/ and val/)"
    image_file(pets / "test/cat/t.png", 7)
    image_file(pets / "test/dog/t.png", 8)
    assert load_data(data_dir=pets).test_images[:, 0, 0, 0].tolist() == [7, 8]


def test_other_sizes_are_fitted(pets):
    wide = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(wide).save(pets / "train/dog/c.png")
    data = load_data(data_dir=pets)
    assert data.resize == "shorter side to 32, bilinear with antialiasing, centre crop"
    last_by_name = epoch_order(10, 0, 5).tolist().index(4)
    fitted = ResizeRule(32, 32).centre(read_image(pets / "train/dog/c.png"))
    np.testing.assert_array_equal(data.train_images[last_by_name], fitted)
    small = load_data(data_dir=pets, image_size=16)
    assert small.image_shape == (16, 16, 3) and small.resize.startswith("shorter side to 16,")


def test_published_classes_keep_their_name(tmp_path):
    cifar10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    wordnet = tuple(f"n{number:08d}" for number in range(1000))
    for name, classes in (("cifar10", cifar10), ("imagenet", wordnet)):
        content = image_file(tmp_path / "one.png", 9).read_bytes()
        for split in ("train", "test"):
            for label in classes:
                (tmp_path / name / split / label).mkdir(parents=True)
                (tmp_path / name / split / label / "0.png").write_bytes(content)
        data = load_data("cifar10", tmp_path / name, image_size=4)
        assert data.name == name and data.class_names == classes
        # Mixed, so that a recipe that never shuffles does not see class after class.
        assert sorted(data.train_labels.tolist()) == data.test_labels.tolist() == list(range(len(classes)))
        assert data.train_labels.tolist() != list(range(len(classes)))


def test_the_folder_is_called_as_it_was_given(pets, tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(pets)
    assert load_data(data_dir=tmp_path / "link").name == "link"
    monkeypatch.chdir(pets)
    assert load_data(data_dir=".").name == "pets"


@pytest.mark.parametrize("name", ["digits", "cifar10", "imagenet"])
def test_a_published_name_is_not_that_of_other_images(pets, name):
    assert load_data(data_dir=pets.rename(pets.parent / name)).name == f"{name}-folder"


def test_two_classes_of_one_name_are_refused(pets):
    data = load_data(data_dir=pets)
    with pytest.raises(DataError, match='2 classes are named "dog"; expected one'):
        replace(data, class_names=("dog", "dog"))


def test_more_images_than_memory_are_streamed(pets, monkeypatch):
    assert not load_data(data_dir=pets).streamed
    monkeypatch.setattr("allcnn.data.images.physical_memory", lambda: 2 * (6 * 32 * 32 * 3 - 1))
    data = load_data(data_dir=pets)
    assert data.streamed
    assert sorted(data.train_images[:][:, 0, 0, 0].tolist()) == [1, 2, 3, 4]


# What is refused


def message(folder: Path) -> str:
    with pytest.raises(DataError) as error:
        load_data(data_dir=folder)
    assert len(str(error.value).splitlines()) <= 2
    return str(error.value)


def test_unreadable_image_is_named(pets):
    broken = pets / "train/dog/broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0")
    assert message(pets).startswith(f"{broken}: ")
    assert message(pets).endswith("Repair the file or take it away.")


def test_classes_that_do_not_fit(pets):
    (pets / "test/dog").rename(pets / "test/dogs")
    assert message(pets) == (
        f"{pets}: train/ and test/ have different classes (only in train/: dog; only in test/: dogs).\n"
        "Give both the same class folders."
    )
    shutil.rmtree(pets / "train/dog")
    shutil.rmtree(pets / "test/dogs")
    assert message(pets) == f"{pets}/train: one class (cat); expected at least two, a folder of images for each class."
    (pets / "train/bird").mkdir()
    (pets / "train/bird/readme.txt").write_text("none yet")
    assert message(pets).startswith(f"{pets}/train/bird: no images; expected files ending in .bmp, .gif, .jpeg, .jpg")


def test_images_without_class_folders(tmp_path):
    for split in ("train", "test"):
        image_file(tmp_path / split / "a.png", 0)
    assert message(tmp_path).startswith(f"{tmp_path}/train: no class folders; expected at least two")


@pytest.mark.parametrize(
    ("taken", "found"), [("test", "train/ but neither test/ nor val/"), ("train", "no train/ folder")]
)
def test_missing_split(pets, taken, found):
    shutil.rmtree(pets / taken)
    expected = "train/CLASS/* with test/CLASS/* or val/CLASS/*"
    assert message(pets) == f"{pets}: {found}; expected {expected}.\nMove the images into such folders."


# Class indices

FOLDERS = ("n01440764", "n02012849", "n03126707")


def test_classes_are_called_what_the_class_index_calls_them(pets):
    before = load_data(data_dir=pets)
    (pets / "class_index.json").write_text('{"0": ["dog", "barking_dog"], "1": ["cat", "purring_cat"]}')
    named = load_data(data_dir=pets)
    assert named.class_names == ("purring cat", "barking dog")
    assert named.digest == before.digest


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("none", "", FOLDERS),
        ("class_index.json", '{"n01440764": "tench", "n02012849": "b", "n03126707": "c"}', ("tench", "b", "c")),
        (
            "imagenet_class_index.json",
            '{"0": ["n01440764", "tench"], "1": ["n02012849", "crane"], "2": ["n03126707", "crane"], "3": ["n0", "x"]}',
            ("tench", "crane (n02012849)", "crane (n03126707)"),
        ),
        (
            "synset_words.txt",
            "n01440764 tench, Tinca tinca\nn02012849 crane\nn03126707 lifting device\n\n",
            ("tench", "crane", "lifting device"),
        ),
        ("LOC_synset_mapping.txt", "n01440764 tench\nn02012849 crane\nn03126707\n", ("tench", "crane", "n03126707")),
    ],
)
def test_the_forms_a_class_index_comes_in(tmp_path, name, text, expected):
    (tmp_path / name).write_text(text)
    assert read_class_index(tmp_path, FOLDERS) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "not a class index"), ("{", "not a class index"), ('{"0": 1}', "not a class index"),
        ('{"0": ["a"]}', "not a class index"), ("[" * 100_000, "not a class index"), ("\ud800", "not a class index"),
        ('{"n01440764": "tench"}', "does not name the class n02012849 and 1 more"),
        ('{"n01440764": "", "n02012849": "b", "n03126707": "c"}', "a class is named"),
    ],
)  # fmt: skip
def test_what_is_no_class_index(tmp_path, text, said):
    (tmp_path / "class_index.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(DataError, match=said) as error:
        read_class_index(tmp_path, FOLDERS)
    assert str(tmp_path) in str(error.value) and len(str(error.value).splitlines()) == 2
